"""What must outlive a crash: writes to be given back, the fence epoch, tasks, overrides, and requests that were seen.

One SQLite file. It is written through a rollback journal and not a write-ahead log, as the end of such a log can be cut off
without a trace, and with it a write that nobody would give back. Each entry carries its checksum, and one of them is the
total of the others, as a rollback journal that is damaged leaves a commit made in part. A damaged file is kept aside, and
what is whole in it goes into the new one.
"""

from __future__ import annotations

import json
import sqlite3
import threading
import zlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from itertools import starmap
from pathlib import Path
from typing import Any

from gateway.clock import Clock
from gateway.errors import Unavailable
from gateway.faultpoint import FaultPoint, passing
from gateway.model import Scalar
from gateway.store.documents import sha256
from gateway.store.sqlite import Database, Layout, MovedAside, is_passing

SCHEMA = 1
HOUR = 3600.0

_TABLES = """
CREATE TABLE entries (
    kind TEXT NOT NULL, key TEXT NOT NULL, body BLOB NOT NULL, crc INTEGER NOT NULL, PRIMARY KEY (kind, key)
) STRICT, WITHOUT ROWID;
"""
_PUT = "INSERT INTO entries VALUES (?, ?, ?, ?)"
_ALL = "SELECT CAST(kind AS BLOB), CAST(key AS BLOB), body, crc FROM entries"
_DROP = "DELETE FROM entries WHERE kind = ? AND key = ? RETURNING crc"
_TOTAL = ("total", "")
_Row = tuple[str, str, bytes]


class JournalError(Unavailable):
    """The journal can not be read or written: nothing may be done that would have to be given back."""


@dataclass(frozen=True, slots=True)
class OpenWrite:
    """A leased write that is to be given back.

    ``config`` is the device config that it is written under and ``documents`` what that links to, so that it can be given
    back when both have changed; empty if damage has taken them. ``prior`` is the value from before the first write, None
    where it is not needed or could not be had. ``deadline`` (the lease's end) and ``at`` are wall clock seconds;
    ``correlation`` is the request's.
    """

    device: str
    point: str
    priority: int | None
    task_id: str
    fence: int
    requester: str
    correlation: bytes | None
    config: bytes
    documents: Mapping[str, bytes]
    prior: Scalar | None
    deadline: float
    at: float

    @property
    def key(self) -> tuple[str, str, int | None]:
        """What there is one open write of: device, point and priority."""
        return self.device, self.point, self.priority


@dataclass(frozen=True, slots=True)
class SeenRequest:
    """A writing request: ``key`` is its id as text, ``digest`` that of its topic and payload.

    ``until`` is the wall clock time of its deadline. ``answer`` is the answer's body as JSON; None while there is none.
    """

    requester: str
    key: str
    digest: str
    until: float
    answer: str | None = None


