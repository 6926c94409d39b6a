"""When a device is polled: absolute times on the boot clock, without drift; pure.

The first poll is due at once. Later ones are due at ``n * interval + phase``, so that devices with the same interval are
spread over it, and stay so.
"""

from __future__ import annotations

import math

GOLDEN = (math.sqrt(5) - 1) / 2
ROUNDING = 1e-7
"""What floats may be off by, as a part of an interval."""


def spread(index: int, interval: float) -> float:
    """A phase for the device with this index: any number of devices in a row lie evenly in the interval."""
    return (index * GOLDEN % 1.0) * interval


class Schedule:
    """The due times of one device; ``missed`` counts the ticks that passed while a poll was still running."""

    def __init__(self, interval: float, phase: float, start: float) -> None:
        self.interval = interval
        self.phase = phase
        self.due = start
        self.missed = 0

    def begin(self, now: float) -> float:
        """A poll begins: set the next due time, skipping those that have passed; how late it begins, in seconds."""
        late = max(0.0, now - self.due)
        following = self._tick_after(min(self.due, now))
        latest = self._tick_after(now)
        self.missed += max(0, round((latest - following) / self.interval))
        self.due = max(following, latest)
        return late

    def restart(self, now: float) -> None:
        """Polls were suspended (the device was offline): go on at the next tick, with nothing counted as missed."""
        self.due = self._tick_after(now)

    def _tick_after(self, time: float) -> float:
        number = math.floor((time - self.phase) / self.interval) + 1
        tick = number * self.interval + self.phase
        # A tick that is after the time by no more than the rounding of a float is the one that has just come.
        return tick if tick > time + ROUNDING * self.interval else (number + 1) * self.interval + self.phase
