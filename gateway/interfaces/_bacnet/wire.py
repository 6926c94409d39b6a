"""What goes over the pipe between the gateway and its BACnet child: frames of JSON, each after its length in four octets.

JSON has no infinite numbers: floats that are not finite go as text, and a deadline that never comes as null.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import orjson

from gateway.interfaces._bacnet.values import Facts, Failure, Item, Ref, Target

MAX_FRAME = 64 << 20
"""Octets; more than the property lists of the largest device take. A longer frame is the end of a broken pipe."""

Message = dict[str, Any]


class BadFrame(ValueError):
    """The pipe holds something else than frames."""


def frame(message: Message) -> bytes:
    """A message as it goes over the pipe."""
    data = orjson.dumps(message, option=orjson.OPT_NON_STR_KEYS)
    return len(data).to_bytes(4) + data


class Unframer:
    """Makes messages of what comes, in pieces of any size."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> Iterator[Message]:
        """The messages that are whole now. Raises BadFrame."""
        self._buffer += data
        while len(self._buffer) >= 4:
            end = 4 + int.from_bytes(self._buffer[:4])
            if end > MAX_FRAME:
                raise BadFrame(f"a frame of {end} octets")
            if len(self._buffer) < end:
                return
            message = orjson.loads(self._buffer[4:end])
            del self._buffer[:end]
            yield message


def pack_ref(ref: Ref) -> list[int | None]:
    """A ref as JSON."""
    return [ref.object_type, ref.instance, ref.property, ref.index]


def unpack_ref(data: list[Any]) -> Ref:
    """A ref from JSON."""
    return Ref(*data)


def pack_target(target: Target) -> list[Any]:
    """A target as JSON."""
    return [target.device_id, target.address]


def unpack_target(data: list[Any]) -> Target:
    """A target from JSON."""
    return Target(*data)


def pack_answer(answer: Item | Failure) -> list[Any]:
    """An item as a list of two, a failure as a list of four."""
    if isinstance(answer, Failure):
        return pack_failure(answer)
    return [answer.datatype, _packed(answer.datatype, answer.value)]


def unpack_answer(data: list[Any]) -> Item | Failure:
    """An item or a failure from JSON."""
    return unpack_item(data) if len(data) == 2 else unpack_failure(data)


def unpack_item(data: list[Any]) -> Item:
    """An item from JSON."""
    datatype, value = data
    if datatype == "list":
        return Item(datatype, [unpack_item(part) for part in value])
    return Item(datatype, float(value) if datatype in ("real", "double") else value)


def _packed(datatype: str, value: Any) -> Any:
    if datatype == "list":
        return [pack_answer(part) for part in value]
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value


def pack_failure(failure: Failure) -> list[str]:
    """A failure as JSON."""
    return [failure.kind, failure.message, failure.reason, failure.error_class]


def unpack_failure(data: list[str]) -> Failure:
    """A failure from JSON."""
    return Failure(*data)


def pack_facts(facts: Facts) -> list[Any]:
    """Facts as JSON."""
    return [facts.device_id, facts.address, facts.max_apdu, facts.segmentation, facts.vendor]


def unpack_facts(data: list[Any]) -> Facts:
    """Facts from JSON."""
    return Facts(*data)
