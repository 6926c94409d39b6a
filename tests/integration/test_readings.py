"""Readings, states and what is published of points, as a subscriber sees them."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from itertools import pairwise

import pytest

from tests.integration.client import TestClient
from tests.integration.documents import fake, modbus, point, register
from tests.integration.simulator import Simulator
from tests.integration.site import Site
from tests.interfaces.modbus.servers import RESET, ScriptedServer, reply


@pytest.fixture
def client(house: Site) -> TestClient:
    """The client of the module's site."""
    return house.clients[0]


@pytest.fixture
def simulator() -> Iterator[Simulator]:
    """A Modbus device that can be killed and frozen."""
    with Simulator() as simulator:
        yield simulator


def put(client: TestClient, path: str, document: object) -> None:
    """Publish a device config, retained."""
    client.publish(f"config/devices/{path}", document, retain=True)


def remove(client: TestClient, path: str) -> None:
    """Remove a device, and wait until that is done."""
    put(client, path, b"")
    client.wait_for(f"devices/{path}/status", lambda m: m.payload == b"")


def gaps(client: TestClient, path: str, after: int) -> float:
    """The longest time between two readings since the mark, in seconds."""
    return max(later.at - earlier.at for earlier, later in pairwise(client.messages(f"devices/{path}/all", after)))


def test_a_reading_has_timestamp_values_and_errors(client: TestClient, path: str):
    """All three keys always; timestamps are UTC and only grow; there are no properties that would cost time."""
    put(client, path, fake(point("f"), point("i", "int", "7"), point("b", "bool", "true"), point("s", "string", "Auto")))
    client.online(path)
    start = client.mark()
    client.wait_for(f"devices/{path}/all", lambda m: len(client.messages(f"devices/{path}/all", after=start)) > 5)
    messages = client.messages(f"devices/{path}/all")

    for message in messages:
        assert list(message.json) == ["timestamp", "values", "errors"]
        assert message.json["values"] == {"f": 1.5, "i": 7, "b": True, "s": "Auto"}
        assert (message.json["errors"], message.retain, message.qos) == ({}, False, 1)
        assert (message.content_type, message.user, message.expiry, message.correlation) == (None, (), None, None)
    stamps = [message.json["timestamp"] for message in messages]
    assert stamps == sorted(set(stamps))
    assert all(len(stamp) == len("2026-11-22T10:00:00.123456Z") and stamp.endswith("Z") for stamp in stamps)


def test_meta_tells_the_points_with_true_types(client: TestClient, path: str, house: Site):
    """Units, type, writable, limits, enum, default and description of each point, retained."""
    rows = [
        point("f", Units="kW", Min="0", Max="50", Notes="power"),
        point("m", "int", "1", writable=False, Enum="0=Off;1=Auto"),
        point("b", "bool", "true"),
    ]
    put(client, path, fake(*rows))
    client.online(path)
    meta = house.kept(f"devices/{path}/meta")[f"devices/{path}/meta"].json

    assert (meta["gateway"], meta["driver"], meta["interval"]) == (house.gateways[0].id, "fake", 0.2)
    f = {"units": "kW", "type": "float", "writable": True, "min": 0, "max": 50, "enum": None, "default": 1.5}
    assert meta["points"]["f"] == f | {"description": "power", "interval": None}
    assert meta["points"]["m"]["enum"] == {"0": "Off", "1": "Auto"}
    assert [meta["points"][name]["type"] for name in "fmb"] == ["float", "string", "boolean"]
    assert [meta["points"][name]["writable"] for name in "fmb"] == [True, False, True]


def test_a_failing_point_degrades_and_the_rest_is_read(client: TestClient, path: str):
    """A point that the device refuses is in errors with its code; the others are in values, and the state is degraded."""
    put(client, path, fake(point("good"), point("bad"), driver={"reject": ["bad"]}))
    status = client.status(path, state="degraded")
    reading = client.reading(path)

    assert status["points"] == {"ok": 1, "failed": 1}
    assert status["reason"]["code"] == "device_rejected"
    assert (reading["values"], reading["errors"]["bad"]["code"]) == ({"good": 1.5}, "device_rejected")
    assert reading["errors"]["bad"]["message"]


