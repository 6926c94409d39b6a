from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import pairwise

import pytest

from gateway.clock import SystemClock
from gateway.errors import Transient, Unreachable
from gateway.interfaces import _links
from gateway.interfaces._links import GiveWay, Pace, Pool, Seat
from tests.fakes import FakeClock
from tests.integration.waiting import PATIENCE, eventually


@dataclass
class PaperLine:
    """A line that keeps what was done to it."""

    name: str = "line"
    log: list[str] = field(default_factory=list)
    down: bool = False
    connected: bool = False

    def ready(self) -> bool:
        """Whether it was opened."""
        return self.connected

    def open(self) -> None:
        """Connect, unless it is down."""
        self.log.append("open")
        if self.down:
            raise Unreachable("it is down")
        self.connected = True

    def close(self) -> None:
        """Disconnect."""
        self.log.append("close")
        self.connected = False


class Table:
    """A pool with one line and seats at it."""

    def __init__(self, clock: FakeClock | SystemClock | None = None) -> None:
        self.pool = Pool()
        self.line = PaperLine()
        self.clock = clock or FakeClock()
        self.threads: list[threading.Thread] = []

    def seat(self, key: str = "a", speed: int = 1, **pace: float) -> Seat[PaperLine]:
        """A seat for a unit."""
        return self.pool.seat("end", key, lambda: self.line, {"speed": speed}, Pace(**pace), self.clock)

    def leave(self, seat: Seat[PaperLine]) -> None:
        """Give it up."""
        self.pool.leave(seat)

    def begin(self, work: Callable[[], None], waiting: int) -> None:
        """Start a thread, and wait until so many wait for their turn."""
        thread = threading.Thread(target=work)
        self.threads.append(thread)
        thread.start()
        link = self.pool._links["end"]
        eventually(lambda: len(link._turns.waiting) >= waiting, "it waits")

    def join(self) -> None:
        """Wait for the threads."""
        for thread in self.threads:
            thread.join(20)
            assert not thread.is_alive()


def test_one_line_from_the_first_seat_to_the_last() -> None:
    """Seats of one endpoint share a line; the last one that leaves closes it, and the next one begins anew."""
    table = Table()
    first, second = table.seat("a"), table.seat("b")
    for seat in (first, second, first):
        seat.take(False)
        seat.give(True)
    assert table.line.log == ["open"]
    table.leave(first)
    assert table.line.connected
    table.leave(second)
    assert table.line.log == ["open", "close"]
    table.seat("a").take(False)
    assert table.line.log == ["open", "close", "open"]


def test_other_settings_are_refused_by_name() -> None:
    """Who wants the line with other settings is told which; when the others have left, they count."""
    table = Table()
    first = table.seat(speed=1)
    with pytest.raises(Unreachable, match="line is in use by another device with another speed"):
        table.seat(speed=2)
    table.leave(first)
    table.seat(speed=2)


def test_a_line_that_can_not_be_opened_leaves_the_turn_to_others() -> None:
    """Unreachable ends the turn, and the next one tries again."""
    table = Table()
    table.line.down = True
    first, second = table.seat("a"), table.seat("b")
    for seat in (first, second):
        with pytest.raises(Unreachable, match="it is down"):
            seat.take(False)
    table.line.down = False
    first.take(False)


def test_who_waited_while_a_connection_failed_shares_the_failure() -> None:
    """The failure of one try is that of all who waited for it: a dead endpoint costs one timeout, not one for each unit."""
    table = Table()
    first, second = table.seat("a"), table.seat("b")
    first.take(False)
    table.line.connected = False
    failed: list[str] = []

    def work() -> None:
        with pytest.raises(Unreachable) as raised:
            second.take(False)
        failed.append(raised.value.message)

    table.begin(work, 1)
    table.clock.advance(1)  # type: ignore[union-attr]
    first.link._failure = (table.clock.now(), Unreachable("it was down"))
    first.give(None)
    table.join()
    assert failed == ["it was down"]
    assert table.line.log == ["open"]


def test_requests_of_clients_go_first() -> None:
    """Of those that wait for the same moment the client's request is the first."""
    table = Table()
    seats = [table.seat(key) for key in "abcd"]
    order: list[str] = []

    def work(seat: Seat[PaperLine], urgent: bool) -> Callable[[], None]:
        def run() -> None:
            seat.take(urgent)
            order.append(str(seat.key))
            seat.give(True)

        return run

    seats[0].take(False)
    for count, (seat, urgent) in enumerate(zip(seats[1:], (False, False, True), strict=True), 1):
        table.begin(work(seat, urgent), count)
    seats[0].give(True)
    table.join()
    assert order == ["d", "b", "c"]


