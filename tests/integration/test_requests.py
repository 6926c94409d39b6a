"""Requests and their answers, over MQTT 5 and 3.1.1."""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterator
from typing import Any

import pytest

from tests.conftest_broker import not_on_iotcore
from tests.integration.client import TestClient
from tests.integration.documents import fake, modbus, point, register
from tests.integration.site import Site
from tests.interfaces.modbus.servers import ScriptedServer, reply

POINTS = (
    point("temp", start="21.5", Min="5", Max="35"),
    point("count", "int", "3"),
    point("on", "bool", "true"),
    point("name", "string", "Lobby"),
    point("mode", "int", "1", Enum="0=Off;1=Auto"),
    point("fixed", start="50", writable=False),
    point("room/2/temp", start="20"),
)


@pytest.fixture
def client(house: Site) -> TestClient:
    """The client of the module's site."""
    return house.clients[0]


@pytest.fixture
def device(client: TestClient, path: str, house: Site) -> Iterator[str]:
    """The path of a fake device that answers; as its config names its gateway, it can be written at once."""
    document = fake(*POINTS, interval=5, gateway=house.gateways[0].id)
    client.publish(f"config/devices/{path}", document, retain=True)
    client.online(path)
    yield path
    client.publish(f"config/devices/{path}", b"", retain=True)
    client.wait_for(f"devices/{path}/status", lambda m: m.payload == b"")


def ask(client: TestClient, topic: str, payload: Any = b"", **options: Any) -> Any:
    """The code and the message of a refusal."""
    error = client.request(topic, payload, **options).error
    assert set(error) <= {"code", "message", "data"}
    return error["code"], error["message"]


@pytest.mark.parametrize(
    ("name", "payload", "value"),
    [
        ("temp", "22.5", 22.5),
        ("temp", "30", 30),
        ("count", "0", 0),
        ("count", "5.0", 5),
        ("on", "false", False),
        ("on", "1", True),
        ("name", "Hall", "Hall"),
        ("name", '""', ""),
        ("name", '"21"', "21"),
        ("name", "21", "21"),
        ("mode", "Off", "Off"),
        ("mode", "0", "Off"),
        ("temp", {"value": 0 + 6}, 6),
        ("count", {"value": 0}, 0),
        ("on", {"value": False}, False),
        ("name", {"value": ""}, ""),
        ("room/2/temp", "19", 19),
    ],
)
def test_what_is_set_is_answered_and_read_back(client: TestClient, device: str, name: str, payload: Any, value: Any):
    """The answer to set_point is the value that the device took, and get_point reads it; 0, false and "" are values."""
    taken = client.request(f"rpc/alice/set_point/{device}/{name}", payload).result
    read = client.request(f"rpc/alice/get_point/{device}/{name}").result

    assert (taken, read) == (value, value)
    assert (type(taken) is bool) == (type(value) is bool)


def test_null_brings_the_default_back(client: TestClient, device: str):
    """Null writes the Default Value of a point whose protocol has no priorities."""
    client.request(f"rpc/alice/set_point/{device}/temp", "30")

    assert client.request(f"rpc/alice/set_point/{device}/temp", "null").result == 21.5
    assert client.request(f"rpc/alice/get_point/{device}/temp").result == 21.5


@pytest.mark.parametrize(
    ("name", "payload", "code"),
    [
        ("temp", "", "bad_request"),
        ("temp", "{}", "bad_request"),
        ("name", "", "bad_request"),
        ("temp", "warm", "bad_value"),
        ("temp", "true", "bad_value"),
        ("temp", "[21]", "bad_value"),
        ("temp", "NaN", "bad_value"),
        ("temp", "1e400", "bad_value"),
        ("temp", '{"value": NaN}', "bad_request"),
        ("temp", "36", "out_of_range"),
        ("count", "5.5", "bad_value"),
        ("on", "2", "bad_value"),
        ("mode", "Heat", "bad_value"),
        ("name", {"value": 5}, "bad_value"),
        ("fixed", "1", "read_only"),
        ("nothing", "1", "unknown_point"),
        ("temp", {"value": 10, "priority": 8}, "bad_request"),
    ],
)
def test_what_can_not_be_set_is_refused_and_nothing_is_written(
    client: TestClient, device: str, name: str, payload: Any, code: str
):
    """Each refusal has its code; the device keeps what it had."""
    assert ask(client, f"rpc/alice/set_point/{device}/{name}", payload)[0] == code
    values = client.request(f"rpc/alice/scrape_all/{device}").result["values"]

    assert values == {"temp": 21.5, "count": 3, "on": True, "name": "Lobby", "mode": "Auto", "fixed": 50, "room/2/temp": 20}


def test_requests_with_arguments_in_json(client: TestClient, device: str):
    """Device, point, points and value may stand in the payload."""
    assert client.request("rpc/alice/get_point", {"device": device, "point": "count"}).result == 3
    assert client.request("rpc/alice/set_point", {"device": device, "point": "count", "value": 4}).result == 4
    some = client.request(f"rpc/alice/get_points/{device}", {"points": ["count", "on"]}).result
    assert (some["values"], some["errors"]) == ({"count": 4, "on": True}, {})
    assert some["timestamp"].endswith("Z")
    assert client.request(f"rpc/alice/set_point/{device}", {"point": "room/2/temp", "value": 18}).result == 18


