"""Publishes that wait for their PUBACK, and what their age says of the broker and of what comes in; used by one thread.

TCP says nothing of a broker that is gone, and messages may have waited in the network while this process or the machine
stood still. What does not lie is how long ago something of ours was acknowledged.
"""

from __future__ import annotations

from dataclasses import dataclass

from gateway.clock import Clock
from gateway.model import Outgoing

ACK_TIMEOUT = 10.0
"""Seconds after which a publish without PUBACK means that the broker is gone, whatever TCP says."""
LATE = 2.0
"""Seconds after which a missing PUBACK, or a pause of the link's thread, makes the age of what comes in unknown."""
BEAT = 2.0
"""Seconds without anything acknowledged after which a message of our own is due, so that silence is noticed."""
TICK = 0.5
"""Seconds that the link's thread waits for something to do."""


@dataclass(slots=True)
class _Flight:
    message: Outgoing
    sent: float


class Flights:
    """Those of one connection, by packet id."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._flights: dict[int, _Flight] = {}
        self._acked = 0.0
        self._seen = clock.now()
        self._unsure = False  # what comes in may have waited unseen, until the marker is acknowledged
        self._marker: int | None = None

    def __len__(self) -> int:
        """How many there are."""
        return len(self._flights)

    def begin(self, mid: int, message: Outgoing) -> None:
        """A message has left."""
        self._flights[mid] = _Flight(message, self._clock.now())

    def mark(self, mid: int) -> None:
        """One of our own is the marker: it comes back acknowledged only after the backlog of a pause has been read."""
        self._marker = mid

    def end(self, mid: int) -> Outgoing | None:
        """A message is acknowledged; None for one of QoS 0, where it only says that the bytes have left."""
        flight = self._flights.pop(mid, None)
        if flight is None:
            return None
        now = self._acked = self._clock.now()
        if mid == self._marker:
            self._unsure, self._marker = False, None
        if now - flight.sent > LATE:  # what follows it has waited as long
            self._doubt()
        return flight.message

    def unsent(self) -> list[Outgoing]:
        """What was not acknowledged."""
        return [flight.message for flight in self._flights.values()]

    def look(self) -> tuple[float, bool]:
        """The link's thread looks again: the seconds since it last did, and whether the broker is gone."""
        now = self._clock.now()
        pause, self._seen = now - self._seen, now
        gone = min(self._oldest(now), now - self._acked) > ACK_TIMEOUT and pause < LATE
        return pause, gone

    def paused(self) -> None:
        """The thread did not run for a while: nothing is held against the broker, and what comes in is of unknown age."""
        self._doubt()
        for flight in self._flights.values():
            flight.sent = self._clock.now()

    @property
    def wants_marker(self) -> bool:
        """Whether a marker has to be sent before the age of what comes in is known again."""
        return self._unsure and self._marker is None

    @property
    def wants_beat(self) -> bool:
        """Whether it has been silent for so long that a message of our own is due."""
        return not self._flights and self._clock.now() - self._acked > BEAT

    def suspect(self, now: float) -> bool:
        """Whether the age of a message that comes in now is unknown."""
        return self._unsure or self._oldest(now) > LATE or now - self._seen > LATE

    def _doubt(self) -> None:
        self._unsure, self._marker = True, None

    def _oldest(self, now: float) -> float:
        first = next(iter(self._flights.values()), None)
        return now - first.sent if first else 0.0
