"""Frames of tally boards; pure. README.md describes the protocol."""

from __future__ import annotations

import struct
from dataclasses import dataclass

MOST = 16
"""Counters that one request may read."""

READ, SET = 1, 2
STATUS = {1: "no such channel", 2: "the channel is locked", 3: "the value is refused"}

_HEAD = struct.Struct(">2sBBHH")
_MAGIC, _REPLY = b"TY", 0x80


@dataclass(frozen=True)
class Request:
    """Read ``count`` counters from channel ``first`` on, or set that one to ``value``."""

    operation: int
    first: int
    count: int = 1
    value: int | None = None

    def frame(self, sequence: int) -> bytes:
        """The bytes on the wire."""
        head = _HEAD.pack(_MAGIC, self.operation, sequence, self.first, self.count)
        return head if self.value is None else head + self.value.to_bytes(8, "big", signed=True)


@dataclass(frozen=True)
class Reply:
    """What a board answers: its status (0 is good) and the counters."""

    sequence: int
    status: int
    counters: tuple[int, ...]


def taken(data: bytes) -> tuple[Reply | None, bytes]:
    """The first whole reply in these bytes, and what is left. Raises ValueError for bytes that are no reply."""
    if len(data) < _HEAD.size:
        return None, data
    magic, operation, sequence, status, count = _HEAD.unpack_from(data)
    if magic != _MAGIC or not operation & _REPLY or count > MOST:
        raise ValueError(f"{data[:8].hex(' ')} is no reply of a tally board")
    end = _HEAD.size + 8 * count
    if len(data) < end:
        return None, data
    return Reply(sequence, status, struct.unpack(f">{count}q", data[_HEAD.size : end])), data[end:]
