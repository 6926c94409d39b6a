"""Instruments that speak lines of text, as a subscriber sees them: a scale, a port that is unplugged, a talker."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.site import Site
from tests.integration.waiting import PATIENCE
from tests.interfaces.modbus.bus import Bus
from tests.interfaces.serial.instruments import Instrument, TcpInstrument, row
from tests.markdown import ROOT

SAMPLE = ROOT / "docs" / "samples" / "serial"
ALLOW = {"serial_ports": ["/**"]}
TICKS = os.sysconf("SC_CLK_TCK")


class Scale:
    """The scale of the sample, as its manual has it: commands end with CR LF, and so do answers."""

    def __init__(self) -> None:
        self.weight, self.target, self.heard = 12.34, 5.0, []

    def answer(self, data: bytes) -> Iterator[bytes]:
        """Byte by byte."""
        for command in data.decode().split("\r\n")[:-1]:
            self.heard.append(command)
            for byte in f"{self._said(command)}\r\n".encode():
                yield bytes((byte,))

    def _said(self, command: str) -> str:
        if command == "Q":
            return "OL" if self.weight > 60 else f"ST,GS,+{self.weight:8.2f} kg"
        if command == "?TG":
            return f"TG,{self.target:.2f}"
        if command.startswith("TG,"):
            self.target = float(command[3:])
        elif command == "T":
            self.weight = 0.0
        elif not command.startswith("LP,"):
            return "E01"
        return "OK"


def sample(port: Path) -> bytes:
    """The sample's config, at that port."""
    config = json.loads((SAMPLE / "device.json").read_text())
    config["driver_config"]["device_address"] = str(port)
    config["interval"] = 0.2
    return json.dumps(config).encode()


def processor_seconds(pid: int) -> float:
    """What a process has used so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def test_the_sample_on_a_whole_gateway(site: Site, tmp_path: Path):
    """The scale of the sample is read, written, read back, commanded, and its overload is an error of the weight alone."""
    path, scale = "C/B/scale", Scale()
    edge, client = site.gateway(allow=ALLOW), site.connect()
    with Bus(tmp_path, 1, answer=scale.answer) as bus:
        client.publish("config/registry.csv", (SAMPLE / "registry.csv").read_bytes(), retain=True)
        client.publish(f"config/devices/{path}", sample(bus.paths[0]), retain=True)
        assert client.reading(path)["values"] == {"Weight": 12.34, "Stable": True, "Target": 5.0}
        client.online(path)

        assert client.request(f"rpc/ann/set_point/{path}/Target", b"7.5").result == 7.5
        assert client.request(f"rpc/ann/set_point/{path}/Target", b"99").error["code"] == "out_of_range"
        assert client.request(f"rpc/ann/set_point/{path}/Lamp", b"true").result is True
        assert client.request(f"rpc/ann/get_point/{path}/Tare").error["code"] == "bad_request"
        assert {"TG,0007.50", "LP,1"} <= set(scale.heard)
        assert client.reading(path, lambda r: r["values"].get("Target") == 7.5)

        scale.weight = 99.0
        overload = client.reading(path, lambda r: r["errors"])
        assert overload["values"] == {"Target": 7.5}
        assert overload["errors"]["Weight"] == {"code": "device_rejected", "message": 'the device answered "OL"'}
        assert client.request(f"rpc/ann/set_point/{path}/Tare", b"false").error["code"] == "bad_value"
        assert client.request(f"rpc/ann/set_point/{path}/Tare", b"true").result is True
        client.reading(path, lambda r: r["values"].get("Weight") == 0.0)
    assert edge.running


@pytest.mark.parametrize("listen", [False, True])
def test_a_port_that_is_unplugged(site: Site, tmp_path: Path, listen: bool):
    """The device is offline at once, costs next to nothing, and reads again within five seconds of the port's return."""
    path, scale = "C/B/scale", Scale()
    edge, client = site.gateway(allow=ALLOW), site.connect()
    weight = row("Weight", r"ST,GS,([-+] *[0-9.]+) *kg", "Q")
    config = {
        "driver_type": "serial",
        "driver_config": {"device_address": str(tmp_path / "bus0"), "listen": listen, "timeout": 0.5},
        "registry_config": [weight],
        "interval": 0.2,
    }
    with Bus(tmp_path, 1, answer=scale.answer):
        client.publish(f"config/devices/{path}", config, retain=True)
        client.reading(path)
        unplugged = client.mark()
    offline = client.status(path, after=unplugged, state="offline")
    assert "can not be opened" in offline["reason"]["message"] or "broke" in offline["reason"]["message"]

    time.sleep(5)  # until the pauses are as long as they get
    begin, used = time.monotonic(), processor_seconds(edge.pid)
    time.sleep(2)
    share = (processor_seconds(edge.pid) - used) / (time.monotonic() - begin)
    assert share < 0.05 * PATIENCE

    scale.weight = 20.0
    plugged, begin = client.mark(), time.monotonic()
    with Bus(tmp_path, 1, answer=scale.answer):
        assert client.reading(path, timeout=5 * PATIENCE, after=plugged)["values"] == {"Weight": 20.0}
        print(f"{share:.1%} of a core while it was away, back after {time.monotonic() - begin:.1f} s")
        client.online(path, after=plugged)


def test_a_talker_and_an_asked_one_on_tcp(site: Site):
    """Behind a terminal server it is the same; one that falls silent is offline, and its last value stays the old one."""
    server = TcpInstrument(Instrument(t="20.5", n="7"))
    server.start()
    site.gateway()
    client = site.connect()
    config = {
        "driver_type": "serial",
        "driver_config": {"host": "127.0.0.1", "port": server.port, "error_pattern": "ERR", "timeout": 0.5},
        "registry_config": [row("t", "t=(.*)", "Rt", Write="Wt={value}", Answer="OK"), row("z", "z=(.*)", "Rz")],
        "interval": 0.2,
    }
    client.publish("config/devices/C/B/asked", config, retain=True)
    reading = client.reading("C/B/asked")
    assert (reading["values"], reading["errors"]["z"]["code"]) == ({"t": 20.5}, "device_rejected")
    assert client.request("rpc/ann/set_point/C/B/asked/t", b"21.5").result == 21.5
    assert server.instrument.values["t"] == "21.5"
    server.stop()
    client.status("C/B/asked", state="offline")


def test_a_talker_that_falls_silent(site: Site, tmp_path: Path):
    """Its value is good for max_silence, then the device is offline; when it talks again it is online."""
    site.gateway(allow=ALLOW)
    client = site.connect()
    with Bus(tmp_path, 1) as bus:
        config = {
            "driver_type": "serial",
            "driver_config": {"device_address": str(bus.paths[0]), "listen": True, "max_silence": 1},
            "registry_config": [row("Weight", r"ST,GS,([-+] *[0-9.]+) *kg")],
            "interval": 0.2,
        }
        client.publish("config/devices/C/B/talker", config, retain=True)
        said = 0.0
        while not client.messages("devices/C/B/talker/all"):
            bus.say(b"ST,GS,+   1.50 kg\r\n")
            said = time.monotonic()
            time.sleep(0.05)
        client.status("C/B/talker", state="offline")
        readings = client.messages("devices/C/B/talker/all")
        assert {json.dumps(m.json["values"]) for m in readings} == {'{"Weight": 1.5}'}
        assert max(m.at for m in readings) - said < 1.5 * PATIENCE
