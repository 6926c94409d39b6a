"""Hostile input on config and request topics: refused with a reason, and nothing else is disturbed."""

from __future__ import annotations

import hashlib
import json
import random
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from itertools import pairwise

import pytest

from tests.fuzz import hostile
from tests.fuzz.hostile import reasoned
from tests.integration.client import Received, TestClient
from tests.integration.documents import fake, modbus, point, register
from tests.integration.site import Site
from tests.integration.waiting import PATIENCE, SEED, scaled

pytestmark = pytest.mark.alone

PROMPT = 0.05 * PATIENCE
"""Seconds within which 99 of 100 pings are answered, and readings come, whatever else goes on."""
SOON = 1.25
"""Seconds within which everything is answered, all of them: a machine that does other things as well may leave a process
alone for a while. What a single input costs of the processor is bounded in tests/fuzz."""
RHYTHM = 0.1
GOOD = "Healthy/B/D"
CODES = {
    "bad_request", "unknown_method", "unknown_device", "unknown_point", "read_only", "bad_value", "out_of_range",
    "device_offline", "device_rejected", "misconfigured",
}  # fmt: skip


@pytest.fixture(scope="module")
def client(house: Site) -> TestClient:
    """The client of the module's site, with a device that is well; both drivers are loaded."""
    client = house.clients[0]
    client.publish("config/devices/Healthy/B/M", modbus(9, interval=60), retain=True)
    client.status("Healthy/B/M", state="offline")
    client.publish(f"config/devices/{GOOD}", fake(interval=RHYTHM, gateway=house.gateways[0].id), retain=True)
    client.online(GOOD)
    return client


@contextmanager
def undisturbed(house: Site) -> Iterator[None]:
    """Fails if pings are not answered promptly meanwhile, or the healthy device misses its rhythm."""
    watcher = house.connect(outputs=False)
    watcher.subscribe(f"devices/{GOOD}/all", "replies/watcher/#")
    watcher.wait_for(f"devices/{GOOD}/all")
    stop, waits = threading.Event(), []

    def ping() -> None:
        while not stop.wait(0.02):
            begun = time.monotonic()
            waits.append(watcher.request("rpc/watcher/ping").at - begun)

    thread = threading.Thread(target=ping)
    thread.start()
    try:
        yield
        end = watcher.mark()
        watcher.wait_for(f"devices/{GOOD}/all", lambda _: len(watcher.messages(f"devices/{GOOD}/all", end)) >= 3)
    finally:
        stop.set()
        thread.join()
    check_times(waits, 0.0)
    check_times(gaps(watcher), RHYTHM)


