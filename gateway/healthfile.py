"""A small file that says how a gateway is, for ``gateway health``: no broker is needed, and no process is asked.

It says itself until when it counts, on the boot clock, which nobody sets: who hangs or is gone does not renew it.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

NAME = "health.json"
TRIES = 3
"""How often a file is read that is just being written."""


def directory(environ: Mapping[str, str], state_dir: Path) -> Path:
    """Where a gateway writes it: in the runtime directory that its service manager made, else beside its state."""
    runtime = environ.get("RUNTIME_DIRECTORY", "").split(":")[0]
    return Path(runtime) if runtime else state_dir


def write(folder: Path, report: Mapping[str, Any]) -> None:
    """Write in place, so that a full disk does not need new room. Raises OSError."""
    content = json.dumps(report, ensure_ascii=False).encode()
    with os.fdopen(os.open(folder / NAME, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o644), "wb", buffering=0) as file:
        file.write(content)
        file.truncate(len(content))


def remove(folder: Path) -> None:
    """The gateway has ended."""
    try:
        (folder / NAME).unlink(missing_ok=True)
    except OSError:
        pass  # it does not count for long


def read(folders: Iterable[Path]) -> dict[str, Any] | None:
    """The newest report in these directories, if there is one."""
    found = [report for folder in folders if (report := _read(folder / NAME))]
    return max(found, key=lambda report: float(report["at"]), default=None)


def _read(path: Path) -> dict[str, Any] | None:
    for _ in range(TRIES):
        try:
            report = json.loads(path.read_bytes())
        except OSError:
            return None
        except ValueError:
            time.sleep(0.05)
        else:
            return report if isinstance(report, dict) and "at" in report else None
    return None


def fault(report: Mapping[str, Any], now: float, strict: bool) -> str | None:
    """What is wrong with the gateway that wrote this, None if nothing is; ``now`` is boot clock seconds.

    If not ``strict``, only that counts which a restart would cure.
    """
    if report["at"] > now:
        return f"it ended before this machine was started; its last report is of {report['time']}"
    if now > report["until"]:
        return f"it hangs or is gone; its last report is of {report['time']}"
    if report["late"]:
        return f"no sign of life of: {', '.join(report['late'])}"
    if report["state"] != "running":
        return f"it is {report['state']}"
    if strict and not report["broker"]["connected"]:
        return f"no connection to the broker: {report['broker']['reason']}"
    return f"its health is {report['health']}" if strict and report["health"] != "ok" else None
