"""The links to the broker: down, killed, frozen, slow; what the gateway does meanwhile and how it comes back."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from tests.integration.brokers import OwnBroker
from tests.integration.client import TestClient, retained
from tests.integration.devices import fake
from tests.integration.documents import digest
from tests.integration.process import GatewayProcess
from tests.integration.proxy import Proxy
from tests.integration.waiting import PATIENCE, eventually, logged, scaled

Gateways = Callable[..., GatewayProcess]
Connect = Callable[..., TestClient]
OFFLINE = {"state": "offline", "contract": 1}


def stamp(reading: dict[str, Any]) -> float:
    """A reading's time, in seconds since 1970."""
    return datetime.fromisoformat(reading["timestamp"]).timestamp()


def alive(client: TestClient, process: GatewayProcess, after: int = 0) -> dict[str, Any]:
    """The status of a gateway that says it is online."""
    found = client.wait_for(
        f"gateways/{process.id}/status", lambda m: m.json["state"] == "online", 20 * PATIENCE, after=after
    )
    return found.json


def test_without_a_broker_devices_run_from_disk_and_what_they_said_is_replayed_with_its_own_time(
    broker: Any, client: TestClient, proxy: Callable[[int], Proxy], gateway: Gateways
) -> None:
    """With the broker down a gateway polls within 5 s; the readings come on replay, marked, then live ones on all."""
    way = proxy(broker.url.port)
    edge = gateway(url=way.url)
    client.publish("config/devices/C/B/D", fake(), retain=True)
    client.online("C/B/D")
    edge.stop()
    way.shut()
    started, lines = time.time(), len(edge.log_lines())
    edge.start()
    logged(edge, "device is online", 5, after=lines)
    time.sleep(1)  # some readings
    mark, opened = client.mark(), time.time()
    way.open()
    alive(client, edge, after=mark)
    print(f"connected {time.time() - opened:.1f} s after the broker was there")
    assert time.time() - opened < 5 * PATIENCE
    client.reading("C/B/D", after=mark, timeout=10 * PATIENCE)
    newest = client.wait_for("devices/C/B/D/replay", lambda m: opened - stamp(m.json) < 0.3, after=mark)
    held = [m.json for m in client.messages("devices/C/B/D/replay", after=mark)]
    live = [m.json for m in client.messages("devices/C/B/D/all", after=mark)]
    assert all(reading["replayed"] is True for reading in held)
    assert held[0]["values"] == {"n": 1.0}
    assert started < stamp(held[0]) < started + 5 * PATIENCE
    assert [stamp(reading) for reading in held] == sorted({stamp(reading) for reading in held})
    assert len(held) > 3
    assert newest.json in held
    assert all(stamp(reading) > opened and "replayed" not in reading for reading in live)


@pytest.mark.parametrize("keeps", [True, False], ids=["persistent", "amnesiac"])
def test_a_killed_broker_is_found_again_and_told_everything(
    keeps: bool, own_broker: Callable[..., OwnBroker], connect: Connect, gateway: Gateways, prefix: str
) -> None:
    """After kill -9 of the broker the gateway is back within 6 s with all that is retained; lost configs become orphans."""
    broker = own_broker() if keeps else own_broker(persistence="false")
    edge = gateway(url=str(broker.url))
    before = connect(url=broker.url)
    before.publish("config/devices/C/B/D", fake(), retain=True)
    before.online("C/B/D")
    if keeps:
        broker.save()
    broker.kill()
    before.close()
    broker.start()
    begun = time.monotonic()
    client = connect(url=broker.url)
    status = client.status("C/B/D", state="online", orphan=not keeps, timeout=20 * PATIENCE)
    if keeps:  # what was retained may have been saved by the broker: it is the gateway's coming that counts
        client.wait_for(f"gateways/{edge.id}/status", lambda m: m.json["state"] == "online" and not m.retain, 20 * PATIENCE)
    client.reading("C/B/D")
    assert time.monotonic() - begun < 6 * PATIENCE
    assert status["config"]["verdict"] == "accepted"
    on_broker = retained(broker.url, prefix, "devices/#")
    assert set(on_broker) == {"devices/C/B/D/status", "devices/C/B/D/meta"}
    if not keeps:
        problems = client.wait_for(f"gateways/{edge.id}/status", lambda m: m.json.get("problems")).json["problems"]
        assert [problem["code"] for problem in problems] == ["orphans"]
        assert "C/B/D" in problems[0]["message"]
        mark = client.mark()
        client.publish("config/devices/C/B/D", fake(), retain=True)
        client.status("C/B/D", orphan=False, source="broker", after=mark)
        client.wait_for(f"gateways/{edge.id}/status", lambda m: m.json.get("health") == "ok")


