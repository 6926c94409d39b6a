"""More of VOLTTRON's cases on a whole gateway: A23 to A25 over two devices, overrides O1 to O12, reverts R1 to R5.

A1 to A22 and A26 are in ``test_leases.py``. A17 (a request of type ``NEW_SCHEDULE2``) can not occur: the type is the method,
and one that there is not is ``unknown_method``. What VOLTTRON does wrong stands under "ours": falsy values are values, times
carry a zone, slots survive a restart and end with an event and a revert, a write that meets a lost link is not sent later.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.conftest_broker import Broker
from tests.integration.actuator import POINTS, new_task, schedule, slot, write
from tests.integration.client import TestClient
from tests.integration.documents import fake, modbus, point, register
from tests.integration.plant import Plant
from tests.integration.proxy import Proxy
from tests.integration.site import Site
from tests.integration.waiting import eventually

D, E = "C/B/fakedriver1", "C/B/fakedriver2"
M = "C/B/plant"
NO_DEFAULT = point("bare", start="")


@pytest.fixture(scope="module")
def plant() -> Iterator[Plant]:
    """A Modbus device that changes by other hands than ours."""
    with Plant() as plant:
        yield plant


@pytest.fixture(scope="module")
def house(broker: Broker, tmp_path_factory: pytest.TempPathFactory, plant: Plant) -> Iterator[Site]:
    """A gateway with two fake devices and the plant, that may be written."""
    with Site(broker, tmp_path_factory.mktemp("cases")) as site:
        client = site.connect()
        edge = site.gateway()
        client.wait_for(f"gateways/{edge.id}/status", lambda m: m.json["state"] == "online")
        for path in (D, E):
            client.publish(f"config/devices/{path}", fake(*POINTS, NO_DEFAULT, interval=5), retain=True)
        client.publish(f"config/devices/{M}", modbus(plant.port, register("p", 10)), retain=True)
        for path in (D, E, M):
            client.online(path)
        yield site


@pytest.fixture
def client(house: Site) -> Iterator[TestClient]:
    """The client of the site; in the end no override and no lease of A is left, and what was written is back."""
    client = house.clients[0]
    yield client
    client.request("rpc/A/clear_overrides")
    for path in (D, E, M):
        client.request(f"rpc/A/release_lease/{path}")
        eventually(lambda path=path: "error" not in client.request(f"rpc/A/revert_device/{path}").json, "reverts")


def read(client: TestClient, path: str, name: str = "level") -> Any:
    """The value of a point."""
    return client.request(f"rpc/A/get_point/{path}/{name}").result


def acquire(client: TestClient, *paths: str, duration: float = 60) -> dict[str, Any]:
    """A lease of A."""
    return client.request("rpc/A/acquire_lease", {"devices": list(paths), "duration": duration}).result


def call(method: str, id: int = 0, **params: Any) -> dict[str, Any]:
    """A JSON-RPC request."""
    return {"jsonrpc": "2.0", "method": method, "params": params, "id": id}


# ---- A23 to A25 over two devices


def test_a23_several_points_of_two_devices(client: TestClient) -> None:
    """One batch reads both; a point that is not there is an error of its own, and what is no name is refused."""
    batch = [call("get_points", n, device=path, points=["level", "nowhere"]) for n, path in enumerate((D, E))]
    for answer in client.request("rpc/A", batch).json:
        assert answer["result"]["values"] == {"level": 10}
        assert answer["result"]["errors"]["nowhere"]["code"] == "unknown_point"
    by_topic = client.request(f"rpc/A/get_points/{D}", {"points": ["level", "short"]}).result
    assert (by_topic["values"], by_topic["errors"]) == ({"level": 10, "short": 20}, {})
    for wrong in ({"points": [42]}, {"points": None}, {"points": "level"}, {"device": 42, "points": ["level"]}):
        assert client.request(f"rpc/A/get_points/{D}", wrong).error["code"] == "bad_request"


def test_a24_several_writes_to_two_devices(client: TestClient) -> None:
    """With both leases both are written; B writes neither; a read-only point is named, and then nothing is written."""
    acquire(client, D, E)
    values = {"level": 3.5, "short": 4}
    batch = [call("set_points", n, device=path, values=values) for n, path in enumerate((D, E))]
    assert {answer["error"]["data"]["code"] for answer in client.request("rpc/B", batch).json} == {"leased_by_other"}
    assert [read(client, path) for path in (D, E)] == [10, 10]
    assert [answer["result"] for answer in client.request("rpc/A", batch).json] == [{"values": values, "errors": {}}] * 2
    result = client.request(f"rpc/A/set_points/{D}", {"values": {"level": 7, "fixed": 1}}).result
    assert (result["values"], list(result["errors"])) == ({}, ["fixed"])
    assert result["errors"]["fixed"]["code"] == "read_only"
    assert read(client, D) == 3.5


def test_a25_reverting_a_point_and_a_device_is_told(client: TestClient) -> None:
    """The value is back, and each point that was given back is an event."""
    acquire(client, D)
    for method, names in (("revert_point", ["level"]), ("revert_device", ["level", "short"])):
        mark = client.mark()
        for name in names:
            write(client, "A", D, 3, name)
        client.request(f"rpc/A/{method}/{D}" + ("/level" if method == "revert_point" else ""))
        for name in names:
            told = client.wait_for(
                f"actuator/events/{D}", lambda m, n=name: (m.json["event"], m.json["point"]) == ("revert", n), after=mark
            )
            assert told.json["new"] == read(client, D, name) == {"level": 10, "short": 20}[name]


# ---- O1 to O12: steps with the pattern or device they are about; D and E stand for the two devices


class Overridden:
    """The steps of a case, carried out one after the other."""

    def __init__(self, client: TestClient, house: Site) -> None:
        self._client = client
        self._house = house

    def on(self, pattern: str, duration: float = 0, failsafe_revert: bool = True) -> None:
        """Set an override."""
        arguments = {"pattern": pattern, "duration": duration, "failsafe_revert": failsafe_revert}
        self._client.request("rpc/A/set_override_on", arguments).result  # noqa: B018  # fails if it is refused

    def off(self, pattern: str, code: str = "ok") -> None:
        """Take it back."""
        answer = self._client.request("rpc/A/set_override_off", {"pattern": pattern}).json
        assert answer.get("error", {}).get("code", "ok") == code

    def wait(self, seconds: float) -> None:
        """Let time pass."""
        time.sleep(seconds)

    def blocked(self, *paths: str) -> None:
        """Nobody writes or gives back, and the value is what it was."""
        for path in paths:
            assert write(self._client, "A", path, 5) == "overridden"
            assert self._client.request(f"rpc/A/revert_device/{path}").error["code"] == "overridden"
            assert read(self._client, path) == 10

    def free(self, *paths: str) -> None:
        """It is written, at the latest when a short override has ended."""
        for path in paths:
            eventually(lambda path=path: write(self._client, "A", path, 10) == 10, f"{path} is written", 4)

    def lease(self, path: str) -> None:
        """A leases a device and writes it."""
        acquire(self._client, path)
        assert write(self._client, "A", path, 5) == 5

    def holds(self, path: str, value: float) -> None:
        """The value of the point that was written."""
        eventually(lambda: read(self._client, path) == value, f"{path} holds {value}")

    def none(self) -> None:
        """No pattern is in force, no device covered."""
        assert self._client.request("rpc/A/get_override_patterns").result == {}
        assert self._client.request("rpc/A/get_override_devices").result == []

    def restart(self) -> None:
        """The gateway is killed and comes back."""
        edge, mark = self._house.gateways[0], self._client.mark()
        edge.kill()
        edge.start()
        self._client.wait_for(f"gateways/{edge.id}/status", lambda m: m.json["state"] == "online", after=mark)
        for path in (D, E, M):
            self._client.online(path, after=mark)


OVERRIDES: dict[str, list[tuple[Any, ...]]] = {
    "O1-while-it-lasts": [("on", D, 5), ("wait", 0.2), ("blocked", D), ("free", E)],
    "O2-after-its-end": [("on", D, 0.4), ("blocked", D), ("wait", 0.4), ("free", D), ("none",)],
    "O3-star-covers-all": [("on", "*"), ("blocked", D, E)],
    "O4-without-failsafe": [("lease", D), ("on", D, 0.8, False), ("wait", 0.3), ("holds", D, 5), ("holds", D, 10)],
    "O4-with-failsafe": [("lease", D), ("on", D, 60), ("holds", D, 10), ("blocked", D)],
    "O5-taken-back": [("on", D, 60), ("blocked", D), ("off", D), ("free", D), ("none",)],
    "O6-the-other-stays": [("on", D, 2), ("on", "*", 2), ("off", D), ("blocked", D, E), ("wait", 1.8), ("free", D, E)],
    "O7-all-taken-back": [("on", "*", 9), ("on", D, 1.5), ("off", "*"), ("blocked", D), ("free", E), ("free", D)],
    "O8-shorter-is-ignored": [("on", D, 5), ("on", D, 0.2), ("wait", 0.4), ("blocked", D)],
    "O8-longer-extends": [("on", D, 0.2), ("on", D, 5), ("wait", 0.4), ("blocked", D)],
    "O9-no-end-stays": [("on", D), ("on", D, 0.2), ("wait", 0.4), ("blocked", D)],
    "O10-outlives-a-restart": [
        ("on", "*fakedriver*"),
        ("restart",),
        ("blocked", D, E),
        ("off", "*fakedriver*"),
        ("free", D),
    ],
    "O11-case-counts": [("on", "C/B/fakeDriver1"), ("free", D)],
    "O12-unknown-pattern": [("on", "*"), ("off", D, "bad_request"), ("blocked", D)],
}


@pytest.mark.parametrize("steps", OVERRIDES.values(), ids=OVERRIDES)
def test_overrides(client: TestClient, house: Site, steps: list[tuple[Any, ...]]) -> None:
    """While an override covers a device nobody writes it; the longest of a pattern counts, and others stay."""
    case = Overridden(client, house)
    for name, *arguments in steps:
        getattr(case, name)(*arguments)


# ---- R1 to R5


@pytest.mark.parametrize("about", ["revert_point/{}/level", "revert_device/{}"], ids=["R1-point", "R2-device"])
def test_r1_r2_the_default_comes_back(client: TestClient, about: str) -> None:
    """Of a point with a default, whoever wrote it, under a lease or not."""
    for leased in (False, True):
        if leased:
            acquire(client, D)
        assert write(client, "A", D, 25) == 25
        client.request("rpc/A/" + about.format(D)).result  # noqa: B018  # fails if it is refused
        assert read(client, D) == 10


def test_r3_without_default_what_was_there_comes_back(client: TestClient) -> None:
    """Under a lease, twice in a row; without one the write is for good."""
    acquire(client, D)
    before = read(client, D, "bare")
    for _ in range(2):
        assert write(client, "A", D, before + 1, "bare") == before + 1
        assert client.request(f"rpc/A/revert_point/{D}/bare").result == before
        assert read(client, D, "bare") == before
    client.request(f"rpc/A/release_lease/{D}")
    assert write(client, "A", D, before + 1, "bare") == before + 1
    assert client.request(f"rpc/A/revert_point/{D}/bare").result is None
    assert read(client, D, "bare") == before + 1
    assert write(client, "A", D, before, "bare") == before


def test_r4_what_the_device_did_itself_comes_back(client: TestClient, plant: Plant) -> None:
    """Not what was there at an earlier poll: the value from right before the first leased write."""
    client.reading(M, lambda r: r["values"]["p"] == 10, after=client.mark())
    acquire(client, M)
    plant.words[10] = 33
    assert write(client, "A", M, 44, "p") == 44
    assert client.request(f"rpc/A/revert_point/{M}/p").result == 33
    assert plant.words[10] == 33
    plant.words[10] = 10


def test_r5_nothing_known(client: TestClient) -> None:
    """It changes nothing, and the answer is null."""
    acquire(client, D)
    before = read(client, D, "bare")
    assert client.request(f"rpc/A/revert_point/{D}/bare").result is None
    assert client.request(f"rpc/A/revert_device/{D}").result["errors"] == {}
    assert read(client, D, "bare") == before


# ---- ours


@pytest.mark.parametrize(
    ("name", "payload", "taken"),
    [
        ("level", b"0", 0.0),
        ("level", {"value": 0}, 0.0),
        ("short", b"0", 0),
        ("on", b"false", False),
        ("on", {"value": False}, False),
        ("on", b"0", False),
        ("level", b"null", 10.0),
        ("on", {"value": None}, True),
    ],
)
def test_falsy_values_are_values(client: TestClient, name: str, payload: Any, taken: Any) -> None:
    """0 and false are written, also plain; null goes back to the default. The point then holds just that."""
    assert write(client, "A", D, {"level": 5, "short": 5, "on": True}[name], name) in (5, True)
    assert client.request(f"rpc/A/set_point/{D}/{name}", payload).result == taken
    assert read(client, D, name) == taken


def test_times_without_a_zone_are_refused(client: TestClient) -> None:
    """With the words that say how to mend them."""
    result, info, _ = schedule(client, "A", [D, "2099-11-22T10:00:00", "2099-11-22T11:00:00Z"])
    assert result == "FAILURE"
    assert "has no time zone: add Z for UTC" in info


def test_the_end_of_a_slot_is_told_and_gives_back(client: TestClient) -> None:
    """The value from before, an event for the end and one for the revert, and the lease's topic is empty."""
    task, mark = new_task(), client.mark()
    schedule(client, "A", slot(D, -1, 1.0), task=task)
    eventually(lambda: write(client, "A", D, 5) == 5, "the slot begins")
    client.wait_for(f"actuator/leases/{D}", lambda m: m.payload == b"", after=mark)
    events = f"actuator/events/{D}"
    ended = client.wait_for(events, lambda m: m.json["event"] == "lease" and "ended" in m.json["new"], after=mark).json
    assert (ended["task_id"], ended["requester"], ended["new"]) == (task, "A", {"ended": "time", "by": ""})
    back = client.wait_for(events, lambda m: m.json["event"] == "revert", after=mark).json
    assert (back["point"], back["new"], back["task_id"], back["outcome"]) == ("level", 10, task, "ok")
    assert read(client, D) == 10


