"""One requester who asks without end: it is told so, and all others are served as before."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from itertools import pairwise
from typing import Any

import pytest
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from gateway.queues import MIB, READS_LIMIT
from gateway.topics import path_fault
from tests.integration.brokers import OwnBroker
from tests.integration.client import TestClient
from tests.integration.documents import fake, point
from tests.integration.fastclient import PORTIONS, flood
from tests.integration.proxy import Proxy
from tests.integration.site import Site
from tests.integration.test_cycles import memory
from tests.integration.waiting import PATIENCE, scaled

pytestmark = pytest.mark.alone

RATE = 2000


INTERVAL = 1.0
JITTER = 0.1 * INTERVAL * PATIENCE
"""Seconds by which a poll may be early or late."""
GROWTH = 10
"""MiB by which the gateway may grow."""
PROMPT = 0.5 * PATIENCE
LEASE = 3.0
NAMES = (
    "../../etc/passwd",
    "C/../D",
    "./.",
    "C/B/$SYS",
    "C//D",
    "/C/B/D",
    "C/B/D/",
    "x/" * 190 + "x",
    "C/B/" + "z" * 20_000,
)


@pytest.fixture
def client(house: Site) -> TestClient:
    """The client of the module's site."""
    return house.clients[0]


@pytest.mark.long
@pytest.mark.timeout(600)
@pytest.mark.parametrize("method", ["get_point", "set_point"])
def test_a_flood_disturbs_nobody_else(client: TestClient, path: str, house: Site, method: str) -> None:
    """At 2,000 requests a second polls keep their rhythm, others are answered, a lease is reverted in time, memory stays."""
    edge, watcher = house.gateways[0], house.connect(outputs=False)
    watcher.subscribe(f"devices/{path}/all", f"actuator/events/{path}", "replies/bob/#", "replies/ops/#")
    watcher.publish(f"config/devices/{path}", fake(point("t", start="5"), interval=INTERVAL), retain=True)
    watcher.reading(path)
    topic = f"{house.prefix}/rpc/mallory/{method}/{path}/t"
    flood(house.broker.url, topic, b"1", RATE, 1.0)  # what it needs at most it may have before
    before, start, seconds = memory(edge, "VmRSS"), watcher.mark(), max(6, scaled(60))
    held = (
        None if method == "acquire_lease" else watcher.request(f"rpc/ops/acquire_lease/{path}", {"duration": LEASE}).result
    )
    assert watcher.request(f"rpc/ops/set_point/{path}/t", "7").result == 7.0
    with ThreadPoolExecutor() as pool:
        flooding = pool.submit(flood, house.broker.url, topic, b"1", RATE, seconds)
        while not flooding.done():
            begun = time.monotonic()
            assert "result" in watcher.request(f"rpc/bob/last/{path}/t").json
            assert time.monotonic() - begun < PROMPT
            time.sleep(0.1)  # as somebody who looks at it would ask

    assert flooding.result() > 0.8 * RATE
    assert memory(edge, "VmRSS") - before < GROWTH
    stamps = [_seconds(m.json["timestamp"]) for m in watcher.messages(f"devices/{path}/all", start)]
    assert len(stamps) >= seconds - 2
    assert max(abs(later - earlier - INTERVAL) for earlier, later in pairwise(stamps)) < JITTER
    events = [m.json for m in watcher.messages(f"actuator/events/{path}", start)]
    (revert,) = [event for event in events if event["event"] == "revert"]
    assert revert["outcome"] == "ok"
    assert -0.1 < _seconds(revert["timestamp"]) - _seconds(held["until"]) < 1.0 * PATIENCE
    watcher.publish(f"config/devices/{path}", b"", retain=True)


def test_a_flood_of_long_requests_costs_no_memory(client: TestClient, path: str, house: Site) -> None:
    """Read or too long or too many, also while an older request waits for its device; in the end all are served."""
    edge = house.gateways[0]
    client.publish(f"config/devices/{path}", fake(interval=60, driver={"latency": 6}), retain=True)
    client.status(path, verdict="accepted")
    topic = f"{house.prefix}/rpc/mallory/ping"
    payloads = [b'{"x":"' + b" " * length + b'"}' for length in (200_000, 400_000)]
    for payload in payloads:
        flood(house.broker.url, topic, payload, 2 * PORTIONS, 0.5)  # what it needs at most it may have before
    before = memory(edge, "VmRSS")
    client.publish(f"rpc/slow/get_point/{path}/t", b"")
    for payload in payloads:
        flood(house.broker.url, topic, payload, 2 * PORTIONS, 2.0)
    assert memory(edge, "VmRSS") - before < GROWTH
    answer = client.request("rpc/bob/ping", payloads[1])
    assert answer.error["code"] == "bad_request"
    assert "longer than the 262144" in answer.error["message"]
    assert client.request("rpc/bob/ping").result == "pong"
    client.publish(f"config/devices/{path}", b"", retain=True)


