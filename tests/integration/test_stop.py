"""SIGTERM and SIGINT: exit code 0 within 10 s, whatever the broker and the devices do, and nothing untrue is retained."""

from __future__ import annotations

import signal
import socket
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from gateway import localbroker
from tests.integration.brokers import OwnBroker
from tests.integration.client import TestClient
from tests.integration.devices import fake
from tests.integration.process import GatewayProcess
from tests.integration.proxy import Proxy
from tests.integration.waiting import eventually, logged

Gateways = Callable[..., GatewayProcess]
WITHIN = 10.0


def stop(edge: GatewayProcess, number: int = signal.SIGTERM) -> int:
    """The exit code after this signal; fails if it takes longer than 10 s."""
    begun = time.monotonic()
    edge.signal(number)
    eventually(lambda: not edge.running, "it ends", 20)
    assert time.monotonic() - begun < WITHIN
    return edge.stop()


@pytest.fixture
def black_hole() -> Iterator[int]:
    """A TCP port where connections are taken and nothing is ever answered."""
    with socket.create_server((localbroker.HOST, 0), backlog=100) as server:
        yield server.getsockname()[1]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=["SIGTERM", "SIGINT"])
def test_a_stop_says_that_all_is_offline(
    number: int, client: TestClient, gateway: Gateways, kept: Callable[..., dict[str, Any]]
) -> None:
    """The exit code is 0; the gateway's status and those of its devices say offline, retained; the Will adds nothing."""
    edge = gateway()
    client.publish("config/devices/C/B/D", fake(), retain=True)
    client.publish("config/devices/C/B/Bad", {"driver_type": "fake", "interval": 0.2, "registry_config": 7}, retain=True)
    client.online("C/B/D")
    client.status("C/B/Bad", state="misconfigured")
    assert stop(edge, number) == 0
    on_broker = {topic: message.json for topic, message in kept("#").items() if not topic.startswith("config/")}
    assert on_broker[f"gateways/{edge.id}/status"]["state"] == "offline"
    assert on_broker[f"gateways/{edge.id}/status"]["contract"] == 1
    assert "instance" in on_broker[f"gateways/{edge.id}/status"]
    status = on_broker["devices/C/B/D/status"]
    assert (status["state"], status["reason"]["code"], status["gateway"]) == ("offline", "unavailable", edge.id)
    assert status["last_reading"] is not None
    assert on_broker["devices/C/B/Bad/status"]["state"] == "misconfigured"
    last = edge.log_lines()[-1]
    assert last["event"] == "the gateway stops"


def test_many_devices_and_a_dead_one_stop_in_time(client: TestClient, gateway: Gateways, black_hole: int) -> None:
    """With 50 devices, slow ones and a black hole among them, all are told to be offline in time."""
    edge = gateway()
    row = {"Point Name": "r", "Volttron Point Name": "r", "Modbus Register": ">H", "Point Address": "0"}
    dead = {
        "driver_type": "modbus",
        "driver_config": {"device_address": localbroker.HOST, "port": black_hole, "timeout": 5},
        "interval": 1,
        "registry_config": [row],
    }
    client.publish("config/devices/C/B/Dead", dead, retain=True)
    for number in range(49):
        slow = {"driver_config": {"latency": 2.0}} if number < 5 else {}
        client.publish(f"config/devices/C/B/D{number}", fake(1, **slow), retain=True)
    for number in range(49):
        client.online(f"C/B/D{number}", timeout=20)
    assert client.status("C/B/Dead")["state"] != "misconfigured"
    time.sleep(0.5)  # so that requests are on the way
    mark = client.mark()
    assert stop(edge) == 0
    for number in range(49):
        client.status(f"C/B/D{number}", state="offline", after=mark)
    client.status("C/B/Dead", state="offline")
    client.wait_for(f"gateways/{edge.id}/status", lambda m: m.json["state"] == "offline", after=mark)


def test_requests_that_wait_are_answered_unavailable(client: TestClient, gateway: Gateways) -> None:
    """What can not be carried out any more gets its answer all the same."""
    edge = gateway()
    client.publish("config/devices/C/B/D", fake(60, driver_config={"latency": 0.5}), retain=True)
    client.online("C/B/D")
    assert client.request("rpc/ops/set_point/C/B/D/n", "1").result == 1.0
    mark = client.mark()
    for number in range(20):
        client.send("rpc/ops/set_point/C/B/D/n", str(number), response_topic=f"replies/ops/{number}")
    client.wait_for("replies/ops/0")
    assert stop(edge) == 0
    codes = [client.wait_for(f"replies/ops/{number}").json.get("error", {}).get("code", "ok") for number in range(20)]
    assert codes == sorted(codes)  # some ok, then the rest
    assert {*codes} == {"ok", "unavailable"}
    assert len(client.messages("replies/ops/+", after=mark)) == 20


def test_a_device_that_hangs_is_left(client: TestClient, gateway: Gateways) -> None:
    """The exit code is 0 all the same, and who waits for that device has an answer."""
    edge = gateway()
    client.publish("config/devices/C/B/D", fake(60, driver_config={"latency": 30}), retain=True)
    client.status("C/B/D")
    mark = client.mark()
    client.send("rpc/ops/get_point/C/B/D/n", response_topic="replies/ops/read")
    client.send("rpc/ops/set_point/C/B/D/n", "1", response_topic="replies/ops/write")
    assert stop(edge) == 0
    for topic in ("replies/ops/read", "replies/ops/write"):
        assert client.wait_for(topic, after=mark).json["error"]["code"] == "unavailable"
    client.status("C/B/D", state="offline", after=mark)
    assert edge.log_lines()[-1]["event"] == "a device has not answered in time and was left"


def test_a_stop_without_a_broker(gateway: Gateways) -> None:
    """A gateway that has never found its broker ends as well as any other."""
    edge = gateway(url=f"mqtt://{localbroker.HOST}:{localbroker.free_port()}")
    logged(edge, "no connection to the broker")
    assert stop(edge) == 0


def test_a_stop_while_the_broker_is_down(
    broker: Any, client: TestClient, proxy: Callable[[int], Proxy], gateway: Gateways
) -> None:
    """So does one that has lost it."""
    way = proxy(broker.url.port)
    edge = gateway(url=way.url)
    client.publish("config/devices/C/B/D", fake(), retain=True)
    client.online("C/B/D")
    way.shut()
    logged(edge, "no connection to the broker")
    assert stop(edge) == 0


def test_a_stop_while_the_broker_answers_nothing(own_broker: Callable[..., OwnBroker], gateway: Gateways) -> None:
    """A broker that hangs does not hold it up."""
    broker = own_broker()
    edge = gateway(url=str(broker.url))
    client = TestClient(broker.url, edge.id.removesuffix("-edge"))
    client.subscribe("devices/#")
    client.publish("config/devices/C/B/D", fake(), retain=True)
    client.online("C/B/D")
    broker.signal(signal.SIGSTOP)
    time.sleep(0.5)  # so that something waits for its acknowledgement
    try:
        assert stop(edge) == 0
    finally:
        broker.signal(signal.SIGCONT)
        client.close()