def test_the_answers_about_a_device(client: TestClient, device: str):
    """Last brings value, timestamp, age and error; list_points what meta has."""
    last = client.request(f"rpc/alice/last/{device}/count").result
    assert (list(last), last["value"], last["error"]) == (["value", "timestamp", "age", "error"], 3, None)
    assert 0 <= last["age"] < 10
    assert client.request(f"rpc/alice/last/{device}").result["on"]["value"] is True
    points = client.request(f"rpc/alice/list_points/{device}").result
    assert points == client.wait_for(f"devices/{device}/meta").json["points"]


def test_the_answers_about_a_gateway(client: TestClient, device: str, house: Site):
    """An answer to a request that names no device tells which gateway it is from; another gateway's id is not answered."""
    edge = house.gateways[0].id
    for topic in ("rpc/alice/ping", f"rpc/alice/ping/{edge}"):
        assert client.request(topic).json == {"result": "pong", "gateway": edge}
    listed = client.request("rpc/alice/list_devices").json
    assert (listed["result"][device], listed["gateway"]) == ("online", edge)
    start = client.mark()
    client.publish("rpc/alice/ping/another")
    client.request("rpc/alice/ping")

    assert client.messages("replies/alice/ping/#", after=start) == []


def test_an_answer_carries_what_the_request_did(
    house: Site, client: TestClient, device: str, request: pytest.FixtureRequest
):
    """Correlation, QoS, content type and the user property status; on the ResponseTopic; all over one connection."""
    not_on_iotcore(request, "delivers every message with the subscription's QoS")
    for qos in (0, 1, 2):
        answer = client.request(f"rpc/alice/get_point/{device}/temp", correlation=b"\x00\xff no text", qos=qos)
        assert (answer.correlation, answer.qos, answer.content_type) == (b"\x00\xff no text", qos, "application/json")
        assert (answer.user, answer.retain, answer.json) == ((("status", "ok"),), False, {"result": 21.5})
    refused = client.request(f"rpc/alice/get_point/{device}/nothing", response_topic="replies/alice")
    assert (refused.topic, refused.user) == ("replies/alice", (("status", "unknown_point"),))
    assert "no connection" not in house.gateways[0].log_text()


@pytest.mark.parametrize("version", [5, 4])
def test_without_a_response_topic_the_answer_is_on_replies(
    house: Site, device: str, version: int, request: pytest.FixtureRequest
):
    """MQTT 3.1.1 clients and others are answered on replies/ with what stood after rpc/."""
    if version == 4:
        not_on_iotcore(request, "delivers no message with MQTT 5 properties to MQTT 3.1.1 clients")
    client = house.connect(version)
    client.publish(f"rpc/scada/set_point/{device}/temp", "23.5")
    assert client.wait_for(f"replies/scada/set_point/{device}/temp").result == 23.5
    client.publish(f"rpc/scada/get_point/{device}/room/2/temp")
    assert client.wait_for(f"replies/scada/get_point/{device}/room/2/temp").result == 20
    client.publish("rpc/scada/ping")
    assert client.wait_for("replies/scada/ping").result == "pong"


def test_what_is_unknown_is_answered_with_a_suggestion(client: TestClient, device: str):
    """A misspelt method, device, point or argument is named, with what was probably meant."""
    code, message = ask(client, f"rpc/alice/get_pont/{device}/temp")
    assert (code, '"get_point"' in message) == ("unknown_method", True)
    code, message = ask(client, f"rpc/alice/get_point/{device}/tmp")
    assert (code, '"temp"' in message) == ("unknown_point", True)
    code, message = ask(client, f"rpc/alice/set_point/{device}/temp", {"valeu": 5})
    assert (code, '"value"' in message) == ("bad_request", True)
    code, message = ask(client, f"rpc/alice/get_point/{device}x/temp")
    assert (code, f'"{device}"' in message) == ("unknown_device", True)


@pytest.mark.parametrize(
    "topic",
    ["rpc/alice/get_point", "rpc/alice/get_point/C/B", "rpc/alice/get_points/{device}", "rpc/alice/get_point/{device}"],
)
def test_a_request_that_names_too_little_is_a_bad_request(client: TestClient, device: str, topic: str):
    """A request without its device or point says what is missing."""
    code, message = ask(client, topic.format(device=device))

    assert (code, "name" in message or "no device" in message) == (
        "unknown_device" if topic.endswith("C/B") else "bad_request",
        True,
    )


def test_a_misconfigured_device_answers_misconfigured(client: TestClient, path: str):
    """Requests to a device without a working config say where to look."""
    client.publish(f"config/devices/{path}", "{}", retain=True)
    client.status(path, state="misconfigured")

    assert ask(client, f"rpc/alice/get_point/{path}/t")[0] == "misconfigured"
    assert client.request("rpc/alice/list_devices").result[path] == "misconfigured"


