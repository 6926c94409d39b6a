"""How often a point may be written: the Min Write Interval of its row, as memories wear out and valves do too."""

from __future__ import annotations

import threading

from gateway.clock import Clock
from gateway.errors import Busy
from gateway.model import Register


class Paces:
    """When points were written last; any thread may call."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._last: dict[tuple[str, str], float] = {}

    def check(self, path: str, register: Register) -> None:
        """Raises Busy with the seconds that are left in ``retry_after``."""
        last = self._last.get((path, register.name))
        if last is None or not register.min_write_interval:
            return
        left = last + register.min_write_interval - self._clock.now()
        if left > 0:
            raise Busy(
                f'"{register.name}" may be written once in {register.min_write_interval:g} s; {left:.1f} s are left',
                reason="min_write_interval",
                retry_after=round(left, 3),
            )

    def wrote(self, path: str, register: Register) -> None:
        """The point is being written now."""
        if register.min_write_interval:
            with self._lock:
                self._last[path, register.name] = self._clock.now()
