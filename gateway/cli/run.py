"""``gateway run``."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from gateway.settings import SettingsError, load


def run(settings: Path | None, broker: str | None, state_dir: Path | None) -> int:
    """Run a gateway until it is told to stop; the exit code is 2 if its settings can not be used."""
    try:
        wanted = load(settings, broker=broker, state_dir=state_dir, environ=os.environ)
    except SettingsError as error:
        for fault in error.faults:
            print(fault, file=sys.stderr)
        return 2
    with _hidden("rich"):  # structlog imports it where it can, and a service would carry 4 MB for nothing
        from gateway import log
        from gateway.app import run as run_gateway  # only now: it brings all drivers' libraries

    log.configure(sys.stderr)
    return run_gateway(wanted)


@contextmanager
def _hidden(name: str) -> Iterator[None]:
    """Meanwhile a package that is not imported yet can not be (Python reference, 5.3.1: None in ``sys.modules``)."""
    if name in sys.modules:
        yield
        return
    sys.modules[name] = None  # type: ignore[assignment]  # what the reference says
    try:
        yield
    finally:
        del sys.modules[name]
