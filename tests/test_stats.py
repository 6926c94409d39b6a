from __future__ import annotations

import json
import os
from types import SimpleNamespace

import pytest

from gateway.board import Board
from gateway.jobs import Counters
from gateway.model import DeviceState, DeviceStatus, Outgoing
from gateway.payloads import dump
from gateway.queues import ControlQueue
from gateway.stats import Stats
from gateway.topics import Topics
from tests.fakes import FakeClock


@pytest.fixture
def stats(clock: FakeClock) -> Stats:
    """The stats of parts that have counted a little."""
    board = Board(Topics("edge-1"), clock, lambda message: None, "i-1", ("#",))
    for path, state in (("C/B/D", DeviceState.ONLINE), ("C/B/E", DeviceState.ONLINE), ("C/B/F", DeviceState.OFFLINE)):
        board.expect(path)
        board.status(path, DeviceStatus(state, clock.wall()))
    control = ControlQueue(clock)
    control.put(Outgoing("a", b""))
    counts = {"waiting": 4, "on_disk": 3, "dropped": 2}
    fleet = SimpleNamespace(counters=lambda: Counters(polls=7, missed=2, failures=1, max_late=0.123456))
    publisher, outbox = SimpleNamespace(readings=6), SimpleNamespace(counts=lambda: counts)
    rpc = SimpleNamespace(requests=3, answers={"ok": 2, "busy": 1})
    return Stats(clock, board, fleet, publisher, rpc, control, outbox)  # type: ignore[arg-type]


def test_everything_counted_is_told(stats: Stats, clock: FakeClock) -> None:
    """Devices by state, polls, readings with those dropped, requests by answer, what waits, since when."""
    clock.advance(12.34)
    payload = json.loads(dump(stats.payload()))
    assert payload.pop("memory") > 1_000_000
    assert payload.pop("threads") >= 1
    assert payload == {
        "timestamp": "2026-11-22T10:00:12.340000Z",
        "uptime": 12.3,
        "devices": {"online": 2, "offline": 1},
        "polls": {"count": 7, "missed": 2, "driver_failures": 1, "max_late": 0.1235},
        "readings": {"published": 6, "waiting": 4, "on_disk": 3, "dropped": 2},
        "requests": {"count": 3, "answers": {"ok": 2, "busy": 1}},
        "control": {"waiting": 1, "dropped": 0},
    }


def test_memory_is_in_pages_of_this_machine(stats: Stats, monkeypatch: pytest.MonkeyPatch) -> None:
    """A Raspberry Pi 5 has pages of 16 KiB."""
    size = os.sysconf("SC_PAGESIZE")
    usual = stats.payload()["memory"]
    monkeypatch.setattr(os, "sysconf", lambda name: 16 * size if name == "SC_PAGESIZE" else pytest.fail(name))
    assert 8 < stats.payload()["memory"] / usual < 32
