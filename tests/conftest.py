"""Fixtures for every test."""

from __future__ import annotations

import pytest
from hypothesis import settings

from gateway.interfaces.base import Environment
from tests.fakes import FakeClock

pytest_plugins = ["tests.conftest_broker"]

# A machine that is busy with something else must not fail a property. In CI, too, the seed counts, which is printed:
# hypothesis would try the same inputs there each time.
settings.register_profile("gateway", deadline=None, derandomize=False)
settings.load_profile("gateway")


@pytest.fixture
def clock() -> FakeClock:
    """A clock that only the test moves."""
    return FakeClock()


@pytest.fixture
def env(clock: FakeClock) -> Environment:
    """What an interface is lent, with the test's clock."""
    return Environment(clock=clock)
