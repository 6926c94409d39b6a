"""JSON-RPC 2.0 on the bare topic, through a real broker."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.integration.client import Received, TestClient
from tests.integration.documents import fake, point
from tests.integration.process import GatewayProcess
from tests.integration.site import Site

Gateways = Callable[..., GatewayProcess]


@pytest.fixture
def device(house: Site, path: str) -> str:
    """The path of a fake device that answers."""
    client = house.clients[0]
    document = fake(point("a", start="1"), point("b", start="2", Max="10"), gateway=house.gateways[0].id)
    client.publish(f"config/devices/{path}", document, retain=True)
    client.online(path)
    return path


def request(method: str, id: Any, **params: Any) -> dict[str, Any]:
    """A request object."""
    return {"jsonrpc": "2.0", "method": method, "params": params, "id": id}


@pytest.mark.parametrize("version", [5, 4])
def test_a_client_of_either_version_reads_and_writes(house: Site, device: str, version: int) -> None:
    """Without a ResponseTopic, each answer comes once on ``replies/<requester>``, with its id."""
    client = house.connect(version)
    start = client.mark()
    client.publish("rpc/scada", request("set_point", f"w{version}", device=device, point="a", value=5))
    client.publish("rpc/scada", request("get_point", f"r{version}", device=device, point="a"))
    answer = client.wait_for("replies/scada", lambda m: m.json["id"] == f"r{version}", after=start)
    assert answer.json == {"jsonrpc": "2.0", "result": 5.0, "id": f"r{version}"}
    assert client.request("rpc/scada/ping").json["result"] == "pong" if version == 5 else True
    assert len(client.messages("replies/scada", after=start)) == 2


def test_a_batch_has_one_answer(house: Site, device: str) -> None:
    """An array in the order of the requests: what fails is one of it, a notification is carried out and not in it."""
    client = house.clients[0]
    batch = [
        request("set_point", 1, device=device, point="b", value=11),
        {"jsonrpc": "2.0", "method": "set_point", "params": {"device": device, "point": "a", "value": 7}},
        request("no_such", 2),
        request("get_points", 3, device=device, points=["a", "b"]),
    ]
    answer = client.request("rpc/ops", batch)
    assert [body["id"] for body in answer.json] == [1, 2, 3]
    assert answer.json[0]["error"]["data"]["code"] == "out_of_range"
    assert answer.json[1]["error"]["code"] == -32601
    assert answer.json[2]["result"]["values"]["b"] == 2
    assert client.request("rpc/ops", request("get_point", 4, device=device, point="a")).result == 7


def test_a_retained_request_is_refused(house: Site, device: str) -> None:
    """It is answered, and nothing is written."""
    client = house.clients[0]
    answer = client.request("rpc/ops", request("set_point", 1, device=device, point="a", value=9), retain=True)
    assert answer.error["data"]["code"] == "bad_request"
    client.publish("rpc/ops", b"", retain=True)
    assert client.request("rpc/ops", request("get_point", 2, device=device, point="a")).result != 9


def test_each_gateway_answers_once_for_its_own(connect: Callable[..., TestClient], gateway: Gateways) -> None:
    """Of two gateways each answers what concerns it: both a ping, one what is about a device."""
    client = connect()
    edges = {gateway("one", scope=["C/one/#"]).id, gateway("two", scope=["C/two/#"]).id}
    for edge in edges:
        client.wait_for(f"gateways/{edge}/status", lambda m: m.json["state"] == "online")
    client.publish("config/devices/C/two/D", fake(point("a", start="1")), retain=True)
    client.online("C/two/D")
    start = client.mark()
    client.publish("rpc/ops", [request("ping", 1), request("get_point", 2, device="C/two/D", point="a")])

    def both(_: Received) -> bool:
        return len(client.messages("replies/ops", start)) == 2

    client.wait_for("replies/ops", both, after=start)
    assert client.request("rpc/ops/ping").result == "pong"  # a third answer would have come before
    answers = [m.json for m in client.messages("replies/ops", start)]
    assert {body["gateway"] for answer in answers for body in answer if body["id"] == 1} == edges
    assert [body["result"] for answer in answers for body in answer if body["id"] == 2] == [1.0]


def test_it_can_be_left_out(connect: Callable[..., TestClient], gateway: Gateways) -> None:
    """With ``json_rpc: false`` nobody answers there, and requests by topic go on."""
    client = connect()
    edge = gateway(json_rpc=False)
    client.wait_for(f"gateways/{edge.id}/status", lambda m: m.json["state"] == "online")
    client.publish("rpc/ops", request("ping", 1))
    assert client.request("rpc/ops/ping").result == "pong"
    assert client.messages("replies/ops") == []
