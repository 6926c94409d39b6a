"""What was written is given back, once, by whom and when."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from gateway.actuator.journal import Journal, JournalError
from gateway.errors import DeadlinePassed, Rejected, Transient
from tests.actuator.office_rig import PATH, OfficeRig, P, Q
from tests.fakes import FakeClock, point, spec


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


def test_kept_values_are_not_given_back(rig: OfficeRig) -> None:
    """``keep`` at the release closes what the task has written."""
    rig.write("p", 5.0)
    rig.ask("release_lease", keep=True)
    rig.pass_time()
    assert rig.office.journal.open_writes() == []
    assert rig.ask("acquire_lease", "eve", duration=5).result["devices"] == [PATH]


def test_reverts_do_not_wait_for_the_disk_to_know_that_the_lease_is_over(
    rig: OfficeRig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They stand in the device's worklist before anything is written down."""
    rig.write("p", 5.0)
    device = rig.fleet.running(PATH)
    assert device is not None
    waits: list[bool] = []
    monkeypatch.setattr(rig.desk, "keep_tasks", lambda: waits.append(device.work.has_reverts))
    rig.pass_time(60.0)
    assert waits == [True]
    rig.step(("write p=3.0", 3.0))


def test_a_revert_that_waits_already_is_put_off_by_an_override(rig: OfficeRig) -> None:
    """One without fail-safe, also when the revert stood in the device's worklist before, or is about to leave."""
    rig.write("p", 5.0)
    rig.ask("release_lease")
    rig.pass_time()

    device = rig.fleet.running(PATH)
    assert device is not None
    job = device.work.next_revert(rig.clock.now())
    assert job is not None
    rig.ask("set_override_on", "chief", pattern="C/*", duration=30, failsafe_revert=False)
    with pytest.raises(DeadlinePassed):
        job.debt.claim()
    assert device.work.next_revert(rig.clock.now()) is None
    rig.pass_time(30.0)
    rig.step(("write p=3.0", 3.0))
    assert rig.office.journal.open_writes() == []


def test_a_device_that_goes_to_another_gateway_gives_back_though_an_override_is_in_force(rig: OfficeRig) -> None:
    """One without fail-safe keeps the device as it is while it is ours; afterwards nobody could give back."""
    rig.write("p", 5.0)
    rig.ask("set_override_on", "chief", pattern="C/*", failsafe_revert=False)
    rig.fleet.give_up(PATH, abandon=False)
    rig.step(("write p=3.0", 3.0))
    assert rig.office.journal.open_writes() == []


def test_a_device_that_comes_back_under_an_override_is_left_as_it_is(rig: OfficeRig) -> None:
    """Though its revert was about to leave: once the override is over it does."""
    rig.write("p", 5.0)
    rig.ask("set_override_on", "chief", pattern="C/*", duration=30, failsafe_revert=False)
    device = rig.fleet.running(PATH)
    assert device is not None
    rig.fleet.give_up(PATH, abandon=False)
    job = device.work.next_revert(rig.clock.now())
    assert job is not None
    rig.fleet.foreign([])
    rig.fleet.run(device.spec, 0.0, rig.clock.now())
    with pytest.raises(DeadlinePassed):
        job.debt.claim()
    assert device.work.next_revert(rig.clock.now()) is None
    assert len(rig.office.journal.open_writes()) == 1
    rig.fleet.has_ended(PATH)  # and begins anew
    rig.pass_time(30.0)
    rig.step(("write p=3.0", 3.0))
    assert rig.office.journal.open_writes() == []


def test_a_device_that_is_removed_under_an_override_gives_back_when_it_is_over(rig: OfficeRig) -> None:
    """Nobody else has the device: what keeps it as it is holds on."""
    rig.write("p", 5.0)
    rig.ask("set_override_on", "chief", pattern="C/*", failsafe_revert=False)
    rig.fleet.stop(PATH)
    rig.step()
    assert rig.desk.reverts.waits(PATH)
    assert len(rig.office.journal.open_writes()) == 1


def test_an_override_that_is_over_holds_nothing_back(rig: OfficeRig) -> None:
    """What is written after it is given back at the end of its lease, though nothing was open when it was lifted."""
    rig.ask("set_override_on", "chief", pattern="C/*", failsafe_revert=False)
    rig.ask("set_override_off", "chief", pattern="C/*")
    rig.ask("acquire_lease", duration=60)
    rig.write("p", 5.0)
    rig.pass_time(60.0)
    rig.step(("write p=3.0", 3.0))
    assert rig.office.journal.open_writes() == []


def test_a_write_while_a_new_row_waits_is_given_back_first(rig: OfficeRig) -> None:
    """The new configuration is spread over an interval; what is written until then would else be given back to nowhere."""
    new = spec(rig.wire, point("p", writable=True, units="K"), Q, path=PATH)
    rig.fleet.run(new, 0.0, rig.clock.now() + 5.0)
    rig.write("p", 5.0)
    rig.pass_time(5.0)
    rig.step(("write p=3.0", 3.0))
    rig.step()
    device = rig.fleet.running(PATH)
    assert device is not None
    assert device.spec is new
    assert rig.office.journal.open_writes() == []
    assert rig.desk.leases()[0].holder == "ops"


def test_a_journal_that_opens_late_is_given_back(
    rig: OfficeRig, clock: FakeClock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its devices run by then, and nobody else would hand them what is due."""
    rig.write("p", 5.0)
    rig.office.journal.close()
    again = OfficeRig(clock, tmp_path, monkeypatch)
    again.wire = rig.wire
    monkeypatch.setattr(again.desk.reverts, "_compiled", lambda *_: spec(again.wire, P, Q, path=PATH))
    with monkeypatch.context() as patched:
        patched.setattr(Journal, "open", _no_room)
        again.run()
        again.office.places.known()
        assert again.ask("acquire_lease", duration=5).result == "unavailable"
    assert again.ask("acquire_lease", duration=5).result == "busy"
    again.step(("write p=3.0", 3.0))


def _no_room(_journal: Journal) -> None:
    raise JournalError("no room")


def test_a_revert_that_was_asked_for_is_done_though_the_rest_is_kept(rig: OfficeRig) -> None:
    """It stands in the device's worklist already when the lease is released with ``keep``."""
    rig.write("p", 5.0)
    rig.write("q", 7.0)
    answer = rig.ask("revert_point", point="p")
    rig.ask("release_lease", keep=True)
    rig.step(("write p=3.0", 3.0))
    assert (answer.result, rig.office.journal.open_writes()) == (3.0, [])