def test_a_retained_request_is_refused(client: TestClient, device: str, request: pytest.FixtureRequest):
    """It is never carried out, and says why; nobody wants a write to be repeated by each restart."""
    not_on_iotcore(request, "does not tell subscribers that a message is retained as published")
    code, message = ask(client, f"rpc/alice/set_point/{device}/temp", "30", retain=True)
    client.publish(f"rpc/alice/set_point/{device}/temp", b"", retain=True)

    assert (code, "retain" in message) == ("bad_request", True)
    assert client.request(f"rpc/alice/get_point/{device}/temp").result == 21.5


@pytest.mark.parametrize("elsewhere", ["replies/bob/x", "replies/alicex", "devices/C/B/D/all", "config/devices/C/B/D", "x"])
def test_a_response_topic_of_somebody_else_is_refused(client: TestClient, device: str, elsewhere: str, house: Site):
    """The refusal goes where an answer without ResponseTopic goes, nothing goes there, and nothing is written."""
    spy = house.connect(outputs=False)
    spy.subscribe(elsewhere)
    start = client.mark()
    client.publish(f"rpc/alice/set_point/{device}/temp", "30", response_topic=elsewhere, correlation=b"c")
    refusal = client.wait_for(f"replies/alice/set_point/{device}/temp", after=start)

    assert (refusal.error["code"], refusal.correlation) == ("bad_request", b"c")
    assert client.request(f"rpc/alice/get_point/{device}/temp").result == 21.5
    assert spy.messages() == []


def test_a_request_is_answered_by_its_expiry(client: TestClient, path: str):
    """A slow device's request is answered timeout when its message expiry is over, and other devices do not wait."""
    client.publish(f"config/devices/{path}", fake(interval=60, driver={"latency": 3}), retain=True)
    client.publish(f"config/devices/{path}b", fake(interval=60), retain=True)
    client.online(f"{path}b")
    client.status(path, verdict="accepted")
    begun = time.monotonic()
    client.send(f"rpc/alice/get_point/{path}/t", response_topic="replies/alice/slow", expiry=1)
    for _ in range(5):
        assert client.request(f"rpc/alice/get_point/{path}b/t").result == 1.5
    assert time.monotonic() - begun < 0.9
    late = client.wait_for("replies/alice/slow")

    assert late.error["code"] == "timeout"
    assert 0.9 < late.at - begun < 2
    client.publish(f"config/devices/{path}", b"", retain=True)


def test_a_write_that_is_not_answered_in_time_is_outcome_unknown(house: Site, client: TestClient, path: str):
    """Once the bytes have left, nobody says that nothing was written."""
    config = fake(interval=60, driver={"latency": 3}, gateway=house.gateways[0].id)  # it can be written at once
    client.publish(f"config/devices/{path}", config, retain=True)
    client.online(path)
    error = client.request(f"rpc/alice/set_point/{path}/t", "2", expiry=2).error

    assert error["code"] == "outcome_unknown"
    assert client.request(f"rpc/alice/get_point/{path}/t").result == 2


def test_a_write_goes_out_once_and_is_read_back(client: TestClient, path: str):
    """One request on the wire for a write, one to read back; the answer is what the device took."""

    def answer(request: bytes) -> list[bytes]:
        return [reply(request, b"\x03\x02\x00\x63" if request[7] == 3 else request[7:12])]

    with ScriptedServer(answer) as server:
        client.publish(f"config/devices/{path}", modbus(server.port, register("v", 0), interval=60), retain=True)
        client.online(path)
        taken = client.request(f"rpc/alice/set_point/{path}/v", "100").result
        writes = [request for request in server.requests if request[7] == 16]
        client.publish(f"config/devices/{path}", b"", retain=True)
        client.wait_for(f"devices/{path}/status", lambda m: m.payload == b"")

    assert taken == 0x63
    assert [request[8:] for request in writes] == [bytes.fromhex("0000 0001 02 0064")]


def test_each_request_has_exactly_one_answer(client: TestClient, device: str):
    """300 requests at once, good and bad, have 300 answers, each with the correlation of its own."""
    topic = f"replies/alice/{uuid.uuid4().hex}"
    targets = [f"get_point/{device}/temp", f"get_point/{device}/nothing", "no_such_method", f"last/{device}/on"]
    start = client.mark()
    for number in range(300):
        target = targets[number % 4]
        client.send(f"rpc/alice/{target}", response_topic=topic, correlation=str(number).encode())
    client.wait_for(topic, lambda _: len(client.messages(topic, start)) >= 300)
    client.request("rpc/alice/ping")  # whatever else was on its way has come by now

    answers = {int(m.correlation or b""): dict(m.user)["status"] for m in client.messages(topic, start)}
    assert len(client.messages(topic, start)) == 300
    assert set(answers) == set(range(300))
    assert {answers[n] for n in range(0, 300, 4)} <= {"ok", "busy"}
    assert {answers[n] for n in range(1, 300, 4)} == {"unknown_point"}
    assert {answers[n] for n in range(2, 300, 4)} == {"unknown_method"}
    assert {answers[n] for n in range(3, 300, 4)} == {"ok"}
