"""A SQLite file of ours: opened, checked, moved aside when it can not be used, and told.

Callers see to it that one thread at a time is in here.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

from gateway.errors import GatewayError

_BUSY = frozenset({sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED})
_PASSING = _BUSY | {
    sqlite3.SQLITE_FULL,
    sqlite3.SQLITE_READONLY,
    sqlite3.SQLITE_IOERR,
    sqlite3.SQLITE_CANTOPEN,
    sqlite3.SQLITE_PERM,
    sqlite3.SQLITE_NOMEM,
}
"""Results that say nothing against what the file holds: another file in its place would fare no better."""


_WRITE_VERSION = 2
"""The newest that SQLite knows (SQLite database file format, 1.3.3: byte 18 of the file)."""

ASIDE = 2
"""Damaged files that are kept; older ones are removed."""

_BROKEN = ".broken-"
_SUFFIXES = ("", "-wal", "-shm", "-journal", "-mark")


def is_passing(error: BaseException | None) -> bool:
    """Whether an error says nothing against what the file holds; a file that is shorter than it should be is damaged."""
    code = getattr(error, "sqlite_errorcode", 0)
    return code & 0xFF in _PASSING and code != sqlite3.SQLITE_IOERR_SHORT_READ


def _has_content(path: Path) -> bool:
    try:
        return path.stat().st_size > 0
    except OSError:  # not there, or not to be seen
        return False


class _Damaged(Exception):
    """What the file holds is no use to us; another one in its place may be."""


@dataclass(frozen=True, slots=True)
class MovedAside:
    """A file that could not be used: where it is now, and what was wrong with it."""

    path: Path
    reason: str


@dataclass(frozen=True, slots=True)
class Layout:
    """What a file holds: ``name`` is what people call it, ``tables`` the SQL that begins one of version ``schema``.

    ``pragmas`` are set on each connection. ``error`` is what its user raises. ``steps`` is the SQL that brings a file of a
    version to the next one. ``check``: look through the whole file when it is opened, which takes as long as to read it.
    """

    name: str
    tables: str
    schema: int
    pragmas: tuple[str, ...]
    error: type[GatewayError]
    steps: Mapping[int, str] = field(default_factory=dict)
    check: bool = True


class Database:
    """The file at ``path``; its directory exists."""

    def __init__(self, path: Path, layout: Layout) -> None:
        self._path = path
        self._layout = layout
        self._db: sqlite3.Connection | None = None
        self._moved: MovedAside | None = None
        self.in_use = False
        """Whether it could not be opened because another process has it."""

    def open(self) -> MovedAside | None:
        """Open the file, or begin one; one that is damaged, or of a newer version, is moved aside first and told.

        Raises the layout's error if that does not help: a directory that is missing or not writable, a file in use.
        """
        try:
            self._connect()
        except _Damaged as damage:
            return self.start_again(str(damage))
        moved, self._moved = self._moved, None
        return moved

    def start_again(self, reason: str) -> MovedAside:
        """Move the file aside and begin another. Raises the layout's error; a later ``open`` tells of the move then."""
        self.close()
        self._moved = moved = MovedAside(self._move_aside(), f"{reason}{self._tidied()}")
        try:
            self._connect()
        except _Damaged as damage:
            raise self._layout.error(str(damage)) from damage
        self._moved = None
        return moved

    @contextmanager
    def peek(self, path: Path | None = None) -> Iterator[sqlite3.Connection]:
        """Look into the file, or into one that was moved aside, without writing anything; it may be damaged.

        Raises sqlite3.Error. A write-ahead log is seen as far as it is whole, and left as it is.
        """
        path = path or self._path
        alone = "" if _has_content(path.with_name(f"{path.name}-wal")) else "&immutable=1"
        with closing(sqlite3.connect(f"file:{quote(str(path))}?mode=ro{alone}", uri=True, timeout=0)) as db:
            db.text_factory = bytes
            yield db

    def close(self) -> None:
        """Close the file; may be called at any time."""
        if self._db is not None:
            self._db.close()
            self._db = None

    def remove(self) -> None:
        """Close the file and delete it. Raises the layout's error."""
        self.close()
        try:
            _remove(self._path)
        except OSError as error:
            raise self._layout.error(f"{self._layout.name} {self._path}: {error.strerror}") from error

    def pragma(self, text: str) -> Any:
        """Ask or set something of the connection, outside of transactions; raises the layout's error."""
        with self._errors() as db:
            return (db.execute(f"PRAGMA {text}").fetchone() or (None,))[0]

    def vacuum(self) -> None:
        """Give room that is not used back to the file system; raises the layout's error."""
        with self._errors() as db:
            db.execute("VACUUM")
            db.execute("PRAGMA wal_checkpoint(TRUNCATE)")

    @contextmanager
    def _errors(self) -> Iterator[sqlite3.Connection]:
        if self._db is None:
            raise self._layout.error(f"the {self._layout.name} is not open")
        try:
            yield self._db
        except (sqlite3.Error, UnicodeError) as error:  # the latter when SQLite quotes damaged bytes
            raise self._layout.error(self._words(error)) from error

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """All of what is done within is kept or, with the layout's error or any other, none."""
        with self._errors() as opened:
            try:
                opened.execute("BEGIN IMMEDIATE")
                yield opened
                opened.execute("COMMIT")
            finally:
                if self._db is not None and opened.in_transaction:
                    opened.execute("ROLLBACK")

    def _connect(self) -> None:
        self.close()
        existed = os.path.exists(self._path)  # noqa: PTH110 - unlike Path.exists, never raises
        try:
            self._begin(existed)
        except (sqlite3.Error, UnicodeError) as error:  # the latter when SQLite quotes damaged bytes
            self._undo(existed)
            self.in_use = getattr(error, "sqlite_errorcode", 0) & 0xFF in _BUSY
            raise (self._layout.error if is_passing(error) else _Damaged)(self._words(error)) from error
        except OSError as error:
            self._undo(existed)
            raise self._layout.error(f"{self._layout.name} {self._path}: {error.strerror}") from error
        self.in_use = False

    def _begin(self, existed: bool) -> None:
        # Others see to it that one thread at a time is in here, so any thread may.
        self._db = sqlite3.connect(self._path, isolation_level=None, check_same_thread=False)
        for pragma in self._layout.pragmas:
            self._db.execute(f"PRAGMA {pragma}")
        self._check(self._db, existed)

    def _undo(self, existed: bool) -> None:
        """A file that could not be begun is none: the next try would take it for one that was cut."""
        self.close()
        try:
            if not existed:
                self._path.unlink(missing_ok=True)
        except OSError:
            pass  # then there is one

    def _check(self, db: sqlite3.Connection, existed: bool) -> None:
        name, schema = self._layout.name, self._layout.schema
        if existed and self._write_version() > _WRITE_VERSION:  # SQLite would read it, and refuse each write
            raise _Damaged(f"the {name} is damaged, or of a newer format of SQLite: it can not be written")
        (found,) = db.execute("PRAGMA integrity_check(1)").fetchone() if self._layout.check else ("ok",)
        if found != "ok":
            raise _Damaged(f"the {name} is damaged: {found}")
        (version,) = db.execute("PRAGMA user_version").fetchone()
        if version > schema:
            raise _Damaged(f"the {name} is of version {version}, newer than this gateway's {schema}")
        if version == 0 and existed:
            raise _Damaged(f"the {name} held nothing: it was cut, or the gateway was ended while it made it")
        if version == 0:
            db.executescript(f"BEGIN; {self._layout.tables} PRAGMA user_version = {schema}; COMMIT")
            return
        for old in range(version, schema):
            db.executescript(f"BEGIN; {self._layout.steps[old]} PRAGMA user_version = {old + 1}; COMMIT")

    def _write_version(self) -> int:
        with self._path.open("rb") as file:
            return int.from_bytes(file.read(19)[18:])

    def _words(self, error: Exception) -> str:
        code = getattr(error, "sqlite_errorcode", 0) & 0xFF
        missing = f"; {self._path.parent} must be there and writable (setting state_dir)"
        return f"{self._layout.name} {self._path}: {error}{missing if code == sqlite3.SQLITE_CANTOPEN else ''}"

    def _move_aside(self) -> Path:
        """The file's new name; its journals go with it, for they would be applied to the next file of the old name."""
        path = self._path
        try:
            aside = self._aside(max(self._numbers(), default=0) + 1)
            for suffix in _SUFFIXES:
                source = path.with_name(path.name + suffix)
                if source.exists():
                    source.rename(aside.with_name(aside.name + suffix))
        except OSError as error:
            name = self._layout.name
            raise self._layout.error(f"the damaged {name} {path} can not be moved aside: {error.strerror}") from error
        return aside

    def _tidied(self) -> str:
        """Remove all but the newest files that were moved aside, so that they do not fill the disk; what is to be told."""
        told = ""
        for old in map(self._aside, self._numbers()[:-ASIDE]):
            try:
                _remove(old)
                told += f"; {old.name} is removed"
            except OSError as error:
                told += f"; {old.name} can not be removed: {error.strerror}"
        return told

    def _aside(self, number: int) -> Path:
        return self._path.with_name(f"{self._path.name}{_BROKEN}{number}")

    def _numbers(self) -> list[int]:
        """Of the files that were moved aside, the oldest first."""
        start = self._path.name + _BROKEN
        names = (entry.name for entry in self._path.parent.iterdir() if entry.name.startswith(start))
        return sorted(int(number) for name in names if (number := name.removeprefix(start)).isdecimal())


def _remove(path: Path) -> None:
    """Remove a file with what lies beside it. Raises OSError."""
    for suffix in _SUFFIXES:
        path.with_name(path.name + suffix).unlink(missing_ok=True)
