"""The same thing again and again: what is opened is closed, what is taken is given back."""

from __future__ import annotations

import resource
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.integration.brokers import OwnBroker
from tests.integration.client import TestClient
from tests.integration.documents import digest, fake, modbus
from tests.integration.memory_group import MemoryGroup
from tests.integration.plant import Plant
from tests.integration.process import GatewayProcess
from tests.integration.waiting import PATIENCE, eventually, logged, scaled

Gateways = Callable[..., GatewayProcess]

WARM = 8
"""Rounds until the allocator has what it needs: memory was seen to grow by 3 MiB until then, by none in 40 rounds after."""

LIMIT = 128_000_000
"""Bytes that the kernel lets the gateway have to write to: half a MiB of it is for each thread's stack, used or not."""


def usage(edge: GatewayProcess) -> tuple[int, int]:
    """Threads and open files of a gateway."""
    base = Path(f"/proc/{edge.pid}")
    return len(list((base / "task").iterdir())), len(list((base / "fd").iterdir()))


def memory(edge: GatewayProcess, key: str) -> float:
    """``VmRSS``, ``VmHWM`` (the peak) or ``VmData`` (what can be written to) of a gateway, in MiB."""
    lines = Path(f"/proc/{edge.pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(key)) / 1024


@pytest.mark.long
@pytest.mark.timeout(1800)
def test_a_broker_that_is_killed_again_and_again_costs_nothing(
    own_broker: Callable[..., OwnBroker], gateway: Gateways, connect: Callable[..., TestClient]
) -> None:
    """After each of 100 kills the gateway is back within 5 s, its device polled on, with as many threads and files."""
    broker = own_broker()
    edge = gateway(url=str(broker.url))
    client = connect(url=broker.url)
    client.publish("config/devices/C/B/D", fake(), retain=True)
    client.online("C/B/D")
    client.close()
    worst, before = 0.0, (0, 0)
    for number in range(scaled(100)):
        broker.save()
        broker.kill()
        lines = len(edge.log_lines())
        broker.start()
        begun = time.monotonic()
        for name in (edge.id, f"{edge.id}.data"):
            logged(edge, "connected to the broker", 5, after=lines, client_id=name)
        worst = max(worst, time.monotonic() - begun)
        if number == 1:  # what is opened on the first outage is open
            before = usage(edge)
    eventually(lambda: usage(edge) == before, f"{before} threads and files", 5)
    client = connect(url=broker.url)
    client.reading("C/B/D")
    print(f"{scaled(100)} kills: back after {worst:.1f} s at most; threads and files {before}, then {usage(edge)}")


@pytest.mark.long
@pytest.mark.timeout(1800)
def test_configs_that_come_and_go_cost_nothing(client: TestClient, gateway: Gateways) -> None:
    """10,000 reloads and removals of 100 devices: threads and files as before, less than 4 MiB more, 96 MiB at most.

    Less than 2 MiB come in the later half. The kernel holds it to 128 MB all the while.
    """
    edge, rounds = gateway(), scaled(10_000) // 100
    resource.prlimit(edge.pid, resource.RLIMIT_DATA, (LIMIT, LIMIT))
    paths = [f"C/B{n % 5}/D{n}" for n in range(100)]
    with Plant() as plant:

        def update(number: int) -> None:
            """Another interval for each device; every fifth is removed before."""
            mark = client.mark()
            documents = {path: modbus(plant.port, interval=5 + number / 1000) for path in paths}
            for path in paths[number % 5 :: 5]:
                client.send(f"config/devices/{path}", b"", retain=True)
            for path, document in documents.items():
                client.send(f"config/devices/{path}", document, retain=True)
            for path, document in documents.items():
                client.status(path, 30 * PATIENCE, mark, state="online", hash=digest(document))

        for number in range(WARM):
            update(number)
        before, held = usage(edge), memory(edge, "VmRSS")
        course = [held]
        for number in range(WARM, WARM + rounds):
            update(number)
            course.append(memory(edge, "VmRSS"))
        eventually(lambda: usage(edge) == before, f"{before} threads and files", 10)
        grown, peak = course[-1] - held, memory(edge, "VmHWM")
        data = memory(edge, "VmData")
    print("MiB more by tenths of the way:", *(f"{course[rounds * n // 10] - held:+.1f}" for n in range(1, 11)))
    print(f"{rounds * 120} reloads and removals: {grown:+.1f} MiB, {peak:.1f} MiB at most, threads and files {usage(edge)}")
    print(f"{data:.1f} MiB to write to, of the {LIMIT / 2**20:.1f} that it may have")
    assert grown < 4  # of the allocator; Python's objects grew by 32 KB in 3,600 reloads (tracemalloc)
    assert course[-1] - course[rounds // 2] < 2  # and most of that at the beginning
    assert peak < 96


@pytest.fixture
def group() -> Iterator[MemoryGroup]:
    """Of 128 MB; the test is skipped where none can be made."""
    try:
        made = MemoryGroup(LIMIT).__enter__()
    except OSError as error:
        pytest.skip(f"needs root, and control groups that can be written to: {error}")
    yield made
    made.__exit__()


def test_100_devices_need_no_more_than_a_box_of_128_mb_has(
    group: MemoryGroup, own_broker: Callable[..., OwnBroker], gateway: Gateways, connect: Callable[..., TestClient]
) -> None:
    """Polled each second, reloaded, and with an outage: 100 MB at most, of a control group that would end it at 128."""
    broker = own_broker()
    edge = gateway(url=str(broker.url), start=False).start(*group.within)
    client = connect(url=broker.url)
    paths = [f"C/B{n % 5}/D{n}" for n in range(100)]
    with Plant() as plant:
        for interval in (1, 1.001, 1.002):
            mark = client.mark()
            document = modbus(plant.port, interval=interval)
            for path in paths:
                client.send(f"config/devices/{path}", document, retain=True)
            for path in paths:
                client.status(path, 30 * PATIENCE, mark, state="online", hash=digest(document))
        broker.save()
        broker.kill()
        time.sleep(10)
        broker.start()
        client = connect(url=broker.url)
        for path in paths:
            client.reading(path)
        print(f"{group.peak / 1e6:.1f} MB at most, {memory(edge, 'VmHWM') * 2**20 / 1e6:.1f} of them resident")
        assert group.peak < 100e6
        assert edge.running
        assert edge.stop() == 0