class Journal:
    """The journal at ``path``, whose directory exists. Any thread may call: one lock, held while the disk is written."""

    def __init__(self, path: Path, clock: Clock, fault_point: FaultPoint = passing) -> None:
        self._clock = clock
        self._fault_point = fault_point
        self._file = Database(path, _LAYOUT)
        self._moved: MovedAside | None = None  # and what is whole in it not yet saved
        self._lock = threading.Lock()
        self._writes: dict[tuple[str, str, int | None], OpenWrite] = {}
        self._needs: dict[tuple[str, str, int | None], set[str]] = {}  # the documents of each

    def open(self) -> MovedAside | None:
        """Open the file, or begin one; what could not be used is kept aside, told in the result.

        Raises JournalError if that does not help; it may be called again then. Only after it are there open writes to see.
        """
        with self._lock:
            moved = self._open()
            self._writes, self._needs = {}, {}
            for write in self._load_writes():
                self._hold(write, _write_rows(write))
            return moved

    def close(self) -> None:
        """Close the file; may be called at any time."""
        with self._lock:
            self._file.close()

    # ---- fences

    def raise_epoch(self) -> int:
        """A number greater than all before, on disk before it is returned; fences are epoch * 2**32 + n.

        A new file begins with the hours since 1970, so that fences grow on although the old file is lost. Raises
        JournalError.
        """
        with self._lock:
            epoch = max(self._value("epoch", 0), int(self._clock.wall() / HOUR)) + 1
            self._put(("epoch", "", _dump(epoch)))
            return int(epoch)

    # ---- writes that are to be given back

    def begin(self, entry: OpenWrite) -> None:
        """Before a leased write leaves: keep how to give it back. Raises JournalError, and then it may not leave.

        Until its point is closed at this priority, the value from before the first write is the one that counts.
        """
        self._fault_point("before_journal")
        with self._lock:
            first = self._writes.get(entry.key)
            kept = entry if first is None else replace(entry, prior=first.prior)
            rows = _write_rows(kept)
            self._put(*rows)
            self._hold(kept, rows)
        self._fault_point("after_journal")

    def open_writes(self, device: str | None = None) -> list[OpenWrite]:
        """What is to be given back, of one device or of all, oldest first."""
        with self._lock:
            found = [w for w in self._writes.values() if device in (None, w.device)]
        return sorted(found, key=lambda write: write.at)

    def close_write(self, device: str, point: str, priority: int | None) -> None:
        """It is given back, or need not be. Raises JournalError: it stays open then, and this may be called again."""
        with self._lock:
            key = (device, point, priority)
            needed = {digest for other, digests in self._needs.items() if other != key for digest in digests}
            unneeded = self._needs.get(key, set()) - needed
            self._change([("write", _key(*key)), *(("document", digest) for digest in unneeded)])
            self._writes.pop(key, None)
            self._needs.pop(key, None)

    # ---- what the leases and overrides keep

    def keep_tasks(self, tasks: Any) -> None:
        """Keep the tasks, any JSON, in place of those before. Raises JournalError."""
        with self._lock:
            self._put(("tasks", "", _dump(tasks)))

    def tasks(self) -> Any:
        """The tasks as kept; None if there are none. Raises JournalError."""
        with self._lock:
            return self._value("tasks", None)

    def keep_overrides(self, overrides: Any) -> None:
        """Keep the overrides, any JSON, in place of those before. Raises JournalError."""
        with self._lock:
            self._put(("overrides", "", _dump(overrides)))

    def overrides(self) -> Any:
        """The overrides as kept; None if there are none. Raises JournalError."""
        with self._lock:
            return self._value("overrides", None)

    # ---- requests that were seen

    def record(self, requests: Iterable[SeenRequest], forgotten: Iterable[SeenRequest] = ()) -> None:
        """Keep these requests, before they are carried out or with their answers, and forget others.

        All of it or, with JournalError, none.
        """
        rows = [("request", _key(r.requester, r.key), _dump(asdict(r))) for r in requests]
        with self._lock:
            self._change([("request", _key(r.requester, r.key)) for r in forgotten], rows)

    def seen(self) -> list[SeenRequest]:
        """The requests that are kept, of this process and those before. Raises JournalError."""
        with self._lock:
            return [SeenRequest(**json.loads(body)) for _, _, body in self._rows("request")]

    # ---- the file

    def _open(self) -> MovedAside | None:
        self._moved = self._file.open() or self._moved
        if self._moved is None and not self._is_whole():
            self._moved = self._file.start_again("the journal is damaged: an entry is missing or does not fit its checksum")
        if self._moved is None:
            return None
        saved = list(self._salvage(self._moved.path))
        self._put(*saved)
        moved, self._moved = self._moved, None
        return MovedAside(moved.path, f"{moved.reason}; {len(saved)} entries of it are saved")

    def _salvage(self, path: Path) -> Iterator[_Row]:
        """The entries of a damaged file that can be read and fit their checksums."""
        try:
            with self._file.peek(path) as db:
                for row in filter(_fits, db.execute("SELECT * FROM entries")):  # a column's name may be damaged, too
                    if row[0] != b"total":
                        yield row[0].decode(), row[1].decode(), row[2]
        except (sqlite3.Error, UnicodeError):  # what follows can not be read; the latter when SQLite quotes damaged bytes
            return

    def _hold(self, write: OpenWrite, rows: Iterable[_Row]) -> None:
        self._writes[write.key] = write
        self._needs.setdefault(write.key, set()).update(key for kind, key, _ in rows if kind == "document")

    def _is_whole(self) -> bool:
        with self._file.transaction() as db:
            try:
                return _add_up(db.execute(_ALL))
            except sqlite3.Error as error:  # the table itself is not what it was
                if is_passing(error):
                    raise
                return False

    def _put(self, *rows: _Row) -> None:
        self._change((), rows)

    def _change(self, drop: Iterable[tuple[str, str]], put: Iterable[_Row] = ()) -> None:
        """Drop entries and put others, each in place of the one of its key: all of it or, with JournalError, none."""
        rows = {row[:2]: row for row in starmap(_checked, put)}
        with self._file.transaction() as db:
            count, crcs = _total(db)
            gone = [crc for key in {*drop, *rows} for (crc,) in db.execute(_DROP, key)]
            db.executemany(_PUT, rows.values())
            count += len(rows) - len(gone)
            crcs += sum(row[3] for row in rows.values()) - sum(gone)
            db.execute(_DROP, _TOTAL)
            db.execute(_PUT, _checked(*_TOTAL, _dump([count, crcs])))

    def _rows(self, kind: str) -> list[_Row]:
        with self._file.transaction() as db:
            return db.execute("SELECT kind, key, body FROM entries WHERE kind = ?", (kind,)).fetchall()

    def _value(self, kind: str, default: Any) -> Any:
        rows = self._rows(kind)
        return json.loads(rows[0][2]) if rows else default

    def _load_writes(self) -> Iterator[OpenWrite]:
        documents = {key: body for _, key, body in self._rows("document")}
        for _, _, body in self._rows("write"):
            yield _write(json.loads(body), documents)


