"""What a gateway shows of itself: no port, no secret; and that it says when its broker is open to everybody."""

from __future__ import annotations

import os
import re
import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.integration.brokers import OwnBroker
from tests.integration.client import TestClient
from tests.integration.documents import fake, modbus, point, register
from tests.integration.process import GatewayProcess
from tests.integration.site import Site
from tests.integration.waiting import PATIENCE, eventually, logged
from tests.interfaces.bacnet.simulator import free_udp_port

Gateways = Callable[..., GatewayProcess]

CANARIES = ("canary-of-the-broker-4711", "canary-of-a-device-0815")
"""What of the secrets nothing can write in another way, so that it is found wherever a secret is told."""
PASSWORD, SECRET = (f"pä\"s's\\w\tö/{canary}" for canary in CANARIES)
"""The broker's password, and a device's: texts that Python, JSON and terminals all write in their own ways."""
TELLTALE = '''"""A driver that tells its secret, and the broker's password, in all its words."""
from pathlib import Path
from gateway.driver import DriverConfig, Rejected, Transient, Unreachable
from gateway.interfaces.fake import Interface as Fake

class Interface(Fake):
    class Config(DriverConfig):
        secret: str
        other: str
        reject: frozenset[str] = frozenset()
        batch: int = 1
        seed: int = 0
        timeout_every: int = 0
        latency: float = 0
        offline: bool = False

    def _open(self):
        if self.config.offline:
            raise Unreachable(self._words())
        super()._open()

    def _read(self, batch):
        name = batch.registers[0].name
        if name in self.config.reject:
            raise Rejected(self._words(), by=[self._words()])
        if name == "late":
            raise Transient(self._words())
        if name == "bug":
            raise KeyError(self._words())
        return super()._read(batch)

    def _words(self):
        password = Path(self.config.other).read_text()
        return f"{self.config.secret} {self.config.secret!r} {password} {password!r} {password.encode()}"
'''
LISTENS, CONNECTED = "0A", "01"
"""States of a socket that takes connections, and of one that has its peer, in /proc/net (proc_net_tcp.txt of the kernel)."""


def sockets(pid: int) -> set[str]:
    """The inodes of the sockets of a process."""
    found = set()
    for entry in Path(f"/proc/{pid}/fd").iterdir():
        try:
            match = re.fullmatch(r"socket:\[(\d+)\]", str(entry.readlink()))
        except OSError:
            continue  # closed meanwhile
        found |= {match[1]} if match else set()
    return found


def family(pid: int) -> list[int]:
    """A process and those that it has started."""
    tasks = Path(f"/proc/{pid}/task").glob("*/children")
    return [pid, *(int(child) for task in tasks for child in task.read_text().split())]


def reachable(pid: int) -> list[str]:
    """Where anybody could reach a process: TCP sockets that listen, UDP ones, Unix ones with a name.

    Not a UDP socket that is connected, as it is for a request: the kernel gives it nothing but what its device sends.
    """
    mine, found = sockets(pid), []
    for table in ("tcp", "tcp6", "udp", "udp6"):
        for line in Path(f"/proc/{pid}/net/{table}").read_text().splitlines()[1:]:
            _, local, _, state, *_ = fields = line.split()
            if fields[9] in mine and (state != CONNECTED if table.startswith("udp") else state == LISTENS):
                found.append(f"{table} {local}")
    for line in Path(f"/proc/{pid}/net/unix").read_text().splitlines()[1:]:
        fields = line.split()
        if fields[6] in mine and len(fields) > 7:
            found.append(f"unix {fields[7]}")
    return found


def test_nothing_can_be_connected_to(client: TestClient, gateway: Gateways) -> None:
    """A gateway with devices opens no socket that others could reach."""
    edge = gateway()
    client.publish("config/devices/C/B/fake", fake(), retain=True)
    client.publish("config/devices/C/B/modbus", modbus(9), retain=True)
    client.online("C/B/fake")
    client.status("C/B/modbus", state="offline")
    assert len(sockets(edge.pid)) >= 2
    assert reachable(edge.pid) == []