def test_slots_outlive_a_restart(client: TestClient, house: Site) -> None:
    """One to come is there after a kill, begins by the clock, and its holder writes."""
    mark = client.mark()
    schedule(client, "A", slot(D, 4, 60))
    Overridden(client, house).restart()
    begun = client.wait_for(f"actuator/leases/{D}", lambda m: m.payload and m.json["holder"] == "A", after=mark)
    assert begun.json["gateway"] == house.gateways[0].id
    assert (write(client, "B", D, 4), write(client, "A", D, 5)) == ("leased_by_other", 5)


def test_a_write_while_the_link_is_lost_is_not_sent_later(
    client: TestClient, plant: Plant, proxy: Callable[[int], Proxy]
) -> None:
    """It is answered by its deadline, and the device never sees it, also not when the link is back."""
    way = proxy(plant.port)
    path = "C/B/far"
    client.publish(f"config/devices/{path}", modbus(way.port, register("p", 40)), retain=True)
    client.online(path)
    eventually(lambda: write(client, "A", path, 41, "p") == 41, "the claim is settled")
    way.shut()
    answer = client.request(f"rpc/A/set_point/{path}/p", b"77", expiry=2)
    assert answer.error["code"] in ("device_offline", "timeout", "outcome_unknown")
    mark = client.mark()
    way.open()
    client.online(path, after=mark)
    client.reading(path, lambda r: r["values"]["p"] == 41, after=mark)
    assert plant.values(40) == [41]
    client.publish(f"config/devices/{path}", b"", retain=True)
