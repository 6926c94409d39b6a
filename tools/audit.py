"""Ask the advisory database of the package index about every locked package: ``make audit``.

    python tools/audit.py [LOCK...]

pip-audit leaves out a package that it can not find, and passes; here each package of the lock has to be audited in its
version. The exit code is 0 if all were and none has a known vulnerability, 1 if one has or was left out, 2 if the audit
could not be run, which is no pass.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
LOCKS = ("requirements.txt", "requirements-run.txt", "requirements-build.txt")
PINNED = re.compile(r"^([A-Za-z0-9._-]+)(?:\[[^]]*\])?==([^ \\;]+)", re.MULTILINE)

PASSED, FAILED, NOT_RUN = 0, 1, 2


def locked(locks: Sequence[Path]) -> dict[str, str]:
    """The packages of the locks, by their normalized name (PEP 503), with their versions."""
    pins = (PINNED.findall(lock.read_text()) for lock in locks)
    return {normalized(name): version for found in pins for name, version in found}


def normalized(name: str) -> str:
    """The name of a package as PEP 503 has it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def judge(wanted: dict[str, str], told: Sequence[dict[str, Any]]) -> tuple[int, list[str]]:
    """The exit code and what to say of it, from the packages that pip-audit tells of."""
    audited = {normalized(one["name"]): one for one in told}
    faults = [*_missing(wanted, audited), *_vulnerable(audited)]
    if not wanted:
        faults.append("the lock names no package")
    if faults:
        return FAILED, faults
    return PASSED, [f"{len(wanted)} packages audited, no known vulnerability"]


def _missing(wanted: dict[str, str], audited: dict[str, dict[str, Any]]) -> Iterator[str]:
    for name, version in sorted(wanted.items()):
        one = audited.get(name, {})
        if "skip_reason" in one or one.get("version") != version:
            yield f"{name} {version} was not audited: {one.get('skip_reason', 'pip-audit says nothing of it')}"


def _vulnerable(audited: dict[str, dict[str, Any]]) -> Iterator[str]:
    for name, one in sorted(audited.items()):
        for found in one.get("vulns", ()):
            mended = ", ".join(found["fix_versions"]) or "no version yet"
            yield f"{name} {one['version']} has {found['id']}, mended in {mended}"


def audit(locks: Sequence[Path]) -> tuple[int, list[str]]:
    """Run pip-audit on the locks."""
    told: list[dict[str, Any]] = []
    for lock in locks:
        command = [sys.executable, "-m", "pip_audit", "-r", lock, "--require-hashes", "--disable-pip", "--format=json"]
        done = subprocess.run([*command, "--progress-spinner=off"], capture_output=True, text=True)
        try:
            told += json.loads(done.stdout)["dependencies"]
        except ValueError:
            return NOT_RUN, [f"audit not run: {(done.stderr.strip().splitlines() or ['pip-audit says nothing'])[-1]}"]
    code, words = judge(locked(locks), told)
    if told and all("skip_reason" in one for one in told):
        return NOT_RUN, [f"audit not run: the index that is reachable here knows none of {len(told)} packages", words[0]]
    return code, words


if __name__ == "__main__":
    code, words = audit([Path(name) for name in sys.argv[1:]] or [ROOT / name for name in LOCKS])
    print("\n".join(words), file=sys.stderr if code else sys.stdout)
    sys.exit(code)
