"""VOLTTRON's actuator cases on a whole gateway: owners A and B, fake devices, a grace of one second and a half."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest

from gateway.clock import rfc3339
from tests.conftest_broker import Broker
from tests.integration.actuator import POINTS, holder, new_task, schedule, slot, write
from tests.integration.client import TestClient
from tests.integration.documents import fake
from tests.integration.site import Site
from tests.integration.waiting import eventually

GRACE = 1.5


@pytest.fixture(scope="module")
def house(broker: Broker, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A gateway with a short grace, for all tests of the module."""
    with Site(broker, tmp_path_factory.mktemp("leases")) as site:
        client = site.connect()
        edge = site.gateway(actuator={"preempt_grace": GRACE, "announce_interval": 0.5})
        client.wait_for(f"gateways/{edge.id}/status", lambda m: m.json["state"] == "online")
        yield site


@pytest.fixture
def client(house: Site) -> TestClient:
    """The client of the site."""
    return house.clients[0]


@pytest.fixture
def pair(client: TestClient, house: Site, path: str) -> Iterator[tuple[str, str]]:
    """Two devices that answer and can be written."""
    paths = (path + "a", path + "b")
    for one in paths:
        client.publish(f"config/devices/{one}", fake(*POINTS, interval=5, gateway=house.gateways[0].id), retain=True)
    for one in paths:
        client.online(one)
    yield paths
    for one in paths:
        client.publish(f"config/devices/{one}", b"", retain=True)
        client.wait_for(f"devices/{one}/status", lambda m: m.payload == b"")


def test_a1_a4_touching_slots_change_the_owner(client: TestClient, pair: tuple[str, str]) -> None:
    """Before its slot B is refused, at the boundary A is; after both the device is free, and each begin and end is told."""
    path, mark = pair[0], client.mark()
    start = time.time() + 0.5
    moments = [rfc3339(start + second) for second in (0, 1.5, 3)]
    assert schedule(client, "A", [path, *moments[:2]])[0] == "SUCCESS"
    assert schedule(client, "B", [path, *moments[1:]])[0] == "SUCCESS"
    assert holder(client, path) is None
    told = client.wait_for(f"actuator/leases/{path}", lambda m: m.payload, after=mark)
    assert (told.json["holder"], told.json["until"]) == ("A", moments[1])
    assert (write(client, "A", path, 11), write(client, "B", path, 12)) == (11, "leased_by_other")
    told = client.wait_for(f"actuator/leases/{path}", lambda m: m.payload and m.json["holder"] == "B", after=mark)
    assert time.time() >= start + 1.5
    assert (write(client, "A", path, 11), write(client, "B", path, 12)) == ("leased_by_other", 12)
    client.wait_for(f"actuator/leases/{path}", lambda m: m.payload == b"", after=client.mark())
    assert eventually(lambda: write(client, "C", path, 13) == 13, "a free device")


def test_a2_a3_devices_are_held_apart(client: TestClient, pair: tuple[str, str]) -> None:
    """One task holds two devices; another device of another owner is not touched by it."""
    assert schedule(client, "A", *(slot(path, -1, 60) for path in pair))[0] == "SUCCESS"
    assert [holder(client, path) for path in pair] == ["A", "A"]
    assert [write(client, "B", path, 1) for path in pair] == ["leased_by_other"] * 2