@pytest.mark.parametrize("before", [True, False])
def test_a_nudged_poll_gives_way(before: bool) -> None:
    """A poll that waits, or will wait next, ends with GiveWay when its device has something more urgent."""
    table = Table()
    first, second = table.seat("a"), table.seat("b")
    first.take(False)
    ended: list[str] = []

    def work() -> None:
        with pytest.raises(GiveWay):
            second.take(False)
        ended.append("gave way")
        second.take(True)
        ended.append("was served")
        second.give(True)

    if before:
        second.nudge()
        table.begin(work, 1)
    else:
        table.begin(work, 1)
        second.nudge()
    eventually(lambda: len(ended) == 1 and len(first.link._turns.waiting) == 1, "it waits again")
    first.give(True)
    table.join()
    assert ended == ["gave way", "was served"]


def test_waiting_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who gets no turn in time is told that the line is busy, and waits no more."""
    monkeypatch.setattr(_links, "POLL_WAIT", 0.05)
    table = Table(SystemClock())
    first, second = table.seat("a"), table.seat("b")
    first.take(False)
    with pytest.raises(Transient, match="line is busy"):
        second.take(False)
    assert first.link._turns.waiting == []
    first.give(True)
    second.take(False)


def test_a_silent_unit_is_told_that_it_must_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    """While others use the link, a request to a unit that does not answer is refused when its time does not come."""
    monkeypatch.setattr(_links, "URGENT_WAIT", 0.05)
    table = Table(SystemClock())
    dead, live = table.seat("dead"), table.seat("live")
    live.unit.answered = table.clock.now()
    dead.unit.failures = 2
    dead.link._turns.probe = table.clock.now() + 60
    with pytest.raises(Transient, match="it does not answer, and others use line"):
        dead.take(True)
    live.take(False)
    live.give(True)
    table.leave(live)
    dead.take(False)


@pytest.mark.parametrize(
    ("paces", "least"),
    [
        ([{"gap": 0.01}, {"gap": 0.03}], 0.03),
        ([{"requests_per_second": 25}, {}], 0.04),
        ([{"requests_per_second": 25}, {"requests_per_second": 20}], 0.05),
    ],
)
def test_the_pace_is_that_of_the_slowest(paces: list[dict[str, float]], least: float) -> None:
    """Gap and requests per second are kept by all threads together."""
    table = Table(SystemClock())
    seats = [table.seat(str(n), **pace) for n, pace in enumerate(paces)]
    times: list[float] = []

    def work(seat: Seat[PaperLine]) -> Callable[[], None]:
        def run() -> None:
            for _ in range(5):
                seat.take(False)
                times.append(table.clock.now())
                seat.give(True)

        return run

    for seat in seats:
        table.begin(work(seat), 0)
    table.join()
    assert min(b - a for a, b in pairwise(times)) >= least * 0.99
    assert times[-1] - times[0] < 9 * (least + 0.02) * PATIENCE


def test_a_new_connection_is_given_time() -> None:
    """After a connect nothing is sent for the delay of the device that wants the longest."""
    table = Table(SystemClock())
    seat = table.seat("a", connect_delay=0.05)
    begin = table.clock.now()
    seat.take(False)
    assert table.clock.now() - begin >= 0.05
    seat.give(True)


def test_many_threads_all_have_their_turns() -> None:
    """Twenty units and a gap: each has as many turns as it wants, one at a time, and nobody is forgotten."""
    table = Table(SystemClock())
    seats = [table.seat(str(n), gap=0.0005) for n in range(20)]
    inside: list[int] = []
    worst: list[int] = []

    def work(seat: Seat[PaperLine], number: int) -> Callable[[], None]:
        def run() -> None:
            for turn in range(20):
                try:
                    seat.take(turn % 3 == 0)
                except GiveWay:
                    continue
                inside.append(1)
                worst.append(sum(inside))
                inside.pop()
                seat.give(True)
                seats[(number + 1) % 20].nudge()

        return run

    for number, seat in enumerate(seats):
        table.begin(work(seat, number), 0)
    table.join()
    assert max(worst) == 1
    assert not seats[0].link._turns.waiting
