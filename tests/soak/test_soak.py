"""A short soak, and the checker's own honesty: what is wrong is found."""

from __future__ import annotations

import json
import time
from itertools import count
from pathlib import Path
from struct import pack

import pytest

from gateway import localbroker
from tests.integration.waiting import SEED
from tests.lacking import lacking
from tests.soak.checker import at_rest, judge, missing
from tests.soak.plant import SETTABLE, TIMEOUT, WORDS, Endpoint, Link, Log, Poll, Span, Units, Written, carried
from tests.soak.report import Memory
from tests.soak.run import Soak
from tests.soak.seen import Seen
from tests.soak.tap import Stream, Told
from tests.soak.traffic import Book, Lease, Write
from tests.soak.voice import Asked
from tests.soak.windows import BACK, Window, Windows

pytestmark = pytest.mark.alone

SECONDS, DEVICES = 20, 16


@pytest.mark.timeout(600)
def test_all_promises_hold_at_once(tmp_path: Path) -> None:
    """Gateways, users and devices amid faults of every kind: no wrong value, no double write, nothing lost or kept."""
    if localbroker.mosquitto() is None:
        lacking("the package mosquitto")
    report = Soak(tmp_path, SECONDS, SEED, DEVICES).run()
    print(report.text())
    assert report.broken == {}, report.text()


def written(*writes: tuple[int, float], address: int = 10) -> Log:
    """A log of one unit with these writes: value, and when."""
    return Log([], [Written(1, address, value, at) for value, at in writes], [], {1: [0] * 13})


def asked(*answers: dict[str, object]) -> Asked:
    """A request with these answers."""
    return Asked("rpc/user/set_point", b"", 0.0, b"1", list(answers))


def broken(log: Log, book: Book, windows: Windows | None = None) -> set[str]:
    """The checks that such a log fails."""
    verdict = judge(log, book, Seen(), windows or Windows(), 0.0)
    return {kind for kind, found in verdict.faults.items() if found}


def test_a_write_that_is_made_twice_is_found() -> None:
    """Once is right; twice is told, and so is a write that was refused, or that nobody asked for."""
    ok, no = {"result": 2001}, {"error": {"code": "lease_lost"}}
    free = Book(writes=[Write(1, 12, 2001, asked(ok), None)])
    assert broken(written((2001, 1.0), address=12), free) == set()
    assert "no write is made twice" in broken(written((2001, 1.0), (2001, 2.0), address=12), free)
    assert "a write that is answered with a value was made" in broken(written(address=12), free)
    refused = Book(writes=[Write(1, 12, 2001, asked(no), None)])
    assert "a write that is refused was not made" in broken(written((2001, 1.0), address=12), refused)
    assert "nothing is written that nobody asked for" in broken(written((2001, 1.0), address=12), Book())


def test_what_is_not_given_back_is_found() -> None:
    """A lease's write needs its revert, in time unless its device was ill, and before the next lease's."""
    first, second = Lease(1, "lease-1", 2.0), Lease(1, "lease-1", 5.0)
    ok = {"result": 0}
    book = Book(writes=[Write(1, 10, 2001, asked(ok), first), Write(1, 10, 2002, asked(ok), second)])
    assert broken(written((2001, 1.0), (1010, 2.1), (2002, 4.0), (1010, 5.1)), book) == set()
    assert "what is leased is given back" in broken(written((2001, 1.0), (2002, 4.0), (1010, 5.1)), book)
    late = written((2001, 1.0), (1010, 20.0), (2002, 20.5), (1010, 20.6))
    assert "given back in time after: time" in broken(late, book)
    assert broken(late, book, Windows(slow=[Window(frozenset({1}), 0.0, 30.0)])) == set()
    twice = written((2001, 1.0), (1010, 2.1), (2002, 4.0), (1010, 5.1), (2001, 6.0), (1010, 6.1))
    assert "no lease writes after its revert" in broken(twice, book)
    changed = Windows(changed=[Window(frozenset({1}), 2.0, 3.0)])
    assert "no lease writes after its revert" not in broken(twice, book, changed)
    other = written((2001, 1.0), (1009, 2.1), (2002, 4.0), (1010, 5.1))
    assert "what is leased is given back" in broken(other, book)
    assert not at_rest(Log([], [], [], {1: [0] * 10 + [2001, 1111, 1212]}))


def test_a_change_that_nobody_could_hear_of_comes_when_the_outage_is_over() -> None:
    """Whoever was away connects and hears of it; before and long after it, nothing excuses a revert."""
    windows = Windows(changed=[Window(frozenset({1}), 10.0, 13.0)])
    assert [windows.may_change(1, at) for at in (9.0, 12.0, 14.0)] == [False, True, False]
    windows.outages += [(500.0, 501.0), (12.0, 20.0)]
    assert [windows.may_change(1, at) for at in (9.0, 20.0 + BACK, 21.0 + BACK)] == [False, True, False]
    assert not windows.may_change(2, 12.0)


