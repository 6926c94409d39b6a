"""The audit log: what was written, refused, given back, leased and overridden, by whom; told on MQTT and kept in files.

Two files of JSON lines, of which the older is dropped when the newer is full: the log is bounded. An event that can not be
kept now waits for the disk, and whoever had something to do with a device goes on.
"""

from __future__ import annotations

import errno
import os
import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import structlog

from gateway.clock import Clock, rfc3339
from gateway.model import Scalar
from gateway.payloads import BadPayload, dump, parse

log = structlog.get_logger()

MAX_BYTES = 4 * 1024 * 1024
"""Bytes that each of the two files may have."""
MAX_LIST = 1000
"""Events that are listed at most."""
PIECE = 65_536
"""Bytes of a file that are read at a time."""
MAX_WAITING = 1000
"""Events that wait for a disk that can not be written; the oldest are lost, and counted."""


@dataclass(frozen=True, slots=True)
class AuditEvent:
    """One thing that happened; ``kind`` is write, refused, revert, revert_failed, lease or override.

    ``device`` is empty for what is about no single device, ``outcome`` is ``ok`` or a code of the error table. ``id`` is the
    request's correlation, as text.
    """

    kind: str
    device: str
    outcome: str = "ok"
    requester: str | None = None
    task_id: str | None = None
    point: str | None = None
    priority: int | str | None = None
    old: Scalar | None = None
    new: Any = None
    id: str | None = None


class Audit:
    """The log at ``path``, whose directory exists; ``publish`` is given each event with its payload. Any thread may call."""

    def __init__(self, path: Path, gateway_id: str, clock: Clock, publish: Callable[[AuditEvent, bytes], None]) -> None:
        self._path = path
        self._older = path.with_name(f"{path.stem}.1{path.suffix}")
        self._gateway_id = gateway_id
        self._clock = clock
        self._publish = publish
        self._lock = threading.Lock()
        self._torn = True  # whether the last line may be half of one, as a crash leaves it
        self._waiting: deque[bytes] = deque()
        self.lost = 0
        """Events that will never be in the files."""
        self.problem: str | None = None
        """Why the newest event could not be kept; None if it could."""

    def event(self, event: AuditEvent) -> None:
        """Publish an event and keep it; never raises, and waits for nothing but the disk's cache."""
        with self._lock:  # the order in the files is that on MQTT
            payload = dump(self._body(event))
            self._publish(event, payload)
            self._waiting.append(payload + b"\n")
            self._flush()

    def retry(self) -> None:
        """Keep what waits for the disk, if there is anything; never raises."""
        with self._lock:
            if self._waiting:
                self._flush()

    def list(self, since: float | None = None, limit: int = 100, device: str | None = None) -> list[dict[str, Any]]:
        """The newest events, newest last: after ``since`` (wall clock seconds), of one device if it is given."""
        found: list[dict[str, Any]] = []
        after = "" if since is None else rfc3339(since)
        named = b"" if device is None else dump(device)
        for line in self._newest_first():
            event = _event(line) if named in line else None
            if event is None or (device is not None and event.get("device") != device):
                continue
            if len(found) >= min(limit, MAX_LIST) or event["timestamp"] <= after:
                break
            found.append(event)
        return found[::-1]

    def _body(self, event: AuditEvent) -> dict[str, Any]:
        return {
            "timestamp": rfc3339(self._clock.wall()),
            "gateway": self._gateway_id,
            "event": event.kind,
            "requester": event.requester,
            "task_id": event.task_id,
            "device": event.device or None,
            "point": event.point,
            "priority": event.priority,
            "old": event.old,
            "new": event.new,
            "outcome": event.outcome,
            "id": event.id,
        }

    def _flush(self) -> None:
        try:
            while self._waiting:
                self._append(self._waiting[0])
                self._waiting.popleft()
        except OSError as error:
            self._failed(error.strerror or "an error without words")
        else:
            self.problem = None

    def _append(self, line: bytes) -> None:
        with self._path.open("ab", buffering=0) as file:
            size = file.tell()
            if not size or size + len(line) <= MAX_BYTES:
                line = b"\n" + line if self._torn and size else line
                self._torn = file.write(line) < len(line)  # the rest had no room
                if self._torn:
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
                return
        self._path.replace(self._older)
        self._append(line)

    def _failed(self, reason: str) -> None:
        if self.problem is None:
            log.error("an event could not be kept in the audit log", file=str(self._path), reason=reason)
        if len(self._waiting) > MAX_WAITING:
            self._waiting.popleft()
            self.lost += 1
        lost = f"; {self.lost} are lost" if self.lost else ""
        self.problem = f"events can not be kept in {self._path} and wait for that: {reason}{lost}"

    def _newest_first(self) -> Iterator[bytes]:
        with ExitStack() as stack:
            with self._lock:  # all at one moment: what is written or moved aside meanwhile would come twice
                waiting = list(self._waiting)
                files = [(stack.enter_context(file), _end(file)) for file in _opened(self._path, self._older)]
            yield from reversed(waiting)
            for file, end in files:
                yield from _backwards(file, end)


def _opened(*paths: Path) -> Iterator[BinaryIO]:
    for path in paths:
        try:
            yield path.open("rb")
        except OSError:
            continue  # there is none yet, or nobody can read it


def _end(file: BinaryIO) -> int:
    return file.seek(0, os.SEEK_END)


def _backwards(file: BinaryIO, end: int) -> Iterator[bytes]:
    """The lines up to a place, the last one first, read in pieces: who wants the newest does not pay for all."""
    rest = b""
    try:
        while end:
            end -= (size := min(PIECE, end))
            file.seek(end)
            rest, *lines = (file.read(size) + rest).split(b"\n")
            yield from reversed(lines)
    except OSError:
        return  # the disk fails: what was read is told
    yield rest


def _event(line: bytes) -> dict[str, Any] | None:
    """The event of a line; None for one that was torn."""
    try:
        event = parse(line.decode())
    except (BadPayload, UnicodeDecodeError):
        return None
    return event if isinstance(event, dict) and isinstance(event.get("timestamp"), str) else None
