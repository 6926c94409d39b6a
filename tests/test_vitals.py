from __future__ import annotations

from pathlib import Path

import pytest

from gateway.vitals import PATIENCE, Vitals, faults_from_environment
from tests.fakes import FakeClock

LOOK = 5.0


@pytest.fixture
def vitals(clock: FakeClock) -> Vitals:
    """Nobody has checked in yet."""
    return Vitals(clock)


def pass_time(vitals: Vitals, clock: FakeClock, seconds: float) -> list[str]:
    """Who is late after some time in which somebody looks every five seconds."""
    late: list[str] = []
    for _ in range(int(seconds / LOOK)):
        clock.advance(LOOK)
        late = vitals.late(LOOK)
    return late


def test_a_thread_that_is_silent_is_late(vitals: Vitals, clock: FakeClock) -> None:
    """Once it was so for longer than it may; a sign of life is enough to be well again."""
    pulse = vitals.begin("manager")
    vitals.begin("other").due = float("inf")
    assert pass_time(vitals, clock, PATIENCE) == []
    assert pass_time(vitals, clock, LOOK) == ["manager"]
    pulse.due = clock.now()
    assert pass_time(vitals, clock, LOOK) == []


def test_a_thread_may_say_how_long_it_sleeps(vitals: Vitals, clock: FakeClock) -> None:
    """Until then it is not missed, and for its patience after that."""
    vitals.begin("manager").due = clock.now() + 60
    assert pass_time(vitals, clock, 60 + PATIENCE) == []
    assert pass_time(vitals, clock, LOOK) == ["manager"]


def test_a_thread_that_has_ended_is_not_missed(vitals: Vitals, clock: FakeClock) -> None:
    """It may end twice."""
    pulse = vitals.begin("manager")
    vitals.end(pulse)
    vitals.end(pulse)
    assert pass_time(vitals, clock, 100) == []


def test_who_did_not_look_blames_nobody(vitals: Vitals, clock: FakeClock) -> None:
    """After a stop of the whole process, or a suspend, the threads have their time to come round again."""
    vitals.begin("manager")
    vitals.late(LOOK)
    clock.advance(3600)
    assert vitals.late(LOOK) == []
    assert pass_time(vitals, clock, PATIENCE) == []
    assert pass_time(vitals, clock, LOOK) == ["manager"]


def test_others_may_know_threads_too(vitals: Vitals, clock: FakeClock) -> None:
    """The fleet looks after those of the devices."""
    asked: list[float] = []
    vitals.others.append(lambda now: asked.append(now) or ["device:C/B/D"])  # type: ignore[func-returns-value]
    assert vitals.late(LOOK) == ["device:C/B/D"]
    assert asked == [clock.now()]


def test_a_test_can_let_a_thread_fail(clock: FakeClock, tmp_path: Path) -> None:
    """At the first sign of life after the file is there, once; other threads are as always."""
    trigger = tmp_path / "now"
    vitals = Vitals(clock, faults_from_environment({"GATEWAY_FAULT_THREAD": f"mqtt:edge.data:raise:{trigger}"}))
    vitals.begin("manager").due = 1.0
    pulse = vitals.begin("mqtt:edge.data")
    pulse.due = 1.0
    trigger.touch()
    with pytest.raises(RuntimeError, match=r"mqtt:edge\.data"):
        pulse.due = 2.0
    assert pulse.due == 2.0
    pulse.due = 3.0


@pytest.mark.parametrize("text", ["manager", "manager:explode:/x", ":raise:/x"])
def test_a_fault_that_is_none_is_refused(text: str) -> None:
    """A test that asks for what does not exist would show nothing."""
    with pytest.raises(ValueError, match="GATEWAY_FAULT_THREAD"):
        faults_from_environment({"GATEWAY_FAULT_THREAD": text})
    assert faults_from_environment({}) == {}
