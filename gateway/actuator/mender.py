"""What the disk has refused is tried again, and told until it is done."""

from __future__ import annotations

from collections.abc import Callable

from gateway.actuator.desk import Desk
from gateway.actuator.journal import JournalError
from gateway.clock import Clock

EVERY = 2.0
"""Seconds between two tries."""


class Mender:
    """On the clerk's thread; ``problem`` is told what can not be kept, and None when it can."""

    def __init__(self, desk: Desk, clock: Clock, problem: Callable[[str, str | None], None]) -> None:
        self._desk = desk
        self._clock = clock
        self._problem = problem
        self._told: str | None = None
        self._next = 0.0

    def work(self) -> None:
        """Try again, if there is anything and it is time."""
        now = self._clock.now()
        if now < self._next:
            return
        self._next = now + EVERY
        self._audit()
        if self._desk.records.troubled or self._desk.reverts.behind:
            self._journal()

    def _audit(self) -> None:
        audit = self._desk.audit
        audit.retry()
        if audit.problem != self._told:
            self._told = audit.problem
            self._problem("audit_failed", audit.problem)

    def _journal(self) -> None:
        desk = self._desk
        try:
            desk.reopen()
            desk.reverts.settle()
            desk.keep_tasks()
            desk.keep_overrides()
        except JournalError as error:
            desk.records.unusable(error)
        else:
            desk.records.unusable(None)
