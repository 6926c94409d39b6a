"""``gateway health``."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path

from gateway import healthfile
from gateway.clock import SystemClock
from gateway.settings import SettingsError, load

RUNTIME = Path("/run/gateway")
"""Where the service unit that we ship has its runtime directory."""


def health(settings: Path | None, state_dir: Path | None, strict: bool) -> int:
    """Say how the gateway on this machine is; the exit code."""
    try:
        folders = _folders(settings, state_dir, os.environ)
    except SettingsError as error:
        for sentence in error.faults:
            print(sentence, file=sys.stderr)
        return 2
    report = healthfile.read(folders)
    if report is None:
        print(f"no gateway runs here: there is no {healthfile.NAME} in {' or '.join(map(str, folders))}")
        return 1
    fault = healthfile.fault(report, SystemClock().now(), strict)
    if fault is not None:
        print(f"{report['gateway']}: {fault}")
    else:
        devices = ", ".join(f"{count} {state}" for state, count in report["devices"].items()) or "no devices"
        broker = "" if report["broker"]["connected"] else f"; no connection to the broker: {report['broker']['reason']}"
        print(f"{report['gateway']}: {report['health']}; {devices}{broker}")
    for problem in report["problems"]:
        print(f"{problem['code']}: {problem['message']}")
    return 0 if fault is None else 1


def _folders(settings: Path | None, state_dir: Path | None, environ: Mapping[str, str]) -> list[Path]:
    """Where the file may be: the directory of the settings, and where a service manager has its own."""
    wanted = load(settings, broker=None if settings else "mqtt://localhost", state_dir=state_dir, environ=environ).state_dir
    runtime = healthfile.directory(environ, wanted)
    return list(dict.fromkeys([runtime, wanted] if state_dir else [runtime, RUNTIME, wanted]))
