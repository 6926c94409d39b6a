"""A short run of the isolation benchmark, and that it can say no."""

from __future__ import annotations

import isolation
import pytest

pytestmark = pytest.mark.alone

PATIENCE = 5
"""Factor on its bounds of time: tests share the machine."""


def test_the_dead_leave_the_living_alone() -> None:
    """Living units beside dead ones on one endpoint, and devices beside a black hole, keep their rhythm."""
    result = isolation.shared_endpoint(3) | isolation.black_hole(2)
    assert isolation.missed(result, PATIENCE) == [], result


def test_a_missed_bound_is_named() -> None:
    """Each number beyond its bound is told; only those of time are multiplied."""
    result = {"live_rate_lost": 0.2, "write_wait_ms": 600.0, "others_late_ms": 51.0, "others_lacking": 0.0}
    assert isolation.missed(result, 1) == ["live_rate_lost", "write_wait_ms", "others_late_ms"]
    assert isolation.missed(result, 5) == ["live_rate_lost"]


def test_lateness_is_against_the_own_grid() -> None:
    """A device that is always as late is on time; one late poll counts."""
    assert isolation.latest([0.1, 0.6, 1.1]) < 1e-9
    assert abs(isolation.latest([0.1, 0.6, 1.14, 1.6]) - 0.04) < 1e-9
