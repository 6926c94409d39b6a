"""Readings and events that the broker has not acknowledged, on disk. SQLite; used by one thread only.

A crash of the process loses nothing that was committed. A loss of power may lose the commits since the last one that waited
for the disk (synchronous = FULL; SQLite, "PRAGMA synchronous"): ``keep`` says whether it is one of those.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

from gateway.errors import GatewayError
from gateway.store.sqlite import Database, Layout, MovedAside

SCHEMA = 1
REFUSED_KEPT = 200
"""Messages that the broker has refused: the newest are kept for whoever wants to see them."""
SHARE_DROPPED = 100
"""Of a full file the oldest hundredth goes at once, so that not each new reading pays for it."""
SHRINK = 1024
"""Pages of an empty file that are worth giving back to the file system."""

_TABLES = """
CREATE TABLE waiting (id INTEGER PRIMARY KEY, topic TEXT NOT NULL, payload BLOB NOT NULL, taken REAL NOT NULL) STRICT;
CREATE TABLE refused (
    id INTEGER PRIMARY KEY, topic TEXT NOT NULL, payload BLOB NOT NULL, reason TEXT NOT NULL, at REAL NOT NULL
) STRICT;
"""
_NEXT = "SELECT id, topic, payload FROM waiting WHERE id > ? AND id < ? ORDER BY id LIMIT ?"
_DROP = "DELETE FROM waiting WHERE id IN (SELECT id FROM waiting ORDER BY id LIMIT ?) AND taken BETWEEN ? AND ?"
_NEVER = 1 << 62
"""An id that is never reached."""


class OutboxError(GatewayError):
    """The outbox can not be read or written: what the broker has not acknowledged is in memory only."""


# One process has the file to itself. Its pages are not looked through when it is opened: that would take as long as
# reading half a gigabyte, and damage is met and told when it is used.
_LAYOUT = Layout(
    "outbox",
    _TABLES,
    SCHEMA,
    (
        "busy_timeout = 0",
        "locking_mode = EXCLUSIVE",
        "journal_mode = WAL",
        "synchronous = NORMAL",
        "journal_size_limit = 1048576",
        "cache_size = -512",
    ),
    OutboxError,
    check=False,
)
_DAMAGE = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})


@dataclass(frozen=True, slots=True)
class Kept:
    """One message on disk. Ids grow in the order of coming; ``taken`` is wall clock seconds, 0 if not known."""

    id: int
    topic: str
    payload: bytes
    taken: float = 0.0


@dataclass(frozen=True, slots=True)
class Refused:
    """A message that the broker does not take, and its word for why; ``at`` is wall clock seconds."""

    topic: str
    payload: bytes
    reason: str
    at: float


class OutboxFile:
    """The file at ``path``, whose directory exists. Everything but ``close`` raises OutboxError."""

    def __init__(self, path: Path) -> None:
        self._file = Database(path, _LAYOUT)
        self.count = 0
        """Messages that wait; 0 while the file is not open."""
        self.bytes = 0
        """Bytes of the file that are in use."""

    def open(self) -> MovedAside | None:
        """Open the file, or begin one; one that can not be used is moved aside and told."""
        self._file.close()
        moved = self._file.open()
        self._count()
        return moved

    def start_again(self, error: OutboxError) -> MovedAside | None:
        """If what was raised says that the file is damaged, move it aside and begin another; None if it does not."""
        if getattr(error.__cause__, "sqlite_errorcode", 0) & 0xFF not in _DAMAGE:
            return None
        moved = self._file.start_again(error.message)
        self._count()
        return moved

    def holds_only(self, ids: Collection[int]) -> bool:
        """Whether there are messages, and all of them have one of these ids; False while the file is not open."""
        if not 0 < self.count <= len(ids):
            return False
        with self._file.transaction() as db:
            return {number for (number,) in db.execute("SELECT id FROM waiting")} <= set(ids)

    def wipe(self) -> None:
        """Begin again with nothing, which needs no room as forgetting one by one does."""
        self._file.remove()
        self._file.open()
        self._count()

    def close(self) -> None:
        """Close the file; may be called at any time."""
        self._file.close()
        self.count = self.bytes = 0

    def last_id(self) -> int:
        """The greatest id on disk, 0 if nothing waits."""
        with self._file.transaction() as db:
            [last] = db.execute("SELECT coalesce(max(id), 0) FROM waiting").fetchone()
        return int(last)

    def change(
        self, new: Sequence[Kept], done: Sequence[int], refused: Sequence[Refused] = (), wait_for_disk: bool = False
    ) -> None:
        """Keep what is new, forget what is done, set aside what was refused: all of it or, with OutboxError, nothing."""
        self._file.pragma(f"synchronous = {'FULL' if wait_for_disk else 'NORMAL'}")
        with self._file.transaction() as db:
            db.executemany("INSERT INTO waiting VALUES (?, ?, ?, ?)", [(k.id, k.topic, k.payload, k.taken) for k in new])
            gone = db.executemany("DELETE FROM waiting WHERE id = ?", [(number,) for number in done]).rowcount
            if refused:
                rows = [(r.topic, r.payload, r.reason, r.at) for r in refused]
                db.executemany("INSERT INTO refused (topic, payload, reason, at) VALUES (?, ?, ?, ?)", rows)
                db.execute("DELETE FROM refused WHERE id <= (SELECT max(id) FROM refused) - ?", (REFUSED_KEPT,))
            used = _used(db)
        self.count += len(new) - max(0, gone)
        self.bytes = used
        self._shrink()

    def probe(self) -> None:
        """Write something, to see whether that can be done."""
        self._file.pragma(f"user_version = {SCHEMA}")

    def next(self, after: int, before: int | None, rows: int, size: int) -> list[Kept]:
        """The oldest with ids between these: at most so many, and no more bytes than one above ``size``."""
        found: list[Kept] = []
        with self._file.transaction() as db:
            for row in db.execute(_NEXT, (after, _NEVER if before is None else before, rows)):
                found.append(Kept(*row))
                size -= len(row[2])
                if size <= 0:
                    break
        return found

    def trim(self, max_bytes: int, oldest: float) -> int:
        """Drop the oldest until the file keeps to ``max_bytes``, and those taken before ``oldest``; how many were."""
        dropped = 0
        while self.count and self.bytes > max_bytes:
            dropped += self._drop(0.0, float("inf"))
        while self.count and 0 < self._first_taken() < oldest:
            dropped += self._drop(1.0, oldest)
        return dropped

    def _drop(self, since: float, until: float) -> int:
        """Drop some of the oldest, if they were taken then."""
        with self._file.transaction() as db:
            gone = db.execute(_DROP, (max(1, self.count // SHARE_DROPPED), since, until)).rowcount
            self.bytes = _used(db)
        self.count -= gone
        return gone

    def _first_taken(self) -> float:
        with self._file.transaction() as db:
            [taken] = db.execute("SELECT taken FROM waiting ORDER BY id LIMIT 1").fetchone() or (0.0,)
        return float(taken)

    def _count(self) -> None:
        with self._file.transaction() as db:
            [self.count] = db.execute("SELECT count(*) FROM waiting").fetchone()
            self.bytes = _used(db)

    def _shrink(self) -> None:
        """Give the room of a file that is empty now back to the file system."""
        if not self.count and self._file.pragma("page_count") > SHRINK:
            self._file.vacuum()


def _used(db: sqlite3.Connection) -> int:
    [pages], [free], [size] = (db.execute(f"PRAGMA {p}").fetchone() for p in ("page_count", "freelist_count", "page_size"))
    return int((pages - free) * size)