def port_of(place: str) -> int:
    """The port in what ``reachable`` says."""
    return int(place.rpartition(":")[2], 16)


def test_a_modbus_device_on_udp_opens_no_port(client: TestClient, gateway: Gateways) -> None:
    """The socket for its requests is connected, so nobody but the device can send to it: a stranger's answer is not seen."""
    edge = gateway()
    with socket.socket(type=socket.SOCK_DGRAM) as device, socket.socket(type=socket.SOCK_DGRAM) as stranger:
        device.bind(("127.0.0.1", 0))
        device.settimeout(20 * PATIENCE)
        config = modbus(device.getsockname()[1])
        config["driver_config"]["transport"] = "udp"
        client.publish("config/devices/C/B/udp", config, retain=True)
        for _ in range(3):
            request, peer = device.recvfrom(260)
            assert any(f":{peer[1]:04X} " in line for line in Path(f"/proc/{edge.pid}/net/udp").read_text().splitlines())
            assert reachable(edge.pid) == []
            for who, value in ((stranger, 8), (device, 7)):
                who.sendto(request[:5] + bytes([5, *request[6:8], 2, 0, value]), peer)
        assert client.reading("C/B/udp")["values"] == {"r": 7}


def test_bacnet_opens_its_one_port_while_it_has_devices(client: TestClient, gateway: Gateways) -> None:
    """The UDP port of the setting, in the process of the stack alone, from the first BACnet device to the last."""
    pytest.importorskip("bacpypes3", reason="bacpypes3 is not installed")
    port = free_udp_port()
    edge = gateway(bacnet={"address": f"127.0.0.1/8:{port}"})
    client.publish("config/devices/C/B/fake", fake(), retain=True)
    client.online("C/B/fake")
    assert [places for pid in family(edge.pid) if (places := reachable(pid))] == []
    nobody = {"device_id": 1, "device_address": f"127.0.0.99:{port}", "apdu_timeout": 0.5}
    row = {"Point Name": "p", "BACnet Object Type": "analogValue", "Index": 1}
    client.publish(
        "config/devices/C/B/bacnet",
        {"driver_type": "bacnet", "driver_config": nobody, "registry_config": [row]},
        retain=True,
    )
    client.status("C/B/bacnet", state="offline")
    places = [place for pid in family(edge.pid) for place in reachable(pid)]
    assert places
    assert {place.split()[0] for place in places} == {"udp"}
    assert {port_of(place) for place in places} == {port}
    assert reachable(edge.pid) == []
    client.publish("config/devices/C/B/bacnet", b"", retain=True)
    eventually(lambda: not any(reachable(pid) for pid in family(edge.pid)), "the port is closed", 10)


def test_a_port_would_be_seen() -> None:
    """The look at sockets finds those of this process."""
    with socket.create_server(("127.0.0.1", 0)) as tcp, socket.socket(type=socket.SOCK_DGRAM) as udp:
        udp.bind(("127.0.0.1", 0))
        ports = [f"{each.getsockname()[1]:04X}" for each in (tcp, udp)]
        found = reachable(os.getpid())
        assert [port for port in ports if not any(address.endswith(port) for address in found)] == []


