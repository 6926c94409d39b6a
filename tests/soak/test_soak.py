"""A short soak, and the checker's own honesty: what is wrong is found."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from gateway import localbroker
from tests.soak.checker import at_rest, judge, missing
from tests.soak.faults import Window
from tests.soak.plant import Log, Poll, Span, Written
from tests.soak.report import Memory
from tests.soak.run import Soak
from tests.soak.seen import Seen
from tests.soak.tap import Stream, Told
from tests.soak.traffic import Book, Lease, Write
from tests.soak.voice import Asked

SEED = os.environ.get("GATEWAY_SEED", "1")
SECONDS, DEVICES = 20, 16


@pytest.mark.timeout(600)
def test_all_promises_hold_at_once(tmp_path: Path) -> None:
    """Gateways, users and devices amid faults of every kind: no wrong value, no double write, nothing lost or kept."""
    if localbroker.mosquitto() is None:
        pytest.skip("needs mosquitto: apt install mosquitto")
    report = Soak(tmp_path, SECONDS, SEED, DEVICES).run()
    print(report.text())
    assert report.broken == {}, report.text()


def written(*writes: tuple[int, float], address: int = 10) -> Log:
    """A log of one unit with these writes: value, and when."""
    return Log([], [Written(1, address, value, at) for value, at in writes], [], {1: [0] * 13})


def asked(*answers: dict[str, object]) -> Asked:
    """A request with these answers."""
    return Asked("rpc/user/set_point", b"", 0.0, b"1", list(answers))


def broken(log: Log, book: Book, slow: tuple[Window, ...] = ()) -> set[str]:
    """The checks that such a log fails."""
    verdict = judge(log, book, Seen(), [], slow)
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
    assert broken(late, book, (Window(frozenset({1}), 0.0, 30.0),)) == set()
    twice = written((2001, 1.0), (1010, 2.1), (2002, 4.0), (1010, 5.1), (2001, 6.0), (1010, 6.1))
    assert "no lease writes after its revert" in broken(twice, book)
    changed = Window(frozenset({1}), 2.0, 3.0, change=True)
    assert "no lease writes after its revert" not in broken(twice, book, (changed,))
    assert not at_rest(Log([], [], [], {1: [0] * 10 + [2001, 1111, 1212]}))


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
    assert Memory([(float(at), at / 3600) for at in range(101)]).slope == pytest.approx(1.0)
