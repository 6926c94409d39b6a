"""What was written under a lease is given back when it ends, whatever ends it, and after a crash."""

from __future__ import annotations

import os
import signal
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any

import pytest

from gateway.faultpoint import VARIABLE
from tests.integration.client import TestClient
from tests.integration.documents import modbus, register
from tests.integration.plant import Plant
from tests.integration.process import GatewayProcess
from tests.integration.proxy import Proxy
from tests.integration.site import Site
from tests.integration.waiting import PATIENCE, eventually, logged, scaled

Gateways = Callable[..., GatewayProcess]
D = "C/B/D"


@pytest.fixture
def plant() -> Iterator[Plant]:
    """A Modbus device that remembers what was written."""
    with Plant() as plant:
        yield plant


@pytest.fixture
def edge(gateway: Gateways, client: TestClient, plant: Plant) -> GatewayProcess:
    """A gateway that runs the plant as C/B/D: register 10 as ``p``, 11 as ``q`` with the Default Value 77."""
    edge = gateway()
    run(client, plant)
    client.online(D)
    return edge


def run(client: TestClient, plant: Plant, path: str = D, **keys: Any) -> None:
    """Publish the plant's config."""
    rows = [register("p", 10), register("q", 11, **{"Default Value": 77})]
    client.publish(f"config/devices/{path}", modbus(plant.port, *rows, **keys), retain=True)


def acquire(client: TestClient, duration: float, who: str = "ops", path: str = D) -> dict[str, Any]:
    """A lease, as soon as all of the one before is given back."""

    def ask() -> Any:
        answer = client.request(f"rpc/{who}/acquire_lease/{path}", {"duration": duration})
        return None if answer.json.get("error", {}).get("code") == "busy" else answer.result

    return eventually(ask, "a lease")


def write(client: TestClient, point: str, value: int, who: str = "ops", path: str = D) -> Any:
    """The value taken by a write, or the code of its refusal."""
    answer = client.request(f"rpc/{who}/set_point/{path}/{point}", str(value)).json
    return answer["result"] if "result" in answer else answer["error"]["code"]


def given_back(plant: Plant, address: int, *values: int, within: float = 5.0) -> None:
    """Exactly these values were written to a register, the last of them soon."""
    eventually(lambda: plant.values(address) == list(values), f"{values} at {address}, not {plant.values(address)}", within)


def no_more_reverts(client: TestClient) -> None:
    """The device's status says that nothing waits."""
    client.wait_for(f"devices/{D}/status", lambda m: m.payload and m.json["reverts_pending"] == 0)


def test_a_write_that_the_device_bent_is_given_back(edge: GatewayProcess, client: TestClient, plant: Plant) -> None:
    """Beyond its Tolerance a write is a failure, but the device has changed: the lease's end gives back what it held."""
    rows = [register("p", 10, **{"Tolerance": 1})]
    client.publish(f"config/devices/{D}", modbus(plant.port, *rows), retain=True)
    client.wait_for(f"devices/{D}/meta", lambda m: m.payload and list(m.json["points"]) == ["p"])
    plant.most = 20
    acquire(client, 1.0)
    codes: list[Any] = []  # at first it may be busy: the configuration has just changed
    eventually(lambda: codes.append(write(client, "p", 50)) or codes[-1] != "busy", "the write is carried out")
    assert codes[-1] == "device_rejected"
    assert plant.words[10] == 20
    given_back(plant, 10, 50, 10)
    no_more_reverts(client)


def test_the_end_of_a_lease_gives_back(edge: GatewayProcess, client: TestClient, plant: Plant) -> None:
    """The value from before the first write comes back, or the Default Value, within a second; each write was made once."""
    lease = acquire(client, 1.5)
    assert (write(client, "p", 5), write(client, "p", 6), write(client, "q", 7)) == (5, 6, 7)
    told = client.wait_for(f"actuator/leases/{D}", lambda m: m.payload)
    assert (told.json["holder"], told.json["fence"]) == ("ops", lease["fence"])
    assert told.expiry is not None
    ended = client.wait_for(f"actuator/leases/{D}", lambda m: not m.payload)
    given_back(plant, 10, 5, 6, 10)
    given_back(plant, 11, 7, 77)
    assert plant.writes[-1].at - ended.at < 1.0 * PATIENCE
    no_more_reverts(client)


def test_release_gives_back_unless_it_is_kept(edge: GatewayProcess, client: TestClient, plant: Plant) -> None:
    """``keep`` leaves what was written; without it the release is an end like any other."""
    acquire(client, 60)
    write(client, "p", 5)
    client.request(f"rpc/ops/release_lease/{D}", {"keep": True})
    acquire(client, 60)
    write(client, "q", 6)
    client.request(f"rpc/ops/release_lease/{D}")
    given_back(plant, 11, 6, 77)
    given_back(plant, 10, 5)


