"""Requests as JSON-RPC 2.0 on the bare topic."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import OutOfRange
from gateway.rpc.jsonrpc import MAX_BATCH
from tests.rpc.rig import Rig

POINT = {"device": "C/B/D", "point": "kW"}


@pytest.fixture
def rig() -> Rig:
    """A dispatcher."""
    return Rig()


def request(method: str = "ping", id: Any = 1, **params: Any) -> dict[str, Any]:
    """A request object."""
    return {"jsonrpc": "2.0", "method": method, "params": params, "id": id}


def test_a_request_is_answered_in_its_envelope(rig: Rig):
    """On ``replies/<requester>``, with id, QoS, correlation data, status and the gateway that answered."""
    rig.ask("rpc/alice", request(), qos=1, correlation=b"c")
    [answer] = rig.out

    assert rig.bodies == [{"jsonrpc": "2.0", "result": "pong", "gateway": "edge-1", "id": 1}]
    assert (answer.topic, answer.qos, answer.correlation) == ("replies/alice", 1, b"c")
    assert answer.user == (("status", "ok"),)


def test_an_answer_goes_to_the_response_topic(rig: Rig):
    """As one to a request by topic; elsewhere is refused."""
    rig.ask("rpc/alice", request(), response_topic="replies/alice/7")
    rig.ask("rpc/alice", request(), response_topic="replies/bob")

    assert [answer.topic for answer in rig.out] == ["replies/alice/7", "replies/alice"]
    assert rig.bodies[1]["error"]["data"]["code"] == "bad_request"
    assert rig.bodies[1]["error"]["code"] == -32600


def test_a_method_sees_a_request_as_by_topic(rig: Rig):
    """The parameters are its arguments; its error carries our code and data."""
    rig.ask("rpc/alice", request("set_point", "a", **POINT, value=99))
    [call] = rig.calls

    assert (call.requester, call.method, call.target, call.arguments) == ("alice", "set_point", (), {**POINT, "value": 99})
    assert call.id == '"a"'
    call.ticket.finish(error=OutOfRange("too much", max=35.0))
    error = {"code": -32000, "message": "too much", "data": {"code": "out_of_range", "max": 35.0}}
    assert rig.bodies == [{"jsonrpc": "2.0", "error": error, "id": "a"}]
    assert rig.out[0].user == (("status", "out_of_range"),)


@pytest.mark.parametrize(
    ("payload", "number", "code", "id"),
    [
        (b'{"jsonrpc": "2.0", "method": "foobar, "params": "bar", "baz]', -32700, "bad_request", None),
        (b"", -32700, "bad_request", None),
        (b"\xff", -32700, "bad_request", None),
        (b"[" * 100_000, -32700, "bad_request", None),
        (b'{"jsonrpc": "2.0", "method": "ping", "method": "ping", "id": 1}', -32700, "bad_request", None),
        (b"[]", -32600, "bad_request", None),
        (b"1", -32600, "bad_request", None),
        (b'{"jsonrpc": "2.0", "method": 1, "params": "bar"}', -32600, "bad_request", None),
        (b'{"jsonrpc": "2.0", "id": 5}', -32600, "bad_request", 5),
        (b'{"jsonrpc": "1.0", "method": "ping", "id": 5}', -32600, "bad_request", 5),
        (b'{"method": "ping", "id": 5}', -32600, "bad_request", 5),
        (b'{"jsonrpc": "2.0", "method": "ping", "id": {}}', -32600, "bad_request", None),
        (b'{"jsonrpc": "2.0", "method": "ping", "id": true}', -32600, "bad_request", None),
        (b'{"jsonrpc": "2.0", "method": "ping", "id": 1e400}', -32700, "bad_request", None),
        (b'{"jsonrpc": "2.0", "method": "ping", "id": 99999999999999999999}', -32600, "bad_request", None),
        (b'{"jsonrpc": "2.0", "method": "ping", "device": "C/B/D", "id": 5}', -32600, "bad_request", 5),
        (b'{"jsonrpc": "2.0", "method": "ping", "params": "x", "id": 5}', -32600, "bad_request", 5),
        (b'{"jsonrpc": "2.0", "method": "ping", "params": ["x"], "id": 5}', -32602, "bad_request", 5),
        (b'{"jsonrpc": "2.0", "method": "foobar", "id": "1"}', -32601, "unknown_method", "1"),
        (b'{"jsonrpc": "2.0", "method": "rpc.discover", "id": "1"}', -32601, "unknown_method", "1"),
        (b'{"jsonrpc": "2.0", "method": "crash", "id": 1.5}', -32603, "internal", 1.5),
    ],
)
def test_what_is_wrong_has_the_code_of_the_specification(rig: Rig, payload: bytes, number: int, code: str, id: Any):
    """One answer, with the id if there is one to be known, ours in ``data``, and a sentence."""
    rig.ask("rpc/alice", payload)
    [body] = rig.bodies

    assert (body["jsonrpc"], body["error"]["code"], body["error"]["data"]["code"], body["id"]) == ("2.0", number, code, id)
    assert len(body["error"]["message"]) > 10
    assert rig.out[0].user == (("status", code),)


def test_a_list_of_parameters_is_told_how_to_be_given(rig: Rig):
    """Parameters have names; the message shows them."""
    rig.ask("rpc/alice", {"jsonrpc": "2.0", "method": "get_point", "params": ["C/B/D", "kW"], "id": 1})
    assert "by name" in rig.bodies[0]["error"]["message"]
    assert rig.calls == []


@pytest.mark.parametrize("method", ["ping", "crash", "no_such"])
def test_a_notification_is_never_answered(rig: Rig, method: str):
    """It is carried out, and neither its result nor its error is told."""
    rig.ask("rpc/alice", {"jsonrpc": "2.0", "method": method})
    rig.ask("rpc/alice", [{"jsonrpc": "2.0", "method": method}] * 3)
    rig.ask("rpc/alice", {"jsonrpc": "2.0", "method": method, "params": [1]})
    assert rig.out == []


def test_a_null_id_is_an_id(rig: Rig):
    """The answer has it."""
    rig.ask("rpc/alice", request(id=None))
    assert rig.bodies[0]["id"] is None


def test_a_batch_is_answered_as_one(rig: Rig):
    """When all are there, in the order of the requests; what is none has an error of its own, notifications nothing."""
    rig.ask(
        "rpc/alice",
        [
            request("get_point", 1, **POINT),
            1,
            {"jsonrpc": "2.0", "method": "ping"},
            request("ping", 2),
            request("get_point", 3, **POINT),
        ],
    )
    assert rig.out == []
    rig.calls[1].ticket.finish(3)
    assert rig.out == []
    rig.calls[0].ticket.finish(1)
    [bodies] = rig.bodies

    assert [body["id"] for body in bodies] == [1, None, 2, 3]
    assert [body.get("result") for body in bodies] == [1, None, "pong", 3]
    assert rig.out[0].user == (("status", "bad_request"),)


def test_a_batch_does_not_wait_beyond_its_deadline(rig: Rig):
    """Each request in it that was not answered then is ``timeout``, or ``outcome_unknown``; there is one answer."""
    rig.ask("rpc/alice", [request("get_point", 1, **POINT), request("set_point", 2, **POINT, value=1), request()], expiry=3)
    rig.calls[1].ticket.claim(rig.clock.now())
    rig.clock.advance(3)
    rig.idle()
    rig.calls[0].ticket.finish(1)
    [bodies] = rig.bodies

    assert [body.get("error", {}).get("data", {}).get("code") for body in bodies] == ["timeout", "outcome_unknown", None]


def test_a_batch_has_a_limit(rig: Rig):
    """One answer for all that is too much."""
    rig.ask("rpc/alice", [request()] * (MAX_BATCH + 1))
    assert rig.bodies[0]["error"]["code"] == -32600
    rig.ask("rpc/alice", [request()] * MAX_BATCH)
    assert len(rig.bodies[1]) == MAX_BATCH


def test_a_batch_counts_as_its_requests():
    """Against the rate of its requester; what is too much is refused as a whole, each with its id."""
    rig = Rig(burst=10)
    rig.ask("rpc/alice", [request(id=i) for i in range(20)])
    assert {body["error"]["data"]["reason"] for body in rig.bodies[0]} == {"rate"}
    assert [body["id"] for body in rig.bodies[0]] == list(range(20))
    assert rig.calls == []


def test_a_retained_batch_is_never_carried_out(rig: Rig):
    """Each request in it is refused."""
    rig.ask("rpc/alice", [request("set_point", 1, **POINT, value=1), request("ping", 2)], retain=True)
    assert [body["error"]["data"]["code"] for body in rig.bodies[0]] == ["bad_request"] * 2
    assert rig.calls == []


def test_others_devices_are_left_to_others(rig: Rig):
    """In a batch only ours are answered; when none is ours, nothing is."""
    foreign = request("get_point", 1, device="C/B/X", point="kW")
    rig.ask("rpc/alice", foreign)
    rig.ask("rpc/alice", [foreign])
    assert rig.out == []
    rig.ask("rpc/alice", [foreign, request("ping", 2)])
    assert [body["id"] for body in rig.bodies[0]] == [2]


MEMBERS = st.sampled_from(["jsonrpc", "method", "params", "id"])
LEAVES = st.none() | st.booleans() | st.integers() | st.text(max_size=5) | st.sampled_from(["2.0", "ping"])
JSON = st.recursive(
    LEAVES, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(MEMBERS, inner, max_size=4), max_leaves=12
)


@given(st.binary(max_size=60) | JSON.map(lambda value: json.dumps(value).encode()))
def test_whatever_comes_has_at_most_one_answer(payload: bytes):
    """Nothing breaks the dispatcher, and every object in an answer is a response of JSON-RPC 2.0."""
    rig = Rig()
    rig.ask("rpc/alice", payload)
    rig.clock.advance(60)
    rig.idle()

    assert len(rig.out) <= 1
    assert rig.rpc.answers.get("internal", 0) == 0
    for body in rig.bodies[0] if rig.bodies and isinstance(rig.bodies[0], list) else rig.bodies:
        assert body["jsonrpc"] == "2.0"
        assert ("result" in body) != ("error" in body)
        assert "id" in body
