"""The systemd unit is understood by systemd, and leaves little that an intruder could do."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from gateway.settings import load
from tests.markdown import ROOT

SYSTEMD = ROOT / "deploy" / "systemd"
UNIT = SYSTEMD / "gateway.service"
SERIAL = SYSTEMD / "serial.conf"
WORST = 2.0
"""The exposure that ``systemd-analyze security`` may rate the service at; a unit without hardening has 9.6."""

analyze = shutil.which("systemd-analyze")
needs_systemd = pytest.mark.skipif(analyze is None and "CI" not in os.environ, reason="needs systemd-analyze (systemd)")


def installed(directory: Path, *, serial: bool, edit: tuple[str, str] = ("", "")) -> Path:
    """The unit as it would be installed, with a program that is there; ``edit`` replaces a text in it."""
    unit = directory / UNIT.name
    unit.write_text(re.sub("^ExecStart=[^ ]+", "ExecStart=/bin/true", UNIT.read_text(), flags=re.M).replace(*edit))
    if serial:
        (directory / "gateway.service.d").mkdir()
        shutil.copy(SERIAL, directory / "gateway.service.d")
    return unit


def analyzed(*words: str | Path) -> subprocess.CompletedProcess[str]:
    """What systemd-analyze says."""
    return subprocess.run([analyze or "systemd-analyze", "--no-pager", *words], capture_output=True, text=True, timeout=60)


@needs_systemd
@pytest.mark.parametrize("serial", [False, True], ids=["network", "serial"])
def test_the_unit_is_understood(serial: bool, tmp_path: Path) -> None:
    """Each key and value of the unit and of its drop-in is known to systemd."""
    done = analyzed("verify", "--recursive-errors=no", installed(tmp_path, serial=serial))
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


@needs_systemd
def test_a_misspelt_key_would_be_noticed(tmp_path: Path) -> None:
    """The check fails on a key that systemd does not know."""
    unit = installed(tmp_path, serial=False, edit=("ProtectHome=", "ProtectHouse="))
    assert analyzed("verify", "--recursive-errors=no", unit).returncode == 1


@needs_systemd
@pytest.mark.parametrize("serial", [False, True], ids=["network", "serial"])
def test_little_is_exposed(serial: bool, tmp_path: Path) -> None:
    """The rating of the service is within the bound, with serial ports too."""
    done = analyzed("security", "--offline=true", f"--threshold={WORST * 10:.0f}", installed(tmp_path, serial=serial))
    found = re.search(r"Overall exposure level for gateway.service: ([\d.]+)", done.stdout)
    assert found, done.stdout + done.stderr
    print(f"exposure {found[1]}")
    assert done.returncode == 0
    assert float(found[1]) <= WORST


@needs_systemd
def test_more_exposure_would_be_noticed(tmp_path: Path) -> None:
    """A unit that runs as root with all system calls is above the bound."""
    unit = installed(tmp_path, serial=False)
    kept = [line for line in unit.read_text().splitlines() if not re.match("SystemCallFilter|DynamicUser|Protect", line)]
    unit.write_text("\n".join(kept))
    assert analyzed("security", "--offline=true", f"--threshold={WORST * 10:.0f}", unit).returncode == 1


def test_the_service_keeps_its_promises() -> None:
    """It never gives up, is watched, has time to give back what was written, and room for 1,000 devices."""
    keys = dict(line.split("=", 1) for line in UNIT.read_text().splitlines() if re.match(r"\w+=", line))
    assert {key: keys[key] for key in ("Type", "WatchdogSec", "Restart", "StartLimitIntervalSec", "KillMode")} == {
        "Type": "notify",
        "WatchdogSec": "30s",
        "Restart": "always",
        "StartLimitIntervalSec": "0",
        "KillMode": "mixed",
    }
    assert keys["TimeoutStopSec"] == "30s"
    assert min(int(keys["TasksMax"]), int(keys["LimitNOFILE"])) >= 2000


def test_its_settings_can_be_used(tmp_path: Path) -> None:
    """The sample settings load with the secret that the unit passes on."""
    secrets = re.findall(r"^LoadCredential=([^:]+):", UNIT.read_text(), re.M)
    assert secrets == ["mqtt-password"]
    (tmp_path / secrets[0]).write_text("x\n")
    settings = load(SYSTEMD / "settings.yaml", environ={"CREDENTIALS_DIRECTORY": str(tmp_path)})
    assert settings.broker.password is not None
    assert settings.broker.url.tls


def test_the_names_of_serial_ports_are_allowed(tmp_path: Path) -> None:
    """What the example of a udev rule calls ports is what the setting ``allow`` permits by default."""
    rules = (SYSTEMD / "60-gateway-serial.rules").read_text()
    names = re.findall(r'SYMLINK\+="([^"]+)"', rules)
    settings = load(None, broker="mqtt://127.0.0.1", environ={})
    assert names
    assert [name for name in names if not settings.allow.serial_port(f"/dev/{name}")] == []
