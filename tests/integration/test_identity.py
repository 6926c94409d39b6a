"""Two processes with one id: the one that began later stays, the other goes idle."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from gateway import healthfile
from gateway.clock import SystemClock
from tests.integration.brokers import OwnBroker
from tests.integration.client import TestClient
from tests.integration.devices import Meter, fake
from tests.integration.process import GatewayProcess
from tests.integration.site import Site
from tests.integration.waiting import PATIENCE, eventually, logged

Gateways = Callable[..., GatewayProcess]


def instance(client: TestClient, edge: GatewayProcess, after: int = 0) -> str:
    """The instance that says it is online under this id."""
    found = client.wait_for(f"gateways/{edge.id}/status", lambda m: m.json["state"] == "online", 20 * PATIENCE, after=after)
    return str(found.json["instance"])


def rate(client: TestClient, path: str, seconds: float) -> float:
    """Readings of a device per second."""
    mark = client.mark()
    time.sleep(seconds)  # the time of observation
    return len(client.messages(f"devices/{path}/all", after=mark)) / seconds


@pytest.fixture
def meter() -> Iterator[Meter]:
    """A Modbus device that counts its requests."""
    with Meter() as meter:
        yield meter


def test_a_second_process_with_the_same_id_displaces_the_first(
    own_broker: Callable[..., OwnBroker], site: Site, meter: Meter
) -> None:
    """The process that began later runs the devices; the older one stops them, stays up idle, and does not come back."""
    broker = own_broker()
    client = site.connect(url=broker.url)
    first = site.gateway("edge", url=str(broker.url))
    client.publish("config/devices/C/B/D", fake(), retain=True)
    client.publish("config/devices/C/B/M", meter.config, retain=True)
    client.online("C/B/D")
    client.online("C/B/M")
    mark = client.mark()
    second = site.gateway("edge", url=str(broker.url))
    logged(first, "displaced", 15)
    was = instance(client, first)
    client.wait_for(f"gateways/{second.id}/status", lambda m: m.json.get("instance", was) != was, after=mark)
    client.reading("C/B/D", after=client.mark())
    time.sleep(1)  # to notice it, should the first one's last attempt have cut the second one's data link
    eventually(
        lambda: [e for e in second.log_lines() if "client_id" in e][-1]["event"].startswith("connected"), "it is back"
    )
    began = {each: each.log_lines()[0]["timestamp"] for each in (first, second)}
    assert began[first] < began[second]
    before = broker.connects(first.id), broker.connects(f"{first.id}.data")
    polled = rate(client, "C/B/D", 15)  # no ping-pong in this time
    assert (broker.connects(first.id), broker.connects(f"{first.id}.data")) == before
    assert before[0] <= 3
    assert before[1] <= 5
    assert 4 < polled < 6
    assert first.running
    assert "displaced" not in second.log_text()
    answers = client.mark()
    assert client.request("rpc/ops/set_point/C/B/D/n", "3").result == 3.0
    time.sleep(1)  # for an answer too many
    assert len(client.messages("replies/#", after=answers)) == 1
    assert second.stop() == 0
    asked = meter.requests
    time.sleep(2)  # to show that nobody asks the device any more
    assert meter.requests == asked
    assert first.running
    report = healthfile.read([first.directory / "state"])
    assert report is not None
    assert (report["health"], healthfile.fault(report, SystemClock().now(), strict=False)) == ("displaced", None)
    assert first.stop() == 0


def test_a_restarted_process_takes_over_at_once(client: TestClient, gateway: Gateways) -> None:
    """After kill -9 the next process of the same id goes on with the devices, without anybody being displaced."""
    edge = gateway()
    client.publish("config/devices/C/B/D", fake(), retain=True)
    client.online("C/B/D")
    first = instance(client, edge)
    edge.kill()
    mark = client.mark()
    edge.start()
    begun = time.monotonic()
    eventually(lambda: instance(client, edge, after=mark) != first, "the next process is there")
    client.reading("C/B/D", after=mark)
    assert time.monotonic() - begun < 5 * PATIENCE
    assert client.request("rpc/ops/set_point/C/B/D/n", "3").result == 3.0
    assert "displaced" not in edge.log_text()


def test_a_restart_takes_over_while_the_broker_still_has_the_old_connection(
    broker: Any, client: TestClient, gateway: Gateways
) -> None:
    """A process that hangs, its connections open, is displaced by the next one, and finds out when it goes on."""
    hung = gateway()
    client.publish("config/devices/C/B/D", fake(), retain=True)
    client.online("C/B/D")
    first = instance(client, hung)
    hung.freeze()
    mark = client.mark()
    edge = gateway()
    newer = client.wait_for(f"gateways/{edge.id}/status", lambda m: m.json.get("instance", first) != first, 20, after=mark)
    now = newer.json["instance"]
    client.reading("C/B/D", after=mark)
    hung.resume()
    logged(hung, "displaced", 20)
    eventually(
        lambda: [m.json for m in client.messages(f"gateways/{edge.id}/status")][-1].get("instance") == now,
        "the newer one's status stays",
    )
    mark = client.mark()
    client.reading("C/B/D", after=mark)
    assert 4 < rate(client, "C/B/D", 5) < 6
    assert client.request("rpc/ops/set_point/C/B/D/n", "3").result == 3.0


@pytest.mark.parametrize("dead", [False, True], ids=["", "after a dead one"])
def test_processes_that_start_together_leave_one(own_broker: Callable[..., OwnBroker], site: Site, dead: bool) -> None:
    """Of three processes of one id that start at the same moment one runs the devices, and the connections come to rest.

    So it is too if a dead one is retained that began later than all.
    """
    broker = own_broker()
    client = site.connect(url=broker.url)
    client.publish("config/devices/C/B/D", fake(), retain=True)
    if dead:
        later = {"state": "online", "contract": 1, "instance": "00ff", "started": "2099-01-01T00:00:00.000000Z"}
        client.publish(f"gateways/{site.prefix}-edge/status", later, retain=True)
    started = [site.gateway("edge", url=str(broker.url)) for _ in range(3)]
    eventually(lambda: sum("displaced" in each.log_text() for each in started) == 2, "two are displaced", 60)
    mark = client.mark()
    client.reading("C/B/D", after=mark, timeout=20 * PATIENCE)
    name = started[0].id
    last = client.messages(f"gateways/{name}/status")[-1].json
    assert last["state"] == "online"
    before = broker.connects(name), broker.connects(f"{name}.data")
    assert 4 < rate(client, "C/B/D", 6) < 6
    assert (broker.connects(name), broker.connects(f"{name}.data")) == before


def test_a_power_cut_and_an_earlier_clock_leave_nobody_idle(
    own_broker: Callable[..., OwnBroker], site: Site, set_clock: Callable[[int], None]
) -> None:
    """Broker and gateway die together, so what the broker kept says that the dead process is online, and began later."""
    broker = own_broker()
    client = site.connect(url=broker.url)
    edge = site.gateway("edge", url=str(broker.url))
    client.publish("config/devices/C/B/D", fake(), retain=True)
    client.online("C/B/D")
    first = instance(client, edge)
    broker.save()
    broker.kill()
    edge.kill()
    set_clock(-600)  # as it was last saved: a machine without a clock that runs on
    broker.start()
    client = site.connect(url=broker.url)
    begun = time.monotonic()
    edge.start()
    newer = client.wait_for(f"gateways/{edge.id}/status", lambda m: m.json.get("instance", first) != first, 20 * PATIENCE)
    assert newer.json["started"] < client.messages(f"gateways/{edge.id}/status")[0].json["started"]
    client.reading("C/B/D", after=client.mark())
    took = time.monotonic() - begun
    print(f"readings {took:.1f} s after the start")
    assert took < 12 * PATIENCE
    assert client.request("rpc/ops/set_point/C/B/D/n", "3").result == 3.0
    assert "displaced" not in edge.log_text()


def test_a_process_with_an_earlier_clock_leaves_a_living_one_alone(
    own_broker: Callable[..., OwnBroker], site: Site, meter: Meter, set_clock: Callable[[int], None]
) -> None:
    """Who began later by the clock tells that it lives, and goes on; the other asks its devices nothing, and says why."""
    broker = own_broker()
    client = site.connect(url=broker.url)
    first = site.gateway("edge", url=str(broker.url))
    client.publish("config/devices/C/B/M", meter.config, retain=True)
    client.online("C/B/M")
    name, began = first.id, instance(client, first)
    set_clock(-600)
    second = site.gateway("edge", url=str(broker.url))
    logged(second, "displaced", 15)
    assert broker.connects(name) == 1
    assert client.request("rpc/ops/get_point/C/B/M/r").result == 7
    eventually(lambda: broker.connects(f"{name}.data") >= 3, "the first one's readings go out again")
    assert rate(client, "C/B/M", 3) > 4
    assert {m.json.get("instance") for m in client.messages(f"gateways/{name}/status")} <= {began, None}

    def told() -> list[str]:
        report = healthfile.read([second.directory / "state"]) or {}
        return [problem["code"] for problem in report.get("problems", ()) if report["health"] == "displaced"]

    eventually(lambda: told() == ["displaced"], "it says so where one looks", 10)
    assert first.stop() == second.stop() == 0