def test_a_huge_message_costs_no_memory(own_broker: Callable[..., OwnBroker], site: Site) -> None:
    """With a broker that takes any it is not kept, and its sender is told; as a configuration in the device's status."""
    broker = own_broker({"allow_anonymous": "true"})  # the sample takes 2 MB
    edge, client, huge = site.gateway(url=str(broker.url)), site.connect(url=broker.url), bytes(20 * MIB)
    client.publish("config/devices/C/B/small", fake(interval=60), retain=True)
    client.online("C/B/small")
    before = memory(edge, "VmHWM")
    answers = [client.request("rpc/bob/ping", huge, qos=qos).error for qos in (0, 1)]
    client.publish("config/devices/C/B/D", huge, retain=True)
    errors = client.status("C/B/D", state="misconfigured")["config"]["errors"]
    assert memory(edge, "VmHWM") - before < GROWTH
    assert [answer["code"] for answer in answers] == ["bad_request", "bad_request"]
    assert all("longer than the 262144" in fault["message"] for fault in (*answers, *errors))


def test_many_properties_hold_nobody_up(client: TestClient, path: str, house: Site) -> None:
    """A message with 60,000 user properties is one like others, and answered in the ordinary time."""
    client.publish(f"config/devices/{path}", fake(interval=60), retain=True)
    client.online(path)
    properties: Any = Properties(PacketTypes.PUBLISH)
    properties.UserProperty = [("a", "")] * 60_000
    packed = properties.pack()
    begun = time.monotonic()
    flood(house.broker.url, f"{house.prefix}/rpc/mallory/ping", b"", PORTIONS, 0.2, packed)
    assert client.request("rpc/bob/ping").result == "pong"
    assert time.monotonic() - begun < 3 * PATIENCE
    client.publish(f"config/devices/{path}", b"", retain=True)


def test_what_a_broker_does_not_take_is_bounded(site: Site, proxy: Callable[[int], Proxy]) -> None:
    """Long answers to 200 requests a second, on a link whose other end takes nothing, cost little; later all is well."""
    way = proxy(site.broker.url.port)
    edge, watcher = site.gateway(url=str(way.url)), site.connect()
    rows = [point(f"p{number}", Notes="x" * 150) for number in range(800)]
    watcher.publish("config/devices/C/B/Big", fake(*rows, interval=60), retain=True)
    watcher.online("C/B/Big")
    before = memory(edge, "VmHWM")
    way.hold("up")
    topics = [f"{site.prefix}/rpc/viewer{number}/list_points/C/B/Big" for number in range(4)]
    with ThreadPoolExecutor() as pool:
        list(pool.map(lambda topic: flood(site.broker.url, topic, b"", PORTIONS, 6.0), topics))
    assert memory(edge, "VmHWM") - before < GROWTH + READS_LIMIT / MIB
    assert "the oldest are dropped" in edge.log_text()
    way.release()
    assert watcher.request("rpc/bob/ping").result == "pong"


@pytest.mark.parametrize("named", NAMES)
def test_a_topic_that_names_no_device_is_refused(client: TestClient, named: str) -> None:
    """As a request it is answered with a reason; as a configuration it is a device if it may be one, and nothing else."""
    answer, later = client.request(f"rpc/eve/get_point/{named}/t"), f"C/B/After-{NAMES.index(named)}"
    for path in (named, later):
        client.publish(f"config/devices/{path}", fake(interval=60), retain=True)
    for path in (later, *([named] if path_fault(named) is None else ())):
        client.online(path)
    devices = client.request("rpc/eve/list_devices").result
    for path in (named, later):
        client.publish(f"config/devices/{path}", b"", retain=True)
    assert answer.error["code"] == "unknown_device"
    assert (named in devices) == (path_fault(named) is None)


def _seconds(stamp: str) -> float:
    return datetime.fromisoformat(stamp).timestamp()
