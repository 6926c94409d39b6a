"""Values as octets for a request (ASHRAE 135, 20.2); pure."""

from __future__ import annotations

import re
import struct
from collections.abc import Callable, Mapping
from datetime import date
from typing import Any

from gateway.interfaces._bacnet.values import DATATYPES, Item, Value

_DATE = re.compile(r"(\*|\d{4})-(\*|\d{1,2})-(\*|\d{1,2})(?: ([1-7]))?")
_TIME = re.compile(r"(\*|\d{1,2}):(\*|\d{1,2})(?::(\*|\d{1,2})(?:\.(\*|\d{1,2}))?)?")


class Unfit(ValueError):
    """The value can not be encoded as that datatype; the message is for people."""


def tag(number: int, length: int, context: bool) -> bytes:
    """The tag before so many octets."""
    low, more = _length(length)
    kind = 0x08 if context else 0
    if number < 15:
        return bytes([number << 4 | kind | low]) + more
    return bytes([0xF0 | kind | low, number]) + more


def _length(length: int) -> tuple[int, bytes]:
    if length < 5:
        return length, b""
    if length < 254:
        return 5, bytes([length])
    if length < 65536:
        return 5, b"\xfe" + length.to_bytes(2)
    return 5, b"\xff" + length.to_bytes(4)


def opening(number: int) -> bytes:
    """The tag that opens a construct."""
    return bytes([number << 4 | 0x0E])


def closing(number: int) -> bytes:
    """The tag that closes it."""
    return bytes([number << 4 | 0x0F])


def context(number: int, octets: bytes) -> bytes:
    """Octets under a context specific tag."""
    return tag(number, len(octets), context=True) + octets


def context_number(number: int, value: int) -> bytes:
    """A number without a sign, or an enumerated one, under a context specific tag."""
    return context(number, unsigned(value))


def unsigned(value: int) -> bytes:
    """As few octets as hold it."""
    return value.to_bytes(max(1, (value.bit_length() + 7) // 8))


def object_octets(object_type: int, instance: int) -> bytes:
    """An object identifier (20.2.14)."""
    return (object_type << 22 | instance).to_bytes(4)


def value_octets(datatype: str, value: Value) -> bytes:
    """A value with its application tag; of a list those of its ``Item`` s. Raises Unfit."""
    if datatype == "list":
        return b"".join(_listed(item) for item in value)
    if datatype == "boolean":
        return bytes([0x10 | bool(value)])
    if datatype not in _WRITE:
        raise Unfit(f"values of type {datatype} can not be written")
    try:
        octets = _WRITE[datatype](value)
    except (TypeError, ValueError, OverflowError, struct.error, KeyError, AttributeError):
        raise Unfit(f"{value!r} is no value of type {datatype}") from None
    return tag(DATATYPES.index(datatype), len(octets), context=False) + octets


def _listed(item: Any) -> bytes:
    if not isinstance(item, Item):
        raise Unfit("a list holds values with their types")
    return value_octets(item.datatype, item.value)


def _unsigned(value: Any) -> bytes:
    octets = unsigned(int(value))
    if len(octets) > 8 or value != int(value):
        raise ValueError
    return octets


def _integer(value: Any) -> bytes:
    number = int(value)
    if value != number:
        raise ValueError
    size = (number + (number < 0)).bit_length() // 8 + 1
    if size > 8:
        raise ValueError
    return number.to_bytes(size, signed=True)


def _bits(value: Mapping[str, list[bool]]) -> bytes:
    bits = value["bits"]
    unused = -len(bits) % 8
    number = int("0" + "".join("1" if bit else "0" for bit in bits) + "0" * unused, 2)
    return bytes([unused]) + number.to_bytes((len(bits) + unused) // 8)


def _date(value: Mapping[str, str]) -> bytes:
    match = _DATE.fullmatch(value["date"])
    if match is None:
        raise ValueError
    year, month, day = (_part(text) for text in match.groups()[:3])
    weekday = int(match[4]) if match[4] else _weekday(year, month, day)
    return bytes([year if year == 255 else year - 1900, month, day, weekday])


def _weekday(year: int, month: int, day: int) -> int:
    """1 for Monday; "any" for what is no day, but a pattern (20.2.12)."""
    try:
        return 255 if year == 255 else date(year, month, day).isoweekday()
    except ValueError:
        return 255


def _time(value: Mapping[str, str]) -> bytes:
    match = _TIME.fullmatch(value["time"])
    if match is None:
        raise ValueError
    parts = [_part(text) for text in match.groups(default="0")]
    if any(part > most and part != 255 for part, most in zip(parts, (23, 59, 59, 99), strict=True)):
        raise ValueError
    return bytes(parts)


def _part(text: str) -> int:
    return 255 if text == "*" else int(text)


def _object(value: Mapping[str, list[int]]) -> bytes:
    object_type, instance = value["object"]
    if not (0 <= object_type < 1024 and 0 <= instance < 1 << 22):
        raise ValueError
    return object_octets(object_type, instance)


_WRITE: Mapping[str, Callable[[Any], bytes]] = {
    "null": lambda value: b"",
    "unsigned": _unsigned,
    "enumerated": _unsigned,
    "integer": _integer,
    "real": lambda value: struct.pack(">f", value),
    "double": lambda value: struct.pack(">d", value),
    "octet-string": lambda value: bytes.fromhex(value["hex"]),
    "character-string": lambda value: b"\x00" + value.encode(),
    "bit-string": _bits,
    "date": _date,
    "time": _time,
    "object-identifier": _object,
}
