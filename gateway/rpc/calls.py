"""What the dispatcher and the methods say to each other, and one request in whichever form it came."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from gateway.actuator.requests import named_devices
from gateway.errors import BadRequest, GatewayError
from gateway.masking import masked, masked_all
from gateway.model import Masked, Message
from gateway.payloads import BadPayload, dump, parse, text
from gateway.store.documents import sha256
from gateway.ticket import Ticket
from gateway.values import cut

DEFAULT_DEADLINE = 10.0
LONGEST_DEADLINE = 60.0
WRITING = frozenset(
    {
        "set_point",
        "set_points",
        "revert_point",
        "revert_device",
        "request_new_schedule",
        "request_cancel_schedule",
        "acquire_lease",
        "renew_lease",
        "release_lease",
        "set_override_on",
        "set_override_off",
        "clear_overrides",
    }
)
"""Methods that change something: refused when the request's age is not known, carried out once when it comes twice."""


NOT_JSON = -32700
"""JSON-RPC's code (5.1) for what can not be read."""


class Silence(Exception):
    """The request concerns another gateway: no answer is ours to give."""


class Malformed(BadRequest):
    """It is no request at all, or one that may not come this way; ``number`` is JSON-RPC's code (5.1)."""

    def __init__(self, message: str, number: int = -32600, **data: object) -> None:
        super().__init__(message, **data)
        self.number = number


@dataclass(frozen=True, slots=True)
class Call:
    """A request as far as the topic and payload go: ``target`` is what stood after the method.

    ``id`` is the requester's name for the request, as text: its correlation data or JSON-RPC id.
    """

    requester: str
    method: str
    target: tuple[str, ...]
    payload: str
    arguments: Mapping[str, Any]
    ticket: Ticket
    id: str | None = None


Handler = Callable[[Call], None]


@dataclass(frozen=True, slots=True)
class Answer:
    """``body`` is what the contract says of an answer by topic, ``code`` the user property ``status``."""

    code: str
    body: Mapping[str, Any]
    number: int = -32000
    """JSON-RPC's code of an error."""


NUMBERS = {"unknown_method": -32601, "bad_request": -32602, "internal": -32603}
"""JSON-RPC's own codes (5.1) for ours; the others are -32000, which it leaves to the server."""


def number(code: str) -> int:
    """JSON-RPC's code for one of ours."""
    return NUMBERS.get(code, -32000)


def answer_of(result: Any, error: GatewayError | None, gateway_id: str | None) -> Answer:
    """The answer with this result or error; it carries the gateway's id if one is given."""
    gateway = {} if gateway_id is None else {"gateway": gateway_id}
    if error is None:
        body = {"result": result.value, "effective": result.effective} if isinstance(result, Masked) else {"result": result}
        return Answer("ok", body | gateway)
    return Answer(error.code, {"error": error_body(error)} | gateway, getattr(error, "number", number(error.code)))


def error_body(error: GatewayError) -> dict[str, Any]:
    """An error as clients see it, as an answer or inside a result."""
    body: dict[str, Any] = {"code": error.code, "message": cut(masked(error.message))}
    return body | {"data": masked_all(error.data)} if error.data else body


def deadline(message: Message) -> float:
    """When a request is over, on the boot clock."""
    return message.received + min(DEFAULT_DEADLINE if message.expiry is None else float(message.expiry), LONGEST_DEADLINE)


