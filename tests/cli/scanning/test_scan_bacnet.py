"""``gateway scan bacnet``, on devices of bacpypes3."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from gateway.cli import main
from gateway.cli.check import check
from tests.interfaces.bacnet.simulator import SimDevice, Simulator, free_udp_port

pytest.importorskip("BAC0", reason="BAC0 is not installed")


@pytest.fixture(scope="module")
def site() -> Iterator[list[SimDevice]]:
    """Two devices: one that lets itself be registered with, and a small one, with one property a request and few octets."""
    port = free_udp_port()
    small = SimDevice(
        "127.0.0.12", port, 1002, analog_values=40, multiple=False, max_apdu=206, segmentation="no-segmentation"
    )
    devices = [SimDevice(port=port, bbmd=True), small]
    with Simulator(*devices):
        yield devices


def run(*arguments: object) -> tuple[int, str, str]:
    """The exit code, standard output and standard error of ``gateway scan bacnet``."""
    local = f"127.0.0.1/8:{free_udp_port()}"
    outcome = CliRunner().invoke(main, ["scan", "bacnet", "--local", local, *map(str, arguments)], env={"COLUMNS": "140"})
    return outcome.exit_code, outcome.stdout, outcome.stderr


def at(device: SimDevice) -> str:
    """A device's address."""
    return f"{device.address}:{device.port}"


def test_devices_are_found_with_what_they_have(site: list[SimDevice]) -> None:
    """All devices behind a BBMD are listed, each with its objects, their names, units, texts, and whether commanded."""
    code, out, err = run("--bbmd", at(site[0]), "--wait", 1, "--json")
    assert code == 0, err
    found = json.loads(out)
    assert found["complete"]
    assert [device["device_id"] for device in found["devices"]] == [1001, 1002]
    one, other = found["devices"]
    assert (one["name"], one["vendor"], one["model"], one["address"]) == ("Device 1001", "Simulator", "Sim", at(site[0]))
    objects = {each["name"]: each for each in one["objects"]}
    assert len(objects) == 12
    assert objects["AV-1"] == {
        "type": "analog-value",
        "instance": 1,
        "name": "AV-1",
        "description": "Analog value 1",
        "value": 1.5,
        "units": "degrees-celsius",
        "states": [],
        "commandable": True,
        "cov": True,
    }
    assert (objects["AI-1"]["commandable"], objects["AI-1"]["units"]) == (False, "kilowatts")
    assert objects["MSV-1"]["states"] == ["Off", "Auto", "Hand"]
    assert (other["max_apdu"], len(other["objects"])) == (206, 47)


def test_range_of_ids_limits_the_search(site: list[SimDevice]) -> None:
    """Only devices of the range are asked."""
    code, out, _ = run("--bbmd", at(site[0]), "--wait", 1, "--devices", "1002-1100", "--json")
    assert code == 0
    assert [device["device_id"] for device in json.loads(out)["devices"]] == [1002]


def test_documents_work_as_they_are(site: list[SimDevice], tmp_path: Path) -> None:
    """The config and registry that are written compile without a fault or warning, and keep what the device said."""
    code, out, err = run("--address", at(site[0]), "-o", tmp_path / "site", "--under", "plant/hall1")
    assert (code, "Device 1001" in out) == (0, True), err
    config = tmp_path / "site/config/devices/plant/hall1/Device 1001"
    registry = tmp_path / "site/config/registry_configs/plant/hall1/Device 1001.csv"
    lines: list[str] = []
    assert check([config, registry], lines.append) == 0, lines
    assert json.loads(config.read_text())["driver_config"] == {"device_id": 1001, "device_address": at(site[0])}
    rows = {row["Volttron Point Name"]: row for row in csv.DictReader(registry.read_text().splitlines())}
    assert (rows["AV-1"]["BACnet Object Type"], rows["AV-1"]["Index"]) == ("analogValue", "1")
    assert (rows["AV-1"]["Units"], rows["AV-1"]["Writable"], rows["AI-1"]["Writable"]) == ("degreesCelsius", "TRUE", "FALSE")
    assert rows["MSV-1"]["Enum"] == "1=Off;2=Auto;3=Hand"
    assert rows["MSV-1"]["Unit Details"] == "State count: 3 (default 1)"


def test_ede_file_can_be_imported_again(site: list[SimDevice], tmp_path: Path) -> None:
    """What the scan writes as EDE gives the same points when it is imported."""
    ede = tmp_path / "site.csv"
    assert run("--bbmd", at(site[0]), "--wait", 1, "--ede", ede)[0] == 0
    outcome = CliRunner().invoke(main, ["import", "ede", str(ede), "-o", str(tmp_path / "out")])
    assert outcome.exit_code == 0, outcome.stderr
    registry = tmp_path / "out/config/registry_configs/campus/building/device_1001.csv"
    rows = {row["Volttron Point Name"]: row for row in csv.DictReader(registry.read_text().splitlines())}
    assert len(rows) == 12
    assert rows["AV-1"]["Units"] == "degreesCelsius"
    assert rows["MSV-1"]["Enum"] == "1=Off;2=Auto;3=Hand"
    assert (rows["AV-1"]["Writable"], rows["AI-1"]["Writable"]) == ("TRUE", "FALSE")


def test_nobody_there_is_told(site: list[SimDevice]) -> None:
    """Where nobody answers the exit code is 2."""
    code, _, err = run("--address", "127.0.0.99", "--timeout", 0.1)
    assert (code, bool(err)) == (2, True)


def test_devices_out_of_bounds_are_not_asked(site: list[SimDevice], tmp_path: Path) -> None:
    """A device that answers from a network which the settings do not allow is named, and asked nothing."""
    settings = tmp_path / "settings.yaml"
    settings.write_text("broker: {url: mqtt://localhost}\nallow: {networks: [10.0.0.0/8]}\n")
    code, _, err = run("--bbmd", at(site[0]), "--wait", 1, "--settings", settings)
    assert code == 2
    assert "device 1001 is at 127.0.0.11, which is in no network of the setting allow.networks" in err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--devices", "5-1"], "write ids from 0"),
        (["--address", "8.8.8.8"], "is in no network of the setting allow.networks"),
        (["--address", "nowhere"], "write an IP address"),
        (["--bbmd", "x"], "takes an IPv4 address"),
        (["--local", "x"], "takes an address of this machine"),
    ],
)
def test_bad_options_are_told(arguments: list[Any], words: str) -> None:
    """What can not be used is said before anything is asked."""
    outcome = CliRunner().invoke(main, ["scan", "bacnet", *arguments])
    assert outcome.exit_code == 2
    assert words in " ".join(outcome.stderr.replace("│", "").split())
