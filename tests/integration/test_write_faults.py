"""Writes that must not reach the device, counted where they would arrive: out of bounds, twice, too late, from the past."""

from __future__ import annotations

import random
import socket
import time
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import paho.mqtt.client as paho
import pytest
from paho.mqtt.enums import CallbackAPIVersion

from tests.integration.client import TestClient
from tests.integration.documents import modbus, register
from tests.integration.plant import Plant
from tests.integration.process import GatewayProcess
from tests.integration.site import Site
from tests.integration.waiting import SEED, eventually, scaled

Gateways = Callable[..., GatewayProcess]
D = "C/B/D"
P = f"rpc/ops/set_point/{D}/p"


@pytest.fixture
def plant() -> Iterator[Plant]:
    """A Modbus device that remembers what was written."""
    with Plant() as plant:
        yield plant


def run(client: TestClient, plant: Plant, edge: GatewayProcess, path: str = D, **keys: Any) -> None:
    """Have the gateway run the plant, which it may write at once."""
    rows = [
        register("p", 10),
        register("narrow", 11, Min=5, Max=20),
        register("stepped", 12, **{"Max Step": 2}),
        register("paced", 13, **{"Min Write Interval": 60}),
        register("fixed", 14, writable=False),
        register("float", 20, ">f"),
    ]
    client.publish(f"config/devices/{path}", modbus(plant.port, *rows, gateway=edge.id, **keys), retain=True)
    client.online(path)


@pytest.fixture
def edge(gateway: Gateways, client: TestClient, plant: Plant) -> GatewayProcess:
    """A gateway that runs the plant, and takes any number of requests."""
    edge = gateway(requests={"rate": 100_000, "burst": 100_000})
    run(client, plant, edge)
    return edge


def test_w1_what_is_out_of_bounds_sends_nothing(edge: GatewayProcess, client: TestClient, plant: Plant) -> None:
    """Limits, types, numbers that are none, steps, pace, read-only: each is refused and told once, no frame leaves."""
    assert client.request(f"rpc/ops/set_point/{D}/paced", b"1").result == 1
    plant.writes.clear()
    wrong = [("narrow", value, "out_of_range") for value in (b"4", b"21", b"-1", b"1e30", b'{"value": 20.5}')]
    wrong += [("p", value, "out_of_range") for value in (b"65536", b"-1")]
    words = (b"true", b'"5"', b"NaN", b"Infinity", b"1e400", b"[5]", b"0x5", b"five", b'{"value": {}}')
    wrong += [("p", value, "bad_value") for value in words]
    wrong += [("float", value, "bad_value") for value in (b"NaN", b"-Infinity", b"1e400")]
    wrong += [("stepped", b"15", "out_of_range"), ("paced", b"2", "busy"), ("fixed", b"1", "read_only")]
    for number, (name, value, code) in enumerate(wrong):
        mark, who = client.mark(), f"ops{number}"
        answer = client.request(f"rpc/{who}/set_point/{D}/{name}", value)
        got = answer.error["code"]
        assert got == code or {got, code} == {"bad_value", "out_of_range"}, (name, value, answer.payload)
        told = client.wait_for(f"actuator/events/{D}", lambda m, who=who: m.json["requester"] == who, after=mark).json
        assert (told["event"], told["outcome"], told["point"]) == ("refused", got, name)
    assert plant.writes == []


@pytest.mark.long
def test_w2_whatever_comes_twice_is_written_once(
    edge: GatewayProcess, client: TestClient, connect: Callable[..., TestClient], plant: Plant
) -> None:
    """Each of many writes is delivered one to five times, over changing connections: one write, an answer to each."""
    source, total = random.Random(SEED), scaled(10_000, least=200)
    sender, sent = connect(outputs=False), Counter[bytes]()
    for first in range(0, total, 20):
        if source.random() < 0.2:
            sender.close()
            sender = connect(outputs=False)
        mark = client.mark()
        batch = [n for n in range(first, first + 20) for _ in range(source.randint(1, 5))]
        source.shuffle(batch)
        for number in batch:
            sender.send(P, str(number), response_topic="replies/ops/w2", correlation=b"%d" % number)
        sent.update(b"%d" % number for number in batch)
        eventually(lambda: len(client.messages("replies/ops/w2", after=mark)) == len(batch), "the answers")  # noqa: B023
        assert all(m.result == int(m.correlation or b"") for m in client.messages("replies/ops/w2", after=mark))
    assert Counter(m.correlation for m in client.messages("replies/ops/w2")) == sent
    assert sorted(plant.values(10)) == list(range(total))


def test_w7_what_has_expired_is_not_started(edge: GatewayProcess, client: TestClient) -> None:
    """A write that waits behind a silent device until its expiry is answered then, and not sent when the device is back."""
    path = "C/B/slow"
    with Plant() as slow:
        run(client, slow, edge, path, timeout=4.0)
        slow.mute = True
        time.sleep(0.5)  # a poll is on its way to the silent device
        begun = time.monotonic()
        answer = client.request(f"rpc/ops/set_point/{path}/p", b"66", expiry=1)
        assert answer.error["code"] == "timeout"
        assert time.monotonic() - begun > 0.9
        slow.mute = False
        write = f"rpc/ops/set_point/{path}/p"
        eventually(lambda: client.request(write, b"2").json.get("result") == 2, "the device is back", 30)
        assert slow.values(10) == [2]


def dies_with(site: Site, topic: str, payload: str) -> None:
    """A client whose Will is a request is gone without a word."""
    client = paho.Client(CallbackAPIVersion.VERSION2, protocol=paho.MQTTv5)
    client.will_set(f"{site.prefix}/{topic}", payload, qos=1, retain=True)
    client.connect(site.broker.url.host, site.broker.url.port)
    client.loop_start()
    eventually(client.is_connected, "a connection")
    sock = client.socket()
    assert sock is not None
    client.loop_stop()
    sock.shutdown(socket.SHUT_RDWR)


@pytest.mark.parametrize("how", ["stop", "kill"])
def test_w8_what_was_asked_while_nobody_was_there_is_not_done(
    edge: GatewayProcess, client: TestClient, site: Site, plant: Plant, how: str
) -> None:
    """Requests of any QoS, retained ones, and the retained Will of a client that died: nothing of it reaches the device."""
    getattr(edge, how)()
    plant.writes.clear()
    for qos in (0, 1, 2):
        client.publish(P, b"66", qos=qos)
    client.publish(f"rpc/ops/set_point/{D}/narrow", b"6", retain=True)
    dies_with(site, f"rpc/ops/set_point/{D}/stepped", "13")
    eventually(lambda: len(site.kept("rpc/#")) == 2, "the Will is retained")
    mark = client.mark()
    edge.start()
    client.online(D, after=mark)
    for name in ("narrow", "stepped"):
        answer = client.wait_for(f"replies/ops/set_point/{D}/{name}", after=mark)
        assert answer.error["code"] == "bad_request"
    assert client.request(P, b"7").result == 7
    assert plant.writes[0].value == 7
    assert len(plant.writes) == 1
