"""Open writes when the ground moves: another gateway, another process, another time of day, a process that stood still."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Any

import pytest

from tests.integration.client import TestClient
from tests.integration.documents import modbus, register
from tests.integration.plant import Plant
from tests.integration.process import GatewayProcess
from tests.integration.waiting import PATIENCE, eventually, logged, scaled

Gateways = Callable[..., GatewayProcess]
D = "C/B/D"
HOUR, TEN_YEARS = 3600, 10 * 366 * 24 * 3600


@pytest.fixture
def plant() -> Iterator[Plant]:
    """A Modbus device that remembers what was written."""
    with Plant() as plant:
        yield plant


def run(client: TestClient, plant: Plant, **keys: Any) -> None:
    """Publish the plant's config."""
    client.publish(f"config/devices/{D}", modbus(plant.port, register("p", 10), **keys), retain=True)


def leased_write(client: TestClient, duration: float, value: int = 5, who: str = "ops") -> dict[str, Any]:
    """A lease, and a write under it."""
    lease: dict[str, Any] = client.request(f"rpc/{who}/acquire_lease/{D}", {"duration": duration}).result
    assert client.request(f"rpc/{who}/set_point/{D}/p", str(value)).result == value
    return lease


def given_back(plant: Plant, *values: int) -> None:
    """Exactly these values were written, the last of them soon."""
    eventually(lambda: plant.values(10) == list(values), f"{values} are written", 10)


def nothing_but(plant: Plant, last: int) -> None:
    """After one write and its revert only this value was written, as often as it was asked for."""
    values = plant.values(10)
    assert (values[:2], set(values[2:])) == ([5, 10], {last})


def taken(client: TestClient, value: int) -> None:
    """Ask for a write until it is done: while a device changes hands nobody may answer."""

    def once() -> bool:
        client.send(f"rpc/eve/set_point/{D}/p", str(value), response_topic="replies/eve/taken", expiry=1)
        time.sleep(0.5)  # it is answered, or nobody is there
        return any(m.json.get("result") == value for m in client.messages("replies/eve/taken"))

    eventually(once, "the write is done")


def test_a_device_that_moves_away_is_given_back_first(client: TestClient, gateway: Gateways, plant: Plant) -> None:
    """The config names another gateway: the old one gives back, once, and ends the lease; the new one has a free device."""
    a, b = gateway("a"), gateway("b")
    client.wait_for(f"gateways/{b.id}/status", lambda m: m.json["state"] == "online")  # else it may miss that a lets go
    run(client, plant, gateway=a.id)
    client.online(D)
    client.wait_for(f"gateways/{b.id}/status", lambda m: m.json["state"] == "online")  # it hears a's last word then
    lease = leased_write(client, 60)
    run(client, plant, gateway=b.id)
    given_back(plant, 5, 10)
    lost = client.wait_for("replies/ops/leases").json
    assert (lost["task_id"], lost["ended"]) == (lease["task_id"], "cancelled")
    client.status(D, gateway=b.id, state="online")
    taken(client, 7)
    nothing_but(plant, 7)
    a.kill()
    mark = client.mark()
    a.start()
    client.wait_for(f"gateways/{a.id}/status", lambda m: m.json.get("owned_by_other") == [D], after=mark)
    assert a.stop() == 0
    nothing_but(plant, 7)  # there was nothing left in its journal


def test_a_displaced_process_gives_back(client: TestClient, gateway: Gateways, plant: Plant) -> None:
    """A second process of our id: the older one gives back what it has written, once, and the newer one goes on."""
    first = gateway()
    run(client, plant)
    client.online(D)
    leased_write(client, 60)
    second = gateway()
    logged(first, "displaced")
    given_back(plant, 5, 10)
    taken(client, 7)
    nothing_but(plant, 7)
    assert first.running
    assert second.stop() == first.stop() == 0
    nothing_but(plant, 7)


def test_another_connection_is_given_back_through_the_old_one(client: TestClient, gateway: Gateways, plant: Plant) -> None:
    """A config with another address under a lease: the old device is given back, the new one is not touched."""
    gateway()
    run(client, plant)
    client.online(D)
    leased_write(client, 60)
    with Plant() as other:
        run(client, other)
        given_back(plant, 5, 10)
        eventually(lambda: client.request(f"rpc/ops/set_point/{D}/p", "8").json.get("result") == 8, "the lease goes on")
        assert (plant.values(10), other.values(10)) == ([5, 10], [8])
        client.request(f"rpc/ops/release_lease/{D}")
        given_back(other, 8, 10)
        assert plant.values(10) == [5, 10]


