"""Nothing of a device is left when it is reloaded and removed, however often; a hundred devices fit into little memory."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.integration.client import TestClient
from tests.integration.devices import fake
from tests.integration.documents import modbus, register
from tests.integration.plant import Plant
from tests.integration.process import GatewayProcess
from tests.integration.waiting import eventually, scaled

Gateways = Callable[..., GatewayProcess]
CYCLES = 10_000
TOGETHER = 50
"""Devices that go round at the same time."""
GROWTH = 2 * 1024
"""KiB by which the memory may grow after a tenth of the cycles."""
MIB = 1024


@dataclass(frozen=True)
class Holdings:
    """What a process has: threads, open files (sockets among them), and KiB of memory."""

    threads: int
    files: int
    sockets: int
    memory: int


def status(pid: int, name: str) -> int:
    """A number of /proc/<pid>/status."""
    found = re.search(rf"^{name}:\s+(\d+)", Path(f"/proc/{pid}/status").read_text(), re.MULTILINE)
    assert found is not None
    return int(found[1])


def holdings(pid: int) -> Holdings:
    """What a process has now."""
    files = [link for path in Path(f"/proc/{pid}/fd").iterdir() if (link := target(path))]
    sockets = [link for link in files if link.startswith("socket:")]
    return Holdings(status(pid, "Threads"), len(files), len(sockets), status(pid, "VmRSS"))


def target(path: Path) -> str:
    """Where an open file leads; empty if it was closed meanwhile."""
    try:
        return str(path.readlink())
    except OSError:
        return ""


@pytest.fixture
def plant() -> Iterator[Plant]:
    """A Modbus device."""
    with Plant() as plant:
        yield plant


def go_round(client: TestClient, plant: Plant) -> None:
    """Bring devices of two drivers, reload them, and remove them."""
    paths = [f"C/B/d{n}" for n in range(TOGETHER)]
    for interval in (0.2, 0.3):
        mark = client.mark()
        for n, path in enumerate(paths):
            config: Any = fake(interval) if n % 2 else modbus(plant.port, register("p", 10), interval=interval)
            client.send(f"config/devices/{path}", config, retain=True)
        for path in paths:
            client.online(path, timeout=60, after=mark)
    mark = client.mark()
    for path in paths:
        client.send(f"config/devices/{path}", b"", retain=True)
    for path in paths:
        client.wait_for(f"devices/{path}/status", lambda m: not m.payload, timeout=60, after=mark)
    client.forget()


@pytest.mark.long
@pytest.mark.timeout(3600)
def test_reloads_and_removals_leave_nothing(client: TestClient, gateway: Gateways, plant: Plant) -> None:
    """Threads, files and sockets are those of before, and the memory stays."""
    edge = gateway()
    client.wait_for(f"gateways/{edge.id}/status", lambda m: m.json["state"] == "online")
    rounds = scaled(CYCLES) // TOGETHER
    before = warm = holdings(edge.pid)
    for number in range(rounds):
        go_round(client, plant)
        if number == rounds // 10:
            warm = holdings(edge.pid)
    counts = (before.threads, before.files, before.sockets)

    def settled() -> bool:
        now = holdings(edge.pid)
        return (now.threads, now.files, now.sockets) == counts

    eventually(settled, f"back to {before}, from {holdings(edge.pid)}")
    after = holdings(edge.pid)
    print(f"{rounds * TOGETHER} cycles: {before}, after {rounds // 10 + 1} rounds {warm}, in the end {after}")
    assert after.memory - warm.memory <= GROWTH


def test_a_hundred_devices_fit_into_100_mb(client: TestClient, gateway: Gateways, plant: Plant) -> None:
    """Their peak, from the start on, with 50 points each and requests to all of them."""
    edge = gateway()
    rows = [register(f"p{n}", n) for n in range(50)]
    paths = [f"C/B/d{n}" for n in range(100)]
    for unit, path in enumerate(paths, 1):
        config = modbus(plant.port, *rows, interval=1)
        config["driver_config"]["slave_id"] = unit
        client.publish(f"config/devices/{path}", config, retain=True)
    for path in paths:
        client.online(path, timeout=60)
    for path in paths:
        assert len(client.request(f"rpc/ops/scrape_all/{path}").result["values"]) == 50
    peak = status(edge.pid, "VmHWM")
    print(f"peak {peak / MIB:.1f} MiB")
    assert peak < 100 * MIB
