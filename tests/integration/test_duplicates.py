"""Writing requests that come twice, and too many requests, through a real broker."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterator
from itertools import pairwise

import pytest

from gateway import faultpoint
from tests.integration.client import TestClient
from tests.integration.documents import fake, modbus, point, register
from tests.integration.plant import Plant
from tests.integration.process import GatewayProcess
from tests.integration.waiting import PATIENCE, eventually, scaled

Gateways = Callable[..., GatewayProcess]
D = "C/B/D"
SET = f"rpc/ops/set_point/{D}/p"


@pytest.fixture
def plant() -> Iterator[Plant]:
    """A Modbus device that remembers what was written."""
    with Plant() as plant:
        yield plant


@pytest.fixture
def edge(gateway: Gateways, client: TestClient, plant: Plant) -> GatewayProcess:
    """A gateway that runs the plant as C/B/D: register 10 as ``p``."""
    edge = gateway()
    run(client, plant, edge)
    return edge


def run(client: TestClient, plant: Plant, edge: GatewayProcess) -> None:
    """Have the gateway run the plant, which it may write at once."""
    client.publish(f"config/devices/{D}", modbus(plant.port, register("p", 10), gateway=edge.id), retain=True)
    client.online(D)


def values(plant: Plant) -> list[int]:
    """What was written."""
    return [written.value for written in plant.writes]


def test_a_request_that_comes_twice_is_written_once(edge: GatewayProcess, client: TestClient, plant: Plant) -> None:
    """Each delivery has the same answer; the later ones say that they are repeated. A constant id swallows nothing else."""
    for value in (5, 6, 5):
        start = client.mark()
        for _ in range(3):
            client.send(SET, str(value), response_topic="replies/ops/x", correlation=b"constant")
        client.wait_for(
            "replies/ops/x", lambda _, start=start: len(client.messages("replies/ops/x", start)) == 3, after=start
        )
        answers = client.messages("replies/ops/x", start)
        assert [m.result for m in answers] == [value] * 3
        assert sum(("duplicate", "true") in m.user for m in answers) == 2
    assert values(plant) == [5, 6, 5]


def test_after_a_restart_the_answer_is_the_same(edge: GatewayProcess, client: TestClient, plant: Plant) -> None:
    """Killed after the answer, the gateway does not write again what comes again."""
    first = client.request(SET, "5", correlation=b"c", expiry=60)
    client.request("rpc/ops/ping")  # the answer is on disk before the next request is taken
    edge.kill()
    start = client.mark()
    edge.start()
    client.online(D, after=start)
    again = client.request(SET, "5", correlation=b"c", expiry=60)

    assert (first.json, ("duplicate", "true") in first.user) == (again.json, False)
    assert ("duplicate", "true") in again.user
    assert values(plant) == [5]


def test_killed_between_write_and_answer_it_is_not_written_again(
    gateway: Gateways, client: TestClient, plant: Plant, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody knows how the first one ended, and that is the answer; another value is written."""
    monkeypatch.setenv(faultpoint.VARIABLE, "after_wire")
    edge = gateway()
    run(client, plant, edge)
    client.send(SET, "5", correlation=b"c", expiry=60)
    eventually(lambda: not edge.running, "the gateway is killed")
    monkeypatch.delenv(faultpoint.VARIABLE)
    start = client.mark()
    edge.start()
    client.online(D, after=start)
    again = client.request(SET, "5", correlation=b"c", expiry=60)

    assert again.error["code"] == "outcome_unknown"
    assert ("duplicate", "true") in again.user
    assert values(plant) == [5]
    assert client.request(SET, "6", correlation=b"c", expiry=60).result == 6
    assert values(plant) == [5, 6]


def test_a_flood_disturbs_nobody_else(edge: GatewayProcess, client: TestClient, connect: Callable[..., TestClient]) -> None:
    """A flood of one requester: each is answered, most ``busy``; polls keep their rhythm, others are served."""
    client.publish("config/devices/C/B/poll", fake(point("n", start="1"), interval=0.1, gateway=edge.id), retain=True)
    client.online("C/B/poll")
    flood = connect(outputs=False)
    flood.subscribe("replies/flood/#", qos=0)
    start, number = client.mark(), scaled(20_000)
    for _ in range(number):
        flood.send("rpc/flood/ping", qos=0)
    assert client.request("rpc/ops/get_point/C/B/poll/n").result == 1
    eventually(lambda: len(flood.messages("replies/flood/#")) == number, "each has its answer", 30)
    codes = [m.json.get("error", {}).get("data", {}).get("reason", "ok") for m in flood.messages("replies/flood/#")]
    assert set(codes) == {"ok", "rate"}
    client.reading("C/B/poll", after=start)
    times = [m.at for m in client.messages("devices/C/B/poll/all", start)]
    if len(times) > 3:
        assert statistics.median(b - a for a, b in pairwise(times)) < 0.15 * PATIENCE
