from __future__ import annotations

import pytest

from gateway.broker.flights import ACK_TIMEOUT, BEAT, LATE, Flights
from gateway.model import Outgoing
from tests.fakes import FakeClock

MESSAGE = Outgoing("t", b"x")


@pytest.fixture
def flights(clock: FakeClock) -> Flights:
    """A connection on which something was just acknowledged."""
    made = Flights(clock)
    made.begin(0, MESSAGE)
    made.end(0)
    return made


def step(flights: Flights, clock: FakeClock, seconds: float) -> bool:
    """Time passes while the thread looks again and again; whether the broker is gone at its end."""
    gone = False
    for _ in range(int(seconds / 0.5)):
        clock.advance(0.5)
        _, gone = flights.look()
    return gone


def test_what_is_acknowledged_is_under_way_no_more(flights: Flights) -> None:
    """The rest is what a lost connection leaves unsent, in order."""
    for mid in (1, 2, 3):
        flights.begin(mid, Outgoing(str(mid), b""))
    assert flights.end(2) == Outgoing("2", b"")
    assert flights.end(2) is None
    assert [message.topic for message in flights.unsent()] == ["1", "3"]


def test_a_broker_is_gone_when_nothing_is_acknowledged(flights: Flights, clock: FakeClock) -> None:
    """One acknowledgement in between is a sign of life, also if the oldest message still waits."""
    flights.begin(1, MESSAGE)
    assert not step(flights, clock, ACK_TIMEOUT)
    assert step(flights, clock, 0.5)
    flights.begin(2, MESSAGE)
    flights.end(2)
    assert not step(flights, clock, ACK_TIMEOUT)


def test_silence_alone_is_no_fault_of_the_broker(flights: Flights, clock: FakeClock) -> None:
    """With nothing under way there is nothing to acknowledge: a message of our own is due."""
    assert not flights.wants_beat
    assert not step(flights, clock, 10 * ACK_TIMEOUT)
    assert flights.wants_beat
    flights.begin(1, MESSAGE)
    assert not flights.wants_beat


def test_beats_come_long_before_the_broker_is_given_up() -> None:
    """A silent broker is noticed within 15 seconds."""
    assert BEAT + ACK_TIMEOUT < 15


def test_a_pause_of_ours_is_not_held_against_the_broker(flights: Flights, clock: FakeClock) -> None:
    """A process that stood still has not looked for acknowledgements; it begins to count anew."""
    flights.begin(1, MESSAGE)
    clock.advance(60)
    pause, gone = flights.look()
    assert (pause, gone) == (60, False)
    flights.paused()
    assert not step(flights, clock, ACK_TIMEOUT)
    assert step(flights, clock, 0.5)


def test_after_a_pause_nothing_is_trusted_until_a_marker_is_back(flights: Flights, clock: FakeClock) -> None:
    """The marker is sent once; what comes before its acknowledgement may be as old as the pause."""
    flights.paused()
    assert flights.wants_marker
    flights.begin(7, MESSAGE)
    flights.mark(7)
    assert not flights.wants_marker
    assert flights.suspect(clock.now())
    flights.end(7)
    assert not flights.suspect(clock.now())


def test_a_late_acknowledgement_makes_what_follows_suspect(flights: Flights, clock: FakeClock) -> None:
    """The message was as late as its acknowledgement, and so is what stands behind it."""
    flights.begin(1, MESSAGE)
    step(flights, clock, LATE + 0.5)
    assert flights.suspect(clock.now())
    flights.end(1)
    assert flights.suspect(clock.now())
    assert flights.wants_marker
