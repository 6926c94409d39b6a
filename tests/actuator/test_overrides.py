"""VOLTTRON's override cases, with a clock that the test moves."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.actuator.model import Now
from gateway.actuator.overrides import Override, Overrides
from gateway.errors import BadRequest
from tests.actuator.book import BASE

F1, F2 = "C/B/fakedriver1", "C/B/fakedriver2"


class Site:
    """Overrides and their clocks."""

    def __init__(self) -> None:
        self.wall, self.boot = BASE, 5_000.0
        self.rules = Overrides()

    @property
    def now(self) -> Now:
        """The moment."""
        return Now(self.wall, self.boot)

    def forward(self, seconds: float) -> None:
        """Let time pass."""
        self.wall += seconds
        self.boot += seconds

    def on(self, pattern: str, duration: float = 0, failsafe: bool = True) -> Override:
        """Set an override."""
        return self.rules.on(pattern, duration, failsafe, "alice", self.now)

    def blocked(self, *devices: str) -> list[bool]:
        """Which of the devices are covered."""
        return [self.rules.covers(device, self.now) for device in devices]

    def restart(self, away: float = 0) -> None:
        """A new process with what was kept, on a machine that has booted."""
        kept = json.loads(json.dumps(self.rules.state()))
        self.wall += away
        self.boot = 10.0
        self.rules = Overrides()
        self.rules.restore(kept, self.now)


@pytest.fixture
def site() -> Site:
    """Overrides without one."""
    return Site()


def test_o1_override_blocks_until_its_end(site: Site) -> None:
    """A device is overridden within the duration, and no other is."""
    site.on(F1, 2)
    site.forward(1.1)
    assert site.blocked(F1, F2) == [True, False]


def test_o2_override_is_over_after_its_duration(site: Site) -> None:
    """After the duration the device is free, from that instant, and its end is told once."""
    override = site.on(F1, 1)
    assert site.rules.next_change() == site.boot + 1
    site.forward(1)
    assert site.blocked(F1) == [False]
    assert site.rules.patterns(site.now) == {}
    assert site.rules.advance(site.now) == [override]
    assert site.rules.advance(site.now) == []
    assert math.isinf(site.rules.next_change())


def test_o3_star_covers_every_device(site: Site) -> None:
    """A star stands for any text, slashes too."""
    site.on("*", 5)
    assert site.blocked(F1, F2, "x/y/z/a") == [True, True, True]


def test_o4_failsafe_is_kept_with_the_override(site: Site) -> None:
    """Whether points are reverted is told with the override; of the same pattern again the last word counts."""
    site.on(F1, 5, failsafe=False)
    assert [o.failsafe for o in site.rules.covering(F1, site.now)] == [False]
    site.on(F1, 1, failsafe=True)
    assert [(o.failsafe, o.ends - site.boot) for o in site.rules.covering(F1, site.now)] == [(True, 5)]


def test_o5_off_frees_at_once(site: Site) -> None:
    """Taken back, an override is gone from the lists of patterns and devices."""
    site.on(F1, 60)
    assert site.rules.patterns(site.now) == {F1: "2026-11-22T11:31:00.000000Z"}
    assert site.rules.devices([F2, F1], site.now) == [F1]
    site.rules.off(F1)
    assert site.blocked(F1) == [False]
    assert (site.rules.patterns(site.now), site.rules.devices([F2, F1], site.now)) == ({}, [])


def test_o6_device_stays_overridden_by_another_pattern(site: Site) -> None:
    """Taking back one pattern does not free the devices of another that covers them too."""
    site.on(F1, 5)
    site.on("*", 5)
    site.rules.off(F1)
    assert site.blocked(F1, F2) == [True, True]
    site.forward(6)
    assert site.blocked(F1, F2) == [False, False]


def test_o7_narrow_pattern_outlives_the_wide_one(site: Site) -> None:
    """After the star is taken back, the device with a pattern of its own is blocked until that ends."""
    site.on("*", 5)
    site.on(F1, 2)
    site.rules.off("*")
    assert site.blocked(F1, F2) == [True, False]
    site.forward(2)
    assert site.blocked(F1, F2) == [False, False]


def test_o8_shorter_again_is_ignored(site: Site) -> None:
    """The same pattern again with an earlier end changes nothing; with a later one it extends."""
    site.on(F1, 1)
    site.on(F1, 0.5)
    site.forward(0.8)
    assert site.blocked(F1) == [True]
    site.on(F1, 1)
    site.forward(0.9)
    assert site.blocked(F1) == [True]


def test_o9_no_end_beats_any_end(site: Site) -> None:
    """An override without end is not shortened by the same with one, only taken back."""
    site.on(F1)
    site.on(F1, 0.5)
    site.forward(1e9)
    assert site.blocked(F1) == [True]
    assert site.rules.patterns(site.now) == {F1: None}
    assert site.rules.clear() == [Override(F1, True, "alice")]
    assert site.blocked(F1) == [False]


def test_o9_timed_becomes_endless(site: Site) -> None:
    """The same pattern again without end has none from then on."""
    site.on(F1, 5)
    site.on(F1, -1)
    site.forward(60)
    assert site.blocked(F1) == [True]


def test_o10_override_outlives_a_restart(site: Site) -> None:
    """An override without end is in force after a restart, with its fail-safe and who set it."""
    override = site.on("C/B/fakedriver*", failsafe=False)
    site.restart(away=1e6)
    assert site.blocked(F1, F2, "C/B/other") == [True, True, False]
    assert site.rules.covering(F1, site.now) == [override]


def test_o11_case_counts(site: Site) -> None:
    """A pattern in another case covers nothing."""
    site.on("C/B/fakeDriver1")
    assert site.blocked(F1) == [False]


@pytest.mark.parametrize("pattern", ["C/B/*", "", 7, None])
def test_o12_only_the_same_pattern_is_taken_back(site: Site, pattern: Any) -> None:
    """A pattern that is not in force is an error that lists those that are."""
    site.on(F1)
    with pytest.raises(BadRequest, match="does not exist in list of override patterns") as refusal:
        site.rules.off(pattern)
    assert refusal.value.data == {"patterns": [F1]}
    assert site.blocked(F1) == [True]


# ---- ours


@pytest.mark.parametrize(
    ("pattern", "duration"),
    [("", 0), (None, 0), (["*"], 0), ("x" * 1001, 0), ("*", "5"), ("*", True), ("*", None), ("*", math.nan), ("*", 10**400)],
)
def test_what_makes_no_override_is_refused(site: Site, pattern: Any, duration: Any) -> None:
    """A pattern is a text, a duration a number of seconds: anything else changes nothing."""
    with pytest.raises(BadRequest):
        site.on(pattern, duration)
    assert site.rules.state() == []


def test_timed_override_goes_on_after_a_restart(site: Site) -> None:
    """The time that the gateway was away counts; what ended meanwhile is told at the first look."""
    site.on(F1, 100)
    site.on(F2, 10)
    site.restart(away=40)
    assert [o.pattern for o in site.rules.advance(site.now)] == [F2]
    site.forward(59)
    assert site.blocked(F1, F2) == [True, False]
    site.forward(1)
    assert site.blocked(F1) == [False]


def test_clock_that_was_wrong_at_start_lengthens_no_override(site: Site) -> None:
    """With a wall clock of years ago, an override lasts no longer than it was set for."""
    site.on(F1, 100)
    site.restart(away=-3e8)
    site.forward(100)
    assert site.blocked(F1) == [False]


@pytest.mark.parametrize("jump", [3600, -3600, 3e8, -3e8])
def test_setting_the_clock_moves_no_end(site: Site, jump: float) -> None:
    """The end is fixed on the boot clock; what is told of it follows the wall clock."""
    site.on(F1, 10)
    site.wall += jump
    site.forward(9)
    assert site.blocked(F1) == [True]
    site.forward(1)
    assert site.blocked(F1) == [False]


@pytest.mark.parametrize(
    "state", [[{"pattern": "x"}], [None], [{"pattern": "x", "failsafe": True, "by": "a", "until": "x"}]]
)
def test_state_of_another_kind_is_refused(site: Site, state: Any) -> None:
    """What is no state of overrides is an error, and nothing of it is taken over."""
    with pytest.raises(ValueError, match=r"state|could not convert"):
        site.rules.restore(state, site.now)
    assert site.rules.state() == []


STEP = st.tuples(
    st.sampled_from([F1, "*", "C/B/*"]), st.sampled_from([-1, 0, 0.5, 1, 2, 3]), st.sampled_from([0, 0.5, 1, 2])
)


@given(st.lists(STEP, max_size=20))
def test_override_lasts_until_the_last_end_asked_for(steps: list[tuple[str, float, float]]) -> None:
    """Whatever is asked in which order, a pattern covers its devices until the latest of the ends asked for."""
    site, ends = Site(), dict[str, float]()
    for pattern, duration, pause in steps:
        site.on(pattern, duration)
        ends[pattern] = max(ends.get(pattern, 0.0), site.boot + (duration if duration > 0 else math.inf))
        site.forward(pause)
        assert site.blocked(F1) == [any(end > site.boot for end in ends.values())]
        assert site.rules.patterns(site.now).keys() == {p for p, end in ends.items() if end > site.boot}
