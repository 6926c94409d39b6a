"""The actuator as a whole, step by step: who may write, what is journalled, what is given back, what is told."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from gateway.actuator.journal import Journal, JournalError
from gateway.errors import Rejected, Transient, Unreachable
from tests.actuator.office_rig import PATH, OfficeRig, P, Q
from tests.fakes import FakeClock, Wire, point, spec


@pytest.fixture
def rig(clock: FakeClock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> OfficeRig:
    """An office with its device, and a lease of 60 seconds for ops."""
    rig = OfficeRig(clock, tmp_path, monkeypatch).open().run()
    assert rig.ask("acquire_lease", duration=60).result["devices"] == [PATH]
    return rig


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


def test_the_end_of_a_lease_gives_back_once(rig: OfficeRig) -> None:
    """The first value from before, or the default; the journal is empty then, and every step has one event."""
    rig.write("p", 5.0)
    rig.write("q", 7.0)
    rig.pass_time(60.0)
    assert rig.ask("set_point", "eve", "p", value=1.0).result == "busy"
    rig.step(("write p=3.0", 3.0))
    rig.step(("write q=77.0", 77.0))
    assert rig.office.journal.open_writes() == []
    assert rig.desk.reverts.due(PATH) == 0
    kinds = [kind for kind, _ in rig.events()]
    assert (kinds.count("write"), kinds.count("revert"), kinds.count("refused")) == (2, 2, 1)
    assert rig.ask("acquire_lease", "eve", duration=5).result["devices"] == [PATH]


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


def test_an_unknown_outcome_is_given_back(rig: OfficeRig) -> None:
    """The device may have taken it."""
    answer = rig.ask("set_point", point="p", value=5.0)
    rig.step(("read p", {"p": 3.0}), ("write p=5.0", Transient("no answer")), ("read p", {"p": 5.0}))
    assert answer.result == "outcome_unknown"
    rig.ask("release_lease")
    rig.pass_time()
    rig.step(("write p=3.0", 3.0))
    assert rig.office.journal.open_writes() == []


def test_a_rejected_revert_is_told_and_closed(rig: OfficeRig) -> None:
    """It is not asked for again."""
    rig.write("p", 5.0)
    rig.ask("release_lease")
    rig.pass_time()
    rig.step(("write p=3.0", Rejected("no")))
    assert rig.events()[-1] == ("revert_failed", "device_rejected")
    assert rig.desk.reverts.due(PATH) == 0


def test_what_can_not_be_given_back_can_be_given_up(rig: OfficeRig) -> None:
    """``abandon`` closes it, and the revert that waits is not sent."""
    rig.write("p", 5.0)
    rig.ask("release_lease")
    rig.pass_time()
    rig.step(("write p=3.0", Transient("no answer")))
    assert rig.ask("revert_device", abandon=True).result == {"abandoned": ["p"]}
    rig.clock.advance(5.0)
    device = rig.fleet.running(PATH)
    assert device is not None
    assert device.work.next_revert(rig.clock.now()) is None


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


def test_a_restart_gives_back_and_ends_leases(
    rig: OfficeRig, clock: FakeClock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next process finds what was open, under the configuration of then, and the fences go on growing."""
    lease = rig.desk.leases()[0]
    monkeypatch.setattr(rig.desk.reverts, "_compiled", lambda *_: rig.fleet.spec(PATH))
    rig.write("p", 5.0)
    rig.desk.advance()
    rig.office.journal.close()
    again = OfficeRig(clock, tmp_path, monkeypatch)
    again.wire = rig.wire
    monkeypatch.setattr(again.desk.reverts, "_compiled", lambda *_: spec(again.wire, P, Q, path=PATH))
    again.open().run()
    assert again.ask("acquire_lease", duration=5).result == "busy"
    again.step(("write p=3.0", 3.0))
    assert again.ask("acquire_lease", duration=5).result["fence"] > lease.fence
    ended = [json.loads(m.payload) for m in again.told if m.topic.endswith("events/" + PATH)]
    assert ended[0]["new"]["ended"] == "restart"


def test_a_changed_row_is_given_back_by_the_old_one(rig: OfficeRig) -> None:
    """Other points stay written, and the new configuration waits."""
    rig.write("p", 5.0)
    rig.write("q", 7.0)
    old = rig.fleet.spec(PATH)
    rig.run(point("p", writable=True, units="K"), Q)
    rig.step(("write p=3.0", 3.0))
    device = rig.fleet.running(PATH)
    assert device is not None
    assert device.spec is old
    device.step()
    assert device.spec is not old
    assert [entry.point for entry in rig.office.journal.open_writes()] == ["q"]
    assert rig.desk.leases()[0].holder == "ops"


def test_another_connection_is_given_back_by_a_collector(rig: OfficeRig) -> None:
    """If the old one does not answer in ten seconds, the new one is in force, and the debt is somebody else's to pay."""
    rig.write("p", 5.0)
    old, rig.wire = rig.wire, Wire("new")
    rig.run()
    device = rig.fleet.running(PATH)
    assert device is not None
    for _ in range(8):
        old.script.clear()
        old.expect("write p=3.0", Transient("no answer"))
        if device.spec.config is old:
            device.step()
        rig.clock.advance(3.0)
    assert device.spec.config is rig.wire
    assert rig.desk.reverts.due(PATH) == 1
    [(_, collector)] = rig.office.collectors._running
    old.script.clear()
    old.expect("write p=3.0", 3.0)
    collector.device.step()
    assert rig.desk.reverts.due(PATH) == 0
    rig.office.collectors.sweep()
    assert collector.device.over


def test_an_override_ends_leases_and_gives_back(rig: OfficeRig) -> None:
    """At once with fail-safe; without it when the override ends."""
    rig.write("p", 5.0)
    rig.ask("set_override_on", "chief", pattern="C/*", duration=30, failsafe_revert=False)
    rig.pass_time()
    assert rig.ask("set_point", "chief", "p", value=1.0).result == "overridden"
    device = rig.fleet.running(PATH)
    assert device is not None
    assert device.work.next_revert(rig.clock.now()) is None
    rig.pass_time(30.0)
    rig.step(("write p=3.0", 3.0))
    kinds = [kind for kind, _ in rig.events()]
    assert (kinds.count("override"), kinds.count("revert")) == (2, 1)


def test_a_stop_ends_all_leases(rig: OfficeRig) -> None:
    """What is open is due, and nobody writes any more."""
    rig.write("p", 5.0)
    rig.office.close()
    assert rig.ask("set_point", point="p", value=1.0).result == "unavailable"
    rig.step(("write p=3.0", 3.0))
    assert rig.office.journal.open_writes() == []


def test_kept_values_are_not_given_back(rig: OfficeRig) -> None:
    """``keep`` at the release closes what the task has written."""
    rig.write("p", 5.0)
    rig.ask("release_lease", keep=True)
    rig.pass_time()
    assert rig.office.journal.open_writes() == []
    assert rig.ask("acquire_lease", "eve", duration=5).result["devices"] == [PATH]


def test_the_lease_topic_lives_as_long_as_the_lease(rig: OfficeRig) -> None:
    """Retained, with what is left as its expiry, told again, and cleared at the end."""
    rig.pass_time(20.0)
    rig.desk.announce()
    rig.pass_time(40.0)
    told = [m for m in rig.told if m.topic.endswith("leases/" + PATH)]
    assert [(m.retain, m.expiry, bool(m.payload)) for m in told] == [
        (True, 40, True),
        (True, 40, True),
        (True, None, False),
    ]
