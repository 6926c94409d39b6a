"""What is refused is told once, on a whole gateway, and a flood of it as numbers."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from gateway.actuator import refusals as module
from tests.conftest_broker import not_on_iotcore
from tests.integration.client import Received, TestClient
from tests.integration.documents import fake, point
from tests.integration.site import Site
from tests.integration.waiting import eventually


@pytest.fixture
def device(house: Site, path: str) -> str:
    """The path of a device with a writable and a read-only point."""
    client = house.clients[0]
    rows = [point("p", start="1", Max="10"), point("fixed", writable=False)]
    client.publish(f"config/devices/{path}", fake(*rows, gateway=house.gateways[0].id), retain=True)
    client.online(path)
    return path


def refused(client: TestClient, after: int) -> list[dict[str, Any]]:
    """The refusals that were told since the mark."""
    return [m.json for m in client.messages("actuator/events/#", after=after) if m.json["event"] == "refused"]


@pytest.mark.parametrize(
    ("about", "payload", "options", "code"),
    [
        ("set_point/{}/p", b"2", {"retain": True}, "bad_request"),
        ("set_point/{}/p", b"2", {"response_topic": "replies/alice/x"}, "bad_request"),
        ("set_point/{}/p", b"", {}, "bad_request"),
        ("set_point/{}/p", {"value": 2, "prio": 8}, {}, "bad_request"),
        ("set_point/{}/p", b"{", {}, "bad_request"),
        ("set_point/{}/p", b"x", {}, "bad_value"),
        ("set_point/{}/p", b"11", {}, "out_of_range"),
        ("set_point/{}/fixed", b"2", {}, "read_only"),
        ("set_point/{}/nowhere", b"2", {}, "unknown_point"),
        ("set_point/{}/p", {"value": 2, "lease": "none"}, {}, "lease_lost"),
        ("set_points/{}", {"values": {"p": 2, "fixed": 3}}, {}, "read_only"),
        ("acquire_lease/{}", {"duration": -1}, {}, "bad_request"),
        ("release_lease/{}", b"", {}, "lease_lost"),
        ("request_new_schedule", {"task_id": "t", "priority": "HIGH", "requests": []}, {}, "bad_request"),
        ("request_cancel_schedule", {"task_id": "none"}, {}, "lease_lost"),
        ("set_override_off", {"pattern": "none"}, {}, "bad_request"),
    ],
)
def test_each_refusal_has_one_event(
    house: Site, device: str, about: str, payload: Any, options: dict[str, Any], code: str, request: pytest.FixtureRequest
) -> None:
    """With its code, its requester, the device and point where they can be known, and the request's id."""
    if "retain" in options:
        not_on_iotcore(request, "does not tell that a message was published to be retained")
    client, mark = house.clients[0], house.clients[0].mark()
    who = f"eve{mark}"
    topic = f"rpc/{who}/{about.format(device)}"
    if "response_topic" in options:  # refused, so the answer goes where one without ResponseTopic goes
        client.publish(topic, payload, correlation=b"id-7", **options)
        assert client.wait_for(f"replies/{who}/#", after=mark).error["code"] == code
    else:
        client.request(topic, payload, correlation=b"id-7", **options)
    answers = client.messages(f"replies/{who}/#", after=mark)
    told = eventually(lambda: refused(client, mark), "the event")
    client.request(f"rpc/{who}/ping")
    assert len(answers) == len(told) == len(refused(client, mark)) == 1
    assert (told[0]["outcome"], told[0]["requester"], told[0]["id"]) == (code, who, "id-7")
    assert told[0]["device"] in (device, None)
    assert (told[0]["device"] is None) == (device not in topic)


def test_a_read_that_is_refused_is_no_event(house: Site, device: str) -> None:
    """The audit log is about what would have changed something."""
    client, mark = house.clients[0], house.clients[0].mark()
    for about in (f"get_point/{device}/nowhere", "no_such_method", f"scrape_all/{device}/p"):
        assert "error" in client.request(f"rpc/eve/{about}").json
    assert refused(client, mark) == []


def test_a_flood_of_refusals_is_bounded(house: Site, device: str) -> None:
    """3,000 writes that are refused, most of them for their number, are all answered, and all told by few events."""
    client, mark = house.clients[0], house.clients[0].mark()
    for _ in range(3000):
        client.send(f"rpc/flood/set_point/{device}/p", b"11", qos=0, response_topic="replies/flood/x")
    answers = eventually(lambda: len(found := client.messages("replies/flood/x", after=mark)) == 3000 and found, "answers")
    expected = Counter(answer.error["code"] for answer in answers)
    assert expected["out_of_range"] >= 400
    assert expected["busy"] > 1000

    def told() -> Counter[str]:
        total: Counter[str] = Counter()
        for event in refused(client, mark):
            total[event["outcome"]] += event["new"]["count"] if isinstance(event["new"], dict) else 1
        return total

    eventually(lambda: told() == expected, f"{expected} are told")
    spent = last(answers).at - answers[0].at
    most = module.ONE_BY_ONE[1] + 2 * (spent + 2) * module.ONE_BY_ONE[0] + 2 * (spent + 2)
    assert len(refused(client, mark)) <= most
    assert client.request(f"rpc/ops/set_point/{device}/p", b"3").result == 3


def last(messages: list[Received]) -> Received:
    """The one that came last."""
    return max(messages, key=lambda message: message.at)
