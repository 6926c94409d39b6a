"""``gateway run``."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from gateway import log
from gateway.settings import SettingsError, load


def run(settings: Path | None, broker: str | None, state_dir: Path | None) -> int:
    """Run a gateway until it is told to stop; the exit code is 2 if its settings can not be used."""
    try:
        wanted = load(settings, broker=broker, state_dir=state_dir, environ=os.environ)
    except SettingsError as error:
        for fault in error.faults:
            print(fault, file=sys.stderr)
        return 2
    from gateway.app import run as run_gateway  # only now: it brings all drivers' libraries

    log.configure(sys.stderr)
    return run_gateway(wanted)