def test_a5_a6_a15_a16_failures_have_volttrons_words(client: TestClient, pair: tuple[str, str]) -> None:
    """Each failure of a request is answered as FAILURE with VOLTTRON's string, inside of a result."""
    path, task = pair[0], new_task()
    good = slot(path, 600, 700)
    assert schedule(client, "A", good, task=task)[0] == "SUCCESS"
    cases: list[tuple[dict[str, Any], str]] = [
        ({"requests": [slot(path, 100, 200), slot(path, 150, 250)]}, "REQUEST_CONFLICTS_WITH_SELF"),
        ({"requests": []}, "MALFORMED_REQUEST_EMPTY"),
        ({"requests": [[path, "soon", "later"]]}, "MALFORMED_REQUEST: ValueError"),
        ({"requests": [[path, "2026-11-22T12:00:00", "2026-11-22T13:00:00"]]}, "MALFORMED_REQUEST: ValueError"),
        ({"requests": [[path, good[1]]]}, "MALFORMED_REQUEST: ValueError"),
        ({"task_id": task}, "TASK_ID_ALREADY_EXISTS"),
        ({"task_id": None}, "MISSING_TASK_ID"),
        ({"task_id": ""}, "MALFORMED_REQUEST: TypeError: taskid must be a nonempty string"),
        ({"task_id": 1234}, "MALFORMED_REQUEST: TypeError: taskid must be a nonempty string"),
        ({"priority": None}, "MISSING_PRIORITY"),
        ({"priority": "LOW2"}, "INVALID_PRIORITY"),
    ]
    for changed, info in cases:
        arguments = {"task_id": new_task(), "priority": "HIGH", "requests": [slot(path, 800, 900)], **changed}
        result = client.request("rpc/B/request_new_schedule", arguments).result
        assert (result["result"], result["data"]) == ("FAILURE", {}), info
        assert result["info"].startswith(info)


def test_a7_a9_a10_a11_what_does_not_yield(client: TestClient, pair: tuple[str, str]) -> None:
    """HIGH does not pre-empt HIGH, nor LOW that has started, in its gaps too; LOW pre-empts nothing."""
    path, other = pair
    rows = {"a7": slot(path, 1000, 1100), "a11": slot(path, 2000, 2100)}
    task = new_task()
    assert schedule(client, "A", rows["a7"], task=task)[0] == "SUCCESS"
    assert schedule(client, "B", slot(path, 1050, 1060)) == (
        "FAILURE",
        "CONFLICTS_WITH_EXISTING_SCHEDULES",
        {"A": {task: [rows["a7"]]}},
    )
    assert schedule(client, "A", rows["a11"], priority="LOW_PREEMPT")[0] == "SUCCESS"
    assert schedule(client, "B", rows["a11"], priority="LOW")[1] == "CONFLICTS_WITH_EXISTING_SCHEDULES"
    assert schedule(client, "A", slot(other, -1, 0.5), slot(other, 60, 70), priority="LOW")[0] == "SUCCESS"
    assert schedule(client, "B", slot(other, 0, 10))[1] == "CONFLICTS_WITH_EXISTING_SCHEDULES"
    eventually(lambda: holder(client, other) is None, "the gap")
    assert schedule(client, "B", slot(other, 60, 70))[1] == "CONFLICTS_WITH_EXISTING_SCHEDULES"


def test_a8_a14_high_preempts_low_before_its_start(client: TestClient, pair: tuple[str, str]) -> None:
    """The holder is told on its own reply topic by whom; the same holder can push aside a lower task of its own."""
    path, mark, task = pair[0], client.mark(), new_task()
    schedule(client, "A", slot(path, 600, 700), task=task, priority="LOW")
    result, info, data = schedule(client, "B", slot(path, 650, 660))
    assert (result, info, data) == ("SUCCESS", "TASK_WERE_PREEMPTED", [["A", task]])
    told = client.wait_for("replies/A/leases", lambda m: m.json["task_id"] == task, after=mark).json
    assert (told["ended"], told["by"]) == ("preempted", "B")
    own = new_task()
    schedule(client, "A", slot(path, 800, 900), task=own, priority="LOW")
    assert schedule(client, "A", slot(path, 800, 900))[2] == [["A", own]]


