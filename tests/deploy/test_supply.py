"""What is delivered: which packages, under which hashes, in which wheel, and who has looked for their faults."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.deploy.images import done
from tests.markdown import ROOT
from tools import audit, wheel

RUN, BUILD, ALL = (ROOT / f"requirements{part}.txt" for part in ("-run", "-build", ""))
ENTRY = re.compile(
    r"^([a-z0-9-]+)(?:\[[^]]*\])?==(\S+)(?: ;[^\\]*)? \\\n((?:    --hash=sha256:[0-9a-f]{64}(?: \\)?\n)+)", re.MULTILINE
)
SECRETS = {
    "private key": re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----\s+[A-Za-z0-9+/=]{20}"),
    "token of a service": re.compile(
        r"\b(AKIA[0-9A-Z]{16}|gh[pousr]_\w{36}|github_pat_\w{30}|xox[abp]-\w{10}|pypi-AgE\w{20})"
    ),
    "password in a url": re.compile(r"\b[a-z]+://[^\s/:@{}$<>]+:(?!hunter2@)[^\s/@{}$<>]+@[\w.-]+"),  # hunter2: a test's own
    "hash of a password": re.compile(r"\$[67]\$\d*\$?[A-Za-z0-9+/]{10}"),
}


def entries(lock: Path) -> dict[str, tuple[str, frozenset[str]]]:
    """The packages of a lock with version and hashes."""
    found = ENTRY.findall(lock.read_text())
    return {name: (version, frozenset(re.findall("sha256:([0-9a-f]+)", hashes))) for name, version, hashes in found}


def direct(project: dict[str, Any], *leave_out: str) -> set[str]:
    """The names of the packages that pyproject.toml asks for, without these extras."""
    extras = {name: wanted for name, wanted in project["optional-dependencies"].items() if name not in leave_out}
    lines = [line for wanted in (project["dependencies"], *extras.values()) for line in wanted]
    return {audit.normalized(re.split(r"[ ;<>=\[]", line)[0]) for line in lines}


@pytest.fixture(scope="module")
def project() -> dict[str, Any]:
    """The ``project`` table of pyproject.toml."""
    return tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


# ---- locks


@pytest.mark.parametrize("lock", [RUN, BUILD, ALL], ids=lambda path: path.name)
def test_every_package_has_a_version_and_a_hash(lock: Path) -> None:
    """A lock names each package by exact version and hashes, so pip takes no other bytes."""
    assert entries(lock)
    assert entries(lock).keys() == audit.locked([lock]).keys()


@pytest.mark.parametrize("lock", [RUN, BUILD], ids=lambda path: path.name)
def test_what_runs_is_what_was_tested(lock: Path) -> None:
    """The locks of what runs and builds are parts of the one that tests use."""
    everything = entries(ALL)
    assert {name: everything.get(name) for name in entries(lock)} == entries(lock)


def test_what_runs_is_all_that_is_needed(project: dict[str, Any]) -> None:
    """The lock of what runs has the packages of every extra but those for development and demonstration, and not these."""
    wanted = direct(project, "dev", "demo")
    assert wanted <= entries(RUN).keys()
    assert (direct(project) - wanted) & entries(RUN).keys() == set()


# ---- wheel


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel."""
    return wheel.build(ROOT, tmp_path_factory.mktemp("dist"))


def test_the_wheel_is_the_same_each_time(built: Path, tmp_path: Path) -> None:
    """Other times and modes of the sources, and what an earlier build left, make no difference to the bytes."""
    for name in wheel.SOURCES:
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        copy(ROOT / name, tmp_path / name)
    (tmp_path / "build" / "lib" / "gateway").mkdir(parents=True)
    (tmp_path / "build" / "lib" / "gateway" / "left.py").write_text("")
    for path in (tmp_path / "gateway").rglob("*"):
        path.chmod(path.stat().st_mode & ~0o077)
        os.utime(path, (1, 1))
    digests = {hashlib.sha256(path.read_bytes()).hexdigest() for path in (built, wheel.build(tmp_path, tmp_path / "dist"))}
    print(digests)
    assert len(digests) == 1


