"""Random sequences of all that can happen to leases."""

from __future__ import annotations

import time

import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import run_state_machine_as_test

from tests.actuator.machine import LeaseMachine
from tests.integration.waiting import scaled

STEPS = 100


@pytest.mark.long
@pytest.mark.timeout(3600)
def test_leases_hold_whatever_happens() -> None:
    """One holder, no lease beyond its end, growing fences, each ended once: 50,000 steps at scale 0.1, 1,000,000 at 2."""
    LeaseMachine.count, began, wanted = 0, time.monotonic(), scaled(500_000)
    run_state_machine_as_test(
        LeaseMachine,
        settings=settings(
            max_examples=max(1, wanted * 5 // 4 // STEPS),
            stateful_step_count=STEPS,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
    print(f"{LeaseMachine.count} steps in {time.monotonic() - began:.1f} s")
    assert LeaseMachine.count >= wanted