def test_a12_grace_of_who_runs(client: TestClient, pair: tuple[str, str]) -> None:
    """LOW_PREEMPT that runs keeps the device for the grace, then loses it: first the one is refused, then the other."""
    path, mark, task = pair[0], client.mark(), new_task()
    schedule(client, "A", slot(path, -1, 60), task=task, priority="LOW_PREEMPT")
    began = time.monotonic()
    assert schedule(client, "B", slot(path, 0, 60))[1] == "TASK_WERE_PREEMPTED"
    assert (write(client, "B", path, 5), write(client, "A", path, 6)) == ("leased_by_other", 6)
    client.wait_for("replies/A/leases", lambda m: m.json["task_id"] == task, after=mark)
    eventually(lambda: holder(client, path) == "B", "the end of the grace")
    assert time.monotonic() - began >= GRACE
    assert (write(client, "A", path, 6), write(client, "B", path, 5)) == ("leased_by_other", 5)


def test_a13_preempted_on_one_device_loses_the_others_too(client: TestClient, pair: tuple[str, str]) -> None:
    """Pre-empted on a slot to come, A keeps what it holds for the grace only."""
    schedule(client, "A", slot(pair[0], -1, 60), slot(pair[1], 600, 700), priority="LOW_PREEMPT")
    assert schedule(client, "B", slot(pair[1], 600, 700))[1] == "TASK_WERE_PREEMPTED"
    assert holder(client, pair[0]) == "A"
    eventually(lambda: holder(client, pair[0]) is None, "the end of the grace")


def test_a18_cancel(client: TestClient, pair: tuple[str, str]) -> None:
    """A task is cancelled by its holder alone, and frees its device."""
    path, task = pair[0], new_task()
    schedule(client, "A", slot(path, -1, 60), task=task)
    answers = [
        client.request(f"rpc/{who}/request_cancel_schedule", {"task_id": name}).result
        for who, name in (("B", task), ("A", "nobody's"), ("A", task))
    ]
    assert [answer["info"] for answer in answers] == ["AGENT_ID_TASK_ID_MISMATCH", "TASK_ID_DOES_NOT_EXIST", ""]
    assert answers[2] == {"result": "SUCCESS", "info": "", "data": {}}
    assert holder(client, path) is None


def test_a19_lease_is_announced_while_it_lasts(client: TestClient, pair: tuple[str, str]) -> None:
    """Who holds the device is told at the start, then again and again with the time that remains, and once at the end."""
    path, mark = pair[0], client.mark()
    schedule(client, "A", slot(path, 0.5, 3))
    client.wait_for(f"actuator/leases/{path}", lambda m: m.payload, after=mark)
    client.wait_for(f"actuator/leases/{path}", lambda m: m.payload == b"", after=mark)
    *told, last = list(client.messages(f"actuator/leases/{path}", after=mark))
    assert len(told) >= 3
    assert len({(m.json["holder"], m.json["until"], m.json["fence"]) for m in told}) == 1
    assert last.payload == b""
    assert all(m.expiry is not None for m in told)


def test_a20_a26_reading_needs_no_lease(client: TestClient, pair: tuple[str, str]) -> None:
    """Others read a device that is held; an unknown point is named."""
    path = pair[0]
    schedule(client, "A", slot(path, -1, 60))
    assert client.request(f"rpc/B/get_point/{path}/level").result == 10
    assert client.request(f"rpc/B/scrape_all/{path}").result["values"].keys() == {"fixed", "level", "short", "on"}
    assert client.request(f"rpc/B/get_point/{path}/nowhere").error["code"] == "unknown_point"


def test_a21_writing_under_a_lease(client: TestClient, pair: tuple[str, str]) -> None:
    """Values of the point's type are taken, 0 and false too; others are refused, and so is a read-only point."""
    path = pair[0]
    schedule(client, "A", slot(path, -1, 60))
    assert [write(client, "A", path, value) for value in (2.5, 0)] == [2.5, 0]
    assert write(client, "A", path, False, "on") is False
    assert [write(client, "A", path, value) for value in ([0.2], "abcd")] == ["bad_value", "bad_value"]
    assert write(client, "A", path, 1, "fixed") == "read_only"
    assert client.request(f"rpc/B/get_point/{path}/level").result == 0


