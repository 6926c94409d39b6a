"""Who may write, and what is checked before the bytes go, on a whole gateway."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.integration.client import TestClient
from tests.integration.documents import modbus, register
from tests.integration.plant import Plant
from tests.integration.process import GatewayProcess
from tests.integration.site import Site
from tests.integration.waiting import eventually

Gateways = Callable[..., GatewayProcess]


@pytest.fixture(scope="module")
def plant() -> Iterator[Plant]:
    """A Modbus device that remembers what was written."""
    with Plant() as plant:
        yield plant


@pytest.fixture
def there(house: Site) -> TestClient:
    """The module's client."""
    return house.clients[0]


@pytest.fixture
def device(there: TestClient, plant: Plant, path: str) -> str:
    """The path of a device that may be written: ``p`` at 10, ``q`` at 11 with a Default Value, ``r`` read only."""
    step = register("step", 12, **{"Max Step": 5})
    paced = register("paced", 13, **{"Min Write Interval": 60})
    rows = [register("p", 10), register("q", 11, **{"Default Value": 77}), register("r", 20, writable=False), step, paced]
    plant.words[:100] = range(100)
    plant.writes.clear()
    there.publish(f"config/devices/{path}", modbus(plant.port, *rows), retain=True)
    there.online(path)
    eventually(lambda: ask(there, f"rpc/ops/set_point/{path}/q", "11") == 11, "the claim is settled")
    plant.writes.clear()
    return path


def ask(client: TestClient, topic: str, payload: Any = b"") -> Any:
    """The result of a request, or the code of its refusal."""
    answer = client.request(topic, payload).json
    return answer["result"] if "result" in answer else answer["error"]["code"]


def test_set_points_writes_all_or_nothing(there: TestClient, device: str, plant: Plant) -> None:
    """One bad value, and nothing is written; else each point tells what it took."""
    bad = ask(there, f"rpc/ops/set_points/{device}", {"values": {"p": 1, "q": "x", "r": 1, "none": 1}})
    assert bad["values"] == {}
    assert {name: error["code"] for name, error in bad["errors"].items()} == {
        "q": "bad_value",
        "r": "read_only",
        "none": "unknown_point",
    }
    many = {"p": 1} | {f"none{number}": 1 for number in range(101)}
    assert ask(there, f"rpc/ops/set_points/{device}", {"values": many}) == "unknown_point"
    assert plant.writes == []
    assert ask(there, f"rpc/ops/set_points/{device}", {"values": {"p": 0, "q": 2}}) == {
        "values": {"p": 0, "q": 2},
        "errors": {},
    }
    assert (plant.values(10), plant.values(11)) == ([0], [2])


def test_a_long_step_and_a_quick_write_are_refused(there: TestClient, device: str, plant: Plant) -> None:
    """Max Step counts from what the device holds now, Min Write Interval from the write before."""
    assert ask(there, f"rpc/ops/set_point/{device}/step", "18") == "out_of_range"
    assert ask(there, f"rpc/ops/set_point/{device}/step", "17") == 17
    assert ask(there, f"rpc/ops/set_point/{device}/paced", "1") == 1
    assert ask(there, f"rpc/ops/set_point/{device}/paced", "2") == "busy"
    assert (plant.values(12), plant.values(13)) == ([17], [1])


def test_only_the_holder_writes(there: TestClient, device: str, plant: Plant) -> None:
    """Not others, not with an old fence, not with a wrong task; and reverting needs the same right."""
    lease = ask(there, f"rpc/ops/acquire_lease/{device}", {"duration": 60})
    assert ask(there, f"rpc/eve/set_point/{device}/p", "1") == "leased_by_other"
    assert ask(there, f"rpc/eve/revert_point/{device}/p") == "leased_by_other"
    assert ask(there, f"rpc/eve/revert_device/{device}") == "leased_by_other"
    assert ask(there, f"rpc/ops/set_point/{device}/p", {"value": 1, "fence": lease["fence"] - 1}) == "lease_lost"
    assert ask(there, f"rpc/ops/set_point/{device}/p", {"value": 1, "lease": "another"}) == "lease_lost"
    assert plant.writes == []
    named = {"value": 1, "fence": lease["fence"], "lease": lease["task_id"]}
    assert ask(there, f"rpc/ops/set_point/{device}/p", named) == 1
    [task] = ask(there, f"rpc/eve/list_leases/{device}")
    assert task["task_id"] == lease["task_id"]
    assert ask(there, f"rpc/ops/renew_lease/{device}", {"duration": 120})["fence"] == lease["fence"]
    assert ask(there, f"rpc/ops/release_lease/{device}") is None