def settled(client: TestClient, plant: Plant) -> None:
    """The device takes writes, which are held back after a new claim, and nothing has been written to it."""
    client.online(D)
    assert client.request(f"rpc/ops/set_point/{D}/p", "10").result == 10
    plant.writes.clear()


def error_of(client: TestClient, plant: Plant, meanwhile: Callable[[], None] = lambda: None) -> float:
    """How many seconds too early or late a lease of 2 s ended at the device; then nobody writes under it."""
    asked = time.monotonic()
    lease = client.request(f"rpc/ops/acquire_lease/{D}", {"duration": 2}).result
    begun = time.monotonic()
    assert client.request(f"rpc/ops/set_point/{D}/p", "5").result == 5
    meanwhile()
    assert client.request(f"rpc/ops/set_point/{D}/p", "6").result == 6
    given_back(plant, 5, 6, 10)
    ended = plant.writes[-1].at
    late = {"value": 9, "fence": lease["fence"]}  # at first it is busy: the revert is on its way
    eventually(lambda: client.request(f"rpc/ops/set_point/{D}/p", late).error["code"] == "lease_lost", "the lease is lost")
    assert plant.values(10) == [5, 6, 10]
    client.wait_for(f"actuator/events/{D}", lambda m: m.json["event"] == "revert")
    error = max(asked + 2 - ended, ended - begun - 2)
    print(f"{max(0.0, error) * 1000:.0f} ms beside its 2 s, which began in {(begun - asked) * 1000:.0f} ms")
    return error


def told_at(client: TestClient, value: int) -> datetime:
    """When the value was written last, by the gateway's wall clock."""
    events = [event.json for event in client.messages(f"actuator/events/{D}")]
    return max(datetime.fromisoformat(event["timestamp"]) for event in events if event["new"] == value)


@pytest.mark.parametrize("shift", [HOUR, -HOUR, TEN_YEARS, -TEN_YEARS])
def test_a_lease_keeps_its_length_when_the_wall_clock_is_set(
    set_clock: Callable[[int], None], client: TestClient, gateway: Gateways, plant: Plant, shift: int
) -> None:
    """An hour or ten years forwards or back: it ends within 100 ms of its time, and then nobody writes under it."""
    gateway()
    run(client, plant)
    settled(client, plant)
    error = error_of(client, plant, lambda: set_clock(shift))
    assert abs(told_at(client, 6).timestamp() - time.time() - shift) < 60  # the clock was set
    assert error < 0.1 * PATIENCE


@pytest.mark.parametrize("change", ["2026-03-29T01:00Z", "2026-10-25T01:00Z"], ids=["summer", "winter"])
def test_a_lease_keeps_its_length_when_summer_time_begins_or_ends(
    set_clock: Callable[[int], None],
    client: TestClient,
    gateway: Gateways,
    plant: Plant,
    monkeypatch: pytest.MonkeyPatch,
    change: str,
) -> None:
    """Local time leaps by an hour while it runs, for the process and the device: it ends within 100 ms of its time."""
    monkeypatch.setenv("TZ", "Europe/Berlin")
    moment = datetime.fromisoformat(change)
    set_clock(int(moment.timestamp() - time.time()) - HOUR)
    gateway()
    run(client, plant, timezone="Europe/Berlin")
    settled(client, plant)
    set_clock(math.floor(moment.timestamp() - time.time()) - 1)  # one to two seconds before it
    error = error_of(client, plant)
    assert told_at(client, 5) < moment < told_at(client, 10)
    assert error < 0.1 * PATIENCE


@pytest.mark.long
def test_a_write_that_came_while_the_process_stood_still_is_not_done(
    client: TestClient, gateway: Gateways, plant: Plant
) -> None:
    """SIGSTOP for three times the request's life, 15 s at full length: answered timeout when it goes on, and never sent."""
    life = scaled(5, least=1)
    edge = gateway()
    run(client, plant)
    client.online(D)
    assert client.request(f"rpc/ops/set_point/{D}/p", "10").result == 10
    edge.freeze()
    client.send(f"rpc/ops/set_point/{D}/p", "6", response_topic="replies/ops/late", expiry=life)
    time.sleep(3 * life)  # this is the pause
    edge.resume()
    assert client.wait_for("replies/ops/late").error["code"] == "timeout"
    eventually(lambda: client.request(f"rpc/ops/set_point/{D}/p", "7").json.get("result") == 7, "writes work again")
    assert plant.values(10) == [10, 7]
