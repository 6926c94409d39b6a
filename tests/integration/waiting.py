"""Waiting for what comes in its own time, and how long at most."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import Any, TypeVar

from tests.integration.process import GatewayProcess

T = TypeVar("T")

PATIENCE = 5 if os.environ.keys() & {"CI", "PYTEST_XDIST_WORKER"} else 1
"""Factor on bounds of time: a machine of the CI does other things as well, and so does one that runs tests side by side."""

SEED = os.environ.get("GATEWAY_SEED", "1")
"""Of what is random in a run of tests; ``make test SEED=n`` repeats one."""


def scaled(count: int, least: int = 1) -> int:
    """A count of a long test, times GATEWAY_SCALE."""
    return max(least, round(count * float(os.environ.get("GATEWAY_SCALE", "0.1"))))


def each(count: int) -> range:
    """The numbers below a count, all of them in a long test; in a short one some, from one on that the seed gives."""
    step = max(1, count // scaled(count))
    return range(int(SEED) % step, count, step)


def eventually(look: Callable[[], T], what: str, timeout: float = 20) -> T:
    """What ``look`` returns as soon as that is true; fails if it is not in time."""
    deadline = time.monotonic() + timeout * PATIENCE
    while True:
        found = look()
        if found:
            return found
        if time.monotonic() > deadline:
            raise AssertionError(f"{what}: not within {timeout * PATIENCE:g} s")
        time.sleep(0.02)  # files and processes tell nobody that they have changed


def logged(process: GatewayProcess, event: str, timeout: float = 20, after: int = 0, **fields: Any) -> dict[str, Any]:
    """The first line of the log from number ``after`` that begins with this event and has these fields."""

    def look() -> dict[str, Any] | None:
        lines = process.log_lines()[after:]
        fitting = (line for line in lines if line["event"].startswith(event) and fields.items() <= line.items())
        return next(fitting, None)

    return eventually(look, f'"{event}" in the log of {process.id}', timeout)
