"""What a gateway shows of itself: no port, no secret; and that it says when its broker is open to everybody."""

from __future__ import annotations

import os
import re
import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.integration.brokers import OwnBroker
from tests.integration.client import TestClient
from tests.integration.documents import fake, modbus, register
from tests.integration.process import GatewayProcess
from tests.integration.site import Site
from tests.integration.waiting import eventually, logged

Gateways = Callable[..., GatewayProcess]

PASSWORD = "canary-of-the-broker-4711"
SECRET = "canary-of-a-device-0815"
LISTENS = "0A"
"""The state of a TCP socket that takes connections, in /proc/net/tcp (proc_net_tcp.txt of the kernel)."""


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


def reachable(pid: int) -> list[str]:
    """Where anybody could reach a process: TCP sockets that listen, UDP ones, Unix ones with a name."""
    mine, found = sockets(pid), []
    for table in ("tcp", "tcp6", "udp", "udp6"):
        for line in Path(f"/proc/{pid}/net/{table}").read_text().splitlines()[1:]:
            _, local, _, state, *_ = fields = line.split()
            if fields[9] in mine and (table.startswith("udp") or state == LISTENS):
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


def test_a_port_would_be_seen() -> None:
    """The look at sockets finds those of this process."""
    with socket.create_server(("127.0.0.1", 0)) as tcp, socket.socket(type=socket.SOCK_DGRAM) as udp:
        udp.bind(("127.0.0.1", 0))
        ports = [f"{each.getsockname()[1]:04X}" for each in (tcp, udp)]
        found = reachable(os.getpid())
        assert [port for port in ports if not any(address.endswith(port) for address in found)] == []


def hostile() -> dict[str, dict[str, Any]]:
    """Device configs that try to have a secret told: where a number belongs, as an address, under another name, ..."""
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
    configs["lines"] = {"driver_type": "serial", "driver_config": {"host": secret, "port": secret}}
    return configs


def test_secrets_are_told_nowhere(own_broker: Callable[..., OwnBroker], site: Site, tmp_path: Path) -> None:
    """Whatever configs do with a secret, it is in no message, log or file of state; nor is the broker's password."""
    secrets = tmp_path / "secrets"
    secrets.mkdir()
    for name, text in (("mqtt-password", PASSWORD), ("device.canary", SECRET)):
        (secrets / name).write_text(text)
        (secrets / name).chmod(0o600)
    broker = own_broker()
    client = site.connect(url=broker.url)
    login = {"url": str(broker.url), "username": "edge", "password": {"secret": "mqtt-password"}}
    edge = site.gateway(broker=login, credentials_dir=str(secrets))
    configs = hostile()
    for name, config in configs.items():
        client.publish(f"config/devices/C/B/{name}", config, retain=True)
    for name in configs:
        client.status(f"C/B/{name}")
        client.request(f"rpc/mallory/get_point/C/B/{name}/r")
        client.request(f"rpc/mallory/set_point/C/B/{name}/r", "1")
    time.sleep(1)  # for what is told a while later
    edge.stop()
    told = [f"{m.topic} {m.payload!r}" for m in client.messages("#")]
    kept = [f"{path}: {path.read_bytes()!r}" for path in edge.directory.rglob("*") if path.is_file()]
    assert len(told) > len(configs)
    for canary in (PASSWORD, SECRET):
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
