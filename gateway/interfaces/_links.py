"""Links that several devices share: one serial line, or one TCP endpoint with many units behind it.

``Pool.seat`` gives an interface its seat at the link of an endpoint, which is made for the first seat and closed with the
last. A link has one line (a connection, or a port) and at most one request in flight: ``Seat.take`` waits for the turn
and sees to the connection, ``Seat.give`` ends the turn. Between the two the line belongs to the caller. Which request is
next is told in ``_turns``. Nothing here knows a protocol.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from gateway.clock import Clock
from gateway.errors import Transient, Unreachable
from gateway.interfaces._turns import Place, Turns, Unit

POLL_WAIT = 30.0
"""Seconds that a poll waits for its turn."""
URGENT_WAIT = 5.0
"""Seconds that a client's request waits for its turn."""


class GiveWay(Exception):
    """While a poll waited for its turn something more urgent came for its device: nothing was sent, ask again later."""


class Line(Protocol):
    """What a link carries requests on."""

    name: str

    def ready(self) -> bool:
        """Whether a request can go now; what has come without being asked for is got rid of."""
        ...

    def open(self) -> None:
        """Connect. Raises Unreachable."""
        ...

    def close(self) -> None:
        """Disconnect, at any time."""
        ...


AnyLine = TypeVar("AnyLine", bound=Line)


@dataclass(frozen=True, slots=True)
class Pace:
    """How fast a device lets its link be used (seconds); of several devices the slowest counts."""

    gap: float = 0.0
    connect_delay: float = 0.0
    requests_per_second: float | None = None


class Link(Generic[AnyLine]):
    """One line, and the turns on it; threads wait on a condition, each on its own."""

    def __init__(self, line: AnyLine, settings: Mapping[str, object], clock: Clock) -> None:
        self.line = line
        self.settings = settings
        self.seats: set[Seat[AnyLine]] = set()
        self._clock = clock
        self._lock = threading.Lock()
        self._turns = Turns()
        self._bells: dict[Place, threading.Condition] = {}
        self._busy = False
        self._began = 0.0
        self._gap = self._delay = self._step = 0.0
        self._failure: tuple[float, Unreachable] | None = None

    def join(self, seat: Seat[AnyLine]) -> Unit:
        """Somebody new shares the link."""
        with self._lock:
            self.seats.add(seat)
            unit = self._turns.unit(seat.key)
            unit.seats += 1
            self._set_pace()
            return unit

    def leave(self, seat: Seat[AnyLine]) -> None:
        """Somebody does not share it any more."""
        with self._lock:
            self.seats.discard(seat)
            seat.unit.seats -= 1
            self._set_pace()
            self._ring()  # silent units may be alone now

    def take(self, seat: Seat[AnyLine], urgent: bool) -> None:
        """Wait for the turn, and see to the connection. Raises Transient, Unreachable, GiveWay; then it is nobody's turn."""
        with self._lock:
            now = asked = self._clock.now()
            if self._busy or self._turns.waiting or self._turns.due(seat.unit, now) > now:
                now = self._wait(seat, urgent, now)
            seat.nudged = False
            self._turns.begin(seat.unit, urgent)
            self._busy, self._began = True, now
        try:
            self._connect(asked)
        except BaseException:
            self.give(seat, None)
            raise

    def give(self, seat: Seat[AnyLine], answered: bool | None, rest: float = 0.0) -> None:
        """The turn is over; see ``Seat.give``."""
        with self._lock:
            now = self._clock.now()
            if rest:
                seat.unit.rest = now + rest
            self._turns.end(seat.unit, answered, self._began, now)
            self._turns.clear = max(now + self._gap, self._began + self._step)
            self._busy = False
            if self._bells:
                self._ring()

    def nudge(self, seat: Seat[AnyLine]) -> None:
        """Let a poll that waits on this seat give way."""
        with self._lock:
            seat.nudged = True
            if seat.place in self._bells:
                self._bells[seat.place].notify()

    def _wait(self, seat: Seat[AnyLine], urgent: bool, now: float) -> float:
        place = seat.place = self._turns.wait(seat.unit, urgent)
        bell = self._bells[place] = threading.Condition(self._lock)
        until = now + (URGENT_WAIT if urgent else POLL_WAIT)
        try:
            while self._busy or self._turns.next(now) is not place:
                self._check(seat, urgent, until, now)
                bell.wait(max(0.0, self._alarm(place, until, now) - now))
                now = self._clock.now()
        except BaseException:
            self._remove(place)
            self._ring()
            raise
        self._remove(place)
        return now

    def _check(self, seat: Seat[AnyLine], urgent: bool, until: float, now: float) -> None:
        """Raise what ends the waiting, if anything does."""
        if seat.nudged and not urgent:
            seat.nudged = False
            raise GiveWay
        if now < until:
            return
        if seat.unit.silent(now):
            raise Transient(f"it does not answer, and others use {self.line.name}: it is asked now and then")
        raise Transient(f"{self.line.name} is busy: no turn came in time")

    def _alarm(self, place: Place, until: float, now: float) -> float:
        """When this one must look again by itself; if another is first, that one is to look now."""
        first = None if self._busy else self._turns.wake(now)
        if first is None:
            return until
        if first[1] is place:
            return min(until, first[0])
        self._bells[first[1]].notify()
        return until

    def _remove(self, place: Place) -> None:
        self._turns.waiting.remove(place)
        del self._bells[place]

    def _ring(self) -> None:
        """Wake whoever is next; that one waits until its time has come."""
        if not self._busy and (first := self._turns.wake(self._clock.now())) is not None:
            self._bells[first[1]].notify()

    def _connect(self, asked: float) -> None:
        if self.line.ready():
            return
        if self._failure is not None and self._failure[0] > asked:
            raise Unreachable(self._failure[1].message)  # somebody has just tried, while this one waited
        try:
            self.line.open()
        except Unreachable as error:
            self._failure = (self._clock.now(), error)
            raise
        self._failure = None
        if self._delay:
            threading.Event().wait(self._delay)

    def _set_pace(self) -> None:
        paces = [seat.pace for seat in self.seats]
        self._gap = max((pace.gap for pace in paces), default=0.0)
        self._delay = max((pace.connect_delay for pace in paces), default=0.0)
        self._step = max((1 / p.requests_per_second for p in paces if p.requests_per_second), default=0.0)


