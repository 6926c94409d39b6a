"""Points with priorities under a lease: each one written is relinquished, and none else."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.errors import DeadlinePassed, GatewayError, NotSent
from gateway.model import Masked
from tests.actuator.office_rig import PATH, OfficeRig
from tests.fakes import FakeClock, point

SLOT = point("s", writable=True, priority=16, min_priority=8)


@pytest.fixture
def rig(clock: FakeClock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> OfficeRig:
    """An office with a device whose point ``s`` has priorities, and a lease of 60 seconds for ops."""
    rig = OfficeRig(clock, tmp_path, monkeypatch).open().run(SLOT)
    assert rig.ask("acquire_lease", duration=60).result["devices"] == [PATH]
    return rig


def test_every_priority_that_a_lease_wrote_is_relinquished(rig: OfficeRig) -> None:
    """A point that was written at two priorities gets null at both, and at no other."""
    for named in ({"priority": 8}, {}):
        answer = rig.ask("set_point", point="s", value=5.0, **named)
        rig.step(("write s=5.0", 5.0))
        assert answer.result == 5.0
    rig.ask("release_lease")
    rig.pass_time()
    given_up = []
    for _ in range(2):
        rig.step(("write s=None", None))
        given_up.append(rig.wire.options)
    assert given_up == [{"priority": 8}, {"priority": 16}]
    assert not rig.desk.reverts.devices()


def test_null_gives_up_one_priority_only(rig: OfficeRig) -> None:
    """``null`` is about the priority that it names, or the point's own; the other stays."""
    for named in (8, 10):
        rig.ask("set_point", point="s", value=5.0, priority=named)
        rig.step(("write s=5.0", 5.0))
    answer = rig.ask("set_point", point="s", value=None, priority=10)
    rig.step(("write s=None", Masked(None, 5.0)))
    assert answer.result == Masked(None, 5.0)
    assert rig.wire.options == {"priority": 10}
    assert [point.entry.priority for point in rig.desk.reverts.points(PATH)] == [8]


def test_a_point_without_priorities_in_the_device_goes_back_to_what_it_held(rig: OfficeRig) -> None:
    """Only the device knows: then the value from before is read and journalled, once for all priorities."""
    rig.wire.relinquishes = False
    rig.ask("set_point", point="s", value=5.0, priority=8)
    rig.step(("read s", {"s": 3.0}), ("write s=5.0", 5.0))
    rig.ask("set_point", point="s", value=6.0, priority=10)
    rig.step(("write s=6.0", 6.0))
    rig.ask("release_lease")
    rig.pass_time()
    rig.step(("write s=3.0", 3.0))
    assert not rig.desk.reverts.devices()


def test_null_at_any_priority_gives_a_point_without_priorities_back(rig: OfficeRig) -> None:
    """What was written there has no priority, whichever the request named."""
    rig.wire.relinquishes = False
    rig.ask("set_point", point="s", value=5.0, priority=8)
    rig.step(("read s", {"s": 3.0}), ("write s=5.0", 5.0))
    answer = rig.ask("set_point", point="s", value=None, priority=10)
    rig.step(("write s=3.0", 3.0))
    assert answer.result == 3.0
    assert not rig.desk.reverts.devices()


@pytest.mark.parametrize("error", [DeadlinePassed("late"), NotSent("the network went down")])
def test_a_write_that_certainly_has_not_left_is_no_debt(rig: OfficeRig, error: GatewayError) -> None:
    """Let through and stopped on the way: answered as what it is, and there is nothing to give back."""
    answer = rig.ask("set_point", point="s", value=5.0)
    rig.step(("write s=5.0", error))
    assert answer.result == error.code
    assert not rig.desk.reverts.devices()
    assert rig.events()[-1] == ("refused", error.code)


def test_the_right_to_write_ends_with_the_lease_or_the_deadline(rig: OfficeRig) -> None:
    """``may_send`` says until when the bytes may go, for those who carry them on."""
    until: list[float] = []
    for duration, expected in ((60, 10.0), (5, 5.0)):
        rig.ask("renew_lease", task_id=rig.desk.leases()[0].task_id, duration=duration)
        rig.ask("set_point", point="s", value=5.0)
        rig.wire.heard = until.append
        rig.step(("write s=5.0", 5.0))
        assert until.pop() == pytest.approx(rig.clock.now() + expected)
