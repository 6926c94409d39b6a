"""JSON-RPC 2.0 (jsonrpc.org/specification, 2013-01-04): from a payload to requests, from answers to a payload; pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gateway.model import Message
from gateway.payloads import BadPayload, parse, text
from gateway.rpc.calls import NOT_JSON, Answer, ByJsonRpc, Malformed
from gateway.values import shown

MAX_BATCH = 100
"""Requests in one batch."""
MAX_ID = 256
"""Characters that the id of a request may have."""
_MEMBERS = frozenset({"jsonrpc", "method", "params", "id"})


def requests(message: Message, requester: str) -> tuple[list[ByJsonRpc], bool]:
    """The requests in a message, and whether they came as a batch; a message that is none is one request with that fault."""
    try:
        value = parse(text(message.payload))
    except BadPayload as error:
        return [_faulty(message, requester, Malformed(f"the payload is refused: {error}", NOT_JSON))], False
    if not isinstance(value, list):
        return [_request(message, requester, value)], False
    if not 0 < len(value) <= MAX_BATCH:
        fault = Malformed(f"a batch has 1 to {MAX_BATCH} requests, not {len(value)}")
        return [_faulty(message, requester, fault)], False
    return [_request(message, requester, item) for item in value], True


def envelope(request: ByJsonRpc, answer: Answer) -> dict[str, Any]:
    """The response object (5): our code is in ``error.data.code``; ``effective`` and ``gateway`` stand beside it."""
    body: dict[str, Any] = {"jsonrpc": "2.0"}
    if error := answer.body.get("error"):
        data = {"code": error["code"]} | error.get("data", {})
        body["error"] = {"code": answer.number, "message": error["message"], "data": data}
    else:
        body["result"] = answer.body["result"]
    body |= {name: answer.body[name] for name in ("effective", "gateway") if name in answer.body}
    return body | {"id": request.reply_id}


def _request(message: Message, requester: str, value: Any) -> ByJsonRpc:
    if not isinstance(value, dict):
        return _faulty(message, requester, Malformed("a request is an object with jsonrpc, method, params and id"))
    reply_id = value.get("id")
    if not _is_id(reply_id):
        return _faulty(message, requester, Malformed(f"the id is a text of at most {MAX_ID} characters, a number or null"))
    method, params = value.get("method"), value.get("params", {})
    fault = _fault(value, method, params)
    if fault is not None and fault.number == -32600:  # it has no method: whether it wants an answer can not be known
        return ByJsonRpc(message, requester, reply_id=reply_id, fault=fault)
    named = params if isinstance(params, dict) else {}
    return ByJsonRpc(message, requester, str(method), named, reply_id, "id" in value, fault)


def _fault(value: Mapping[str, Any], method: Any, params: Any) -> Malformed | None:
    if value.get("jsonrpc") != "2.0":
        return Malformed('a request says "jsonrpc": "2.0"')
    if not isinstance(method, str) or not method:
        return Malformed("a request names its method, a text")
    if unknown := value.keys() - _MEMBERS:
        return Malformed(f"a request has no {shown(min(unknown))}; arguments stand in params")
    if isinstance(params, list):
        return Malformed('parameters are given by name: "params": {"device": "C/B/D", "point": "p"}', -32602)
    return None if isinstance(params, dict) else Malformed("params is an object", -32600)


def _is_id(value: Any) -> bool:
    if isinstance(value, bool):
        return False
    if isinstance(value, int):
        return -(2**63) <= value < 2**63
    if isinstance(value, float):
        return abs(value) < 2**63  # a longer integer is a float by now, and would not come back as it was
    return value is None or (isinstance(value, str) and len(value) <= MAX_ID)


def _faulty(message: Message, requester: str, fault: Malformed) -> ByJsonRpc:
    return ByJsonRpc(message, requester, fault=fault)
