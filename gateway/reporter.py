"""What a device's points hold, on its way out: the last values, and readings whose timestamps only grow."""

from __future__ import annotations

from collections.abc import Mapping

from gateway.clock import Clock
from gateway.interfaces.base import Interface
from gateway.jobs import Outlet
from gateway.last import LastValues
from gateway.model import PointError, Quality, Reading, Scalar
from gateway.store.device_config import Spec
from gateway.sweep import Sweep


class Reporter:
    """Used by the device's thread; ``at`` is the timestamp of the newest reading, wall clock seconds, None before it."""

    def __init__(self, clock: Clock, outlet: Outlet) -> None:
        self.at: float | None = None
        self.last = LastValues()
        self._clock = clock
        self._outlet = outlet
        self._spec: Spec
        self._interface: Interface

    def begin(self, spec: Spec, interface: Interface) -> None:
        """From now on values are those of this specification."""
        self.last = LastValues()
        self._spec = spec
        self._interface = interface

    def remember(self, sweep: Sweep) -> None:
        """Keep what was read."""
        self._keep(sweep.wall, sweep.values, sweep.errors)

    def reading(self, sweep: Sweep) -> Reading:
        """What was read, for the client that asked."""
        return Reading(self._spec.path, sweep.wall, sweep.values, sweep.errors, self._quality(sweep.values))

    def publish(self, poll: Sweep) -> None:
        """Tell what a poll brought."""
        self.remember(poll)
        if poll.answered:
            self._tell(poll.wall, poll.values, poll.errors)

    def notices(self, poll: Sweep | None) -> None:
        """Tell what the device has told by itself; a poll under way takes it over, as what it read is older."""
        for notice in self._interface.notices():
            values = {name: value for name, value in notice.items() if not isinstance(value, PointError)}
            errors = {name: value for name, value in notice.items() if isinstance(value, PointError)}
            if poll is not None:
                _correct(poll, values, errors)
            wall = self._clock.wall()
            self._keep(wall, values, errors)
            self._tell(wall, values, errors)

    def _tell(self, wall: float, values: Mapping[str, Scalar], errors: Mapping[str, PointError]) -> None:
        wall = round(wall, 6)  # as it is told: each one is at least a microsecond later than the last
        if self.at is not None:
            wall = max(wall, round(self.at + 1e-6, 6))
        self.at = wall
        self._outlet.reading(self._spec, Reading(self._spec.path, wall, values, errors, self._quality(values)))

    def _keep(self, wall: float, values: Mapping[str, Scalar], errors: Mapping[str, PointError]) -> None:
        quality = self._quality(values)
        if len(values) == len(self._spec.registers) and not quality:
            self.last.whole(wall, values)
        else:
            self.last.partly(wall, values, errors, quality)

    def _quality(self, values: Mapping[str, Scalar]) -> Mapping[str, Quality]:
        known = self._interface.quality
        return {name: quality for name, quality in known.items() if name in values} if known else known


def _correct(poll: Sweep, values: Mapping[str, Scalar], errors: Mapping[str, PointError]) -> None:
    for name in [name for name in (*values, *errors) if name in poll.values or name in poll.errors]:
        poll.values.pop(name, None)
        poll.errors.pop(name, None)
        if name in values:
            poll.values[name] = values[name]
        else:
            poll.errors[name] = errors[name]