@pytest.mark.timeout(300)
def test_the_wheel_runs_where_nothing_else_is(built: Path, tmp_path: Path) -> None:
    """In an environment with nothing but the lock of what runs, by hashes, the command is there and knows every driver."""
    done(sys.executable, "-m", "venv", tmp_path / "box")
    python = tmp_path / "box" / "bin" / "python"
    installed = subprocess.run(
        [python, "-m", "pip", "install", "-q", "--require-hashes", "-r", RUN], capture_output=True, text=True, timeout=280
    )
    if installed.returncode and "CI" not in os.environ:
        pytest.skip("no package index: " + installed.stderr.strip().splitlines()[-1])
    assert installed.returncode == 0, installed.stderr
    done(python, "-m", "pip", "install", "-q", "--no-deps", built)
    done(python, "-m", "pip", "check")
    command = python.parent / "gateway"
    assert done(command, "--version").startswith("gateway ")
    code = "from gateway import interfaces; print(*(interfaces.load(d).__name__ for d in interfaces.own_types()))"
    assert set(done(python, "-c", code).split()) == {"Interface"}


# ---- bill of materials


def test_the_bill_of_materials_is_the_lock(tmp_path: Path) -> None:
    """The SBOM lists the packages of what runs, with the same versions and hashes, and nothing else."""
    target = tmp_path / "sbom.json"
    program = Path(sys.executable).parent / "cyclonedx-py"
    options = ["--pyproject", ROOT / "pyproject.toml", "--output-reproducible", "--of", "JSON", "-o", target]
    done(program, "requirements", *options, RUN)
    bill = json.loads(target.read_text())
    told = {
        one["name"]: (
            one["version"],
            frozenset(h["content"] for r in one["externalReferences"] for h in r.get("hashes", ())),
        )
        for one in bill["components"]
    }
    assert bill["bomFormat"] == "CycloneDX"
    assert told == entries(RUN)


# ---- audit

GOOD = {"name": "one", "version": "1", "vulns": []}


@pytest.mark.parametrize(
    ("told", "code", "words"),
    [
        ([GOOD, GOOD | {"name": "Two"}], audit.PASSED, "2 packages audited"),
        ([], audit.FAILED, "one 1 was not audited"),
        ([GOOD], audit.FAILED, "two 1 was not audited"),
        ([GOOD, {"name": "two", "skip_reason": "not found"}], audit.FAILED, "two 1 was not audited: not found"),
        ([GOOD, GOOD | {"name": "two", "version": "2"}], audit.FAILED, "two 1 was not audited"),
        (
            [GOOD, {"name": "two", "version": "1", "vulns": [{"id": "CVE-1", "fix_versions": ["3"]}]}],
            audit.FAILED,
            "two 1 has CVE-1, mended in 3",
        ),
    ],
    ids=["all", "nothing", "one-missing", "one-skipped", "another-version", "vulnerable"],
)
def test_an_audit_can_not_pass_by_leaving_out(told: Sequence[dict[str, Any]], code: int, words: str) -> None:
    """Each package of the lock has to be audited in its version; what is missing or skipped fails."""
    found, lines = audit.judge({"one": "1", "two": "1"}, told)
    assert found == code
    assert any(line.startswith(words) for line in lines), lines


def test_an_audit_of_nothing_fails() -> None:
    """An empty lock is no pass."""
    assert audit.judge({}, [])[0] == audit.FAILED


