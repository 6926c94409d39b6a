"""The requests that we make and the answers that come, as octets (ASHRAE 135, 13.14, 15.5, 15.7, 15.9 and 21); pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

from gateway.interfaces._bacnet.encoding import CLOSING, OPENING, Malformed, content, read_tag, read_value
from gateway.interfaces._bacnet.values import Item, Ref, Value
from gateway.interfaces._bacnet.writing import (
    closing,
    context,
    context_number,
    object_octets,
    opening,
    value_octets,
)

SUBSCRIBE_COV, READ, READ_MULTIPLE, WRITE = 5, 12, 14, 15
"""Numbers of confirmed services (ASHRAE 135, 21: BACnetConfirmedServiceChoice)."""


@dataclass(frozen=True, slots=True)
class Refused:
    """The device's refusal of one property, as numbers of error class and code."""

    error_class: int
    error_code: int


Answer = Item | Refused


def read_request(ref: Ref) -> bytes:
    """ReadProperty-Request."""
    return _object(0, ref) + context_number(1, ref.property) + _index(2, ref)


def read_multiple_request(refs: Sequence[Ref]) -> bytes:
    """ReadPropertyMultiple-Request; properties of one object that follow each other are asked for together."""
    return b"".join(_access(list(group)) for _, group in groupby(refs, lambda ref: (ref.object_type, ref.instance)))


def _access(refs: list[Ref]) -> bytes:
    wanted = b"".join(context_number(0, ref.property) + _index(1, ref) for ref in refs)
    return _object(0, refs[0]) + opening(1) + wanted + closing(1)


def write_request(ref: Ref, datatype: str, value: Value, priority: int | None) -> bytes:
    """WriteProperty-Request. Raises Unfit."""
    octets = value_octets(datatype, value)
    where = _object(0, ref) + context_number(1, ref.property) + _index(2, ref)
    return where + opening(3) + octets + closing(3) + (b"" if priority is None else context_number(4, priority))


def subscribe_request(process: int, ref: Ref, confirmed: bool | None, lifetime: int | None) -> bytes:
    """SubscribeCOV-Request; without ``confirmed`` and ``lifetime`` it ends the subscription."""
    request = context_number(0, process) + _object(1, ref)
    if confirmed is not None:
        request += context(2, bytes([confirmed]))
    return request if lifetime is None else request + context_number(3, lifetime)


def read_answer(data: bytes) -> Iterator[tuple[Ref, Answer]]:
    """What a ReadProperty-ACK holds. Raises Malformed."""
    (object_type, instance), at = _object_at(data, 0, 0)
    number, at = _number_at(data, at, 1)
    index, at = _optional(data, at, 2)
    item, _ = read_value(data, _construct(data, at, 3), 3)
    yield Ref(object_type, instance, number, index), item


def read_multiple_answer(data: bytes) -> Iterator[tuple[Ref, Answer]]:
    """What a ReadPropertyMultiple-ACK holds, one by one. Raises Malformed."""
    at = 0
    while at < len(data):
        (object_type, instance), at = _object_at(data, at, 0)
        at = _construct(data, at, 1)
        while True:
            tag, _, length, inside = read_tag(data, at)
            if length == CLOSING and tag == 1:
                at = inside
                break
            number, at = _number_at(data, at, 2)
            index, at = _optional(data, at, 3)
            answer, at = _result(data, at)
            yield Ref(object_type, instance, number, index), answer


def _result(data: bytes, at: int) -> tuple[Answer, int]:
    tag, _, length, inside = read_tag(data, at)
    if length != OPENING or tag not in (4, 5):
        raise Malformed("a property has neither a value nor an error")
    item, at = read_value(data, inside, tag)
    if tag == 4:
        return item, at
    numbers = [part.value for part in item.value] if item.datatype == "list" else []
    if len(numbers) != 2 or not all(isinstance(number, int) for number in numbers):
        raise Malformed("an error has no class and code")
    return Refused(*numbers), at


def _object(number: int, ref: Ref) -> bytes:
    return context(number, object_octets(ref.object_type, ref.instance))


def _index(number: int, ref: Ref) -> bytes:
    return b"" if ref.index is None else context_number(number, ref.index)


def _number_at(data: bytes, at: int, wanted: int) -> tuple[int, int]:
    number, is_context, length, inside = read_tag(data, at)
    if not is_context or number != wanted or not 0 < length <= 4:
        raise Malformed(f"there is no number under tag {wanted}")
    return int.from_bytes(content(data, inside, length)), inside + length


def _optional(data: bytes, at: int, wanted: int) -> tuple[int | None, int]:
    number, is_context, length, _ = read_tag(data, at)
    if is_context and number == wanted and length > 0:
        return _number_at(data, at, wanted)
    return None, at


def _object_at(data: bytes, at: int, wanted: int) -> tuple[tuple[int, int], int]:
    number, at = _number_at(data, at, wanted)
    return (number >> 22, number & 0x3FFFFF), at


def _construct(data: bytes, at: int, wanted: int) -> int:
    number, _, length, inside = read_tag(data, at)
    if number != wanted or length != OPENING:
        raise Malformed(f"construct {wanted} does not open")
    return inside