class Request(ABC):
    """One request, in whichever form it came."""

    def __init__(self, message: Message, requester: str, method: str, target: tuple[str, ...]) -> None:
        self.message = message
        self.requester = requester
        self.method = method
        self.target = target

    @property
    def deadline(self) -> float:
        """When it is over, on the boot clock."""
        return deadline(self.message)

    @property
    @abstractmethod
    def content(self) -> tuple[str, Mapping[str, Any]]:
        """The payload as text, and its arguments. Raises BadRequest."""

    @property
    @abstractmethod
    def id(self) -> str | None:
        """The requester's name for it, as text."""

    @property
    @abstractmethod
    def key(self) -> str | None:
        """What two requests under one id have in common; None for one without id."""

    @property
    @abstractmethod
    def digest(self) -> str:
        """What two equal requests have in common."""

    @property
    def arguments(self) -> Mapping[str, Any]:
        """The arguments; none if the payload can not be read."""
        try:
            return self.content[1]
        except BadRequest:
            return {}

    @property
    def device(self) -> tuple[str, ...]:
        """The levels of the device that the arguments name; empty if they name none."""
        device = self.arguments.get("device")
        return tuple(device.split("/")) if isinstance(device, str) and device else ()

    @property
    def devices(self) -> list[str]:
        """The paths that the arguments list, as ``devices`` or in ``requests``, as far as they can be read."""
        listed = self.arguments.get("devices")
        named = [path.strip("/") for path in listed if isinstance(path, str)] if isinstance(listed, list) else []
        return [*named, *named_devices(self.arguments.get("requests"))]

    @property
    def names_device(self) -> bool:
        """Whether it is about one device: its answer need not say which gateway gave it."""
        return len(self.target) > 1 or "device" in self.arguments

    def forget(self) -> None:
        """It is carried out: what it says is not needed any more, though the answer may be long in coming."""
        self.message = replace(self.message, payload=b"")


class ByTopic(Request):
    """A request whose method stands in its topic; its id is the correlation data (MQTT 5.0, 3.3.2.3.6)."""

    @cached_property
    def content(self) -> tuple[str, Mapping[str, Any]]:
        """The payload as text, and as arguments if it is an object. Raises BadRequest."""
        try:
            payload = text(self.message.payload)
            return payload, parse(payload) if payload.lstrip().startswith("{") else {}
        except BadPayload as error:
            raise BadRequest(f"the payload is refused: {error}") from error

    def forget(self) -> None:
        """It is carried out: what it says is not needed any more."""
        super().forget()
        self.__dict__["content"] = ("", {})

    @property
    def id(self) -> str | None:
        """The correlation data: as text if it is printable, else in hexadecimal."""
        data = self.message.correlation
        if not data:
            return None
        shown = data.decode("ascii", "replace")
        return shown if shown.isascii() and shown.isprintable() else data.hex()

    @property
    def key(self) -> str | None:
        """What two requests under one id have in common; None for one without id."""
        data = self.message.correlation
        return f"correlation {data.hex()}" if data else None

    @property
    def digest(self) -> str:
        """What two equal requests have in common."""
        return sha256(self.message.topic.encode() + b"\0" + self.message.payload)


class ByJsonRpc(Request):
    """A request that stands in a payload, as JSON-RPC 2.0 says (4); ``fault`` is what is wrong with its form.

    ``wants_answer`` is false for a notification (4.1). ``reply_id`` is what an answer repeats.
    """

    def __init__(
        self,
        message: Message,
        requester: str,
        method: str = "",
        params: Mapping[str, Any] | None = None,
        reply_id: str | int | float | None = None,
        wants_answer: bool = True,
        fault: Malformed | None = None,
    ) -> None:
        super().__init__(message, requester, method, ())
        self.reply_id = reply_id
        self.wants_answer = wants_answer
        self._params = params or {}
        self._fault = fault

    @property
    def content(self) -> tuple[str, Mapping[str, Any]]:
        """No text, and the parameters. Raises Malformed."""
        if self._fault is not None:
            raise self._fault
        return "", self._params

    def forget(self) -> None:
        """It is carried out: what it says is not needed any more."""
        super().forget()
        self._params = {}

    @property
    def id(self) -> str | None:
        """The request's id, as JSON; None for a notification."""
        return dump(self.reply_id).decode() if self.wants_answer else None

    @property
    def key(self) -> str | None:
        """What two requests under one id have in common; None for one without id."""
        return None if self.reply_id is None else f"id {self.id}"

    @property
    def digest(self) -> str:
        """What two equal requests have in common; the order of parameters is none of it."""
        return sha256(json.dumps([self.message.topic, self.method, self._params], sort_keys=True).encode())
