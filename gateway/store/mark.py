"""What the outbox has committed, told beside it: the end of a write-ahead log can be lost without a trace."""

from __future__ import annotations

import os
import struct
import zlib
from dataclasses import astuple, dataclass
from pathlib import Path

from gateway.store.kept import OutboxError

MODULUS = 1 << 31
"""Commits are counted in the 32 bits that SQLite has for an application, on the page that growing files write anyway."""

_FORM = struct.Struct(">36sqqqd")
_CRC = struct.Struct(">I")


@dataclass(frozen=True, slots=True)
class Mark:
    """After a commit: the number of commits, and of those that outlive a loss of power; how many messages waited.

    ``boot`` tells the boot of the machine in which that was, and ``ahead`` how far the clock by which messages age was ahead
    of its boot clock, in seconds.
    """

    boot: bytes
    commits: int
    synced: int
    count: int
    ahead: float


class Ledger:
    """Keeps the mark in the file at ``path``; ``boot`` tells this boot of the machine from others, empty if not known.

    Messages age by a clock that stands still while the machine is off, or on with nothing written before it goes off: how
    long that was only the wall clock could say, and that may not have been set.
    """

    def __init__(self, path: Path, boot: bytes) -> None:
        self._path = path
        self._boot = boot
        self._begun = self._behind = False
        self._synced = 0
        self.commits = 0
        self.ahead = 0.0
        """How far the clock by which messages age is ahead of the boot clock."""

    def read(self) -> Mark | None:
        """The mark; None if there is none that is whole, which says nothing against the outbox. Raises OutboxError."""
        try:
            content = self._path.read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise self._error(error) from error
        body, crc = content[: _FORM.size], content[_FORM.size :]
        if crc != _CRC.pack(zlib.crc32(body)):
            return None
        boot, *rest = _FORM.unpack(body)
        return Mark(boot.rstrip(b"\0"), *rest)

    def lost(self, mark: Mark, found: int) -> int:
        """How many commits are lost of a file in which so many are found. Those that were not on disk yet may be."""
        lost = ((mark.commits if self._is_ours(mark) else mark.synced) - found) % MODULUS
        return lost if lost < MODULUS // 2 else 0  # else there are more, as the process ended before it wrote the mark

    def go_on(self, mark: Mark | None, newest: float, now: float) -> None:
        """Go on from where an earlier process has ended; ``newest`` is when the last message was taken. Done once."""
        if self._begun:
            return
        if mark is not None and self._is_ours(mark):
            self.ahead, self._synced = mark.ahead, min(mark.synced, self.commits)
        else:  # what outlived the end of a boot is on disk
            self.ahead, self._synced = max(0.0, newest - now), self.commits
        self._begun = True

    def begin_anew(self) -> None:
        """There is a new file."""
        self.commits = self._synced = 0

    def check(self, count: int) -> None:
        """Make good what ``told`` could not do. Raises OutboxError."""
        if self._behind:
            self._write(count, False)

    def told(self, commits: int, count: int, wait_for_disk: bool) -> None:
        """Tell of a commit. If that fails ``check`` says so before the next one: this one is made."""
        self.commits = commits
        if wait_for_disk:
            self._synced = commits
        try:
            self._write(count, wait_for_disk)
        except OutboxError:
            self._behind = True

    def _is_ours(self, mark: Mark) -> bool:
        return bool(self._boot) and mark.boot == self._boot

    def _write(self, count: int, wait_for_disk: bool) -> None:
        """Write it over the one before, which needs no room."""
        body = _FORM.pack(*astuple(Mark(self._boot, self.commits, self._synced, count, self.ahead)))
        try:
            file = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o644)
            try:
                os.pwrite(file, body + _CRC.pack(zlib.crc32(body)), 0)
                if wait_for_disk:
                    os.fdatasync(file)
            finally:
                os.close(file)
        except OSError as error:
            raise self._error(error) from error
        self._behind = False

    def _error(self, error: OSError) -> OutboxError:
        return OutboxError(f"{self._path}: {error.strerror}")
