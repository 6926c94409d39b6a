"""Which points of a device a poll asks for: those that are due, but for the ones that the device does not know."""

from __future__ import annotations

from collections.abc import Mapping

from gateway.model import PointError, Register
from gateway.schedule import Schedule
from gateway.store.device_config import Spec
from gateway.sweep import Sweep

RETRY_UNSUPPORTED, RETRY_AT_LAST = 60.0, 3600.0
"""Seconds after which points that the device does not know are asked for again: at first, and in the end."""
TOGETHER = 0.001
"""Seconds: points that are due within this time are asked for in one poll, whatever their intervals."""
MAX_SETS = 256


class Rounds:
    """The schedules of a device's points, one for each interval, and how the points did; used by the device's thread.

    ``due`` is the boot clock time of the next poll, ``missed`` how many did not take place because another was still
    running, ``late`` how late the newest poll began (seconds).
    """

    def __init__(self, spec: Spec, phase: float, now: float) -> None:
        self.due = now
        self.missed = 0
        self.late = 0.0
        self._registers = tuple(register for register in spec.registers if not register.write_only)
        self._default = spec.device.interval
        self._schedules = tuple(Schedule(interval, phase % interval, now) for interval in spec.intervals)
        self._asked = self._schedules
        self._sets: dict[tuple[Schedule, ...], tuple[Register, ...]] = {}
        self._left_out: dict[str, PointError] = {}
        self._ask_again = 0.0
        self._wait = RETRY_UNSUPPORTED
        self._asked_again: frozenset[str] = frozenset()
        self._failing: dict[str, PointError] = {}

    def begin(self, now: float, everything: bool) -> tuple[Register, ...]:
        """A poll begins: the registers to ask for; ``everything``: the device was away, and each of its points is asked."""
        if everything:
            self._restart(now)
        elif len(self._schedules) > 1:
            self._asked = tuple([s for s in self._schedules if s.due <= now + TOGETHER])
        self._advance(now, everything)
        if self._left_out and now >= self._ask_again:
            self._retry()
        return self._sets.get(self._asked) or self._set()

    def left_out(self) -> Mapping[str, PointError]:
        """The points that were due in this poll, and are not asked for."""
        if not self._left_out or len(self._asked) == len(self._schedules):
            return self._left_out
        asked = {register.name for register in self._due_registers()}
        return {name: error for name, error in self._left_out.items() if name in asked}

    def ended(self, poll: Sweep, now: float) -> Mapping[str, PointError]:
        """A poll is over, and its errors are all told: the errors of all points at present, not asked ones too."""
        if self._failing or poll.errors:
            self._failing = {n: e for n, e in self._failing.items() if n not in poll.values} | poll.errors
            self._leave_out({name: error for name, error in poll.errors.items() if error.unsupported}, now)
        return self._failing

    def forget(self) -> None:
        """The device went away: ask for everything when it is back, for it may be another one."""
        self._left_out, self._asked_again, self._wait = {}, frozenset(), RETRY_UNSUPPORTED
        self._sets.clear()

    def _leave_out(self, unsupported: dict[str, PointError], now: float) -> None:
        """Do not ask for these points, and those that are left out already, for a while."""
        if unsupported.keys() <= self._left_out.keys():
            return
        if not unsupported.keys() <= self._asked_again | self._left_out.keys():
            self._wait, self._asked_again = RETRY_UNSUPPORTED, frozenset()
        self._left_out = self._left_out | unsupported
        self._ask_again = now + self._wait
        self._sets.clear()

    def _retry(self) -> None:
        """Leave nothing out; what is refused again is asked for less often."""
        self._wait = min(2 * self._wait, RETRY_AT_LAST)
        self._asked_again, self._left_out = frozenset(self._left_out), {}
        self._sets.clear()

    def _restart(self, now: float) -> None:
        self._failing = {}
        self._asked = self._schedules
        for schedule in self._schedules:
            schedule.restart(now)

    def _advance(self, now: float, everything: bool) -> None:
        """The next due times, as of now, or of a due time that has almost come."""
        self.late = 0.0
        for schedule in self._asked:
            before = schedule.missed
            late = schedule.begin(now if everything else max(now, schedule.due))
            self.missed += schedule.missed - before
            self.late = max(self.late, late)
        first = self._schedules[0]
        self.due = first.due if len(self._schedules) == 1 else min([schedule.due for schedule in self._schedules])

    def _set(self) -> tuple[Register, ...]:
        if len(self._sets) >= MAX_SETS:
            self._sets.clear()
        registers = tuple(register for register in self._due_registers() if register.name not in self._left_out)
        self._sets[self._asked] = registers
        return registers

    def _due_registers(self) -> list[Register]:
        intervals = {schedule.interval for schedule in self._asked}
        return [register for register in self._registers if (register.interval or self._default) in intervals]
