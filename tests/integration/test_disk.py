"""A disk that is full, read-only or broken: polling goes on, what must be on disk is refused, and all is made good."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from gateway import localbroker
from tests.integration.client import TestClient
from tests.integration.disk import FailingCalls, FullDisk, ReadOnlyDisk
from tests.integration.plant import Plant
from tests.integration.process import GatewayProcess
from tests.integration.site import Site
from tests.integration.test_reverts import D, acquire, given_back, run, write
from tests.integration.waiting import PATIENCE, eventually, logged

Disk = FailingCalls | FullDisk | ReadOnlyDisk
KINDS: dict[str, Callable[[Path], Disk]] = {
    "full": FullDisk,
    "read-only": ReadOnlyDisk,
    "EIO": lambda directory: FailingCalls(directory, "EIO"),
    "ENOSPC": lambda directory: FailingCalls(directory, "ENOSPC"),
    "EROFS": lambda directory: FailingCalls(directory, "EROFS"),
}


def on(*kinds: str) -> pytest.MarkDecorator:
    """The test is about these disks."""
    return pytest.mark.parametrize("disk", kinds, indirect=True)


WITHIN = 5.0
"""Seconds after which all is well again when the disk is."""


@pytest.fixture(params=KINDS)
def disk(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[FailingCalls | FullDisk | ReadOnlyDisk]:
    """Each kind of disk; gateways that are started from now on have their state on it."""
    made = KINDS[request.param](tmp_path)
    for name, value in made.environ.items():
        monkeypatch.setenv(name, value)
    yield made
    made.close()


@pytest.fixture
def plant() -> Iterator[Plant]:
    """A Modbus device that remembers what was written."""
    with Plant() as plant:
        yield plant


@pytest.fixture
def edge(site: Site, disk: Disk) -> GatewayProcess:
    """A gateway on that disk, not started."""
    disk.state.mkdir(exist_ok=True)
    process = site.gateway(start=False)
    (process.directory / "state").rmdir()
    (process.directory / "state").symlink_to(disk.state)
    return process


def problems(client: TestClient, edge: GatewayProcess) -> dict[str, str]:
    """What the gateway's newest status tells."""
    told = [message.json for message in client.messages(f"gateways/{edge.id}/status")]
    return {problem["code"]: problem["message"] for problem in told[-1].get("problems", [])} if told else {}


def well_again(client: TestClient, edge: GatewayProcess) -> None:
    """No problem is told any more, soon."""
    begun = time.monotonic()
    eventually(lambda: not problems(client, edge), f"no problems are left of {problems(client, edge)}", 20)
    took = time.monotonic() - begun
    print(f"well again after {took:.2f} s")
    assert took < WITHIN * PATIENCE


@on("full", "EIO", "ENOSPC", "EROFS")
def test_a_disk_that_fails_stops_leased_writes_alone(
    disk: Disk, edge: GatewayProcess, client: TestClient, plant: Plant
) -> None:
    """Polls and plain writes go on, it is told, and when the disk is back so are leases; nothing is given back twice."""
    edge.start()
    run(client, plant)
    client.online(D)
    acquire(client, 600)
    assert write(client, "p", 500) == 500
    disk.fail()
    mark = client.mark()
    assert write(client, "q", 600) == "unavailable"
    assert plant.values(11) == []
    assert write(client, "p", 501) == "unavailable"
    for _ in range(3):
        client.reading(D, after=client.mark())
    eventually(lambda: "journal_unusable" in problems(client, edge), "it is told")
    assert client.request(f"rpc/ops/get_point/{D}/p").result == 500
    disk.mend()
    well_again(client, edge)
    assert write(client, "q", 601) == 601
    client.request(f"rpc/ops/release_lease/{D}")
    given_back(plant, 10, 500, 10)
    given_back(plant, 11, 601, 77)
    events = [m.json for m in client.messages(f"actuator/events/{D}", after=mark)]
    assert [(e["event"], e["point"], e["outcome"]) for e in events if e["event"] == "refused"] == [
        ("refused", "q", "unavailable"),
        ("refused", "p", "unavailable"),
    ]
    assert edge.stop() == 0


@on("full", "EIO")
def test_what_is_given_back_while_the_disk_fails_is_given_back_once(
    disk: Disk, edge: GatewayProcess, client: TestClient, plant: Plant
) -> None:
    """A restart after that leaves alone what was written since."""
    edge.start()
    run(client, plant)
    client.online(D)
    acquire(client, 2)
    assert write(client, "p", 500) == 500
    disk.fail()
    given_back(plant, 10, 500, 10)
    eventually(lambda: problems(client, edge), "it is told")
    disk.mend()
    well_again(client, edge)
    assert write(client, "p", 700) == 700
    edge.kill()
    mark = client.mark()
    edge.start()
    client.online(D, after=mark)
    time.sleep(0.5)
    assert plant.values(10) == [500, 10, 700]


def test_a_gateway_starts_on_a_disk_that_fails(disk: Disk, edge: GatewayProcess, client: TestClient, plant: Plant) -> None:
    """It polls what the broker has, gives back what an earlier process wrote when it can know, and keeps what it learned."""
    edge.start()
    run(client, plant)
    client.online(D)
    acquire(client, 600)
    assert write(client, "p", 500) == 500
    edge.kill()
    disk.fail()
    mark = client.mark()
    edge.start()
    client.reading(D, after=mark)
    eventually(lambda: {"journal_unusable", "state_unusable"} & problems(client, edge).keys(), "it is told")
    disk.mend()
    well_again(client, edge)
    given_back(plant, 10, 500, 10)
    mark = client.mark()
    run(client, plant, interval=0.3)
    client.status(D, after=mark, verdict="accepted")
    acquire(client, 600)
    assert edge.stop() == 0


@on("full", "read-only", "EIO")
def test_devices_run_from_a_disk_that_can_not_be_written(
    disk: Disk, edge: GatewayProcess, client: TestClient, plant: Plant, request: pytest.FixtureRequest
) -> None:
    """Without a broker too, unless it can not even be read."""
    edge.start()
    run(client, plant)
    client.online(D)
    assert edge.stop() == 0
    disk.fail()
    polled = plant.reads
    edge._url = f"mqtt://{localbroker.HOST}:{localbroker.free_port()}"
    edge.start()
    if "EIO" in request.node.name:
        logged(edge, "the state file can not be used")
        disk.mend()
    eventually(lambda: plant.reads > polled, "it polls")
    assert edge.stop() == 0
