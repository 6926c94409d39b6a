"""Thousands of retained configs: all of them are loaded, or it is known, told and mended as far as it can be."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from gateway.payloads import dump
from tests.integration.brokers import STOCK, OwnBroker
from tests.integration.client import TestClient
from tests.integration.fastclient import retain
from tests.integration.process import GatewayProcess
from tests.integration.site import Site
from tests.integration.waiting import PATIENCE, eventually

COUNT = 5000
PATHS = [f"C/B{n % 50:02}/D{n}" for n in range(COUNT)]

pytestmark = [pytest.mark.alone, pytest.mark.timeout(300)]


def big(points: int = 20) -> bytes:
    """The config of a fake device, in about 3 KB."""
    rows = [
        {
            "Point Name": f"point {n}",
            "Volttron Point Name": f"Point{n}",
            "Units": "degreesFahrenheit",
            "Type": "float",
            "Notes": "x" * 30,
        }
        for n in range(points)
    ]
    return dump({"driver_type": "fake", "driver_config": {}, "interval": 60, "registry_config": rows})


def loaded(client: TestClient, edge: GatewayProcess) -> int:
    """How many devices the gateway runs; none while it is not ready to say, or does not hear requests yet."""
    reply_to = f"replies/ops/{client.mark()}"
    client.send(f"rpc/ops/list_devices/{edge.id}", response_topic=reply_to, expiry=5)
    try:
        answer = client.wait_for(reply_to, timeout=6).json
    except AssertionError:  # sent before it had subscribed: nobody will ever answer
        return 0
    assert "result" in answer or answer["error"]["code"] == "timeout", answer
    return len(answer.get("result", ()))


def memory(edge: GatewayProcess) -> str:
    """Resident memory, as the kernel says it."""
    with Path(f"/proc/{edge.pid}/status").open() as file:
        return next(line.split(":")[1].strip() for line in file if line.startswith("VmRSS"))


def problems(client: TestClient, edge: GatewayProcess) -> dict[str, str]:
    """What the gateway's newest status tells."""
    told = [m.json for m in client.messages(f"gateways/{edge.id}/status")]
    return {problem["code"]: problem["message"] for problem in told[-1].get("problems", ())} if told else {}


def quiet(site: Site, broker: OwnBroker) -> TestClient:
    """A client that hears the gateways, and not their devices."""
    client = site.connect(url=broker.url, outputs=False)
    client.subscribe("gateways/#", "replies/#")
    return client


def test_five_thousand_configs_load(own_broker: Callable[..., OwnBroker], site: Site) -> None:
    """With the broker's settings that the project ships, 5,000 devices of 3 KB each run within 30 s."""
    broker = own_broker()
    payload = big()
    assert 2800 < len(payload) < 3300
    retain(broker.url, [(f"{site.prefix}/config/devices/{path}", payload) for path in PATHS])
    client = quiet(site, broker)
    begun = time.monotonic()
    edge = site.gateway(url=str(broker.url))
    client.wait_for(f"gateways/{edge.id}/status", timeout=60 * PATIENCE)
    eventually(lambda: loaded(client, edge) == COUNT, "all are loaded", 60)
    took = time.monotonic() - begun
    print(f"{COUNT} configs of {len(payload)} bytes: {took:.1f} s, {memory(edge)}")
    assert took < 30 * PATIENCE
    assert problems(client, edge) == {}
    site_wide = client.mark()
    client.publish(f"config/devices/{PATHS[0]}", b"", retain=True)  # updates come live now
    eventually(lambda: loaded(client, edge) == COUNT - 1, "one is removed", 10)
    assert client.messages("#", after=site_wide)


def test_a_broker_that_cuts_the_replay_is_found_out(own_broker: Callable[..., OwnBroker], site: Site) -> None:
    """With Debian's settings the cut is filled for every building that is seen, and told with the setting that cures it."""
    broker = own_broker(STOCK)
    retain(broker.url, [(f"{site.prefix}/config/devices/{path}", big()) for path in PATHS])
    client = quiet(site, broker)
    begun = time.monotonic()
    edge = site.gateway(url=str(broker.url))
    eventually(lambda: problems(client, edge), "it is told", 60 + 10 * PATIENCE)
    took = time.monotonic() - begun
    message = problems(client, edge)["replay_cut"]
    assert "max_queued_messages" in message
    eventually(lambda: loaded(client, edge), "it is ready", 60 + 10 * PATIENCE)
    runs: set[str] = set()

    def agreed() -> bool:
        """Whether as many run as are told of; more may have been found since it was told first."""
        runs.update(client.request(f"rpc/ops/list_devices/{edge.id}", timeout=60 + 10 * PATIENCE).result)
        return f"{len(runs)} devices are known" in problems(client, edge)["replay_cut"]

    eventually(agreed, "what is told is what runs")
    print(f"{len(runs)} of {COUNT} configs after {took:.1f} s, {memory(edge)}: {message}")
    buildings = {path.split("/")[1] for path in runs}
    assert {path for path in PATHS if path.split("/")[1] in buildings} == runs
    missing = next((path for path in PATHS if path not in runs), None)
    if missing is not None:  # a hint is enough: a live message of any device of the building
        client.publish(f"config/devices/{missing}", big(19), retain=True)
        eventually(lambda: missing in client.request(f"rpc/ops/list_devices/{edge.id}").result, "it runs", 20)


@pytest.mark.parametrize(("limit", "points", "count"), [(10, 400, 300), (100, 100, 1000)])
def test_a_cut_is_found_out_however_fast_we_read(
    own_broker: Callable[..., OwnBroker], site: Site, limit: int, points: int, count: int
) -> None:
    """A broker that drops in the middle of a replay, and has room again for its end, is told."""
    broker = own_broker(STOCK | {"max_queued_messages": str(limit)})
    retain(broker.url, [(f"{site.prefix}/config/devices/{path}", big(points)) for path in PATHS[:count]])
    client = quiet(site, broker)
    edge = site.gateway(url=str(broker.url))
    told = eventually(lambda: problems(client, edge), "it is told", 60)
    print(told)
    assert "max_queued_messages" in told["replay_cut"]


def test_whose_the_devices_are_is_read_whole_though_the_broker_cuts(
    own_broker: Callable[..., OwnBroker], site: Site
) -> None:
    """A second gateway takes no device of one that is offline, also where the replay of the statuses is cut."""
    broker = own_broker(STOCK | {"max_queued_messages": "50"})
    count = 2000
    paths = PATHS[:count]
    status = dump({"gateway": "someone", "state": "offline", "config": {}, "reason": "x" * 4000})
    retain(broker.url, [(f"{site.prefix}/config/devices/{path}", big(1)) for path in paths])
    retain(broker.url, [(f"{site.prefix}/devices/{path}/status", status) for path in paths])
    client = quiet(site, broker)
    begun = time.monotonic()
    edge = site.gateway(url=str(broker.url))
    told: list[dict[str, Any]] = []

    def known() -> bool:
        told[:] = [m.json for m in client.messages(f"gateways/{edge.id}/status")][-1:]
        return bool(told and told[0].get("owned_by_other"))

    eventually(known, "it knows", 60)
    print(f"{len(told[0]['owned_by_other'])} of {count} after {time.monotonic() - begun:.1f} s: {problems(client, edge)}")
    assert client.request(f"rpc/ops/list_devices/{edge.id}").result == {}
    assert set(told[0]["owned_by_other"]) <= set(paths)