def test_a_value_that_was_asked_for_and_is_an_older_one_is_found() -> None:
    """What a register held before it was asked is no answer; what it has held since is one."""
    log = Log([Poll(1, number, float(number), (1010, 1111, 1212)) for number in range(1, 9)], [], [], {})
    older, newer = (Asked("", b"", 5.5, b"", [{"result": carried(1, 4, number)}]) for number in (4, 6))
    assert broken(log, Book(reads=[(1, 4, newer)])) == set()
    assert broken(log, Book(reads=[(1, 4, older)])) == {"values that are asked for are the register's"}


def test_two_at_one_device_are_found() -> None:
    """Connections that ask a unit in turns, one of them not for long enough in between to have let go of it."""
    first, second = Span(1, 7, 0.0, 5.0), Span(1, 8, 5.1, 5.2)
    assert broken(Log([], [], [first, second, Span(1, 7, 5.3, 6.0)], {}), Book()) == {
        "one connection at a time asks a device"
    }
    assert broken(Log([], [], [first, second, Span(1, 7, 9.0, 9.5), Span(2, 7, 5.3, 6.0)], {}), Book()) == set()


def test_a_lost_reading_and_a_wrong_one_are_found() -> None:
    """What was given out has come, unless it was in a window of loss; what came is what was given out."""
    now = time.monotonic()
    log = Log([Poll(1, 1, now - 50, (1010, 1111, 1212))], [], [], {})
    assert missing(log, Seen(), [], now) == log.polls
    assert missing(log, Seen(), [Window(frozenset({1}), now - 51, now - 49)], now) == []
    seen = Seen()
    reading = b'{"timestamp": "2026-01-01T00:00:00Z", "values": {"n": 1, "d": 2}, "errors": {}}'
    seen.ears("a")[1](Told("devices/C/B1/U1/all", reading))
    assert len(seen.wrong) == 1


def test_a_reading_that_comes_again_and_is_another_one_is_found() -> None:
    """A repetition is the same in every value and its time."""
    seen, rest = Seen(), {name: rest for name, (_, rest) in SETTABLE.items()}
    values = {"n": 7, "d": 1} | {f"c{address}": carried(1, address, 7) for address in range(3, 10)} | rest
    for held in (1010, 1010, 2001):
        whole = {"timestamp": "2026-01-01T00:00:00Z", "values": values | {"s": held}, "errors": {}}
        seen.ears("a")[1](Told("devices/C/B1/U1/all", json.dumps(whole).encode()))
    assert len(seen.wrong) == 1


class Wire:
    """A transport that takes everything."""

    def is_closing(self) -> bool:
        """It stands."""
        return False

    def write(self, data: bytes) -> None:
        """Take it."""


def test_what_a_device_answers_after_it_stood_still_is_no_reading_that_anybody_waited_for() -> None:
    """The request may have waited all the while, and the gateway's patience be over."""
    units = Units([1])
    door = Endpoint(units, count())
    link = Link(door)
    link.connection_made(Wire())
    request = pack(">HHHBBHH", 1, 0, 6, 1, 3, 0, WORDS)
    link.data_received(request)
    assert len(units.news()[0].polls) == 1
    for ago in (2 * TIMEOUT, TIMEOUT):  # it looked then, and not since
        units.look(time.monotonic() - ago)
    link.data_received(request)
    assert units.news()[0].polls == []


def test_what_is_told_is_delivered_when_it_is_acknowledged() -> None:
    """Bytes that come in any pieces are a PUBLISH, and it counts as delivered with its PUBACK."""
    sent: list[Told] = []
    done: list[Told] = []
    stream = Stream(sent.append, done.append)
    publish = b"\x32\x0b\x00\x03a/b\x00\x07\x00xyz"
    for octet in publish:
        stream.see("up", bytes([octet]))
    assert (sent, done) == ([Told("a/b", b"xyz")], [])
    stream.see("down", b"\x40\x02\x00\x07")
    assert done == sent


def test_the_slope_of_memory_is_that_of_the_late_half() -> None:
    """Growth at the start does not count."""
    memory = Memory([(float(at), 50.0 + min(at, 50)) for at in range(101)])
    assert memory.slope == pytest.approx(0.0)
    assert memory.curve == "59.0 69.0 79.0 89.0 99.0 100.0 100.0 100.0 100.0 100.0"
    assert Memory([(0.0, 50.0)]).curve == "50.0"
    assert Memory([(float(at), at / 3600) for at in range(101)]).slope == pytest.approx(1.0)