def test_a22_writing_without_a_lease(client: TestClient, house: Site, pair: tuple[str, str]) -> None:
    """A free device is written by anybody, unless its config asks for a lease; a held one by its holder alone."""
    path, strict = pair
    client.publish(f"config/devices/{strict}", fake(*POINTS, gateway=house.gateways[0].id, lease_required=True), retain=True)
    eventually(lambda: write(client, "A", strict, 3) == "lease_required", "the new config")
    assert client.request(f"rpc/B/get_point/{strict}/level").result == 10
    assert write(client, "A", path, 3) == 3
    schedule(client, "B", slot(path, -1, 60))
    assert write(client, "A", path, 4) == "leased_by_other"


def test_a24_writing_several_points(client: TestClient, pair: tuple[str, str]) -> None:
    """Several points are written under the lease; without it, none is."""
    path = pair[0]
    schedule(client, "A", slot(path, -1, 60))
    values = {"values": {"level": 3.5, "short": 4}}
    assert client.request(f"rpc/B/set_points/{path}", values).error["code"] == "leased_by_other"
    assert client.request(f"rpc/B/get_point/{path}/level").result == 10
    assert client.request(f"rpc/A/set_points/{path}", values).result == {"values": {"level": 3.5, "short": 4}, "errors": {}}


def test_a25_reverting_needs_the_same_right(client: TestClient, pair: tuple[str, str]) -> None:
    """The holder takes back what it has written; another may not."""
    path = pair[0]
    schedule(client, "A", slot(path, -1, 60))
    assert write(client, "A", path, 3) == 3
    assert client.request(f"rpc/B/revert_point/{path}/level").error["code"] == "leased_by_other"
    assert "result" in client.request(f"rpc/A/revert_point/{path}/level").json
    assert client.request(f"rpc/B/get_point/{path}/level").result == 10


def test_acquire_renew_release(client: TestClient, pair: tuple[str, str]) -> None:
    """A lease from now on two devices is renewed and released; what was written under it comes back."""
    arguments = {"devices": list(pair), "duration": 60}
    lease = client.request("rpc/A/acquire_lease", arguments).result
    for who in ("A", "B"):
        error = client.request(f"rpc/{who}/acquire_lease/{pair[0]}", {"duration": 5}).error
        assert (error["code"], error["data"]["task"], error["data"]["holder"]) == ("leased_by_other", lease["task_id"], "A")
    named = {"value": 3, "fence": lease["fence"]}
    assert client.request(f"rpc/A/set_point/{pair[0]}/level", named).result == 3
    old = {"value": 4, "fence": lease["fence"] - 1}
    assert client.request(f"rpc/A/set_point/{pair[0]}/level", old).error["code"] == "lease_lost"
    renewed = client.request("rpc/A/renew_lease", {"task_id": lease["task_id"], "duration": 120}).result
    assert (renewed["fence"], renewed["until"] > lease["until"]) == (lease["fence"], True)
    assert "result" in client.request("rpc/A/release_lease", {"task_id": lease["task_id"]}).json
    eventually(lambda: client.request(f"rpc/B/get_point/{pair[0]}/level").result == 10, "the value from before")
    again = client.request(f"rpc/B/acquire_lease/{pair[0]}", {"duration": 60}).result
    assert again["fence"] > lease["fence"]


def test_slots_to_come_survive_a_restart(client: TestClient, house: Site, pair: tuple[str, str]) -> None:
    """After a kill the lease in force is over, and the slot to come is there."""
    edge, mark = house.gateways[0], client.mark()
    schedule(client, "A", slot(pair[0], -1, 600), slot(pair[1], 600, 700))
    edge.kill()
    edge.start()
    client.wait_for(f"gateways/{edge.id}/status", lambda m: m.payload and m.json["state"] == "online", after=mark)
    client.online(pair[0], after=mark)
    eventually(lambda: holder(client, pair[0]) is None, "no lease")
    slots = [s["device"] for task in client.request("rpc/A/list_leases").result for s in task["slots"]]
    assert pair[1] in slots
