from __future__ import annotations

import pytest

from gateway import fleet as fleet_module
from gateway.interfaces.base import Environment
from tests.fakes import FakeClock, StillThread
from tests.sync.rig import FakeBroker, Rig


@pytest.fixture
def broker() -> FakeBroker:
    """A broker that retains nothing yet."""
    return FakeBroker()


@pytest.fixture
def rig(monkeypatch: pytest.MonkeyPatch, env: Environment, clock: FakeClock, broker: FakeBroker) -> Rig:
    """A coordinator that is not connected."""
    monkeypatch.setattr(fleet_module, "DeviceThread", StillThread)
    return Rig(env, clock, broker)