def test_what_changed_while_the_link_was_cut_is_as_on_the_broker_within_10_seconds(
    broker: Any, client: TestClient, proxy: Callable[[int], Proxy], gateway: Gateways
) -> None:
    """Of the session before the cut nothing is left: a config that changed and one that came run, all is told again."""
    way = proxy(broker.url.port)
    edge = gateway(url=way.url)
    configs = {"C/B/same": fake(), "C/B/changed": fake(0.3), "C/B/new": fake(0.4)}
    client.publish("config/devices/C/B/same", configs["C/B/same"], retain=True)
    client.publish("config/devices/C/B/changed", fake(), retain=True)
    client.online("C/B/same")
    client.online("C/B/changed")
    lines = len(edge.log_lines())
    way.shut()
    for link in (edge.id, f"{edge.id}.data"):
        logged(edge, "no connection to the broker", after=lines, client_id=link)
    for path in ("C/B/changed", "C/B/new"):
        client.publish(f"config/devices/{path}", configs[path], retain=True)
    mark, opened = client.mark(), time.monotonic()
    way.open()
    for path, config in configs.items():
        client.status(path, 10 * PATIENCE, mark, state="online", hash=digest(config), source="broker")
        client.reading(path, timeout=10 * PATIENCE, after=mark)
    print(f"all is as on the broker after {time.monotonic() - opened:.1f} s")
    assert time.monotonic() - opened < 10 * PATIENCE


@pytest.mark.long
@pytest.mark.timeout(1800)
def test_a_broker_that_restarts_again_and_again_loses_nothing(
    own_broker: Callable[..., OwnBroker], connect: Connect, gateway: Gateways
) -> None:
    """100 times killed under load: back within 5 s of its start each time, with the same devices and no thread more."""
    broker = own_broker()
    edge = gateway(url=str(broker.url))
    client = connect(url=broker.url)
    paths = [f"C/B/d{n}" for n in range(20)]
    for path in paths:
        client.publish(f"config/devices/{path}", fake(0.2), retain=True)
    for path in paths:
        client.online(path)
    broker.save()
    tasks, slowest = Path(f"/proc/{edge.pid}/task"), 0.0
    threads = sorted((task / "comm").read_text() for task in tasks.iterdir())
    for _ in range(scaled(100)):
        broker.kill()
        client.close()
        broker.start()
        begun = time.monotonic()
        client = connect(url=broker.url)
        for path in paths:
            client.wait_for(f"devices/{path}/all", timeout=20 * PATIENCE)
        slowest = max(slowest, time.monotonic() - begun)
    print(f"back after {slowest:.2f} s at most")
    assert slowest < 5 * PATIENCE
    assert sorted((task / "comm").read_text() for task in tasks.iterdir()) == threads


def test_a_config_removed_while_the_gateway_was_down_leaves_an_orphan_until_it_is_removed_again(
    client: TestClient, gateway: Gateways, kept: Callable[..., dict[str, Any]]
) -> None:
    """Absence alone deletes nothing: the device runs on as an orphan, told in both statuses, until an empty payload."""
    edge = gateway()
    client.publish("config/devices/C/B/D", fake(), retain=True)
    client.online("C/B/D")
    edge.stop()
    client.publish("config/devices/C/B/D", b"", retain=True)
    mark = client.mark()
    edge.start()
    client.status("C/B/D", state="online", orphan=True, after=mark)
    client.wait_for(
        f"gateways/{edge.id}/status", lambda m: [p["code"] for p in m.json.get("problems", ())] == ["orphans"], after=mark
    )
    mark = client.mark()
    client.publish("config/devices/C/B/D", b"", retain=True)
    client.wait_for("devices/C/B/D/status", lambda m: m.payload == b"", after=mark)
    client.wait_for(f"gateways/{edge.id}/status", lambda m: m.json.get("health") == "ok", after=mark)
    eventually(lambda: not kept("devices/#"), "the topics are cleared")


def test_a_broker_that_swallows_everything_is_noticed_within_15_seconds(
    broker: Any, client: TestClient, proxy: Callable[[int], Proxy], gateway: Gateways
) -> None:
    """When nothing comes through any more, a busy gateway and an idle one notice within 15 s, and both come back."""
    way = proxy(broker.url.port)
    busy, idle = gateway("busy", url=way.url, scope=["C/#"]), gateway("idle", url=way.url, scope=["N/#"])
    client.publish("config/devices/C/B/D", fake(), retain=True)
    client.online("C/B/D")
    alive(client, idle)
    lines = {edge: len(edge.log_lines()) for edge in (busy, idle)}
    way.hold()
    begun = time.monotonic()
    for edge in (busy, idle):
        for link in (edge.id, f"{edge.id}.data"):
            logged(edge, "no connection to the broker", 25, after=lines[edge], client_id=link)
            assert time.monotonic() - begun < 15 * PATIENCE
    mark = client.mark()
    way.shut()
    way.open()
    for edge in (busy, idle):
        alive(client, edge, after=mark)
    client.reading("C/B/D", after=mark)


