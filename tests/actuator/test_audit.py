"""The audit log: what it tells, keeps and drops."""

from __future__ import annotations

import json
import tracemalloc
from pathlib import Path
from typing import Any

import pytest

from gateway.actuator import audit as module
from gateway.actuator.audit import Audit, AuditEvent
from tests.fakes import FakeClock

WRITE = AuditEvent("write", "C/B/D", "ok", "alice", "t1", "Setpoint", 8, 20.5, 21.5, "00ff")


class Rig:
    """An audit log and what it publishes."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "audit.jsonl"
        self.clock = FakeClock()
        self.published: list[tuple[AuditEvent, bytes]] = []
        self.audit = Audit(self.path, "edge-1", self.clock, lambda event, payload: self.published.append((event, payload)))

    def tell(self, *new: Any, device: str = "C/B/D") -> None:
        """Some writes, a second apart."""
        for value in new:
            self.audit.event(AuditEvent("write", device, new=value))
            self.clock.advance(1)

    def news(self, **arguments: Any) -> list[Any]:
        """The new values of the listed events."""
        return [event["new"] for event in self.audit.list(**arguments)]


@pytest.fixture
def rig(tmp_path: Path) -> Rig:
    """An empty log."""
    return Rig(tmp_path)


def test_an_event_is_told_and_kept(rig: Rig):
    """On MQTT and in the file it has the shape of the contract."""
    rig.audit.event(WRITE)
    [(event, payload)] = rig.published

    assert event is WRITE
    assert json.loads(payload) == {
        "timestamp": "2026-11-22T10:00:00.000000Z",
        "gateway": "edge-1",
        "event": "write",
        "requester": "alice",
        "task_id": "t1",
        "device": "C/B/D",
        "point": "Setpoint",
        "priority": 8,
        "old": 20.5,
        "new": 21.5,
        "outcome": "ok",
        "id": "00ff",
    }
    assert rig.audit.list() == [json.loads(payload)]


def test_the_newest_are_listed(rig: Rig):
    """At most as many as asked for, those after a time, those of a device; the newest stands last."""
    rig.tell(1, 2, 3)
    rig.tell(4, 5, device="C/B/E")

    assert rig.news() == [1, 2, 3, 4, 5]
    assert rig.news(limit=2) == [4, 5]
    assert rig.news(limit=0) == []
    assert rig.news(device="C/B/D") == [1, 2, 3]
    assert rig.news(device="C/B") == []
    assert rig.news(since=rig.clock.wall() - 2) == [5]
    assert rig.news(since=rig.clock.wall() - 4, device="C/B/D", limit=5) == [3]


@pytest.mark.parametrize("piece", [1, 7, 400, 10_000])
def test_the_files_are_read_in_pieces(rig: Rig, monkeypatch: pytest.MonkeyPatch, piece: int):
    """Wherever these end, each event is listed once and whole."""
    monkeypatch.setattr(module, "PIECE", piece)
    monkeypatch.setattr(module, "MAX_BYTES", 2000)
    rig.tell(*range(15))
    found = rig.news()
    assert found == list(range(found[0], 15))
    assert len(found) > 8


def test_the_newest_events_of_a_long_log_cost_little(rig: Rig):
    """Neither the file nor all its lines are held for them."""
    rig.tell(*range(5000))
    tracemalloc.start()
    try:
        assert rig.news(limit=10) == list(range(4990, 5000))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert rig.path.stat().st_size > 900_000
    assert peak < 500_000


def test_the_log_is_bounded(rig: Rig, monkeypatch: pytest.MonkeyPatch):
    """A full file becomes the older one, and the one before it goes; the listing goes through both."""
    monkeypatch.setattr(module, "MAX_BYTES", 1000)
    rig.tell(*range(30))

    files = sorted(p.name for p in rig.path.parent.iterdir())
    assert files == ["audit.1.jsonl", "audit.jsonl"]
    assert all(p.stat().st_size <= 1000 for p in rig.path.parent.iterdir())
    found = rig.news()
    assert found == list(range(found[0], 30))
    assert len(found) > 4


def test_a_later_process_goes_on(rig: Rig):
    """It appends; half a line that a crash left is passed over, and spoils no other."""
    rig.tell(1)
    with rig.path.open("ab") as file:
        file.write(b'{"timestamp": "2026')
    later = Rig(rig.path.parent)
    later.tell(2)

    assert later.news() == [1, 2]


def test_an_event_that_can_not_be_kept_is_told(rig: Rig, monkeypatch: pytest.MonkeyPatch):
    """It still goes to MQTT, it waits and can be listed, and with room again it is kept, in order."""
    rig.tell(1)
    aside = rig.path.rename(rig.path.with_suffix(".aside"))
    rig.path.mkdir()
    rig.tell(2, 3)

    assert (rig.audit.lost, len(rig.published)) == (0, 3)
    assert rig.news() == [2, 3]
    assert rig.audit.problem is not None
    assert "Is a directory" in rig.audit.problem
    rig.path.rmdir()
    aside.rename(rig.path)
    rig.audit.retry()
    assert (rig.audit.lost, rig.audit.problem, Rig(rig.path.parent).news()) == (0, None, [1, 2, 3])
    rig.tell(4)
    assert rig.news() == [1, 2, 3, 4]


def test_not_endlessly_many_events_wait(rig: Rig, monkeypatch: pytest.MonkeyPatch):
    """The oldest are lost, counted and told."""
    monkeypatch.setattr(module, "MAX_WAITING", 2)
    rig.path.mkdir()
    rig.tell(1, 2, 3, 4)
    assert rig.audit.lost == 2
    assert "2 are lost" in str(rig.audit.problem)
    rig.path.rmdir()
    rig.tell(5)
    assert rig.news() == [3, 4, 5]


def test_a_line_without_room_spoils_no_other(rig: Rig, monkeypatch: pytest.MonkeyPatch):
    """When the disk takes half of a line, the next one stands on a line of its own."""
    rig.tell(1)
    with rig.path.open("ab") as file:
        file.write(b'{"timestamp": "20')
    rig.audit._torn = True
    rig.tell(2)

    assert rig.news() == [1, 2]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full here")
def test_a_full_disk_blocks_nobody(tmp_path: Path):
    """An append without room fails at once and is told."""
    rig = Rig(tmp_path)
    rig.path.symlink_to("/dev/full")
    rig.tell(1)

    assert "No space left" in str(rig.audit.problem)