def check_times(seconds: Sequence[float], due: float) -> None:
    """Fails unless 99 of 100 were promptly when they were due, and all of them soon."""
    assert sorted(seconds)[max(0, len(seconds) * 99 // 100 - 1)] < due + PROMPT
    assert max(seconds) < due + SOON


def gaps(client: TestClient, after: int = 0) -> list[float]:
    """The times between two answers of the healthy device, in seconds, by the gateway's clock."""
    messages = client.messages(f"devices/{GOOD}/all", after)
    times = [datetime.fromisoformat(message.json["timestamp"]).timestamp() for message in messages]
    return [later - earlier for earlier, later in pairwise(times)]


def judged(client: TestClient, path: str, payload: bytes) -> Received:
    """The status that tells the verdict on a document."""
    client.send(f"config/devices/{path}", payload, retain=True)
    digest = hashlib.sha256(payload).hexdigest()
    return client.wait_for(f"devices/{path}/status", lambda m: m.payload and m.json["config"]["hash"] == digest)


def removed(client: TestClient, path: str) -> None:
    """Remove a device without waiting for it."""
    client.send(f"config/devices/{path}", b"", retain=True)


def check_verdict(told: Received) -> None:
    """A document is accepted, or every listed fault has its place and its reason."""
    config = told.json["config"]
    assert config["verdict"] in ("accepted", "rejected", "pending")
    assert (config["verdict"] == "accepted") == (config["errors"] == [])
    assert config["total_errors"] >= len(config["errors"])
    for fault in (*config["errors"], *config["warnings"]):
        assert fault["where"]
        assert reasoned(fault["message"]), fault


def check_answer(answer: Received) -> None:
    """A request is carried out, or refused with a code of the table and a reason."""
    if "error" in answer.json:
        assert answer.error["code"] in CODES, answer.payload
        assert reasoned(answer.error["message"]), answer.payload


def test_hostile_documents_are_refused_with_their_reasons(client: TestClient, path: str, house: Site):
    """Deep, huge, doubled, not UTF-8, not finite, half a surrogate: a verdict comes, and nobody else notices."""
    with undisturbed(house):
        for number, payload in enumerate(hostile.WHOLE):
            begun = time.monotonic()
            told = judged(client, f"{path}/{number}", payload)
            removed(client, f"{path}/{number}")
            check_verdict(told)
            assert told.json["config"]["verdict"] == "rejected", payload[:200]
            assert told.at - begun < SOON, payload[:200]


def test_hostile_registries_are_refused_with_their_reasons(client: TestClient, path: str, house: Site):
    """The same documents as a registry that a device links to."""
    with undisturbed(house):
        for number, payload in enumerate(hostile.WHOLE):
            link = f"hostile/{path.replace('/', '-')}-{number}"
            client.publish(f"config/{link}", payload, retain=True)
            told = judged(client, f"{path}/{number}", json.dumps(fake(f"config://{link}")).encode())
            removed(client, f"{path}/{number}")
            client.send(f"config/{link}", b"", retain=True)  # a broker that saves them all is slow to answer
            check_verdict(told)
            assert told.json["config"]["links"] == {link: hashlib.sha256(payload).hexdigest()}


@pytest.mark.parametrize("payload", hostile.WHOLE[:45])
@pytest.mark.parametrize("method", ["set_point", "get_points"])
def test_a_hostile_request_is_refused_with_its_reason(client: TestClient, house: Site, method: str, payload: bytes):
    """The same payloads as the argument of a request are answered with a reason, promptly."""
    begun = time.monotonic()
    answer = client.request(f"rpc/mallory/{method}/{GOOD}/t", payload)

    check_answer(answer)
    assert "error" in answer.json or payload in (b"0", b"null")
    assert answer.at - begun < SOON


@pytest.mark.long
def test_fuzzed_configs(client: TestClient, path: str, house: Site):
    """Configs with something wrong in them, one after another: each has its verdict, soon, and nobody else notices."""
    source = random.Random(f"{SEED} configs")
    rows = [point("a"), point("b", "int", "3", Min="0", Max="9"), point("c", "bool", "true", Notes="x")]
    documents = [
        fake(*rows, interval=30, retain=True, on_change={"max_silence": 60}, timezone="UTC", driver={"seed": 4}),
        modbus(9, register("a", 1, Scale="0.1"), register("b", 2, ">f"), interval=30, publish_depth_first=True),
    ]
    with undisturbed(house):
        for number in range(scaled(1000)):
            payload = hostile.mutated(source.choice(documents), source)
            begun = time.monotonic()
            told = judged(client, f"{path}/{number}", payload)
            removed(client, f"{path}/{number}")
            check_verdict(told)
            assert told.at - begun < SOON, payload


@pytest.mark.long
def test_fuzzed_requests(client: TestClient, path: str, house: Site):
    """Requests with something wrong in topic or payload: each is answered once, with a result or a reason."""
    source = random.Random(f"{SEED} requests")
    client.publish(f"config/devices/{path}", fake(gateway=house.gateways[0].id, interval=30), retain=True)
    client.online(path)
    arguments = {"device": path, "point": "t", "value": 2.5, "points": ["t"], "priority": 8}
    with undisturbed(house):
        for _ in range(scaled(1000)):
            topic = f"rpc/mallory/{hostile.target(path, source)}"
            begun = time.monotonic()
            answer = client.request(topic, hostile.mutated(arguments, source))
            check_answer(answer)
            assert answer.at - begun < SOON, topic[:200]
    removed(client, path)


@pytest.mark.parametrize("length", [1000, 30_000, 65_400])
def test_a_long_topic_is_answered_where_that_can_be(client: TestClient, house: Site, length: int):
    """A request topic of up to 64 KiB harms nobody; with a ResponseTopic it is answered."""
    topic = "rpc/mallory/get_point/C/B/" + "z" * (length - 26)
    with undisturbed(house):
        assert client.request(topic).error["code"] == "unknown_device"
        client.publish(topic)
        client.request("rpc/mallory/ping")


def test_the_longest_topic_harms_nobody(client: TestClient, house: Site):
    """A topic so long that replies/... would be longer than MQTT allows is not answered; the connection stands."""
    longest = 65_535 - len(house.prefix) - 1
    with undisturbed(house):
        client.publish("rpc/mallory/get_point/C/B/" + "z" * (longest - 26))
        client.request("rpc/mallory/ping")


def test_a_flood_of_requests_is_answered_to_the_last(client: TestClient, house: Site):
    """Two thousand requests at once are all answered, some of them busy; a healthy device keeps its rhythm."""
    start = client.mark()
    for _ in range(2000):
        client.send(f"rpc/mallory/last/{GOOD}/t", response_topic="replies/mallory/flood", qos=0)
    client.wait_for("replies/mallory/flood", lambda _: len(client.messages("replies/mallory/flood", start)) >= 2000)
    client.request("rpc/mallory/ping")

    answers = client.messages("replies/mallory/flood", start)
    assert len(answers) == 2000
    assert {dict(answer.user)["status"] for answer in answers} <= {"ok", "busy"}
    assert max(gaps(client, start), default=0.0) < RHYTHM + SOON
