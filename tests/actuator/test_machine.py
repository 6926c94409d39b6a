"""Random sequences of all that can happen to the actuator."""

from __future__ import annotations

import logging
import time

import pytest
import structlog
from hypothesis import HealthCheck, settings
from hypothesis.stateful import run_state_machine_as_test

from gateway import fleet
from gateway.actuator import collectors
from tests.actuator.machine import OfficeMachine
from tests.fakes import StillThread
from tests.integration.waiting import scaled

STEPS = 100


@pytest.mark.long
@pytest.mark.timeout(7200)
def test_what_is_written_is_given_back_whatever_happens(monkeypatch: pytest.MonkeyPatch) -> None:
    """One holder, no late or double write, growing fences, nothing lost: 50,000 steps at scale 0.1, 1,000,000 at 2."""
    monkeypatch.setattr(fleet, "DeviceThread", StillThread)
    monkeypatch.setattr(collectors, "DeviceThread", StillThread)
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    OfficeMachine.count, began, wanted = 0, time.monotonic(), scaled(500_000)
    try:
        run_state_machine_as_test(
            OfficeMachine,
            settings=settings(
                max_examples=max(1, wanted * 6 // 5 // STEPS),
                stateful_step_count=STEPS,
                deadline=None,
                suppress_health_check=list(HealthCheck),
            ),
        )
    finally:
        structlog.reset_defaults()
        print(f"{OfficeMachine.count} steps in {time.monotonic() - began:.1f} s")
    assert OfficeMachine.count >= wanted
