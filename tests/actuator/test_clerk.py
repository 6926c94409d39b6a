"""What the actuator does by itself, as time passes."""

from __future__ import annotations

import pytest

from gateway.actuator.clerk import LONGEST_WAIT
from gateway.actuator.journal import Journal, JournalError
from gateway.actuator.mender import EVERY
from tests.actuator.office_rig import PATH, OfficeRig
from tests.fakes import point

BEAT = point("beat", "boolean", writable=True)


def test_it_wakes_when_something_is_due(rig: OfficeRig) -> None:
    """At the lease's end, and for the announcements and heartbeats that come by their intervals."""
    clerk, now = rig.office.clerk, rig.clock.now()
    assert clerk.work() == now + 60.0
    rig.ask("release_lease")
    rig.ask("acquire_lease", duration=15)
    assert clerk.work() == now + 15.0
    rig.clock.advance(15.0)
    assert clerk.work() == now + 60.0
    assert [m.payload for m in rig.told if m.topic.endswith("leases/" + PATH)][-1] == b""


def test_leases_are_told_again(rig: OfficeRig) -> None:
    """Once in an announce_interval, as long as they last."""
    for _ in range(4):
        rig.office.clerk.work()
        rig.clock.advance(20.0)
    told = [m.payload for m in rig.told if m.topic.endswith("leases/" + PATH)]
    assert [bool(payload) for payload in told] == [True, True, False]


def test_hearts_beat_by_turns_whoever_holds_the_device(rig: OfficeRig) -> None:
    """1 and 0, under an override too; what a device has missed is not made good."""
    rig.fleet.stop(PATH)
    rig.fleet.has_ended(PATH)
    rig.run(BEAT, heart_beat_point="beat")
    rig.ask("set_override_on", "chief", pattern="*")
    clerk = rig.office.clerk
    clerk.work()
    rig.step(("write beat=True", True))
    rig.clock.advance(60.0)
    clerk.work()
    rig.clock.advance(60.0)
    clerk.work()
    rig.step(("write beat=True", True))
    assert rig.desk.reverts.devices() == set()


def test_a_journal_that_can_not_be_written_is_told_and_tried_again(rig: OfficeRig, monkeypatch: pytest.MonkeyPatch) -> None:
    """Leases end all the same."""
    clerk = rig.office.clerk
    clerk.work()

    def full(_journal: Journal, _tasks: object) -> None:
        raise JournalError("no room")

    rig.clock.advance(60.0)
    with monkeypatch.context() as patched:
        patched.setattr(Journal, "keep_tasks", full)
        assert clerk.work() <= rig.clock.now() + LONGEST_WAIT
        assert rig.board.health == "degraded"
    assert rig.desk.leases() == []
    rig.clock.advance(EVERY)
    clerk.work()
    assert rig.board.health == "ok"
    assert rig.office.journal.tasks() == {"pending": [], "in_force": []}