def test_an_audit_without_an_index_is_not_run(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where nobody can be asked, it says that it was not run, and that is no pass."""
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")
    code, words = audit.audit([BUILD])
    assert code == audit.NOT_RUN
    assert words[0].startswith("audit not run: ")


BAD = {"name": "two", "version": "1", "vulns": [{"id": "CVE-1", "fix_versions": []}]}
AWAY = "requests.exceptions.ConnectionError: HTTPSConnectionPool(host='index.example', port=443): Max retries exceeded"
UNKNOWN = {"name": "two", "skip_reason": "Dependency not found on PyPI and could not be audited: two (1)"}


@pytest.mark.parametrize(
    ("says", "code", "words"),
    [
        ([([GOOD], ""), ([GOOD | {"name": "two"}], "")], audit.PASSED, "2 packages audited"),
        ([([GOOD], ""), ([], AWAY)], audit.NOT_RUN, "audit not run: requests"),
        ([([GOOD], ""), ([], "Could not connect to PyPI's vulnerability feed")], audit.NOT_RUN, "audit not run: Could"),
        ([([UNKNOWN | {"name": "one"}], ""), ([UNKNOWN], "")], audit.NOT_RUN, "audit not run: the index"),
        ([([UNKNOWN | {"name": "one"}], ""), ([], AWAY)], audit.NOT_RUN, "audit not run: requests"),
        ([([BAD | {"name": "one"}], ""), ([], AWAY)], audit.FAILED, "one 1 has CVE-1"),
        ([([], ""), ([], AWAY)], audit.FAILED, "one 1 was not audited"),
        ([([GOOD], ""), ([UNKNOWN], "")], audit.FAILED, "two 1 was not audited"),
        ([([GOOD], ""), ([], "/usr/bin/python: No module named pip_audit")], audit.FAILED, "audit not run: /usr"),
        ([([], AWAY), ([], "pip-audit: error: unrecognized arguments: --x")], audit.FAILED, "audit not run: requests"),
        ([([], "pip-audit says nothing"), ([], "KeyError: 'x'")], audit.FAILED, "audit not run: pip-audit says nothing"),
    ],
)
def test_only_a_network_excuses_an_audit(
    says: list[tuple[list[dict[str, Any]], str]],
    code: int,
    words: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What was told is judged first; then an audit that failed in any other way than by the network fails."""
    locks = [tmp_path / "one", tmp_path / "two"]
    for lock in locks:
        lock.write_text(f"{lock.name}==1 \\\n")
    monkeypatch.setattr(audit, "_asked", lambda lock: says[locks.index(lock)])
    found, lines = audit.audit(locks)
    assert found == code
    assert lines[0].startswith(words), lines


def test_pip_audit_that_is_not_there_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is no excuse that there is nothing to ask with."""
    monkeypatch.setattr(audit.sys, "executable", "/bin/false")
    code, words = audit.audit([BUILD])
    assert (code, words) == (audit.FAILED, ["audit not run: pip-audit says nothing"])


# ---- secrets


def secrets(text: str) -> list[str]:
    """The kinds of secrets that a text seems to hold."""
    return [kind for kind, pattern in SECRETS.items() if pattern.search(text)]


def delivered() -> list[Path]:
    """The files of the project."""
    done = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True)
    names = done.stdout.split("\0") if done.returncode == 0 else []
    return [ROOT / name for name in names if name] or [p for p in ROOT.glob("[!.]*/**/*") if p.is_file()]


def test_no_secret_is_in_the_project() -> None:
    """No file holds a key, a token or a password that is one."""
    found = {path: secrets(path.read_text(errors="replace")) for path in delivered() if path.is_file()}
    assert len(found) > 100
    assert {str(path): kinds for path, kinds in found.items() if kinds} == {}


def test_secrets_would_be_seen() -> None:
    """Each kind of secret is recognised; put together here, so that this file holds none."""
    examples = [
        "-----BEGIN " + "PRIVATE KEY-----\nMIGHAgEAMBMGByqGSM49AgEG",
        "AKIA" + "ABCDEFGHIJKLMNOP",
        "mqtt://me:" + "geheim@host.example",
        "ops:$7$" + "101$Zk9uQm1hY2hlbmVu",
    ]
    assert [secrets(example) for example in examples] == [[kind] for kind in SECRETS]
