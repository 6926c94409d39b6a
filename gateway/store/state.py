"""The last good configs on disk, so that devices run with the broker down. SQLite; used by one thread only."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path

from gateway.errors import GatewayError
from gateway.store.documents import sha256

SCHEMA = 1

# Documents are kept by their hash: two devices may run on two versions of what has one path.
_TABLES = """
CREATE TABLE devices (
    path TEXT PRIMARY KEY, payload BLOB NOT NULL, owner TEXT, links TEXT NOT NULL, accepted_at REAL NOT NULL
) STRICT;
CREATE TABLE documents (hash TEXT PRIMARY KEY, payload BLOB NOT NULL) STRICT;
"""
_PRUNE = "DELETE FROM documents WHERE hash NOT IN (SELECT link.value FROM devices, json_each(devices.links) AS link)"


class StateError(GatewayError):
    """The state file can not be read or written: the devices run on, but what was accepted is not kept."""


class _Damaged(StateError):
    """What the file holds is no use to us; another one in its place may be."""


@dataclass(frozen=True, slots=True)
class StoredDevice:
    """A device config that was accepted, with what it needs to be compiled again.

    ``documents`` maps the paths of its links to bytes, ``owner`` is the id of the gateway that ran it, ``accepted_at`` wall
    clock seconds.
    """

    path: str
    payload: bytes
    owner: str | None
    documents: Mapping[str, bytes]
    accepted_at: float


@dataclass(frozen=True, slots=True)
class MovedAside:
    """A state file that could not be used: where it is now, and what was wrong with it."""

    path: Path
    reason: str


class StateDb:
    """The state file at ``path``; its directory exists."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._db: sqlite3.Connection | None = None

    def open(self) -> MovedAside | None:
        """Open the file, or begin one; one that is damaged, or of a newer version, is moved aside first and told.

        Raises StateError if that does not help: a directory that is missing or not writable, a file in use.
        """
        try:
            self._connect()
            return None
        except _Damaged as damage:
            self.close()
            moved = MovedAside(self._move_aside(), damage.message)
        self._connect()
        return moved

    def close(self) -> None:
        """Close the file; may be called at any time."""
        if self._db is not None:
            self._db.close()
            self._db = None

    def load(self) -> list[StoredDevice]:
        """Every device, by path. Raises StateError."""
        with _told(self._path), self._transaction() as db:
            documents = dict(db.execute("SELECT hash, payload FROM documents"))
            rows = db.execute("SELECT path, payload, owner, links, accepted_at FROM devices ORDER BY path").fetchall()
        devices = []
        for path, payload, owner, links, accepted_at in rows:
            linked = {link: documents[digest] for link, digest in json.loads(links).items() if digest in documents}
            devices.append(StoredDevice(path, payload, owner, linked, accepted_at))
        return devices

    def save(self, devices: Iterable[StoredDevice]) -> None:
        """Keep these devices, each in place of the one at its path: all of them or, with StateError, none."""
        with _told(self._path), self._transaction() as db:
            for device in devices:
                links = {path: sha256(payload) for path, payload in device.documents.items()}
                row = (device.path, device.payload, device.owner, json.dumps(links), device.accepted_at)
                db.execute("INSERT OR REPLACE INTO devices VALUES (?, ?, ?, ?, ?)", row)
                documents = [(links[path], payload) for path, payload in device.documents.items()]
                db.executemany("INSERT OR IGNORE INTO documents VALUES (?, ?)", documents)
            db.execute(_PRUNE)

    def remove(self, path: str) -> None:
        """Forget the device at a path, if there is one, and the documents that no other device needs. Raises StateError."""
        with _told(self._path), self._transaction() as db:
            db.execute("DELETE FROM devices WHERE path = ?", (path,))
            db.execute(_PRUNE)

    def _connect(self) -> None:
        with _told(self._path):
            self._db = sqlite3.connect(self._path, isolation_level=None)
            self._db.execute("PRAGMA journal_mode = WAL")
            self._db.execute("PRAGMA synchronous = NORMAL")
            self._check(self._db)

    def _check(self, db: sqlite3.Connection) -> None:
        (found,) = db.execute("PRAGMA quick_check(1)").fetchone()
        if found != "ok":
            raise _Damaged(f"the state file is damaged: {found}")
        (version,) = db.execute("PRAGMA user_version").fetchone()
        if version > SCHEMA:
            raise _Damaged(f"the state file is of version {version}, newer than this gateway's {SCHEMA}")
        if version == 0:
            db.executescript(f"BEGIN; {_TABLES} PRAGMA user_version = {SCHEMA}; COMMIT")

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        if self._db is None:
            raise StateError("the state file is not open")
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield self._db
            self._db.execute("COMMIT")
        finally:
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")

    def _move_aside(self) -> Path:
        """The file's new name; its journals go with it, for they would be applied to the next file of the old name."""
        aside = next(p for n in count(1) if not (p := self._path.with_name(f"{self._path.name}.broken-{n}")).exists())
        try:
            for suffix in ("", "-wal", "-shm"):
                source = self._path.with_name(self._path.name + suffix)
                if source.exists():
                    source.rename(aside.with_name(aside.name + suffix))
        except OSError as error:
            raise StateError(f"the damaged state file {self._path} can not be moved aside: {error.strerror}") from error
        return aside


@contextmanager
def _told(path: Path) -> Iterator[None]:
    """SQLite's errors as ours."""
    try:
        yield
    except sqlite3.Error as error:
        code = getattr(error, "sqlite_errorcode", 0) & 0xFF
        passing = code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_FULL)
        hint = f"; {path.parent} must be there and writable (setting state_dir)" if code == sqlite3.SQLITE_CANTOPEN else ""
        raise (StateError if passing else _Damaged)(f"state file {path}: {error}{hint}") from error