def test_successive_holders_find_what_was_there(edge: GatewayProcess, client: TestClient, plant: Plant) -> None:
    """The second holder's value to go back to is that from before the first one."""
    acquire(client, 60)
    write(client, "p", 5)
    client.request(f"rpc/ops/release_lease/{D}")
    given_back(plant, 10, 5, 10)
    acquire(client, 60, "opt")
    assert write(client, "p", 6, "ops") == "leased_by_other"
    write(client, "p", 6, "opt")
    client.request(f"rpc/opt/release_lease/{D}")
    given_back(plant, 10, 5, 10, 6, 10)


def test_a_revert_that_waits_blocks_writes_alone(edge: GatewayProcess, client: TestClient, plant: Plant) -> None:
    """While the device is silent its reverts are told, writes and leases are refused; when it is back all is given back."""
    acquire(client, 60)
    write(client, "p", 5)
    plant.shut()
    client.request(f"rpc/ops/release_lease/{D}")
    client.wait_for(f"devices/{D}/status", lambda m: m.json["reverts_pending"] == 1)
    refused = client.request(f"rpc/opt/set_point/{D}/p", "9").error
    assert (refused["code"], refused["data"]["reason"]) == ("busy", "revert_pending")
    assert client.request(f"rpc/opt/acquire_lease/{D}", {"duration": 5}).error["code"] == "busy"
    plant.open()
    given_back(plant, 10, 5, 10, within=10)
    no_more_reverts(client)


def test_an_override_gives_back_and_shuts_off(edge: GatewayProcess, client: TestClient, plant: Plant) -> None:
    """It ends the lease and gives back; nobody writes until it is off, its setter neither; the holder is told."""
    lease = acquire(client, 60)
    write(client, "p", 5)
    client.request("rpc/chief/set_override_on", {"pattern": "C/B/*"})
    given_back(plant, 10, 5, 10)
    lost = client.wait_for("replies/ops/leases").json
    assert (lost["task_id"], lost["ended"], lost["by"]) == (lease["task_id"], "override", "chief")
    assert write(client, "p", 9, "chief") == "overridden"
    client.request("rpc/chief/set_override_off", {"pattern": "C/B/*"})
    assert write(client, "p", 9, "chief") == 9


def test_an_override_without_failsafe_waits(edge: GatewayProcess, client: TestClient, plant: Plant) -> None:
    """What was written stays until the override ends."""
    acquire(client, 60)
    write(client, "p", 5)
    client.request("rpc/chief/set_override_on", {"pattern": D, "duration": 1.5, "failsafe_revert": False})
    client.wait_for(f"devices/{D}/status", lambda m: m.json["reverts_pending"] == 1)
    assert plant.values(10) == [5]
    given_back(plant, 10, 5, 10)


def test_preemption_gives_back_before_the_next_holder(gateway: Gateways, client: TestClient, plant: Plant) -> None:
    """The victim keeps the device for the grace; then its writes are given back, and the new holder may write."""
    gateway(actuator={"preempt_grace": 1})
    run(client, plant)
    client.online(D)
    client.request(f"rpc/ops/acquire_lease/{D}", {"duration": 60, "priority": "LOW_PREEMPT"})
    write(client, "p", 5)
    client.request(f"rpc/chief/acquire_lease/{D}", {"duration": 60, "priority": "HIGH"})
    assert write(client, "p", 6, "chief") == "leased_by_other"
    assert client.wait_for("replies/ops/leases").json["ended"] == "preempted"
    client.wait_for(f"actuator/leases/{D}", lambda m: m.payload and m.json["holder"] == "chief")
    assert write(client, "p", 6, "chief") == 6
    given_back(plant, 10, 5, 10, 6)


def test_a_changed_row_is_given_back_first(edge: GatewayProcess, client: TestClient, plant: Plant) -> None:
    """The value goes to the register that it came from; the lease goes on under the new configuration."""
    acquire(client, 60)
    write(client, "p", 5)
    rows = [register("p", 20), register("q", 11, **{"Default Value": 77})]
    client.publish(f"config/devices/{D}", modbus(plant.port, *rows), retain=True)
    given_back(plant, 10, 5, 10)
    eventually(lambda: write(client, "p", 8) == 8 and plant.words[20] == 8, "the new row is written")
    client.request(f"rpc/ops/release_lease/{D}")
    given_back(plant, 20, 8, 20)


def test_a_removed_device_is_given_back_first(edge: GatewayProcess, client: TestClient, plant: Plant) -> None:
    """Before it ends."""
    acquire(client, 60)
    write(client, "p", 5)
    client.publish(f"config/devices/{D}", b"", retain=True)
    given_back(plant, 10, 5, 10)


def journalled(edge: GatewayProcess) -> int:
    """The open writes in its journal."""
    file = edge.directory / "state" / "actuator.db"
    with closing(sqlite3.connect(f"file:{file}?mode=ro", uri=True)) as db:
        return int(db.execute("SELECT count(*) FROM entries WHERE kind = 'write'").fetchone()[0])