@pytest.mark.parametrize("ways", [("down",), ("up", "down")], ids=["answers", "everything"])
def test_a_write_that_was_on_the_way_for_too_long_is_not_carried_out(
    ways: tuple[str, ...], broker: Any, client: TestClient, proxy: Callable[[int], Proxy], gateway: Gateways
) -> None:
    """While the broker's answers are late, a write that comes in is answered timeout and never executed; later ones work."""
    way = proxy(broker.url.port)
    edge = gateway(url=way.url)
    client.publish("config/devices/C/B/D", fake(), retain=True)
    client.online("C/B/D")
    assert client.request("rpc/ops/set_point/C/B/D/n", "2").result == 2.0
    way.hold(*ways)
    client.send("rpc/ops/set_point/C/B/D/n", "3", response_topic="replies/ops/late", expiry=30)
    time.sleep(6)  # this is the lateness
    way.release()
    answer = client.wait_for("replies/ops/late", timeout=10 * PATIENCE)
    assert answer.error["code"] == "timeout"
    assert client.request("rpc/ops/get_point/C/B/D/n").result == 2.0
    eventually(lambda: "result" in client.request("rpc/ops/set_point/C/B/D/n", "4").json, "writes are carried out again", 5)
    assert client.request("rpc/ops/get_point/C/B/D/n").result == 4.0
    assert len(client.messages("replies/ops/late")) == 1
    assert edge.running


def test_a_write_that_waited_while_the_gateway_was_stopped_is_not_carried_out(client: TestClient, gateway: Gateways) -> None:
    """After SIGSTOP for 6 s the writes that waited are answered timeout, for their age is not known; later ones work."""
    edge = gateway()
    client.publish("config/devices/C/B/D", fake(), retain=True)
    client.online("C/B/D")
    assert client.request("rpc/ops/set_point/C/B/D/n", "2").result == 2.0
    edge.freeze()
    for number in range(5):
        client.send("rpc/ops/set_point/C/B/D/n", str(10 + number), response_topic=f"replies/ops/{number}", expiry=30)
    time.sleep(6)  # this is the pause
    edge.resume()
    for number in range(5):
        answer = client.wait_for(f"replies/ops/{number}", timeout=10 * PATIENCE)
        assert answer.error["code"] == "timeout"
    assert client.request("rpc/ops/get_point/C/B/D/n").result == 2.0
    eventually(lambda: "result" in client.request("rpc/ops/set_point/C/B/D/n", "4").json, "writes work again", 5)


def test_a_killed_gateway_leaves_its_will(
    client: TestClient, gateway: Gateways, kept: Callable[..., dict[str, Any]]
) -> None:
    """After kill -9 the broker says at once, retained, that the gateway is offline."""
    edge = gateway()
    alive(client, edge)
    mark = client.mark()
    edge.kill()
    will = client.wait_for(f"gateways/{edge.id}/status", after=mark, timeout=3 * PATIENCE)
    assert will.json == OFFLINE
    assert kept(f"gateways/{edge.id}/status")[f"gateways/{edge.id}/status"].json == OFFLINE


def test_a_gateway_that_falls_silent_leaves_its_will_in_time(
    own_broker: Callable[..., OwnBroker], connect: Connect, gateway: Gateways, prefix: str
) -> None:
    """Its connection stays open and nothing is said: it is told after 1.5 times the keepalive, here the broker's of 10 s.

    mosquitto 2.0.11 takes up to some 6 seconds more.
    """
    own = own_broker(max_keepalive="10")
    client, edge = connect(url=own.url), gateway(url=str(own.url))
    alive(client, edge)
    mark = client.mark()
    edge.freeze()
    begun = time.monotonic()
    will = client.wait_for(f"gateways/{edge.id}/status", after=mark, timeout=30)
    print(f"told as offline after {time.monotonic() - begun:.1f} s")
    assert will.json == OFFLINE
    assert 10 < time.monotonic() - begun < 1.5 * 10 + 7
    assert retained(own.url, prefix)[f"gateways/{edge.id}/status"].json == OFFLINE
    edge.resume()
    alive(client, edge, after=client.mark())
