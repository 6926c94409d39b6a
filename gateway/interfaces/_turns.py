"""Whose turn it is on a shared link; pure, the time is passed in.

- Requests of clients go before polls, but after ``MOST_URGENT`` of them in a row one poll that waits.
- Among equals the unit that was served longest ago is next.
- A unit is silent once ``SILENT_AFTER`` requests in a row had no answer and none had one for ``SILENT_SECONDS``. As long as
  others use the link, all silent units together get a tenth of its time: what a request to one of them took is followed
  by nine times as long without one.
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass, field

SILENT_AFTER = 2
SILENT_SECONDS = 3.0
MOST_URGENT = 8
_SHARE = 10


@dataclass(slots=True, eq=False)
class Unit:
    """What is known of one unit: when it had its last turn, when it last answered, and what was in vain since then.

    ``rest`` is the time before which it is not asked, so that a reply that is late is not taken for the next one.
    """

    served: int = 0
    failures: int = 0
    answered: float = float("-inf")
    rest: float = 0.0
    seats: int = 0

    def silent(self, now: float) -> bool:
        """Whether it counts as silent."""
        return self.failures >= SILENT_AFTER and now - self.answered >= SILENT_SECONDS


@dataclass(slots=True, eq=False)
class Place:
    """A request that waits for its turn."""

    unit: Unit
    urgent: bool
    number: int


@dataclass(slots=True)
class Turns:
    """The requests that wait, and when the next one may go."""

    units: dict[Hashable, Unit] = field(default_factory=dict)
    waiting: list[Place] = field(default_factory=list)
    clear: float = 0.0
    """The time before which nothing may be sent: the gap between frames, and the limit of requests per second."""
    probe: float = 0.0
    """The time before which no silent unit is asked while others use the link."""
    _served: int = 0
    _urgent: int = 0
    _numbers: int = 0

    def unit(self, key: Hashable) -> Unit:
        """The unit of that key."""
        return self.units.setdefault(key, Unit())

    def wait(self, unit: Unit, urgent: bool) -> Place:
        """A request begins to wait."""
        self._numbers += 1
        place = Place(unit, urgent, self._numbers)
        self.waiting.append(place)
        return place

    def due(self, unit: Unit, now: float) -> float:
        """When this unit may be asked at the earliest, others aside."""
        held = max(self.clear, unit.rest)
        return max(held, self.probe) if unit.silent(now) and self._others(now) else held

    def next(self, now: float) -> Place | None:
        """Whose turn it is, or None if none of those that wait may go yet."""
        ready = [place for place in self.waiting if self.due(place.unit, now) <= now]
        first = self._urgent < MOST_URGENT or not any(not place.urgent for place in ready)
        return min(ready, key=lambda p: (p.urgent is not first, p.unit.served, p.number), default=None)

    def wake(self, now: float) -> tuple[float, Place] | None:
        """When the first of those that wait may go, and who that is."""
        if (place := self.next(now)) is not None:
            return now, place
        return min(((self.due(p.unit, now), p) for p in self.waiting), key=lambda entry: entry[0], default=None)

    def begin(self, unit: Unit, urgent: bool) -> None:
        """A turn begins."""
        self._served += 1
        unit.served = self._served
        self._urgent = self._urgent + 1 if urgent else 0

    def end(self, unit: Unit, answered: bool | None, began: float, now: float) -> None:
        """A turn is over; ``answered`` is None if nothing was learned of the unit."""
        if answered:
            unit.failures, unit.answered = 0, now
        elif answered is not None:
            unit.failures += 1
            if unit.silent(now):
                self.probe = now + (_SHARE - 1) * (now - began)

    def _others(self, now: float) -> bool:
        """Whether a unit that is not silent shares the link."""
        return any(unit.seats and not unit.silent(now) for unit in self.units.values())
