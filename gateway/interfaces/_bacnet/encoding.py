"""Application data as octets and back (ASHRAE 135, 20.2); pure.

Written out here, and not left to the library, because its general decoder takes 200 us of processor time for each
property of an answer, which is most of what a poll costs.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence

from gateway.interfaces._bacnet.values import DATATYPES, Item, Value

OPENING, CLOSING = -1, -2
"""What stands for the length of a tag that opens or closes a construct (20.2.1.3.2)."""
MAX_UNSIGNED_OCTETS = 8
TEXT_CODECS = {0: "utf-8", 3: "utf-32-be", 4: "utf-16-be", 5: "latin-1"}
"""Character sets by their number (20.2.9); 1 and 2 are code pages and JIS, which nobody can tell apart by their number."""


class Malformed(ValueError):
    """The octets are no application data."""


def read_tag(data: bytes, at: int) -> tuple[int, bool, int, int]:
    """The tag at a place: its number, whether it is context specific, its length, and where its content begins.

    The length is OPENING or CLOSING where there is none, and of an application boolean it is the value (20.2.3).
    """
    try:
        first = data[at]
        number, context, length = first >> 4, bool(first & 0x08), first & 0x07
        at += 1
        if number == 15:
            number = data[at]
            at += 1
        if length < 5:
            return number, context, length, at
        if length > 5:
            if not context:
                raise Malformed("a construct opens or closes with an application tag")
            return number, context, OPENING if length == 6 else CLOSING, at
        length = data[at]
        at += 1
        if length > 253:
            size = 2 if length == 254 else 4
            length = int.from_bytes(data[at : at + size])
            at += size
    except IndexError:
        raise Malformed("it ends in the middle of a tag") from None
    return number, context, length, at


def content(data: bytes, at: int, length: int) -> bytes:
    """So many octets from a place on."""
    if at + length > len(data):
        raise Malformed("it ends in the middle of a value")
    return data[at : at + length]


def read_value(data: bytes, at: int, closing: int) -> tuple[Item, int]:
    """The value from a place to the tag that closes it, and where to go on."""
    start = at
    items: list[Item] = []
    while True:
        number, context, length, inside = read_tag(data, at)
        if context:
            if length == CLOSING and number == closing:
                return _one(items), inside
            return _constructed(data, start, closing)
        item, at = _primitive(data, number, length, inside)
        items.append(item)


def _one(items: list[Item]) -> Item:
    return items[0] if len(items) == 1 else Item("list", items)


def _constructed(data: bytes, start: int, closing: int) -> tuple[Item, int]:
    """A value with constructs in it, as hexadecimal text."""
    at, depth = start, 0
    while True:
        number, context, length, inside = read_tag(data, at)
        if length == CLOSING:
            if depth == 0:
                if number != closing:
                    raise Malformed("a construct closes that was not opened")
                return Item("other", {"other": data[start:at].hex()}), inside
            depth -= 1
            at = inside
        elif length == OPENING:
            depth += 1
            at = inside
        else:
            size = 0 if number == 1 and not context else length
            content(data, inside, size)
            at = inside + size


def _primitive(data: bytes, number: int, length: int, at: int) -> tuple[Item, int]:
    if number == 1:
        if length > 1:
            raise Malformed("a boolean is 0 or 1")
        return Item("boolean", length == 1), at
    octets = content(data, at, length)
    if number >= len(DATATYPES):
        return Item("other", {"other": octets.hex()}), at + length
    try:
        return Item(DATATYPES[number], _READ[number](octets)), at + length
    except (struct.error, IndexError, UnicodeDecodeError):
        raise Malformed(f"a value of type {DATATYPES[number]} has {length} octets") from None


def _null(octets: bytes) -> None:
    if octets:
        raise Malformed("null has no octets")


def _unsigned(octets: bytes) -> int:
    if not 0 < len(octets) <= MAX_UNSIGNED_OCTETS:
        raise Malformed(f"a number has {len(octets)} octets")
    return int.from_bytes(octets)


def _integer(octets: bytes) -> int:
    _unsigned(octets)
    return int.from_bytes(octets, signed=True)


def _real(octets: bytes) -> float:
    value: float = struct.unpack(">f", octets)[0]
    return value


def _double(octets: bytes) -> float:
    value: float = struct.unpack(">d", octets)[0]
    return value


def _text(octets: bytes) -> str:
    codec = TEXT_CODECS.get(octets[0])
    return octets[1:].decode(codec or "ascii", "replace")


def _bits(octets: bytes) -> dict[str, list[bool]]:
    unused, rest = octets[0], octets[1:]
    if unused > 7 or (unused and not rest):
        raise Malformed("a bit string tells of unused bits that it does not have")
    bits = [bool(octet >> place & 1) for octet in rest for place in range(7, -1, -1)]
    return {"bits": bits[: len(bits) - unused]}


def _date(octets: bytes) -> dict[str, str]:
    year, month, day, weekday = struct.unpack("4B", octets)
    parts = [_part(year, 1900, 4), _part(month), _part(day)]
    text = "-".join(parts)
    return {"date": text if weekday == 255 or "*" not in parts else f"{text} {weekday}"}


def _time(octets: bytes) -> dict[str, str]:
    hour, minute, second, hundredth = struct.unpack("4B", octets)
    return {"time": f"{_part(hour)}:{_part(minute)}:{_part(second)}.{_part(hundredth)}"}


def _part(number: int, base: int = 0, width: int = 2) -> str:
    return "*" if number == 255 else f"{base + number:0{width}d}"


def _object(octets: bytes) -> dict[str, list[int]]:
    (number,) = struct.unpack(">I", octets)
    return {"object": [number >> 22, number & 0x3FFFFF]}


def _hex(octets: bytes) -> dict[str, str]:
    return {"hex": octets.hex()}


_READ: Sequence[Callable[[bytes], Value]] = (
    _null,
    _unsigned,  # a boolean has no octets and never comes here
    _unsigned,
    _integer,
    _real,
    _double,
    _hex,
    _text,
    _bits,
    _unsigned,
    _date,
    _time,
    _object,
)
