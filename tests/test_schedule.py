from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.schedule import Schedule, spread

EIGHTHS = st.integers(0, 8_000_000).map(lambda n: n / 8)
"""Times that a float holds exactly, so that ticks can be counted."""


def ticks(schedule: Schedule, after: float, until: float) -> int:
    """How many due times lie in (after, until]."""
    return int((until - schedule.phase) // schedule.interval - (after - schedule.phase) // schedule.interval)


@given(
    interval=st.floats(0.05, 100_000),
    fraction=st.floats(0, 1, exclude_max=True),
    start=st.floats(0, 1e8),
    pauses=st.lists(st.floats(0, 1e6), max_size=20),
)
def test_due_times_never_drift(interval: float, fraction: float, start: float, pauses: list[float]) -> None:
    """However late polls begin, the next is due on the same grid, after now, and within one interval."""
    schedule = Schedule(interval, fraction * interval, start)
    now = start
    for pause in [0.0, *pauses]:
        now = max(now, schedule.due) + pause
        schedule.begin(now)
        steps = (schedule.due - schedule.phase) / interval
        assert steps == pytest.approx(round(steps), abs=1e-3)
        assert now < schedule.due <= now + interval * (1 + 1e-6) + 1e-6


@given(
    interval=st.integers(1, 800).map(lambda n: n / 8),
    phase=st.integers(0, 800).map(lambda n: n / 8),
    start=EIGHTHS,
    pauses=st.lists(st.integers(0, 8_000).map(lambda n: n / 8), max_size=20),
)
def test_missed_ticks_are_counted_exactly(interval: float, phase: float, start: float, pauses: list[float]) -> None:
    """Every due time that passed after the one that was served counts, once."""
    schedule = Schedule(interval, phase % interval, start)
    expected, now = 0, start
    for pause in pauses:
        due, now = schedule.due, max(now, schedule.due) + pause
        late = schedule.begin(now)
        assert late == now - due
        expected += ticks(schedule, due, now)
        assert schedule.missed == expected


def test_a_tick_that_falls_on_now_is_over() -> None:
    """Also where a float's rounding puts now a little before the tick that it is."""
    schedule = Schedule(1.1, 0.408, 533.908)
    schedule.begin(533.908)
    assert schedule.due == pytest.approx(535.008)


def test_the_first_poll_is_due_at_once() -> None:
    """A new device does not wait for its phase."""
    schedule = Schedule(10.0, 3.0, 1001.0)
    assert schedule.due == 1001.0
    assert schedule.begin(1001.0) == 0.0
    assert schedule.due == 1003.0


def test_an_early_poll_takes_no_tick_away() -> None:
    """A device that is found again before its next tick is polled at that tick too."""
    schedule = Schedule(60.0, 0.0, 1000.0)
    schedule.begin(1000.0)
    assert schedule.due == 1020.0
    assert schedule.begin(1000.5) == 0.0
    assert (schedule.due, schedule.missed) == (1020.0, 0)


def test_a_restart_counts_nothing() -> None:
    """Ticks that passed while nothing could be polled are not missed ones."""
    schedule = Schedule(1.0, 0.0, 1000.0)
    schedule.begin(1000.0)
    schedule.restart(1030.5)
    schedule.begin(1030.5)
    assert (schedule.due, schedule.missed) == (1031.0, 0)


@given(count=st.integers(1, 1200), first=st.integers(0, 10_000), interval=st.floats(0.05, 100_000))
def test_phases_are_spread(count: int, first: int, interval: float) -> None:
    """Any number of devices in a row lies evenly: no gap is twice the even one, and no two fall together."""
    phases = sorted(spread(index, interval) for index in range(first, first + count))
    assert phases[0] >= 0
    assert phases[-1] < interval
    gaps = [after - before for before, after in zip(phases, [*phases[1:], phases[0] + interval], strict=True)]
    assert max(gaps) < 2 * interval / count
    assert min(gaps) > 0.3 * interval / count
