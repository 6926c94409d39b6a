"""``gateway health``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from gateway import healthfile
from gateway.clock import SystemClock
from tests.cli.test_cli import gateway

REPORT: dict[str, Any] = {
    "gateway": "edge-1",
    "state": "running",
    "health": "ok",
    "broker": {"connected": True, "reason": None},
    "devices": {"online": 2, "offline": 1},
    "problems": [],
    "late": [],
    "pid": 1,
    "time": "2026-11-26T10:00:00.000000Z",
}


@pytest.fixture(autouse=True)
def _nowhere(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RUNTIME_DIRECTORY", raising=False)


def put(folder: Path, **report: Any) -> None:
    """A gateway has just written this."""
    now = SystemClock().now()
    healthfile.write(folder, REPORT | {"at": now, "until": now + 60} | report)


def test_a_gateway_that_runs_is_healthy(tmp_path: Path) -> None:
    """Its devices are counted."""
    put(tmp_path)
    told = gateway("health", "--state-dir", str(tmp_path))
    assert (told.code, told.out) == (0, "edge-1: ok; 2 online, 1 offline\n")


def test_without_a_file_nobody_is_healthy(tmp_path: Path) -> None:
    """It says where it looked."""
    told = gateway("health", "--state-dir", str(tmp_path))
    assert told.code == 1
    assert str(tmp_path) in told.out


def test_one_that_does_not_renew_its_file_is_not_healthy(tmp_path: Path) -> None:
    """Its last report is of no use."""
    put(tmp_path, until=0.0)
    told = gateway("health", "--state-dir", str(tmp_path))
    assert told.code == 1
    assert told.out.startswith("edge-1: it hangs or is gone")


def test_strict_counts_everything(tmp_path: Path) -> None:
    """Problems and a missing broker are told in any case."""
    problem = {"code": "orphans", "message": "not on the broker: C/B/D"}
    put(tmp_path, health="degraded", problems=[problem], broker={"connected": False, "reason": "Connection refused"})
    told = gateway("health", "--state-dir", str(tmp_path))
    assert told.code == 0
    assert told.out == (
        "edge-1: degraded; 2 online, 1 offline; no connection to the broker: Connection refused\n"
        "orphans: not on the broker: C/B/D\n"
    )
    assert gateway("health", "--state-dir", str(tmp_path), "--strict").code == 1


def test_the_settings_say_where_the_state_is(tmp_path: Path) -> None:
    """Settings that can not be used are another exit code."""
    settings = tmp_path / "settings.yaml"
    settings.write_text(f"broker: {{url: mqtt://localhost}}\nstate_dir: {tmp_path}\n")
    put(tmp_path)
    assert gateway("health", "--settings", str(settings)).code == 0
    settings.write_text("brokr: 1\n")
    told = gateway("health", "--settings", str(settings))
    assert told.code == 2
    assert "brokr" in told.err


def test_the_runtime_directory_of_a_service_is_looked_into(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As the service manager names it."""
    put(tmp_path)
    monkeypatch.setenv("RUNTIME_DIRECTORY", str(tmp_path))
    assert gateway("health", "--state-dir", "/nowhere").code == 0
