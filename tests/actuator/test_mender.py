"""A disk that fails and comes back: what it refuses is tried again, and nothing is done twice."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from gateway.actuator.journal import JournalError
from gateway.clock import rfc3339
from gateway.store.sqlite import Database
from tests.actuator.office_rig import PATH, OfficeRig, P, Q
from tests.fakes import FakeClock, spec


class Disk:
    """What the journal is kept on: refuses everything while ``full``."""

    def __init__(self, rig: OfficeRig, monkeypatch: pytest.MonkeyPatch) -> None:
        self.full = False
        really = Database.transaction

        @contextmanager
        def transaction(database: Database) -> Iterator[sqlite3.Connection]:
            if self.full:
                raise JournalError("no room")
            with really(database) as db:
                yield db

        monkeypatch.setattr(Database, "transaction", transaction)


@pytest.fixture
def disk(rig: OfficeRig, monkeypatch: pytest.MonkeyPatch) -> Disk:
    """The disk of the rig's journal."""
    return Disk(rig, monkeypatch)


def work(rig: OfficeRig, seconds: float = 2.0) -> None:
    """Let time pass, and the clerk do all that is due."""
    rig.clock.advance(seconds)
    rig.office.clerk.work()


def test_a_lease_that_the_disk_refuses_is_not_there(rig: OfficeRig, disk: Disk) -> None:
    """It is unavailable, holds up nobody, and once that is known nobody loses a lease to it either."""
    rig.pass_time(60)
    disk.full = True
    for who in ("ops", "chief"):
        assert rig.ask("acquire_lease", who, duration=60).result == "unavailable"
        assert rig.desk.leases() == []
    slots = [["C/B/D", "2026-11-22T10:00:10Z", "2026-11-22T10:00:20Z"]]
    with pytest.raises(JournalError):
        rig.desk.request("t", "ops", "LOW", slots)
    assert rig.desk.tasks() == []
    disk.full = False
    work(rig)
    assert rig.board.health == "ok"
    assert rig.ask("acquire_lease", duration=60).result["devices"] == ["C/B/D"]


def test_a_disk_that_comes_back_is_noticed_by_itself(rig: OfficeRig, disk: Disk) -> None:
    """Within seconds, without a request."""
    disk.full = True
    rig.ask("set_point", point="q", value=5.0)
    rig.step()
    work(rig)
    assert list(rig.board.problems()) == ["journal_unusable"]
    disk.full = False
    work(rig)
    assert rig.board.problems() == {}


def test_a_revert_that_the_disk_did_not_learn_of_is_not_done_twice(
    rig: OfficeRig, disk: Disk, clock: FakeClock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is written down when the disk is back, so that a restart does not take away what was written since."""
    rig.write("p", 5.0)
    disk.full = True
    work(rig, 60)
    rig.step(("write p=3.0", 3.0))
    assert len(rig.office.journal.open_writes()) == 1
    disk.full = False
    work(rig)
    assert rig.office.journal.open_writes() == []
    assert rig.board.problems() == {}
    rig.office.journal.close()
    assert OfficeRig(clock, tmp_path, monkeypatch).open().desk.reverts.devices() == set()


def test_the_value_from_before_is_the_latest_one(rig: OfficeRig, disk: Disk) -> None:
    """A point that the disk takes for open, though it is given back, is closed before it is written again."""
    rig.write("p", 5.0)
    disk.full = True
    work(rig, 60)
    rig.step(("write p=3.0", 3.0))
    disk.full = False
    assert rig.ask("acquire_lease", duration=60).result["devices"] == ["C/B/D"]
    answer = rig.ask("set_point", point="p", value=6.0)
    rig.step(("read p", {"p": 4.0}), ("write p=6.0", 6.0))
    assert answer.result == 6.0
    [open_write] = rig.office.journal.open_writes()
    assert open_write.prior == 4.0


def test_a_journal_that_comes_late_is_given_back_by_what_runs(
    rig: OfficeRig, disk: Disk, clock: FakeClock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The disk was full when the gateway started: what an earlier process wrote is given back when it can be read."""
    rig.write("p", 5.0)
    rig.office.journal.close()
    later = OfficeRig(clock, tmp_path, monkeypatch)
    monkeypatch.setattr(later.desk.reverts, "_compiled", lambda *_: spec(later.wire, P, Q, path=PATH))
    disk.full = True
    with pytest.raises(JournalError):
        later.desk.open()
    later.desk.records.unusable(JournalError("no room"))
    later.run()
    work(later)
    assert later.board.health == "degraded"
    disk.full = False
    work(later)
    assert "journal_unusable" not in later.board.problems()
    later.step(("write p=3.0", 3.0))
    assert later.office.journal.open_writes() == []


def test_an_audit_log_without_room_is_told_until_it_is_whole(rig: OfficeRig) -> None:
    """Events wait for the disk."""
    path = rig.office.audit._path
    path.unlink(missing_ok=True)
    path.mkdir()
    rig.pass_time(60)
    work(rig, 0.0)
    assert "audit.jsonl" in rig.board.problems()["audit_failed"]
    path.rmdir()
    work(rig)
    assert rig.board.problems() == {}
    assert rig.office.audit.list()[-1]["new"]["ended"] == "time"


def test_what_is_kept_is_not_given_back_though_the_disk_fails(rig: OfficeRig, disk: Disk) -> None:
    """The holder hears that it is not on disk; it is as soon as the disk is back."""
    rig.write("q", 5.0)
    disk.full = True
    assert rig.ask("release_lease", keep=True).result == "unavailable"
    work(rig)
    assert rig.desk.reverts.devices() == set()
    assert len(rig.office.journal.open_writes()) == 1
    disk.full = False
    work(rig)
    assert rig.office.journal.open_writes() == []


def test_a_point_that_is_open_again_is_not_closed_by_the_mender(rig: OfficeRig, disk: Disk) -> None:
    """What the disk refused to close was closed before the point was written anew."""
    rig.write("q", 5.0)
    disk.full = True
    work(rig, 60)
    rig.step(("write q=77.0", 77.0))
    disk.full = False
    rig.ask("acquire_lease", duration=60)
    rig.write("q", 6.0)
    rig.desk.reverts.settle()
    assert [entry.point for entry in rig.office.journal.open_writes()] == ["q"]


def test_a_lease_is_renewed_without_a_disk(rig: OfficeRig, disk: Disk) -> None:
    """Its end stands nowhere on it, so that nobody is told that a lease is not renewed which is."""
    disk.full = True
    until = rig.ask("renew_lease", duration=600).result["until"]
    assert [rfc3339(lease.until) for lease in rig.desk.leases()] == [until]


def test_overrides_are_told_though_the_disk_fails(rig: OfficeRig, disk: Disk) -> None:
    """They are in force, and over, all the same, each with its event; who sets one hears that it is not on disk."""
    disk.full = True
    for pattern in ("C/*", "C/B/*"):
        assert rig.ask("set_override_on", "chief", pattern=pattern, duration=30).result == "unavailable"
    assert rig.ask("set_point", "chief", "p", value=1.0).result == "overridden"
    work(rig, 30)
    assert [kind for kind, _ in rig.events()].count("override") == 4
    assert rig.desk.patterns() == {}
