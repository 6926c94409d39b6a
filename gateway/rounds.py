"""Which points of a device a poll asks for: those that are due, but for the ones that the device does not know."""

from __future__ import annotations

from collections.abc import Mapping

from gateway.model import PointError, Register
from gateway.schedule import Schedule
from gateway.store.device_config import Spec
from gateway.sweep import Sweep

RETRY_UNSUPPORTED = 60.0
"""Seconds after which points that the device does not know are asked for again."""
TOGETHER = 0.001
"""Seconds: points that are due within this time are asked for in one poll, whatever their intervals."""
MAX_SETS = 256


class Rounds:
    """The schedules of a device's points, one for each interval, and how the points did; used by the device's thread.

    ``late`` is how late the newest poll began, in seconds.
    """

    def __init__(self, spec: Spec, phase: float, now: float) -> None:
        self.late = 0.0
        self._registers = spec.registers
        self._default = spec.device.interval
        self._schedules = [Schedule(interval, phase % interval, now) for interval in spec.intervals]
        self._asked: tuple[float, ...] = spec.intervals
        self._sets: dict[tuple[float, ...], tuple[Register, ...]] = {}
        self._left_out: dict[str, PointError] = {}
        self._ask_again = 0.0
        self._failing: dict[str, PointError] = {}

    @property
    def due(self) -> float:
        """Boot clock time of the next poll."""
        return min([schedule.due for schedule in self._schedules])

    @property
    def missed(self) -> int:
        """How many polls did not take place because another one was still running."""
        return sum([schedule.missed for schedule in self._schedules])

    def begin(self, now: float, everything: bool) -> tuple[Register, ...]:
        """A poll begins: the registers to ask for; ``everything``: the device was away, and each of its points is asked."""
        if everything:
            self._failing = {}
            for schedule in self._schedules:
                schedule.restart(now)
        asked = [s for s in self._schedules if everything or s.due <= now + TOGETHER]
        self.late = max([s.begin(now if everything else max(now, s.due)) for s in asked])
        self._asked = tuple([s.interval for s in asked])
        if self._left_out and now >= self._ask_again:
            self.leave_out({}, now)
        return self._set()

    def left_out(self) -> Mapping[str, PointError]:
        """The points that were due in this poll, and are not asked for."""
        if not self._left_out or len(self._asked) == len(self._schedules):
            return self._left_out
        asked = {r.name for r in self._registers if self._interval(r) in self._asked}
        return {name: error for name, error in self._left_out.items() if name in asked}

    def ended(self, poll: Sweep, now: float) -> Mapping[str, PointError]:
        """A poll is over, and its errors are all told: the errors of all points at present, not asked ones too."""
        self._failing = {n: e for n, e in self._failing.items() if n not in poll.values} | poll.errors
        self.leave_out(self._left_out | {name: error for name, error in poll.errors.items() if error.unsupported}, now)
        return self._failing

    def leave_out(self, unsupported: dict[str, PointError], now: float) -> None:
        """Do not ask for these points for a while."""
        if unsupported.keys() != self._left_out.keys():
            self._left_out = unsupported
            self._ask_again = now + RETRY_UNSUPPORTED
            self._sets.clear()

    def _set(self) -> tuple[Register, ...]:
        registers = self._sets.get(self._asked)
        if registers is None:
            if len(self._sets) >= MAX_SETS:
                self._sets.clear()
            registers = self._sets[self._asked] = tuple(
                r for r in self._registers if r.name not in self._left_out and self._interval(r) in self._asked
            )
        return registers

    def _interval(self, register: Register) -> float:
        return register.interval or self._default
