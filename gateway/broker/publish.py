"""A PUBLISH packet (MQTT 5.0, 3.3) as a message; pure.

The library's own way takes the longer for each property the more there are: one packet of 250 KB stopped the link for 14
seconds. Here it is one pass, and what nobody could use is not kept.
"""

from __future__ import annotations

from typing import Any

from gateway.model import Message
from gateway.payloads import MAX_BYTES

LONGEST = 512 << 10
"""Bytes of a packet that is kept as a whole: one that is longer has a payload that no document or request may have, or more
properties than anybody needs."""
HEAD = 256 << 10
"""Bytes that are kept of a longer one: topic, response topic and correlation data fit in (1.5.4, 1.5.6)."""
NOT_KEPT = bytes(MAX_BYTES + 1)
"""Stands for what was not kept: who gets it refuses it for its length."""
MOST_USER = 64
"""User properties that are kept of a message."""

_EXPIRY, _RESPONSE, _CORRELATION, _USER = 0x02, 0x08, 0x09, 0x26
_INTEGERS = {0x01: 1, _EXPIRY: 4, 0x23: 2}
_TEXTS = frozenset({0x03, _RESPONSE, _CORRELATION})
_NUMBER = 0x0B
"""The properties of a PUBLISH (3.3.2.3): integers with their bytes, texts and binary data, and a variable byte integer."""


def decode(command: int, packet: bytes, length: int, now: float) -> tuple[int, Message | None]:
    """The packet's id, 0 at QoS 0, and its message, which came at ``now``; None if a text in it is not UTF-8.

    ``packet`` is what follows the fixed header: ``length`` bytes, or the first HEAD of them if they are more than LONGEST.
    Raises ValueError, IndexError for what is no such packet.
    """
    qos, at = command >> 1 & 3, 2 + int.from_bytes(packet[:2])
    topic, mid = packet[2:at], int.from_bytes(packet[at : at + 2]) if qos else 0
    size, at = _number(packet, at + 2 if qos else at)
    whole, end = length == len(packet), at + size
    if whole and end > length:
        raise ValueError("the properties are longer than the packet")
    known, user = _properties(packet, at, end) if end <= len(packet) else ({}, ())
    try:
        response = known.get(_RESPONSE)
        message = Message(
            topic.decode(),
            packet[end:] if whole else NOT_KEPT,
            bool(command & 1),
            qos,
            now,
            None if response is None else response.decode(),
            known.get(_CORRELATION),
            known.get(_EXPIRY),
            tuple((name.decode(), value.decode()) for name, value in user),
        )
    except UnicodeDecodeError:
        return mid, None  # not a text by MQTT's own rules (1.5.4): nobody can have meant us
    return mid, message


def _properties(packet: bytes, at: int, end: int) -> tuple[dict[int, Any], list[tuple[bytes, bytes]] | tuple[()]]:
    """The properties between two places: those that stand once, and the user's."""
    if at == end:
        return {}, ()
    known: dict[int, Any] = {}
    user: list[tuple[bytes, bytes]] = []
    while at < end:
        kind, at = packet[at], at + 1
        if kind == _USER:
            name, at = _binary(packet, at)
            value, at = _binary(packet, at)
            if len(user) < MOST_USER:
                user.append((name, value))
        elif kind in _TEXTS:
            known[kind], at = _binary(packet, at)
        elif kind == _NUMBER:
            known[kind], at = _number(packet, at)
        else:
            known[kind], at = int.from_bytes(packet[at : at + _integer(kind)]), at + _integer(kind)
    if at != end:
        raise ValueError("a property ends behind the properties")
    return known, user


def _integer(kind: int) -> int:
    if kind not in _INTEGERS:
        raise ValueError(f"0x{kind:02x} is no property of a PUBLISH")
    return _INTEGERS[kind]


def _binary(packet: bytes, at: int) -> tuple[bytes, int]:
    """Binary data or a text (1.5.4, 1.5.6), and where it ends."""
    end = at + 2 + int.from_bytes(packet[at : at + 2])
    return packet[at + 2 : end], end


def _number(packet: bytes, at: int) -> tuple[int, int]:
    """A variable byte integer (1.5.5), and where it ends."""
    number, shift = 0, 0
    while True:
        byte = packet[at]
        number |= (byte & 127) << shift
        shift, at = shift + 7, at + 1
        if byte < 128:
            return number, at
        if shift > 21:
            raise ValueError("a variable byte integer has four bytes at most")
