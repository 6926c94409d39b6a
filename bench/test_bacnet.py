"""A short run of the BACnet benchmark, and that it can say no."""

from __future__ import annotations

import shutil

import bacnet
import pytest

pytestmark = pytest.mark.alone

PATIENCE = 5
"""Factor on its bounds of time: tests share the machine."""


def test_bacnet_leaves_modbus_its_rhythm(monkeypatch: pytest.MonkeyPatch) -> None:
    """1,000 BACnet points a second come on time and cost little, and 100 Modbus devices beside them are on time too."""
    pytest.importorskip("rusty_bacnet", reason="rusty-bacnet is not installed")
    if not shutil.which("mosquitto", path="/usr/sbin:/usr/bin:/usr/local/sbin"):
        pytest.skip("mosquitto is not installed")
    monkeypatch.setattr(bacnet, "WARM_UP_SECONDS", 2)
    result = bacnet.measure_all(4)
    assert bacnet.missed(result, PATIENCE) == [], result


def test_a_missed_bound_is_named() -> None:
    """Each number beyond its bound is told; only those of time are multiplied."""
    result = dict.fromkeys(("missed", "errors", "stale", "modbus_missed"), 0.0)
    result |= {"late_max_ms": 251.0, "modbus_late_max_ms": 90.0, "child_us_per_point": 61.0, "missed": 1.0}
    assert bacnet.missed(result, 1) == ["late_max_ms", "missed", "child_us_per_point"]
    assert bacnet.missed(result, 5) == ["missed"]