def test_reverts_on_demand(there: TestClient, device: str, plant: Plant) -> None:
    """A default is written; under a lease the value from before comes back, twice in a row too; else nothing is known."""
    ask(there, f"rpc/ops/set_point/{device}/q", "1")
    assert ask(there, f"rpc/ops/revert_point/{device}/q") == 77
    assert ask(there, f"rpc/ops/revert_point/{device}/p") is None
    ask(there, f"rpc/ops/acquire_lease/{device}", {"duration": 60})
    for value in (5, 6):
        assert ask(there, f"rpc/ops/set_point/{device}/p", str(value)) == value
        assert ask(there, f"rpc/ops/revert_point/{device}/p") == 10
    ask(there, f"rpc/ops/set_point/{device}/p", "7")
    assert ask(there, f"rpc/ops/revert_device/{device}") == {"values": {"p": 10, "q": 77}, "errors": {}}
    ask(there, f"rpc/ops/release_lease/{device}")
    assert plant.values(10) == [5, 10, 6, 10, 7, 10]


def test_null_goes_back(there: TestClient, device: str, plant: Plant) -> None:
    """To the default, to what was there before the lease's first write, and without either it is refused."""
    assert ask(there, f"rpc/ops/set_point/{device}/q", "null") == 77
    assert ask(there, f"rpc/ops/set_point/{device}/p", "null") == "bad_value"
    ask(there, f"rpc/ops/acquire_lease/{device}", {"duration": 60})
    ask(there, f"rpc/ops/set_point/{device}/p", "5")
    assert ask(there, f"rpc/ops/set_point/{device}/p", "null") == 10
    ask(there, f"rpc/ops/release_lease/{device}")


def test_a_schedule_as_in_volttron(there: TestClient, device: str) -> None:
    """A slot begins by the clock, is told, and ends; its failures have VOLTTRON's words."""
    start = datetime.now(UTC) + timedelta(seconds=1)
    slot = [device, start.isoformat(), (start + timedelta(seconds=1)).isoformat()]
    request = {"task_id": "t-" + device, "priority": "LOW", "requests": [slot]}
    assert ask(there, "rpc/ops/request_new_schedule", request)["result"] == "SUCCESS"
    assert ask(there, "rpc/eve/request_new_schedule", request)["info"] == "TASK_ID_ALREADY_EXISTS"
    begun = there.wait_for(f"actuator/leases/{device}", lambda m: m.payload)
    assert begun.json["holder"] == "ops"
    there.wait_for(f"actuator/leases/{device}", lambda m: not m.payload)
    assert ask(there, "rpc/ops/request_cancel_schedule", {"task_id": "none"})["info"] == "TASK_ID_DOES_NOT_EXIST"
    assert ask(there, "rpc/ops/request_new_schedule", request | {"requests": [["C/B/none", *slot[1:]]]}) == "unknown_device"


def test_overrides_shut_off(there: TestClient, device: str) -> None:
    """Case counts, patterns overlap, and exactly the one that was set can be taken back."""
    campus, building, name = device.split("/")
    assert ask(there, "rpc/chief/set_override_on", {"pattern": device, "duration": 60})["pattern"] == device
    assert ask(there, "rpc/chief/set_override_on", {"pattern": f"{campus}/*/{name}"})["until"] is None
    assert ask(there, "rpc/chief/get_override_devices") == [device]
    assert set(ask(there, "rpc/chief/get_override_patterns")) == {device, f"{campus}/*/{name}"}
    assert ask(there, f"rpc/ops/acquire_lease/{device}", {"duration": 5}) == "overridden"
    assert ask(there, "rpc/chief/set_override_off", {"pattern": device.lower()}) == "bad_request"
    assert ask(there, "rpc/chief/set_override_off", {"pattern": device}) is None
    assert ask(there, f"rpc/ops/set_point/{device}/p", "1") == "overridden"
    assert ask(there, f"rpc/ops/revert_device/{device}") == "overridden"
    assert ask(there, "rpc/chief/clear_overrides") is None
    assert ask(there, f"rpc/ops/set_point/{device}/p", "1") == 1
    assert building == "B"