def test_a_register_that_the_device_lacks_fails_alone(client: TestClient, path: str, simulator: Simulator):
    """An illegal address inside a block does not lose its neighbours."""
    rows = [register("a", 98), register("b", 99), register("none", 100)]
    put(client, path, modbus(simulator.port, *rows))
    client.status(path, state="degraded")
    reading = client.reading(path)
    remove(client, path)

    assert reading["values"] == {"a": 98, "b": 99}
    assert reading["errors"]["none"]["code"] == "device_rejected"


def test_point_topics_carry_the_bare_value(client: TestClient, path: str):
    """21.5, true and Auto as they are, also for a point with / in its name; one with # or + has no topic."""
    rows = [point("f", start="21.5"), point("b", "bool", "true"), point("s", "string", "Auto"), point("room/1", "int", "0")]
    put(client, path, fake(*rows, point("a+b"), point("#"), publish_depth_first=True))
    expected = {"f": b"21.5", "b": b"true", "s": b"Auto", "room/1": b"0"}
    for name, payload in expected.items():
        assert client.wait_for(f"devices/{path}/{name}").payload == payload
    client.wait_for(f"devices/{path}/meta")

    leaves = {message.topic.removeprefix(f"devices/{path}/") for message in client.messages(f"devices/{path}/#")}
    assert leaves == {"status", "meta", "all", *expected}
    assert client.request("rpc/alice/get_point", {"device": path, "point": "a+b"}).result == 1.5


def test_point_topics_with_json_carry_errors_too(client: TestClient, path: str):
    """With point_payload json a point has its timestamp, and its error while it has no value."""
    keys = {"publish_depth_first": True, "publish_depth_first_all": False, "point_payload": "json"}
    put(client, path, fake(point("good"), point("bad"), driver={"reject": ["bad"]}, **keys))
    good = client.wait_for(f"devices/{path}/good").json
    bad = client.wait_for(f"devices/{path}/bad").json

    assert (list(good), good["value"]) == (["timestamp", "value"], 1.5)
    assert (list(bad), bad["error"]["code"]) == (["timestamp", "error"], "device_rejected")
    assert client.messages(f"devices/{path}/all") == []


def test_volttron_payload(client: TestClient, path: str):
    """With payload volttron a reading is VOLTTRON's: values, metadata with unit, type and tz, and a header."""
    put(client, path, fake(point("t", Units="C"), point("n", "int", "3"), payload="volttron", timezone="US/Pacific"))
    values, meta, header = client.wait_for(f"devices/{path}/all").json

    assert values == {"t": 1.5, "n": 3}
    assert meta == {
        "t": {"units": "C", "type": "float", "tz": "US/Pacific"},
        "n": {"units": "", "type": "integer", "tz": "US/Pacific"},
    }
    assert list(header) == ["TimeStamp"]


def test_on_change_tells_only_what_changed(client: TestClient, path: str):
    """A point is published when it leaves its deadband, and alone; nothing is published while nothing changes."""
    rows = [point("a", start="10", Deadband="0.5"), point("b", start="1")]
    put(client, path, fake(*rows, on_change=True, interval=0.1))
    assert client.reading(path)["values"] == {"a": 10, "b": 1}
    start = client.mark()
    client.request(f"rpc/alice/set_point/{path}/a", "10.4")  # within the deadband
    client.request(f"rpc/alice/set_point/{path}/b", "2")
    client.reading(path, after=start)
    time.sleep(0.5)  # to show that nothing more comes

    assert [m.json["values"] for m in client.messages(f"devices/{path}/all", start)] == [{"b": 2}]
    client.request(f"rpc/alice/set_point/{path}/a", "10.6")
    assert client.reading(path, lambda r: "a" in r["values"], after=start)["values"] == {"a": 10.6}


def test_on_change_breaks_its_silence(client: TestClient, path: str):
    """An unchanged point is published after max_silence all the same."""
    put(client, path, fake(on_change={"max_silence": 0.5}, interval=0.1))
    client.wait_for(f"devices/{path}/all", lambda _: len(client.messages(f"devices/{path}/all")) >= 3)
    times = [message.at for message in client.messages(f"devices/{path}/all")]

    assert all(0.35 < later - earlier < 1 for earlier, later in pairwise(times))


