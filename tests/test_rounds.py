from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import Transient, Unreachable
from gateway.interfaces.base import Batch, Environment
from gateway.model import DeviceState, PointError, Register
from gateway.payloads import dump
from gateway.rounds import RETRY_UNSUPPORTED, TOGETHER, Rounds
from gateway.store.compile import compile_device
from gateway.sweep import Sweep
from tests.fakes import FakeClock, Wire, point, spec
from tests.test_device import UNSUPPORTED, Rig

EIGHTHS = st.integers(1, 400).map(lambda n: n / 8)
"""Intervals that a float holds exactly, so that ticks can be counted."""


def rounds(*intervals: float | None, interval: float = 10.0, phase: float = 0.0, now: float = 1_000.0) -> Rounds:
    """The rounds of a device with points named by their number."""
    registers = [point(str(n), interval=seconds) for n, seconds in enumerate(intervals)]
    return Rounds(spec(Wire(), *registers, interval=interval), phase, now)


def names(registers: tuple[Register, ...]) -> list[str]:
    """The points of a poll."""
    return [register.name for register in registers]


@given(intervals=st.lists(EIGHTHS, min_size=1, max_size=6), phase=st.integers(0, 4000).map(lambda n: n / 8))
def test_each_point_keeps_its_own_grid(intervals: list[float], phase: float) -> None:
    """Polls that begin in time ask for exactly the points whose grid n * interval + phase has a tick then."""
    it = rounds(*intervals, phase=phase)
    assert names(it.begin(1_000.0, False)) == [str(n) for n in range(len(intervals))]
    for _ in range(60):
        now = it.due
        due = [str(n) for n, interval in enumerate(intervals) if (now - phase) % interval == 0]
        assert names(it.begin(now, False)) == due
        assert it.late == 0
    assert it.missed == 0


@given(
    intervals=st.lists(st.floats(0.05, 3_000), min_size=1, max_size=6),
    phase=st.floats(0, 1_000),
    start=st.floats(0, 1e7),
    pauses=st.lists(st.floats(0, 500), max_size=30),
)
def test_no_point_waits_longer_than_its_interval(
    intervals: list[float], phase: float, start: float, pauses: list[float]
) -> None:
    """However late polls begin, each asks for every point whose interval is over, and the next is due in time."""
    it = rounds(*intervals, phase=phase, now=start)
    asked = dict.fromkeys(map(str, range(len(intervals))), start)
    now = start
    for pause in [0.0, *pauses]:
        now = max(now, it.due) + pause
        taken = names(it.begin(now, False))
        assert taken
        asked |= dict.fromkeys(taken, now)
        for name, last in asked.items():
            assert now - last <= intervals[int(name)] + 2 * TOGETHER
        assert now < it.due <= now + min(intervals) + 1e-3


@pytest.mark.parametrize("phase", [0.0, 0.7, 33.3, 59.9])
def test_points_that_are_due_together_are_one_poll(phase: float) -> None:
    """A fast and a slow grid whose ticks differ by the rounding of a float alone meet in one poll."""
    it = rounds(0.1, 60.0, phase=phase, now=1_000.3)
    it.begin(1_000.3, False)
    polls = [names(it.begin(it.due, False)) for _ in range(1_800)]
    assert polls.count(["0", "1"]) == 3
    assert polls.count(["1"]) == 0
    assert it.missed == 0


def test_missed_ticks_are_counted_for_each_interval() -> None:
    """While one poll takes 5.5 s, five of the fast point are missed, and none of the slow one."""
    it = rounds(1.0, 10.0)
    it.begin(1_000.0, False)
    assert names(it.begin(1_006.5, False)) == ["0"]
    assert (it.missed, it.late) == (5, 5.5)


@pytest.mark.parametrize("column", ["Interval", "polling_interval", "POLLING_INTERVAL"])
def test_the_column_has_volttrons_name_too(column: str) -> None:
    """An interval in a registry is a point's own; a blank one is the device's, and the intervals are told in order."""
    rows = [{"Point Name": name, "Volttron Point Name": name, column: cell} for name, cell in [("a", "300"), ("b", "")]]
    document = {"driver_type": "fake", "registry_config": rows, "interval": 5}
    spec = compile_device("C/B/D", dump(document), {}, Environment(FakeClock()), None).spec
    assert spec is not None
    assert ([register.interval for register in spec.registers], spec.intervals) == ([300, None], (5, 300))


@pytest.mark.parametrize("cell", ["0", "0.04", "-1", "2678401", "often", "nan"])
def test_an_interval_that_can_not_be_is_a_fault(cell: str) -> None:
    """It has the bounds of the device's own."""
    row = {"Point Name": "a", "Volttron Point Name": "a", "Interval": cell}
    verdict = compile_device(
        "C/B/D", dump({"driver_type": "fake", "registry_config": [row]}), {}, Environment(FakeClock()), None
    )
    assert [fault.where for fault in verdict.errors] == ['registry row 1, key "Interval"']