def test_everything_is_in_the_audit_log_once(there: TestClient, device: str) -> None:
    """Each write, refusal, revert and change has one event, on MQTT and in the log."""
    there.wait_for(f"actuator/events/{device}")  # of the write that showed that the device may be written
    mark = there.mark()
    ask(there, f"rpc/ops/acquire_lease/{device}", {"duration": 60})
    ask(there, f"rpc/ops/set_point/{device}/p", "5")
    ask(there, f"rpc/eve/set_point/{device}/p", "6")
    ask(there, f"rpc/ops/set_point/{device}/p", "x")
    ask(there, f"rpc/ops/release_lease/{device}")
    eventually(lambda: len(there.messages(f"actuator/events/{device}", after=mark)) == 6, "six events")
    time.sleep(0.2)
    told = [message.json for message in there.messages(f"actuator/events/{device}", after=mark)]
    kinds = sorted((event["event"], event["requester"], event["outcome"]) for event in told)
    assert kinds == [
        ("lease", "ops", "ok"),
        ("lease", "ops", "ok"),
        ("refused", "eve", "leased_by_other"),
        ("refused", "ops", "bad_value"),
        ("revert", "ops", "ok"),
        ("write", "ops", "ok"),
    ]
    kept = ask(there, f"rpc/ops/list_events/{device}", {"limit": 6})
    assert sorted(kept, key=repr) == sorted(told, key=repr)
    write = next(event for event in told if event["event"] == "write")
    assert (write["old"], write["new"], write["point"]) == (10, 5, "p")


def test_hearts_beat(gateway: Gateways, client: TestClient, plant: Plant) -> None:
    """1 and 0 by turns, under a lease and an override too, and nothing of it is given back."""
    edge = gateway(actuator={"heartbeat_interval": 0.3})
    plant.words[:100] = range(100)
    plant.writes.clear()
    config = modbus(plant.port, register("beat", 30), heart_beat_point="beat")
    client.publish("config/devices/C/B/Beat", config, retain=True)
    client.online("C/B/Beat")
    ask(client, "rpc/ops/acquire_lease/C/B/Beat", {"duration": 60})
    ask(client, "rpc/chief/set_override_on", {"pattern": "*"})
    before = len(plant.writes)
    eventually(lambda: len(plant.writes) >= before + 4, "beats")
    beats = plant.values(30)
    assert all(a != b for a, b in itertools.pairwise(beats))
    edge.stop()
    assert plant.words[30] in (0, 1)


def test_a_required_lease(gateway: Gateways, client: TestClient, plant: Plant) -> None:
    """By the setting, and by the device's own key."""
    gateway(actuator={"lease_required": True})
    for path, keys in (("C/B/Both", {}), ("C/B/Free", {"lease_required": False})):
        client.publish(f"config/devices/{path}", modbus(plant.port, register("p", 10), **keys), retain=True)
        client.online(path)
    assert ask(client, "rpc/ops/set_point/C/B/Both/p", "1") == "lease_required"
    assert ask(client, "rpc/ops/set_point/C/B/Free/p", "1") == 1
    ask(client, "rpc/ops/acquire_lease", {"devices": ["C/B/Both"], "duration": 60})
    assert ask(client, "rpc/ops/set_point/C/B/Both/p", "2") == 2


def test_a_write_without_an_answer(there: TestClient, device: str, plant: Plant) -> None:
    """Its outcome is unknown, never a plain failure, and what the point holds then is told."""
    plant.forget = 1
    answer = there.request(f"rpc/ops/set_point/{device}/p", "5").error
    assert (answer["code"], answer["data"]["read_back"]) == ("outcome_unknown", 5)
    assert plant.values(10) == [5]
