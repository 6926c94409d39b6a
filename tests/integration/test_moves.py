"""A device that moves between two gateways, watched on its own wire: they never poll or write it at the same time."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Any

import pytest

from tests.integration.client import TestClient
from tests.integration.documents import modbus, register
from tests.integration.plant import Plant
from tests.integration.process import GatewayProcess
from tests.integration.waiting import eventually

Gateways = Callable[..., GatewayProcess]
D = "C/B/D"
SET = f"rpc/ops/set_point/{D}"
SECOND = 1.0


@pytest.fixture
def plant() -> Iterator[Plant]:
    """A Modbus device that remembers who asked when, and what was written; each answer takes a while."""
    with Plant() as plant:
        plant.delay = 0.03
        yield plant


def run(client: TestClient, plant: Plant, **keys: Any) -> None:
    """Publish the plant's config: register 10 as ``p``, 11 as ``q``."""
    rows = [register("p", 10), register("q", 11)]
    client.publish(f"config/devices/{D}", modbus(plant.port, *rows, interval=0.05, **keys), retain=True)


def online(client: TestClient, *gateways: GatewayProcess, after: int = 0) -> None:
    """Wait until these say that they are online."""
    for each in gateways:
        client.wait_for(f"gateways/{each.id}/status", lambda m: m.json["state"] == "online", 20, after)


def meetings(plant: Plant, *functions: int) -> list[tuple[int, int]]:
    """Pairs of connections that both asked in one span of time, be it only with these functions."""
    spans: dict[int, list[float]] = {}
    for asked in list(plant.asked):
        if not functions or asked.function in functions:
            spans.setdefault(asked.link, [asked.at, asked.done])[1] = asked.done
    ordered = sorted((at, done, link) for link, (at, done) in spans.items())
    return [(one, two) for (_, done, one), (at, _, two) in pairwise(ordered) if at < done]


def written(client: TestClient, point: str, value: int) -> None:
    """Write until it is done: while a device changes hands nobody may answer."""

    def once() -> bool:
        client.send(f"{SET}/{point}", str(value), response_topic="replies/ops/moved", expiry=1)
        time.sleep(0.3)  # it is answered, or nobody is there
        return any(m.json.get("result") == value for m in client.messages("replies/ops/moved"))

    eventually(once, f"{point} is written", 30)


def test_two_never_ask_a_device_that_the_config_key_moves(client: TestClient, gateway: Gateways, plant: Plant) -> None:
    """The device goes there and back under a stream of requests: its wire sees one gateway at a time, and no write twice."""
    a, b = gateway("a"), gateway("b")
    online(client, a, b)
    run(client, plant, gateway=a.id)
    client.status(D, gateway=a.id, state="online")
    value = 1000
    for owner in (b, a, b, a):
        mark = client.mark()
        for number in range(60):
            if number == 20:
                run(client, plant, gateway=owner.id)
            value += 1
            client.send(f"{SET}/q", str(value), response_topic="replies/ops/x", correlation=b"%d" % value)
            time.sleep(0.01)  # so that some come before, some meanwhile, some after
        client.status(D, gateway=owner.id, state="online", after=mark)
        written(client, "q", 1 + (owner is a))
    stream = [n for n in plant.values(11) if n > 1000]
    assert len(stream) == len(set(stream))
    assert stream
    assert meetings(plant) == []
    assert len({asked.link for asked in plant.asked}) >= 5


def test_a_write_that_is_sent_again_after_a_move_is_not_made_again(
    client: TestClient, gateway: Gateways, plant: Plant
) -> None:
    """The new gateway of a device can not say how it ended at the old one, and does not carry it out once more."""
    a, b = gateway("a"), gateway("b")
    online(client, a, b)
    run(client, plant, gateway=a.id)
    client.status(D, gateway=a.id, state="online")
    request = {"payload": "7", "response_topic": "replies/ops/again", "correlation": b"one"}
    client.send(f"{SET}/p", **request)
    assert client.wait_for("replies/ops/again").json == {"result": 7}
    mark = client.mark()
    run(client, plant, gateway=b.id)
    client.status(D, gateway=b.id, state="online", after=mark)
    written(client, "q", 8)
    mark = client.mark()
    client.send(f"{SET}/p", **request)
    again = client.wait_for("replies/ops/again", after=mark)
    assert again.json["error"]["code"] == "outcome_unknown"
    assert ("duplicate", "true") in again.user
    assert [w.value for w in plant.writes] == [7, 8]


