"""What the rules keep on disk: tasks, overrides and the epoch of the fences; and whether the disk takes it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from itertools import count
from typing import Any

import structlog

from gateway.actuator.journal import Journal, JournalError

log = structlog.get_logger()


class Records:
    """Any thread may call, but not holding ``lock``, the rules': all but ``fence`` and ``unusable`` wait for the disk.

    ``problem`` is told what can not be kept, and None when it can.
    """

    def __init__(self, journal: Journal, problem: Callable[[str, str | None], None], lock: threading.RLock) -> None:
        self._journal = journal
        self._problem = problem
        self._lock = lock
        self._disk = threading.Lock()
        self._fences = count()
        self.troubled = False
        """Whether the journal could not be written when it was last tried."""

    def open(self) -> tuple[dict[str, Any], list[dict[str, Any]]]:
        """Open the journal, and begin a new epoch of fences; the tasks and overrides as kept. Raises JournalError."""
        with self._disk:
            self._open()
            self._fences = count(self._journal.raise_epoch() * 2**32 + 1)
            return self._journal.tasks() or {}, self._journal.overrides() or []

    def reopen(self) -> None:
        """The disk has refused something: look whether the journal is whole, and go on with it. Raises JournalError."""
        with self._disk:
            self._open()

    def _open(self) -> None:
        moved = self._journal.open()
        if moved is not None:
            log.error("the journal was damaged and is set aside", file=str(moved.path), reason=moved.reason)
            self._problem("journal_set_aside", f"{moved.reason}; it is kept as {moved.path.name}")

    def fence(self) -> int:
        """The next fence: greater than all before."""
        return next(self._fences)

    def keep_tasks(self, tasks: Callable[[], Any]) -> None:
        """Write down the tasks as they are when it is our turn, so that the newest are written last. Raises JournalError."""
        with self._disk:
            with self._lock:
                state = tasks()
            self._journal.keep_tasks(state)

    def keep_overrides(self, overrides: Callable[[], Any]) -> None:
        """Write down the overrides in the same way. Raises JournalError."""
        with self._disk:
            with self._lock:
                state = overrides()
            self._journal.keep_overrides(state)

    def unusable(self, error: JournalError | None) -> None:
        """The journal can not be written, or with None: it can again."""
        if error is not None or self.troubled:
            self._problem("journal_unusable", f"{error.message}; no leases, no writes under them" if error else None)
        self.troubled = error is not None
