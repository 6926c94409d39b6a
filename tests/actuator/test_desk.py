"""Who may write, and what is told of it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from gateway.clock import rfc3339
from gateway.errors import UnknownDevice
from tests.actuator.office_rig import PATH, OfficeRig
from tests.fakes import FakeClock


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


def test_a_removed_device_is_free_again(rig: OfficeRig) -> None:
    """Its lease ends and its slots go, also those that were kept over a restart while it went; the holder is told."""
    start = rig.clock.wall() + 600
    slot = [PATH, rfc3339(start), rfc3339(start + 60)]
    assert rig.ask("request_new_schedule", task_id="later", priority="LOW", requests=[slot]).result["result"] == "SUCCESS"
    rig.fleet.stop(PATH)
    assert rig.desk.tasks() == []
    rig.pass_time()
    assert [m.topic for m in rig.told].count("replies" + "/ops/leases") == 2
    events = [json.loads(m.payload)["new"] for m in rig.told if m.topic.endswith("events/" + PATH)]
    assert [new["ended"] for new in events if "ended" in new] == ["cancelled", "cancelled"]


def test_slots_of_a_device_that_went_while_nobody_ran_are_dropped(
    rig: OfficeRig, clock: FakeClock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As soon as it is known which devices are there."""
    start = rig.clock.wall() + 600
    slot = [PATH, rfc3339(start), rfc3339(start + 60)]
    rig.ask("request_new_schedule", task_id="later", priority="LOW", requests=[slot])
    rig.office.journal.close()
    again = OfficeRig(clock, tmp_path, monkeypatch).open()
    assert [task["task_id"] for task in again.desk.tasks()] == ["later"]
    again.office.places.known()
    assert again.desk.tasks() == []


def test_a_device_that_is_being_removed_is_not_leased(rig: OfficeRig) -> None:
    """Nor reserved, although its thread still ends, and whoever asks has found it a moment before."""
    rig.fleet.stop(PATH)
    slot = [PATH, rfc3339(rig.clock.wall()), rfc3339(rig.clock.wall() + 60)]
    with pytest.raises(UnknownDevice):
        rig.desk.acquire("ops", [PATH], 60, "LOW")
    with pytest.raises(UnknownDevice):
        rig.desk.request("later", "ops", "LOW", [slot])
    assert rig.desk.tasks() == []


def test_a_device_that_comes_back_at_once_may_be_leased(rig: OfficeRig) -> None:
    """Its lease is known also at the moment at which the thread of the one before has ended, and its own not begun."""
    rig.fleet.stop(PATH)
    rig.run()
    lease = rig.desk.acquire("chief", [PATH], 60, "LOW")
    rig.fleet._threads.clear()
    assert [(held.holder, held.fence) for held in rig.desk.leases()] == [("chief", lease["fence"])]