_PLAIN = ("device", "point", "priority", "task_id", "fence", "requester", "prior", "deadline", "at")
_LAYOUT = Layout("journal", _TABLES, SCHEMA, ("journal_mode = TRUNCATE", "synchronous = FULL"), JournalError)


def _dump(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()


def _key(*parts: Any) -> str:
    return json.dumps(parts)


def _crc(kind: bytes, key: bytes, body: bytes) -> int:
    return zlib.crc32(body, zlib.crc32(b"%b %b " % (kind, key)))


def _checked(kind: str, key: str, body: bytes) -> tuple[str, str, bytes, int]:
    return kind, key, body, _crc(kind.encode(), key.encode(), body)


def _fits(row: tuple[Any, ...]) -> bool:
    """Whether an entry of ``_ALL`` is what was written; damage may have changed the types, too."""
    return len(row) == 4 and all(isinstance(part, bytes) for part in row[:3]) and _crc(*row[:3]) == row[3]


def _total(db: sqlite3.Connection) -> tuple[int, int]:
    """The number of entries, and the sum of their checksums."""
    row = db.execute("SELECT body FROM entries WHERE kind = ? AND key = ?", _TOTAL).fetchone()
    count, crcs = json.loads(row[0]) if row else (0, 0)
    return count, crcs


def _add_up(rows: Iterable[tuple[Any, ...]]) -> bool:
    """Whether the rows of ``_ALL`` are what was written, each of them and together."""
    total, count, crcs = _dump([0, 0]), 0, 0
    for row in rows:
        if not _fits(row):
            return False
        if row[0] == b"total":
            total = row[2]
        else:
            count, crcs = count + 1, crcs + row[3]
    return total == _dump([count, crcs])


def _write_rows(write: OpenWrite) -> list[_Row]:
    """An open write as entries: the documents it needs stand beside it, under their hashes, once for all writes."""
    documents = {path: sha256(payload) for path, payload in write.documents.items()}
    body = {name: getattr(write, name) for name in _PLAIN} | {
        "correlation": None if write.correlation is None else write.correlation.hex(),
        "config": sha256(write.config),
        "documents": documents,
    }
    payloads = {sha256(payload): payload for payload in (write.config, *write.documents.values())}
    return [("write", _key(*write.key), _dump(body)), *(("document", d, payload) for d, payload in payloads.items())]


def _write(body: dict[str, Any], payloads: Mapping[str, bytes]) -> OpenWrite:
    """An open write of its entry; without config if a document of it is lost."""
    links = body["documents"]
    whole = {body["config"], *links.values()} <= payloads.keys()
    correlation = body["correlation"]
    return OpenWrite(
        **{name: body[name] for name in _PLAIN},
        correlation=None if correlation is None else bytes.fromhex(correlation),
        config=payloads[body["config"]] if whole else b"",
        documents={path: payloads[digest] for path, digest in links.items()} if whole else {},
    )
