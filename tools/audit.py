"""Ask the advisory database of the package index about every locked package: ``make audit``.

    python tools/audit.py [LOCK...]

pip-audit leaves out a package that it can not find, and passes; here each package of the lock has to be audited in its
version. The exit code is 0 if all were and none has a known vulnerability; 3 if nobody could be asked, as the index can
not be reached or knows none of them, which is no pass; 1 otherwise: one has a vulnerability or was left out, or pip-audit
failed.
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

UNREACHABLE = re.compile(
    r"^requests\.exceptions\.(ConnectionError|ProxyError|SSLError|HTTPError|\w*Timeout)\b|Could not connect to PyPI"
)
"""The last words of pip-audit where the network, or an index that refuses or is ill, does not let it ask."""
UNKNOWN = "not found on PyPI"
"""Its reason for a package that the index does not know."""

PASSED, FAILED, NOT_RUN = 0, 1, 3  # 2 is what Python ends with itself, as when there is no such script


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
    """Run pip-audit on the locks; what it tells counts, whatever becomes of the rest."""
    told: list[dict[str, Any]] = []
    answered: list[Path] = []
    silent: list[str] = []
    for lock in locks:
        packages, words = _asked(lock)
        told += packages
        if words:
            silent.append(words)
        else:
            answered.append(lock)
    unknown = bool(told) and all(UNKNOWN in one.get("skip_reason", "") for one in told)
    code, faults = judge(locked(answered), told) if answered and not unknown else (PASSED, [])
    if code or not (silent or unknown):
        return code, [*faults, *silent]
    if unknown:
        silent.append(f"the index that is reachable here knows none of {len(told)} packages: {UNKNOWN}")
    proven = all(UNREACHABLE.search(words) or UNKNOWN in words for words in silent)
    return NOT_RUN if proven else FAILED, [f"audit not run: {words}" for words in silent]


def _asked(lock: Path) -> tuple[list[dict[str, Any]], str]:
    """What pip-audit tells of the packages of a lock; if it tells nothing, the last line of what it says instead."""
    command = [sys.executable, "-m", "pip_audit", "-r", lock, "--require-hashes", "--disable-pip", "--format=json"]
    done = subprocess.run([*command, "--progress-spinner=off"], capture_output=True, text=True)
    try:
        return json.loads(done.stdout)["dependencies"], ""
    except (ValueError, KeyError, TypeError):
        return [], (done.stderr.strip().splitlines() or ["pip-audit says nothing"])[-1]


if __name__ == "__main__":
    code, words = audit([Path(name) for name in sys.argv[1:]] or [ROOT / name for name in LOCKS])
    print("\n".join(words), file=sys.stderr if code else sys.stdout)
    sys.exit(code)