@pytest.mark.parametrize(("expiry", "expected"), [(None, 2), (0, None), (50, 50)])
def test_retained_readings_expire(client: TestClient, path: str, house: Site, expiry: int | None, expected: int | None):
    """What is retained under all and points expires after three intervals, or as configured, or never."""
    keys = {} if expiry is None else {"expiry": expiry}
    put(client, path, fake(retain=True, publish_depth_first=True, interval=0.6, **keys))
    client.online(path)
    client.wait_for(f"devices/{path}/t")
    kept = house.kept(f"devices/{path}/#")

    for leaf in ("all", "t"):
        left = kept[f"devices/{path}/{leaf}"].expiry
        assert (left is None) == (expected is None)
        assert left is None or expected - 1 <= left <= expected
    assert kept[f"devices/{path}/status"].expiry is None


def test_readings_are_not_retained_unless_asked(client: TestClient, path: str, house: Site):
    """Only status and meta are kept for a device without retain."""
    put(client, path, fake(publish_depth_first=True))
    client.online(path)
    client.wait_for(f"devices/{path}/t")

    assert house.kept(f"devices/{path}/#").keys() == {f"devices/{path}/status", f"devices/{path}/meta"}


def test_an_offline_device_says_so_at_once_and_comes_back(client: TestClient, path: str, simulator: Simulator):
    """Nothing is published for a device that is gone; requests are answered device_offline fast, until it is back."""
    put(client, path, modbus(simulator.port, register("r", 7)))
    client.online(path)
    simulator.kill()
    killed = client.mark()
    gone = client.status(path, after=killed, timeout=3, state="offline")
    start, begun = client.mark(), time.monotonic()
    error = client.request(f"rpc/alice/get_point/{path}/r").error

    assert time.monotonic() - begun < 1
    assert (error["code"], gone["reason"]["code"]) == ("device_offline", "device_offline")
    assert gone["points"] == {"ok": 0, "failed": 1}
    assert gone["next_try"] > gone["since"]
    assert client.messages(f"devices/{path}/all", after=start) == []
    simulator.start()
    assert client.online(path, after=start, timeout=10)["next_try"] is None
    assert client.reading(path, after=start)["values"] == {"r": 7}
    assert client.request(f"rpc/alice/get_point/{path}/r").result == 7
    remove(client, path)


def test_a_device_killed_in_the_middle_of_a_poll(client: TestClient, path: str):
    """What the device answered before it went is published, the rest of that poll is errors, and it goes offline."""
    answers = [lambda request: [reply(request, b"\x03\x02\x00\x07")], lambda _: [RESET]]
    with ScriptedServer(lambda request: answers[len(server.requests) > 1](request)) as server:
        put(client, path, modbus(server.port, register("a", 0), register("b", 500)))
        reading = client.reading(path)
        status = client.status(path, state="offline")
        remove(client, path)

    assert (reading["values"], reading["errors"]["b"]["code"]) == ({"a": 7}, "timeout")
    assert status["reason"]["code"] == "device_offline"


def test_a_frozen_device_goes_offline_and_the_others_keep_their_rhythm(client: TestClient, path: str, simulator: Simulator):
    """A device whose connection stands and that answers nothing is offline within a poll; nobody else notices."""
    put(client, f"{path}/dead", modbus(simulator.port, register("r", 7), timeout=1))
    put(client, f"{path}/live", fake(interval=0.1))
    client.online(f"{path}/dead")
    client.online(f"{path}/live")
    start = client.mark()
    simulator.freeze()
    status = client.status(f"{path}/dead", after=start, state="offline", timeout=5)
    code = client.request(f"rpc/alice/get_point/{path}/dead/r").error["code"]
    time.sleep(1)  # the others' rhythm is to be seen while the dead device is tried again
    longest = gaps(client, f"{path}/live", start)
    resumed = client.mark()
    simulator.resume()
    client.online(f"{path}/dead", after=resumed)
    remove(client, f"{path}/dead")

    assert code in ("device_offline", "timeout")
    assert status["reason"]["message"]
    assert longest < 0.3


def test_json_numbers_are_what_the_register_holds(client: TestClient, path: str, simulator: Simulator):
    """Scale and Offset make a float with the decimals that they have; without them an integer stays one."""
    rows = [register("raw", 7), register("scaled", 7, Scale="0.1", Offset="-40")]
    put(client, path, modbus(simulator.port, *rows))
    payload = client.wait_for(f"devices/{path}/all").payload
    remove(client, path)

    assert json.loads(payload)["values"] == {"raw": 7, "scaled": -39.3}
    assert b'"raw":7,' in payload
    assert b'"scaled":-39.3}' in payload
