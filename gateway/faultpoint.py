"""Places where a test may kill the process, so that what a crash there leaves behind can be looked at."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Mapping
from itertools import count

FaultPoint = Callable[[str], None]
"""Called with the name of a place that is passed."""

NAMES = ("before_journal", "after_journal", "after_wire", "after_answer")
"""In the order in which a leased write passes them: around its journal entry, when the device has answered the write, and
when the answer has been given to the connection and journalled."""
VARIABLE = "GATEWAY_FAULT_POINT"


def passing(_name: str) -> None:
    """The fault point of a gateway that nobody tests: nothing happens."""


def from_environment(environ: Mapping[str, str]) -> FaultPoint:
    """The fault point that ``GATEWAY_FAULT_POINT=<name>[:<n>]`` asks for: SIGKILL when that place is passed the n-th time.

    Raises ValueError for a name or number that is none.
    """
    wanted, _, number = environ.get(VARIABLE, "").partition(":")
    if not wanted:
        return passing
    if wanted not in NAMES:
        raise ValueError(f"{VARIABLE} takes one of {', '.join(NAMES)}, with :n for the n-th time")
    last, times = int(number or 1), count(1)

    def fault_point(name: str) -> None:
        if name == wanted and next(times) == last:
            os.kill(os.getpid(), signal.SIGKILL)

    return fault_point
