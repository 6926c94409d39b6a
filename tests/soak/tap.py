"""What a gateway told its broker and the broker has acknowledged, seen on the way between them.

A broker that is killed forgets what it has acknowledged and not passed on; so a subscriber can not know what was delivered.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from tests.integration.proxy import Proxy

PUBLISH, PUBACK = 0x30, 0x40


@dataclass(frozen=True)
class Told:
    """A PUBLISH at QoS 1."""

    topic: str
    payload: bytes


class Packets:
    """Cuts a stream of bytes into MQTT packets (OASIS MQTT Version 5.0, section 2.1)."""

    def __init__(self) -> None:
        self._rest = bytearray()

    def feed(self, data: bytes) -> Iterator[tuple[int, bytes]]:
        """The packets that are whole now: first byte and body."""
        self._rest += data
        while (size := varint(self._rest, 1)) is not None and len(self._rest) >= sum(size):
            length, begin = size
            yield self._rest[0], bytes(self._rest[begin : begin + length])
            del self._rest[: begin + length]


def varint(data: bytes | bytearray, at: int) -> tuple[int, int] | None:
    """A variable byte integer and where it ends, or None if it is not whole (section 1.5.5)."""
    value = 0
    for index in range(at, min(at + 4, len(data))):
        value |= (data[index] & 0x7F) << 7 * (index - at)
        if data[index] < 0x80:
            return value, index + 1
    return None


def published(first: int, body: bytes) -> tuple[int, Told] | None:
    """Packet identifier and content of a PUBLISH at QoS 1, else None (section 3.3)."""
    if first & 0xF0 != PUBLISH or first >> 1 & 3 != 1:
        return None
    end = 2 + int.from_bytes(body[:2])
    properties = varint(body, end + 2)
    assert properties is not None
    return int.from_bytes(body[end : end + 2]), Told(body[2:end].decode(), body[sum(properties) :])


class Stream:
    """One connection: what was told on it and not acknowledged yet."""

    def __init__(self, sent: Callable[[Told], None], acknowledged: Callable[[Told], None]) -> None:
        self._up, self._down = Packets(), Packets()
        self._open: dict[int, Told] = {}
        self._sent = sent
        self._acknowledged = acknowledged

    def see(self, way: str, data: bytes) -> None:
        """Bytes that are about to be passed on."""
        for first, body in (self._up if way == "up" else self._down).feed(data):
            if way == "up" and (found := published(first, body)) is not None:
                self._open[found[0]] = found[1]
                self._sent(found[1])
            elif way == "down" and first & 0xF0 == PUBACK:
                told = self._open.pop(int.from_bytes(body[:2]), None)
                if told is not None:
                    self._acknowledged(told)


class Tap(Proxy):
    """A proxy that tells what is published through it, and what of it is acknowledged; each may be told more than once."""

    def __init__(self, target: int, sent: Callable[[Told], None], acknowledged: Callable[[Told], None]) -> None:
        super().__init__(target)
        self._tell = sent, acknowledged
        self._streams: dict[Any, Stream] = {}
        self._lock = threading.Lock()

    def _passing(self, client: Any, way: str, data: bytes) -> None:
        with self._lock:
            self._streams.setdefault(client, Stream(*self._tell)).see(way, data)