def test_sigterm_gives_back(edge: GatewayProcess, client: TestClient, plant: Plant) -> None:
    """Fifty points within ten seconds; the journal is empty then."""
    rows = [register(f"p{n}", n) for n in range(50)]
    client.publish("config/devices/C/B/Many", modbus(plant.port, *rows), retain=True)
    client.online("C/B/Many")
    acquire(client, 60, path="C/B/Many")
    values = {f"p{n}": n + 1000 for n in range(50)}
    answer = client.request("rpc/ops/set_points/C/B/Many", {"values": values}).result
    assert (answer["values"], answer["errors"]) == (values, {})
    assert journalled(edge) == 50
    begun = time.monotonic()
    assert edge.stop() == 0
    assert time.monotonic() - begun < 10
    assert plant.words == list(range(100))
    assert edge.log_lines()[-1]["event"] == "the gateway stops"
    assert journalled(edge) == 0


def test_the_broker_is_not_needed(
    client: TestClient, gateway: Gateways, plant: Plant, proxy: Callable[[int], Proxy], site: Site
) -> None:
    """A lease ends on time although the broker is away."""
    way = proxy(site.broker.url.port)
    edge = gateway(url=way.url)
    run(client, plant)
    client.online(D)
    acquire(client, 2)
    write(client, "p", 5)
    begun = time.monotonic()
    way.shut()
    logged(edge, "no connection to the broker")
    given_back(plant, 10, 5, 10)
    assert plant.writes[-1].at - begun < 3.0 * PATIENCE


def test_a_crash_is_made_good_at_the_start(edge: GatewayProcess, client: TestClient, plant: Plant) -> None:
    """The journalled value is written within 3 s of the start, before anything else; a dead device holds up no other."""
    acquire(client, 60)
    write(client, "p", 5)
    with Plant() as other:
        run(client, other, "C/B/E")
        client.online("C/B/E")
        acquire(client, 60, path="C/B/E")
        write(client, "p", 6, path="C/B/E")
        other.shut()
        edge.kill()
        begun = time.monotonic()
        edge.start()
        given_back(plant, 10, 5, 10)
        assert plant.writes[-1].at - begun < 3.0 * PATIENCE
        client.wait_for("devices/C/B/E/status", lambda m: m.json["reverts_pending"] == 1)
        other.open()
        eventually(lambda: other.values(10) == [6, 10], "the other's revert", 10)
    client.wait_for(f"actuator/leases/{D}", lambda m: not m.payload)


def test_a_stopped_process_writes_nothing_late(edge: GatewayProcess, client: TestClient, plant: Plant) -> None:
    """Frozen for twice the lease: what was asked meanwhile does not reach the device, and the lease is over at once."""
    assert write(client, "q", 77) == 77  # not held back any more, as by a claim that is new
    acquire(client, 1)
    assert write(client, "p", 5) == 5
    edge.freeze()
    client.send(f"rpc/ops/set_point/{D}/p", "6", response_topic="replies/ops/late", expiry=1)
    time.sleep(2)
    os.kill(edge.pid, signal.SIGCONT)
    given_back(plant, 10, 5, 10)
    assert client.wait_for("replies/ops/late").error["code"] in ("timeout", "busy", "lease_lost")
    assert 6 not in plant.values(10)


@pytest.mark.long
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("place", ["before_journal", "after_journal", "after_wire", "after_answer:2"])
def test_a_crash_around_a_write_is_made_good(
    place: str, client: TestClient, gateway: Gateways, plant: Plant, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed at each step around journal, wire and answer, again and again: never written twice, and always given back.

    The first answer is that to the request for the lease.
    """
    edge = gateway()
    run(client, plant)
    client.online(D)
    assert write(client, "q", 77) == 77
    worst = 0.0
    for number in range(scaled(25, least=3)):
        edge.kill()
        monkeypatch.setenv(VARIABLE, place)
        mark = client.mark()
        edge.start()
        client.online(D, after=mark)
        plant.writes.clear()
        client.request(f"rpc/ops/acquire_lease/{D}", {"duration": 60})
        client.send(f"rpc/ops/set_point/{D}/p", "5", response_topic="replies/ops/crash", correlation=b"%d" % number)
        eventually(lambda: not edge.running, "the crash")
        assert plant.values(10) == ([] if "journal" in place else [5])
        monkeypatch.delenv(VARIABLE)
        begun, mark = time.monotonic(), client.mark()
        edge.start()
        if place != "before_journal":
            given_back(plant, 10, *plant.values(10), 10)
            worst = max(worst, plant.writes[-1].at - begun)
            assert worst < 3.0 * PATIENCE
        client.online(D, after=mark)
        assert plant.words[10] == 10
        assert plant.values(10).count(5) <= 1
    print(f"{place}: the slowest revert {worst:.2f} s after the start")
