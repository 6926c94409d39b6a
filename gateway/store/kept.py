"""Messages as rows of the outbox, each with its checksum."""

from __future__ import annotations

import sqlite3
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from gateway.errors import GatewayError

TABLE = """
CREATE TABLE waiting (
    id INTEGER PRIMARY KEY, topic TEXT NOT NULL, payload BLOB NOT NULL, taken REAL NOT NULL, crc INTEGER
) STRICT;
"""
SELECT = "SELECT id, CAST(topic AS BLOB), payload, taken, crc FROM waiting"
Row = tuple[Any, ...]
"""The columns as ``SELECT`` brings them; of what an older version has kept there is no checksum."""


class OutboxError(GatewayError):
    """The outbox can not be read or written: what the broker has not acknowledged is in memory only."""


class Damaged(OutboxError):
    """What is read is not what was written."""

    def __init__(self, what: str) -> None:
        super().__init__(f"the outbox is damaged: {what}")


@dataclass(frozen=True, slots=True)
class Kept:
    """One message on disk. Ids grow in the order of coming; ``taken`` is boot clock seconds."""

    id: int
    topic: str
    payload: bytes
    taken: float = 0.0


def row(kept: Kept, ahead: float) -> Row:
    """A message as it is written, by a clock that is so many seconds ahead of the boot clock."""
    columns = (kept.id, kept.topic.encode(), kept.payload, kept.taken + ahead)
    return kept.id, kept.topic, kept.payload, columns[3], _crc(columns)


def message(found: Row, ahead: float) -> Kept:
    """The message in a row that fits."""
    number, topic, payload, taken, _ = found
    return Kept(number, topic.decode(), payload, taken - ahead)


def fits(found: Row) -> bool:
    """Whether this is what was written; damage may have changed the types, too."""
    *columns, crc = found
    typed = isinstance(columns[1], bytes) and isinstance(columns[2], bytes) and isinstance(columns[3], float)
    return typed and (crc is None or crc == _crc(tuple(columns)))


def whole(db: sqlite3.Connection, order: str) -> Iterator[Row]:
    """The rows of a damaged file that fit, as they are written, ASC or DESC by id. Raises sqlite3.Error where it ends."""
    for found in filter(fits, db.execute(f"{SELECT} ORDER BY id {order}")):
        yield (found[0], found[1].decode(), *found[2:])


def _crc(columns: Row) -> int:
    number, topic, payload, taken = columns
    return zlib.crc32(payload, zlib.crc32(repr((number, topic, taken)).encode()))
