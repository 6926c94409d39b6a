"""Fixtures for tests of the actuator."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.actuator.office_rig import PATH, OfficeRig
from tests.fakes import FakeClock


@pytest.fixture
def rig(clock: FakeClock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> OfficeRig:
    """An office with its device, and a lease of 60 seconds for ops."""
    rig = OfficeRig(clock, tmp_path, monkeypatch).open().run()
    assert rig.ask("acquire_lease", duration=60).result["devices"] == [PATH]
    return rig