def test_what_is_open_is_given_back_before_the_next_one_asks(client: TestClient, gateway: Gateways, plant: Plant) -> None:
    """A lease with two open writes on a device that moves: both are given back by the old gateway, on its connection."""
    a, b = gateway("a"), gateway("b")
    online(client, a, b)
    run(client, plant, gateway=a.id)
    client.status(D, gateway=a.id, state="online")
    assert client.request(f"rpc/ops/acquire_lease/{D}", {"duration": 60}).result
    assert [client.request(f"{SET}/{name}", "5").result for name in "pq"] == [5, 5]
    plant.delay = 0.2
    run(client, plant, gateway=b.id)
    client.status(D, gateway=b.id, state="online")
    plant.delay = 0.0
    assert client.wait_for("replies/ops/leases").json["ended"] == "cancelled"
    assert (plant.values(10), plant.values(11)) == ([5, 10], [5, 11])
    assert meetings(plant) == []
    written(client, "p", 7)
    assert plant.values(10)[:2] == [5, 10]
    assert set(plant.values(10)[2:]) == {7}


def test_a_device_that_does_not_answer_moves_with_its_debt_told(client: TestClient, gateway: Gateways, plant: Plant) -> None:
    """If the device is gone when it moves, the old gateway tells its debt, and pays it when the device is its own."""
    a, b = gateway("a"), gateway("b")
    online(client, a, b)
    run(client, plant, gateway=a.id)
    client.status(D, gateway=a.id, state="online")
    assert client.request(f"rpc/ops/acquire_lease/{D}", {"duration": 60}).result
    assert client.request(f"{SET}/p", "5").result == 5
    plant.shut()
    mark = client.mark()
    run(client, plant, gateway=b.id)
    client.status(D, gateway=b.id, state="offline", timeout=30, after=mark)
    client.wait_for(
        f"gateways/{a.id}/status", lambda m: "reverts_pending" in {p["code"] for p in m.json["problems"]}, 30, mark
    )
    plant.open()
    client.status(D, gateway=b.id, state="online", timeout=40, after=mark)
    assert plant.values(10) == [5]  # the device is b's now: a must not write it
    mark = client.mark()
    run(client, plant, gateway=a.id)
    client.status(D, gateway=a.id, state="online", timeout=30, after=mark)
    eventually(lambda: plant.values(10) == [5, 10], "the debt is paid")
    assert meetings(plant) == []


def test_a_gateway_that_is_replaced_comes_back_too_late(client: TestClient, gateway: Gateways, plant: Plant) -> None:
    """Killed with an open write and replaced, the old gateway comes back, tells its debt and leaves the device be."""
    a = gateway("a")
    run(client, plant)
    client.online(D)
    assert client.request(f"{SET}/q", "11").result == 11
    assert client.request(f"rpc/ops/acquire_lease/{D}", {"duration": 60}).result
    assert client.request(f"{SET}/p", "5").result == 5
    a.kill()
    b = gateway("b", adopt=[a.id])
    client.status(D, gateway=b.id, state="online", timeout=30)  # it waits for a, which can not say that it is gone
    written(client, "q", 12)
    assert client.request(f"rpc/eve/acquire_lease/{D}", {"duration": 60}).result
    assert client.request(f"rpc/eve/set_point/{D}/q", "13").result == 13
    mark = client.mark()
    a.start()
    told = client.wait_for(
        f"gateways/{a.id}/status", lambda m: m.json.get("owned_by_other") == [D] and m.json["problems"], 20, mark
    ).json
    assert "reverts_pending" in {problem["code"] for problem in told["problems"]}
    time.sleep(2 * SECOND)  # to show that the old one leaves the device be
    assert plant.values(10) == [5]
    assert client.request(f"rpc/eve/release_lease/{D}").json
    eventually(lambda: plant.values(11)[-2:] == [13, 12], "what the new one wrote is given back")
    assert meetings(plant) == []
