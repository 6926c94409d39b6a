"""What comes between a leased write and the wire: rights, the value from before, the journal."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.actuator.journal import Journal, JournalError
from gateway.clock import rfc3339
from gateway.errors import Rejected, Transient, UnknownDevice, Unreachable
from gateway.jobs import WriteJob
from tests.actuator.office_rig import PATH, OfficeRig


def test_a_leased_write_is_journalled_before_it_leaves(rig: OfficeRig) -> None:
    """With the value from before, once for each point; a point with a default needs none."""
    journalled: list[Any] = []
    answer = rig.ask("set_point", point="p", value=5.0)
    rig.step(
        ("read p", {"p": 3.0}),
        ("write p=5.0", lambda: journalled.extend(rig.office.journal.open_writes()) or 5.0),
    )
    assert answer.result == 5.0
    assert [(entry.point, entry.prior) for entry in journalled] == [("p", 3.0)]
    assert (rig.write("p", 6.0), rig.write("q", 7.0)) == (6.0, 7.0)
    assert [(entry.point, entry.prior) for entry in rig.office.journal.open_writes()] == [("p", 3.0), ("q", None)]


def test_a_write_queued_past_the_end_does_not_leave(rig: OfficeRig) -> None:
    """The lease is looked at right before the bytes go; what was not sent is not given back."""
    answer = rig.ask("set_point", point="p", value=5.0)

    def too_late() -> dict[str, float]:
        rig.clock.advance(60.0)
        return {"p": 3.0}

    rig.step(("read p", too_late))
    assert answer.result in ("busy", "lease_lost", "timeout")
    rig.pass_time()
    assert rig.office.journal.open_writes() == []
    assert [kind for kind, _ in rig.events()].count("refused") == 1


def test_a_deadline_that_passes_in_the_queue_is_told(rig: OfficeRig) -> None:
    """Nothing is sent, the answer is a timeout, and the audit log has the refusal."""
    answer = rig.ask("set_point", point="p", value=5.0)
    rig.clock.advance(11.0)
    answer.ticket.expire()
    rig.wire.expect("read p", {"p": 1.0})
    device = rig.fleet.running(PATH)
    assert device is not None
    device.step()
    assert answer.result == "timeout"
    assert rig.events()[-1] == ("refused", "timeout")


@pytest.mark.parametrize(("reply", "code"), [(Transient("x"), "timeout"), (Unreachable("x"), "device_offline")])
def test_without_the_value_from_before_nothing_is_written(rig: OfficeRig, reply: Exception, code: str) -> None:
    """It could not be given back."""
    answer = rig.ask("set_point", point="p", value=5.0)
    rig.step(("read p", reply))
    assert (answer.result, rig.office.journal.open_writes()) == (code, [])


def test_a_refused_write_leaves_nothing_to_give_back(rig: OfficeRig) -> None:
    """The device has said that it changed nothing."""
    answer = rig.ask("set_point", point="p", value=5.0)
    rig.step(("read p", {"p": 3.0}), ("write p=5.0", Rejected("no")))
    assert (answer.result, rig.office.journal.open_writes()) == ("device_rejected", [])


def test_a_journal_that_can_not_be_written_stops_leased_writes(rig: OfficeRig, monkeypatch: pytest.MonkeyPatch) -> None:
    """They are unavailable and the health says so; a free device is written on, and so is it when the disk is back."""

    def full(_journal: Journal, _entry: Any) -> None:
        raise JournalError("no room")

    with monkeypatch.context() as patched:
        patched.setattr(Journal, "begin", full)
        answer = rig.ask("set_point", point="q", value=5.0)
        rig.step()
        assert (answer.result, rig.board.health) == ("unavailable", "degraded")
        assert "write q=5.0" not in rig.wire.log
    assert rig.write("q", 5.0) == 5.0
    assert rig.board.health == "ok"


def test_a_device_that_is_removed_is_not_written(rig: OfficeRig) -> None:
    """Not even by a write that is in hand already, of somebody who needs no lease."""
    rig.ask("release_lease")
    rig.ask("set_point", point="q", value=5.0)
    device = rig.fleet.running(PATH)
    assert device is not None
    job = device.work.next_job(rig.clock.now())
    assert isinstance(job, WriteJob)
    job.warrant.begin()
    rig.fleet.stop(PATH)
    with pytest.raises(UnknownDevice):
        job.warrant.claim()


def test_a_write_in_the_middle_of_a_release_leaves_nothing_behind(rig: OfficeRig) -> None:
    """What was written before is kept just while the next write is journalled: that one is not sent, nor given back."""
    assert rig.write("q", 5.0) == 5.0
    answer = rig.ask("set_point", point="q", value=6.0)
    rig.office.journal._fault_point = lambda place: place == "before_journal" and rig.ask("release_lease", keep=True)
    rig.step()
    assert (answer.result, rig.office.journal.open_writes(), rig.desk.reverts.devices()) == ("busy", [], set())


def test_a_write_that_nobody_would_give_back_is_not_sent(rig: OfficeRig) -> None:
    """What was written was kept, and the same task begins anew, between the journal and the wire."""
    rig.ask("release_lease")
    slot = [PATH, rfc3339(rig.clock.wall()), rfc3339(rig.clock.wall() + 60)]
    task = {"task_id": "again", "priority": "LOW", "requests": [slot]}
    rig.ask("request_new_schedule", **task)

    def anew(place: str) -> None:
        if place == "after_journal":
            rig.desk.cancel("again", "ops", keep=True)
            rig.ask("request_new_schedule", **task)

    answer = rig.ask("set_point", point="q", value=6.0)
    rig.office.journal._fault_point = anew
    rig.step()
    assert (answer.result, rig.office.journal.open_writes()) == ("busy", [])