class Seat(Generic[AnyLine]):
    """One interface's place at the link of an endpoint; used by its thread, but for ``nudge``."""

    def __init__(self, link: Link[AnyLine], endpoint: Hashable, key: Hashable, pace: Pace) -> None:
        self.link = link
        self.endpoint = endpoint
        self.key = key
        self.pace = pace
        self.nudged = False
        self.place: Place | None = None
        self.unit = link.join(self)

    @property
    def line(self) -> AnyLine:
        """The link's line; it may be used between ``take`` and ``give``."""
        return self.link.line

    def take(self, urgent: bool) -> None:
        """Wait for the turn, and see to the connection.

        Raises Transient (no turn in time), Unreachable (no connection), GiveWay (a poll was nudged); then there is no turn.
        """
        self.link.take(self, urgent)

    def give(self, answered: bool | None, rest: float = 0.0) -> None:
        """The turn is over.

        ``answered`` is whether the unit did (None: nothing was learned), ``rest`` how long it is to be left alone (seconds).
        """
        self.link.give(self, answered, rest)

    def nudge(self) -> None:
        """From any thread: let a poll that waits for its turn give way, now or the next time that one waits."""
        self.link.nudge(self)


class Pool:
    """The links that are in use, by their endpoints."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._links: dict[Hashable, Link[Line]] = {}

    def seat(
        self,
        endpoint: Hashable,
        key: Hashable,
        make: Callable[[], AnyLine],
        settings: Mapping[str, object],
        pace: Pace,
        clock: Clock,
    ) -> Seat[AnyLine]:
        """A seat for the unit ``key`` at the link of an endpoint, whose line ``make`` makes.

        Raises Unreachable if others use it with different settings.
        """
        with self._lock:
            link = self._links.get(endpoint)
            if link is None:
                link = self._links[endpoint] = Link(make(), dict(settings), clock)
            elif different := [name for name in settings if settings[name] != link.settings.get(name)]:
                keys = ", ".join(different)
                raise Unreachable(f"{link.line.name} is in use by another device with another {keys}: make them the same")
            return Seat(link, endpoint, key, pace)  # type: ignore[arg-type]  # an endpoint names the kind of its line

    def leave(self, seat: Seat[AnyLine]) -> None:
        """Give up a seat; the line is closed with the last one."""
        with self._lock:
            seat.link.leave(seat)
            if not seat.link.seats:
                self._links.pop(seat.endpoint, None)
                seat.link.line.close()


class Share(Generic[AnyLine]):
    """How an interface uses a link: it has a seat, which ``join`` takes, from its first request to ``close``."""

    def __init__(self, pool: Pool, join: Callable[[], Seat[AnyLine]]) -> None:
        self._pool = pool
        self._join = join
        self._seat: Seat[AnyLine] | None = None

    @property
    def line(self) -> AnyLine | None:
        """The line, if there is a seat."""
        return self._seat.line if self._seat is not None else None

    def seat(self) -> Seat[AnyLine]:
        """The seat, taken now if there was none. Raises Unreachable."""
        if self._seat is None:
            self._seat = self._join()
        return self._seat

    def open(self, urgent: bool = False) -> None:
        """Take a seat, and connect. Raises Unreachable, Transient, GiveWay.

        Where others use the link, its connection is theirs too: it is seen to with the next request.
        """
        if len(self.seat().link.seats) == 1:
            self.connect(urgent)

    def connect(self, urgent: bool) -> None:
        """See to the connection. Raises as ``open``."""
        seat = self.seat()
        seat.take(urgent)
        seat.give(None)

    def close(self) -> None:
        """Give up the seat; the connection is closed with the last one."""
        if self._seat is not None:
            seat, self._seat = self._seat, None
            self._pool.leave(seat)

    def nudge(self) -> None:
        """From any thread: let a poll that waits for its turn give way."""
        seat = self._seat
        if seat is not None:
            seat.nudge()