def hostile(secrets: Path) -> dict[str, dict[str, Any]]:
    """Device configs that try to have a secret told: where a number belongs, as an address, by a driver's words, ..."""
    secret = {"secret": "device.canary"}
    drivers: dict[str, dict[str, Any]] = {
        "host": {"device_address": secret},
        "port": {"device_address": "127.0.0.1", "port": secret},
        "unit": {"device_address": "127.0.0.1", "slave_id": secret},
        "word": {"device_address": "127.0.0.1", "transport": secret},
        "path": {"device_address": "127.0.0.1", "transport": "tls", "ca": secret},
        "nested": {"device_address": "127.0.0.1", "register_map": [{"Register Name": secret}]},
        "unknown": {"device_address": "127.0.0.1", "canary": secret},
        "brokers": {"device_address": {"secret": "mqtt-password"}},
        "outside": {"device_address": {"secret": "../mqtt-password"}},
        "inside": {"device_address": {"secret": "device./../mqtt-password"}},
        "missing": {"device_address": {"secret": "device.none"}},
        "not-text": {"device_address": {"secret": ["device.canary"]}},
        "other-key": {"device_address": secret | {"x": 1}},
        "serial": {"device_address": secret, "transport": "rtu"},
    }
    configs = {name: modbus(9, register("r", 0)) | {"driver_config": driver} for name, driver in drivers.items()}
    configs["elsewhere"] = modbus(9) | {"timezone": secret, "registry_config": [register("r", 0, Notes=secret)]}
    configs["seed"] = fake(driver={"seed": secret})
    configs["bacnet"] = {"driver_type": "bacnet", "driver_config": {"device_address": secret, "device_id": 1}}
    for name in ("refused", "late", "bug", "away"):
        driver = {
            "secret": secret,
            "other": str(secrets / "mqtt-password"),
            "reject": ["refused"],
            "offline": name == "away",
        }
        configs[name] = {"driver_type": "telltale", "driver_config": driver, "registry_config": [point(name), point("r")]}
    configs["lines"] = {"driver_type": "serial", "driver_config": {"host": secret, "port": secret}}
    return configs


@pytest.fixture
def telltale(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The driver ``telltale`` is installed for the gateways of the test."""
    info = tmp_path / "telltale-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: telltale\nVersion: 1\n")
    (info / "entry_points.txt").write_text("[gateway.interfaces]\ntelltale = telltale:Interface\n")
    (tmp_path / "telltale.py").write_text(TELLTALE)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))


def test_secrets_are_told_nowhere(own_broker: Callable[..., OwnBroker], site: Site, tmp_path: Path, telltale: None) -> None:
    """Whatever configs and drivers do with a secret, it is in no message, log or file of state; nor is the password."""
    secrets = tmp_path / "secrets"
    secrets.mkdir()
    for name, text in (("mqtt-password", PASSWORD), ("device.canary", SECRET)):
        (secrets / name).write_text(text)
        (secrets / name).chmod(0o600)
    broker = own_broker()
    client = site.connect(url=broker.url)
    login = {"url": str(broker.url), "username": "edge", "password": {"secret": "mqtt-password"}}
    edge = site.gateway(broker=login, credentials_dir=str(secrets))
    edge.expects_traceback = True
    configs = hostile(secrets)
    for name, config in configs.items():
        client.publish(f"config/devices/C/B/{name}", config, retain=True)
    for name in configs:
        client.status(f"C/B/{name}")
        client.request(f"rpc/mallory/get_point/C/B/{name}/r")
        client.request(f"rpc/mallory/get_point/C/B/{name}/{name}")
        client.request(f"rpc/mallory/set_point/C/B/{name}/r", "1")
    assert client.status("C/B/away", state="offline")["reason"]["message"].count("***") == 5
    time.sleep(1)  # for what is told a while later
    edge.stop()
    told = [f"{m.topic} {m.payload!r}" for m in client.messages("#")]
    kept = [f"{path}: {path.read_bytes()!r}" for path in edge.directory.rglob("*") if path.is_file()]
    assert len(told) > len(configs)
    assert "KeyError" in edge.log_text()
    for canary in CANARIES:
        assert [words for words in (*told, *kept) if canary in words] == []


def test_a_broker_for_everybody_is_told(own_broker: Callable[..., OwnBroker], site: Site) -> None:
    """A broker on the network that wants no login is a problem in the status, and a warning in the log."""
    broker = own_broker()
    client = site.connect(url=broker.url)
    edge = site.gateway(url=f"mqtt://127.1:{broker.port}")  # this machine in a form that is taken for a name
    logged(edge, "strangers may come in")
    status = eventually(
        lambda: [m.json for m in client.messages(f"gateways/{edge.id}/status") if m.json["problems"]], "it is told"
    )[0]
    assert [problem["code"] for problem in status["problems"]] == ["broker_open"]
    assert status["health"] == "degraded"
