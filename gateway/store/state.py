"""The last good configs on disk, so that devices run with the broker down. SQLite; used by one thread only.

It is written through a rollback journal, as a write-ahead log can be cut or damaged without a trace. Each device carries its
checksum and each document its hash. A file that is damaged is kept aside, and what is whole in it goes into the new one.
"""

from __future__ import annotations

import json
import sqlite3
import zlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gateway.errors import GatewayError
from gateway.store.documents import sha256
from gateway.store.sqlite import Database, Layout, MovedAside, is_passing

__all__ = ["MovedAside", "StateDb", "StateError", "StoredDevice"]

SCHEMA = 3

# Documents are kept by their hash: two devices may run on two versions of what has one path. Of what an older version has
# kept there is no checksum.
_TABLES = """
CREATE TABLE devices (
    path TEXT PRIMARY KEY, payload BLOB NOT NULL, owner TEXT, links TEXT NOT NULL, accepted_at REAL NOT NULL,
    learned TEXT NOT NULL DEFAULT '[]', crc INTEGER
) STRICT;
CREATE TABLE documents (hash TEXT PRIMARY KEY, payload BLOB NOT NULL) STRICT;
"""
_STEPS = {
    1: "ALTER TABLE devices ADD COLUMN learned TEXT NOT NULL DEFAULT '[]';",
    2: "ALTER TABLE devices ADD COLUMN crc INTEGER;",
}
_PRUNE = "DELETE FROM documents WHERE hash NOT IN (SELECT link.value FROM devices, json_each(devices.links) AS link)"
_DOCUMENTS = "SELECT CAST(hash AS BLOB), payload FROM documents"
_DEVICES = (
    "SELECT CAST(path AS BLOB), payload, CAST(owner AS BLOB), CAST(links AS BLOB), accepted_at, CAST(learned AS BLOB), crc"
    " FROM devices ORDER BY path"
)
_DAMAGE = "the state file is damaged: a device or document does not fit its checksum"


class StateError(GatewayError):
    """The state file can not be read or written: the devices run on, but what was accepted is not kept."""


class _Damaged(Exception):
    """A row is not what was written."""


@dataclass(frozen=True, slots=True)
class StoredDevice:
    """A device config that was accepted, with what it needs to be compiled again.

    ``documents`` maps the paths of its links to bytes, ``owner`` is the id of the gateway that ran it, ``accepted_at`` wall
    clock seconds. ``learned`` is what its driver has found out under this very config.
    """

    path: str
    payload: bytes
    owner: str | None
    documents: Mapping[str, bytes]
    accepted_at: float
    learned: tuple[str, ...] = ()


_LAYOUT = Layout("state file", _TABLES, SCHEMA, ("journal_mode = TRUNCATE", "synchronous = FULL"), StateError, _STEPS)


class StateDb:
    """The state file at ``path``; its directory exists."""

    def __init__(self, path: Path) -> None:
        self._file = Database(path, _LAYOUT)
        self._moved: MovedAside | None = None  # and what is whole in it not yet saved

    def open(self) -> MovedAside | None:
        """Open the file, or begin one; one that is damaged, or of a newer version, is moved aside first and told.

        Raises StateError if that does not help: a directory that is missing or not writable, a file in use. It may be called
        again then.
        """
        self._moved = self._file.open() or self._moved
        if self._moved is None and not self._is_whole():
            self._moved = self._file.start_again(_DAMAGE)
        if self._moved is None:
            return None
        saved = list(self._salvaged(self._moved.path))
        self.save(saved)
        moved, self._moved = self._moved, None
        return MovedAside(moved.path, f"{moved.reason}; {len(saved)} devices of it are saved")

    def close(self) -> None:
        """Close the file; may be called at any time."""
        self._file.close()

    def load(self) -> list[StoredDevice]:
        """Every device, by path. Raises StateError."""
        with self._file.transaction() as db:
            return list(_whole(db))

    def peek(self) -> list[StoredDevice]:
        """The devices that can be read of a file that can not be opened, nothing of one that another process has."""
        return [] if self._file.in_use else list(self._salvaged(None))

    def save(self, devices: Iterable[StoredDevice]) -> None:
        """Keep these devices, each in place of the one at its path: all of them or, with StateError, none."""
        with self._file.transaction() as db:
            for device in devices:
                links = {path: sha256(payload) for path, payload in device.documents.items()}
                db.execute("INSERT OR REPLACE INTO devices VALUES (?, ?, ?, ?, ?, ?, ?)", _row(device, links))
                documents = [(links[path], payload) for path, payload in device.documents.items()]
                db.executemany("INSERT OR IGNORE INTO documents VALUES (?, ?)", documents)
            db.execute(_PRUNE)

    def remove(self, path: str) -> None:
        """Forget the device at a path, if there is one, and the documents that no other device needs. Raises StateError."""
        with self._file.transaction() as db:
            db.execute("DELETE FROM devices WHERE path = ?", (path,))
            db.execute(_PRUNE)

    def _is_whole(self) -> bool:
        with self._file.transaction() as db:
            try:
                return all(device is not None for device in _read(db))
            except sqlite3.Error as error:  # the table itself is not what it was
                if is_passing(error):
                    raise
                return False

    def _salvaged(self, path: Path | None) -> Iterator[StoredDevice]:
        try:
            with self._file.peek(path) as db:
                yield from _whole(db)
        except (sqlite3.Error, UnicodeError):  # what follows can not be read; the latter when SQLite quotes damaged bytes
            return


def _row(device: StoredDevice, links: Mapping[str, str]) -> tuple[Any, ...]:
    kept = (device.path, device.payload, device.owner, json.dumps(links), device.accepted_at, json.dumps(device.learned))
    return (*kept, _crc(kept))


def _crc(kept: tuple[Any, ...]) -> int:
    """The checksum of a row, its texts as text or as bytes."""
    parts = (part.encode() if isinstance(part, str) else part for part in kept)
    return zlib.crc32(repr(tuple(parts)).encode())


def _whole(db: sqlite3.Connection) -> Iterator[StoredDevice]:
    return (device for device in _read(db) if device is not None)


def _read(db: sqlite3.Connection) -> Iterator[StoredDevice | None]:
    """The devices, and None for each row that is not what was written. Raises sqlite3.Error."""
    documents: dict[str, bytes] = {}
    for digest, payload in db.execute(_DOCUMENTS):
        if isinstance(payload, bytes) and sha256(payload).encode() == digest:
            documents[digest.decode()] = payload
        else:
            yield None
    for row in db.execute(_DEVICES):
        try:
            yield _device(row, documents)
        except (_Damaged, ValueError, TypeError, AttributeError, KeyError):  # damage may have changed types, too
            yield None


def _device(row: tuple[Any, ...], documents: Mapping[str, bytes]) -> StoredDevice:
    *kept, crc = row
    path, payload, owner, links, accepted_at, learned = kept
    if crc is not None and crc != _crc(tuple(kept)):
        raise _Damaged
    linked = {link: documents[digest] for link, digest in json.loads(links).items()}
    name = None if owner is None else owner.decode()
    return StoredDevice(path.decode(), bytes(payload), name, linked, float(accepted_at), tuple(json.loads(learned)))
