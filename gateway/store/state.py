"""The last good configs on disk, so that devices run with the broker down. SQLite; used by one thread only."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from gateway.errors import GatewayError
from gateway.store.documents import sha256
from gateway.store.sqlite import Database, Layout, MovedAside

__all__ = ["MovedAside", "StateDb", "StateError", "StoredDevice"]

SCHEMA = 2

# Documents are kept by their hash: two devices may run on two versions of what has one path.
_TABLES = """
CREATE TABLE devices (
    path TEXT PRIMARY KEY, payload BLOB NOT NULL, owner TEXT, links TEXT NOT NULL, accepted_at REAL NOT NULL,
    learned TEXT NOT NULL DEFAULT '[]'
) STRICT;
CREATE TABLE documents (hash TEXT PRIMARY KEY, payload BLOB NOT NULL) STRICT;
"""
_STEPS = {1: "ALTER TABLE devices ADD COLUMN learned TEXT NOT NULL DEFAULT '[]';"}
_PRUNE = "DELETE FROM documents WHERE hash NOT IN (SELECT link.value FROM devices, json_each(devices.links) AS link)"


class StateError(GatewayError):
    """The state file can not be read or written: the devices run on, but what was accepted is not kept."""


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


_LAYOUT = Layout("state file", _TABLES, SCHEMA, ("journal_mode = WAL", "synchronous = NORMAL"), StateError, _STEPS)


class StateDb:
    """The state file at ``path``; its directory exists."""

    def __init__(self, path: Path) -> None:
        self._file = Database(path, _LAYOUT)

    def open(self) -> MovedAside | None:
        """Open the file, or begin one; one that is damaged, or of a newer version, is moved aside first and told.

        Raises StateError if that does not help: a directory that is missing or not writable, a file in use.
        """
        return self._file.open()

    def close(self) -> None:
        """Close the file; may be called at any time."""
        self._file.close()

    def load(self) -> list[StoredDevice]:
        """Every device, by path. Raises StateError."""
        with self._file.transaction() as db:
            documents = dict(db.execute("SELECT hash, payload FROM documents"))
            rows = db.execute(
                "SELECT path, payload, owner, links, accepted_at, learned FROM devices ORDER BY path"
            ).fetchall()
        devices = []
        for path, payload, owner, links, accepted_at, learned in rows:
            linked = {link: documents[digest] for link, digest in json.loads(links).items() if digest in documents}
            devices.append(StoredDevice(path, payload, owner, linked, accepted_at, tuple(json.loads(learned))))
        return devices

    def save(self, devices: Iterable[StoredDevice]) -> None:
        """Keep these devices, each in place of the one at its path: all of them or, with StateError, none."""
        with self._file.transaction() as db:
            for device in devices:
                links = {path: sha256(payload) for path, payload in device.documents.items()}
                texts = json.dumps(links), json.dumps(device.learned)
                row = (device.path, device.payload, device.owner, texts[0], device.accepted_at, texts[1])
                db.execute("INSERT OR REPLACE INTO devices VALUES (?, ?, ?, ?, ?, ?)", row)
                documents = [(links[path], payload) for path, payload in device.documents.items()]
                db.executemany("INSERT OR IGNORE INTO documents VALUES (?, ?)", documents)
            db.execute(_PRUNE)

    def remove(self, path: str) -> None:
        """Forget the device at a path, if there is one, and the documents that no other device needs. Raises StateError."""
        with self._file.transaction() as db:
            db.execute("DELETE FROM devices WHERE path = ?", (path,))
            db.execute(_PRUNE)