# ---- devices with points of several intervals


FAST, SLOW = point("fast", interval=1.0), point("slow", interval=5.0, writable=True)


def test_a_poll_asks_for_what_is_due() -> None:
    """The first poll brings all points, later ones those that are due, and a reading has no others."""
    rig = Rig(FAST, SLOW)
    rig.poll(fast=1.0, slow=10.0)
    for n in range(4):
        rig.next_poll(fast=float(n))
        assert rig.outlet.readings[-1].values == {"fast": float(n)}
    rig.next_poll(fast=5.0, slow=11.0)
    assert rig.outlet.readings[-1].values == {"fast": 5.0, "slow": 11.0}
    assert rig.clock.now() == 1_005.0
    assert rig.device.counters.missed == 0


def test_the_devices_interval_is_the_default() -> None:
    """A point without one of its own is polled with the device's, here at multiples of 2 s."""
    rig = Rig(FAST, point("plain"), interval=2)
    rig.poll(fast=1.0, plain=1.0)
    rig.next_poll(fast=1.0)
    assert rig.clock.now() == 1_001.0
    rig.next_poll(fast=1.0, plain=1.0)
    assert rig.clock.now() == 1_002.0


def test_status_counts_all_points() -> None:
    """A slow point that failed counts as failed until it is asked again, whatever the fast ones do."""
    rig = Rig(FAST, SLOW)
    rig.poll(fast=1.0, slow=Transient("no answer"))
    status = rig.device.status
    assert (status.state, status.points_ok, status.points_failed) == (DeviceState.DEGRADED, 1, 1)
    rig.next_poll(fast=2.0)
    assert rig.outlet.readings[-1].errors == {}
    assert len(rig.outlet.statuses) == 1
    assert (rig.device.status.state, rig.device.status.points_failed) == (DeviceState.DEGRADED, 1)
    for _ in range(3):
        rig.next_poll(fast=2.0)
    rig.next_poll(fast=2.0, slow=10.0)
    assert (rig.device.status.state, rig.device.status.points_ok) == (DeviceState.ONLINE, 2)


def test_last_values_stay_between_polls() -> None:
    """The last value of a slow point has the time of its own poll."""
    rig = Rig(FAST, SLOW)
    rig.poll(fast=1.0, slow=10.0)
    then = rig.clock.wall()
    rig.next_poll(fast=2.0)
    assert (rig.device.last.get("slow").value, rig.device.last.get("slow").wall) == (10.0, then)
    assert rig.device.last.get("fast").wall == then + 1


def test_a_device_that_comes_back_is_asked_for_everything() -> None:
    """The first poll after an outage has slow points too, and the grids go on as before."""
    rig = Rig(FAST, SLOW)
    rig.poll(fast=1.0, slow=10.0)
    rig.next_poll(fast=Unreachable("connection reset"))
    assert (rig.device.status.state, rig.device.status.points_failed) == (DeviceState.OFFLINE, 2)
    rig.next_poll(fast=2.0, slow=11.0)
    assert rig.device.status.state is DeviceState.ONLINE
    assert rig.clock.now() < 1_002.0
    rig.next_poll(fast=3.0)
    assert rig.clock.now() == 1_002.0
    assert rig.device.counters.missed == 0


def test_unsupported_points_are_told_when_they_are_due() -> None:
    """A left out point is an error of the readings in which it was due, and asked again when it is due after a minute."""
    rig = Rig(FAST, SLOW)
    rig.poll(fast=1.0, slow=UNSUPPORTED)
    told = []
    while rig.clock.now() < 1_000 + RETRY_UNSUPPORTED - 1:
        rig.next_poll(fast=1.0)
        told.append(rig.outlet.readings[-1].errors)
        assert rig.device.status.points_failed == 1
    assert told.count({"slow": UNSUPPORTED}) == 11
    assert told.count({}) == len(told) - 11
    rig.next_poll(fast=1.0, slow=12.0)
    assert rig.device.status.state is DeviceState.ONLINE


def test_a_slow_point_is_asked_again_although_its_time_is_not_the_fast_ones() -> None:
    """Nobody's minute is used up by polls in which the point was not due."""
    it = rounds(1.0, 7.0)
    registers = it.begin(1_000.0, False)
    poll = Sweep([Batch(registers)], FakeClock())
    poll.values, poll.errors = {"0": 1.0}, {"1": PointError("device_rejected", "no", unsupported=True)}
    it.ended(poll, 1_000.0)
    asked = []
    while it.due < 1_200:
        now = it.due
        taken = names(it.begin(now, False))
        asked += [now] if "1" in taken else []
        poll = Sweep([], FakeClock())
        poll.values = {"0": 1.0}
        poll.errors = dict(it.left_out()) | (
            {"1": PointError("device_rejected", "no", unsupported=True)} if "1" in taken else {}
        )
        it.ended(poll, now)
    assert asked == [1_064.0, 1_190.0]
