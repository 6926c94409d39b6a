"""Readings and events that the broker has not acknowledged, on disk. SQLite; used by one thread only.

A crash of the process loses nothing that was committed. A loss of power may lose the commits since the last one that waited
for the disk (synchronous = FULL; SQLite, "PRAGMA synchronous"): ``change`` says whether it is one of those.

Each message carries its checksum, and a mark beside the file tells how many commits there were. A file that holds less than
that, or something else than was written, is kept aside, and what is whole in it goes into the new one.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path

from gateway.clock import Clock
from gateway.store.kept import SELECT, TABLE, Damaged, Kept, OutboxError, Row, fits, message, row, whole
from gateway.store.mark import MODULUS, Ledger, Mark
from gateway.store.sqlite import Database, Layout, MovedAside

__all__ = ["Kept", "OutboxError", "OutboxFile", "Refused"]

SCHEMA = 2
REFUSED_KEPT = 200
"""Messages that the broker has refused: the newest are kept for whoever wants to see them."""
REFUSED_BYTES = 1 << 20
"""Bytes of them, too."""
SHARE_DROPPED = 100
"""Of a full file the oldest hundredth goes at once, so that not each new reading pays for it."""
SHRINK = 1024
"""Pages of an empty file that are worth giving back to the file system."""

_TABLES = f"""{TABLE}
CREATE TABLE refused (
    id INTEGER PRIMARY KEY, topic TEXT NOT NULL, payload BLOB NOT NULL, reason TEXT NOT NULL, at REAL NOT NULL
) STRICT;
"""
_STEPS = {1: "ALTER TABLE waiting ADD COLUMN crc INTEGER;"}
_NEXT = f"{SELECT} WHERE id > ? AND id < ? ORDER BY id LIMIT ?"
_OLDEST = f"{SELECT} ORDER BY id LIMIT 1"
_NEWEST = f"{SELECT} ORDER BY id DESC LIMIT 1"
_PUT = "INSERT INTO waiting VALUES (?, ?, ?, ?, ?)"
_PUT_ONCE = "INSERT OR IGNORE INTO waiting VALUES (?, ?, ?, ?, ?)"
_DROP = "DELETE FROM waiting WHERE id IN (SELECT id FROM waiting ORDER BY id LIMIT ?) AND taken < ?"
_DROP_REFUSED = """
DELETE FROM refused WHERE id NOT IN (
    SELECT id FROM (
        SELECT id, row_number() OVER newest AS number, sum(length(payload)) OVER newest AS size
        FROM refused WINDOW newest AS (ORDER BY id DESC)
    ) WHERE number <= ? AND size <= ?
)
"""
_NEVER = 1 << 62
"""An id that is never reached."""


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
    _STEPS,
    check=False,
)
_DAMAGE = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_ERROR})
"""The last one is what our own statements meet when the tables are not what they were."""
NOT_AS_WRITTEN = "a message does not fit its checksum"
AT_ONCE = 100
"""Messages of a damaged file that are taken over in one commit."""


@dataclass(frozen=True, slots=True)
class Refused:
    """A message that the broker does not take, and its word for why; ``at`` is wall clock seconds."""

    topic: str
    payload: bytes
    reason: str
    at: float


class OutboxFile:
    """The file at ``path``, whose directory exists. Everything but ``close`` raises OutboxError.

    ``boot`` tells this boot of the machine from others; empty if that is not known.
    """

    def __init__(self, path: Path, clock: Clock, boot: bytes) -> None:
        self._file = Database(path, _LAYOUT)
        self._ledger = Ledger(path.with_name(f"{path.name}-mark"), boot)
        self._clock = clock
        self._moved: MovedAside | None = None  # and what is whole in it not yet taken over
        self._expected: int | None = None  # how many messages that held
        self.count = 0
        """Messages that wait; 0 while the file is not open."""
        self.bytes = 0
        """Bytes of the file that are in use."""
        self.lost = 0
        """Messages that damage has taken."""

    def open(self) -> MovedAside | None:
        """Open the file, or begin one; one that can not be used is moved aside and told."""
        self._file.close()
        mark = self._ledger.read()
        if self._moved is None:
            self._expected = mark.count if mark else None
        if mark is not None and (lost := self._lost_commits(mark)):
            self._begin_anew(Damaged(f"its last {lost} commits are lost"))
        elif moved := self._file.open():
            self._begun_anew(moved)
        else:
            self._look(mark)
        moved = self._take_over()
        self._ledger.go_on(mark, self._taken(_NEWEST), self._clock.now())
        self._ledger.told(self._ledger.commits, self.count, False)  # one that was left may be of a file that is no more
        return moved

    def start_again(self, error: OutboxError) -> MovedAside | None:
        """If what was raised says that the file is damaged, move it aside and begin another; None if it does not."""
        if not _is_damage(error):
            return None
        self._expected = self.count
        try:
            self._begin_anew(error)
            return self._take_over()
        except OutboxError:
            self.close()
            raise

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
        self._ledger.begin_anew()
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
        self._ledger.check(self.count)
        self._file.pragma(f"synchronous = {'FULL' if wait_for_disk else 'NORMAL'}")

        def work(db: sqlite3.Connection) -> int:
            db.executemany(_PUT, [row(kept, self._ledger.ahead) for kept in new])
            gone = db.executemany("DELETE FROM waiting WHERE id = ?", [(number,) for number in done]).rowcount
            if refused:
                rows = [(r.topic, r.payload, r.reason, r.at) for r in refused]
                db.executemany("INSERT INTO refused (topic, payload, reason, at) VALUES (?, ?, ?, ?)", rows)
                db.execute(_DROP_REFUSED, (REFUSED_KEPT, REFUSED_BYTES))
            return len(new) - max(0, gone)

        self._commit(work, wait_for_disk)
        self._shrink()

    def probe(self) -> None:
        """Write something, to see whether that can be done."""
        self._file.pragma(f"user_version = {SCHEMA}")

    def next(self, after: int, before: int | None, rows: int, size: int) -> list[Kept]:
        """The oldest with ids between these: at most so many, and no more bytes than one above ``size``."""
        found: list[Kept] = []
        with self._file.transaction() as db:
            for columns in db.execute(_NEXT, (after, _NEVER if before is None else before, rows)):
                if not fits(columns):
                    raise Damaged(NOT_AS_WRITTEN)
                found.append(message(columns, self._ledger.ahead))
                size -= len(found[-1].payload)
                if size <= 0:
                    break
        all_of_it = after == 0 and before is None and size > 0 and len(found) < rows
        if all_of_it and len(found) != self.count:
            raise Damaged(f"{len(found)} of {self.count} messages are found")
        return found

    def trim(self, max_bytes: int, oldest: float) -> int:
        """Drop the oldest until the file keeps to ``max_bytes``, and those taken before ``oldest``; how many were.

        Refused messages go first: nobody waits for them.
        """
        dropped = 0
        if self.bytes > max_bytes:
            self._commit(_forget_refused)
        while self.count and self.bytes > max_bytes:
            dropped += self._drop(float("inf"))
        while self.count and self._taken(_OLDEST) < oldest + self._ledger.ahead:
            dropped += self._drop(oldest + self._ledger.ahead)
        return dropped

    def _drop(self, until: float) -> int:
        """Drop some of the oldest, if they were taken before that."""
        number = max(1, self.count // SHARE_DROPPED)
        return -self._commit(lambda db: -db.execute(_DROP, (number, until)).rowcount)

    def _taken(self, query: str) -> float:
        """When the oldest or newest message was taken, by the file's clock; 0 if there is none."""
        with self._file.transaction() as db:
            columns = db.execute(query).fetchone()
        if columns and not fits(columns):
            raise Damaged(NOT_AS_WRITTEN)
        return float(columns[3]) if columns else 0.0

    def _count(self) -> None:
        with self._file.transaction() as db:
            [self.count] = db.execute("SELECT count(*) FROM waiting").fetchone()
            [self._ledger.commits] = db.execute("PRAGMA application_id").fetchone()
            self.bytes = _used(db)

    def _commit(self, work: Callable[[sqlite3.Connection], int], wait_for_disk: bool = False) -> int:
        """A transaction that is counted and told; ``work`` does it, and gives how many messages more there are then."""
        commits = (self._ledger.commits + 1) % MODULUS
        with self._file.transaction() as db:
            more = work(db)
            db.execute(f"PRAGMA application_id = {commits}")
            used = _used(db)
        self.count, self.bytes = self.count + more, used
        self._ledger.told(commits, self.count, wait_for_disk)
        return more

    # ---- damage

    def _lost_commits(self, mark: Mark) -> int:
        """How many are lost. Nobody has the file open yet: its log would be tidied away."""
        try:
            with self._file.peek() as db:
                [found] = db.execute("PRAGMA application_id").fetchone()
        except sqlite3.Error:
            return 0  # it is not there, or opening it will say what is wrong
        return self._ledger.lost(mark, found)

    def _look(self, mark: Mark | None) -> None:
        """See what the file holds, and whether that is what it held."""
        try:
            self._count()
            if mark is not None and mark.commits == self._ledger.commits and mark.count != self.count:
                raise Damaged(f"it holds {self.count} of {mark.count} messages")
            self._taken(_NEWEST)
        except OutboxError as error:
            if not _is_damage(error):
                raise
            self._begin_anew(error)

    def _begin_anew(self, error: OutboxError) -> None:
        self._begun_anew(self._file.start_again(error.message))

    def _begun_anew(self, moved: MovedAside) -> None:
        self._moved = moved
        self._ledger.begin_anew()
        self._count()

    def _take_over(self) -> MovedAside | None:
        """Bring what is whole in a file that was moved aside into the new one, under the same ids."""
        if self._moved is None:
            return None
        found = self._whole(self._moved.path)
        while rows := list(islice(found, AT_ONCE)):
            self._commit(partial(_put_once, rows))
        lost = "how many are lost is not known"
        if self._expected is not None:
            missing = max(0, self._expected - self.count)
            self.lost, lost = self.lost + missing, f"{missing} are lost"
        moved, self._moved = self._moved, None
        return MovedAside(moved.path, f"{moved.reason}; {self.count} messages of it are taken over, {lost}")

    def _whole(self, path: Path) -> Iterator[Row]:
        """The messages that can be read: from the front, and where that ends, from the end."""
        for order in ("ASC", "DESC"):
            try:
                with self._file.peek(path) as db:
                    yield from whole(db, order)
            except (sqlite3.Error, UnicodeError):  # the latter when SQLite quotes damaged bytes
                continue
            return

    def _shrink(self) -> None:
        """Give the room of a file that is empty now back to the file system."""
        if not self.count and self._file.pragma("page_count") > SHRINK:
            self._file.vacuum()


def _forget_refused(db: sqlite3.Connection) -> int:
    db.execute("DELETE FROM refused")
    return 0


def _put_once(rows: Sequence[Row], db: sqlite3.Connection) -> int:
    return db.executemany(_PUT_ONCE, rows).rowcount


def _is_damage(error: OutboxError) -> bool:
    cause = error.__cause__
    return isinstance(error, Damaged) or isinstance(cause, UnicodeError) or _code(cause) in _DAMAGE


def _code(cause: BaseException | None) -> int:
    return getattr(cause, "sqlite_errorcode", 0) & 0xFF


def _used(db: sqlite3.Connection) -> int:
    [pages], [free], [size] = (db.execute(f"PRAGMA {p}").fetchone() for p in ("page_count", "freelist_count", "page_size"))
    return int((pages - free) * size)
