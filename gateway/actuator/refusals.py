"""Every refusal of what would change something is in the audit log, once; a flood of them as numbers."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any, Protocol

from gateway.actuator.audit import Audit, AuditEvent
from gateway.addressing import Addressing
from gateway.clock import Clock
from gateway.rpc.rate import Rate

ONE_BY_ONE = (2.0, 20)
"""Refusals of one requester that have an event each: a second in the long run, and at once."""
OF_ALL = (50.0, 200)
"""The same, of all requesters together."""
COUNTED_FOR = 1.0
"""Seconds for which the others are counted before they are told."""
MANY = 20
"""Requesters whose refusals are counted apart within that time; those of others are told together, without a name."""


class Asked(Protocol):
    """What is known of a request, however far it was understood."""

    @property
    def requester(self) -> str:
        """Who asked."""
        ...

    @property
    def method(self) -> str:
        """For what."""
        ...

    @property
    def target(self) -> tuple[str, ...]:
        """The levels after the method."""
        ...

    @property
    def arguments(self) -> Mapping[str, Any]:
        """What the payload says."""
        ...

    @property
    def id(self) -> str | None:
        """The requester's name for it."""
        ...


class Refusals:
    """Takes refusals from any thread and waits for nothing; ``flush`` writes them down. ``wake``: there is one to flush."""

    def __init__(self, audit: Audit, names: Addressing, clock: Clock) -> None:
        self.wake: Callable[[], None] = lambda: None
        self._audit = audit
        self._names = names
        self._clock = clock
        self._each, self._all = Rate(*ONE_BY_ONE), Rate(*OF_ALL)
        self._lock = threading.Lock()
        self._waiting: list[AuditEvent] = []
        self._counted: Counter[tuple[str | None, str]] = Counter()
        self._tell_at = 0.0

    def tell(self, asked: Asked, code: str) -> None:
        """A request was refused with this code."""
        self._add(asked.requester, code, lambda: self._event(asked, code))

    def event(self, event: AuditEvent) -> None:
        """A write was refused after its request had been taken for good."""
        self._add(event.requester, event.outcome, lambda: event)

    def flush(self, last: bool = False) -> None:
        """Write down what waits; what was counted when its time is over, or at the ``last``."""
        with self._lock:
            waiting, self._waiting = self._waiting, []
            counted: Mapping[tuple[str | None, str], int] = {}
            if last or self._clock.now() >= self._tell_at:
                counted, self._counted = self._counted, Counter()
        for event in waiting:
            self._audit.event(event)
        for (requester, code), number in counted.items():
            self._audit.event(AuditEvent("refused", "", code, requester, new={"count": number}))

    def _add(self, requester: str | None, code: str, event: Callable[[], AuditEvent]) -> None:
        now = self._clock.now()
        if not (self._each.take(requester or "", now) and self._all.take("", now)):
            self._count(requester, code, now)
            return
        with self._lock:
            self._waiting.append(event())
        self.wake()

    def _count(self, requester: str | None, code: str, now: float) -> None:
        with self._lock:
            if not self._counted:
                self._tell_at = now + COUNTED_FOR
            apart = len(self._counted) < MANY or (requester, code) in self._counted
            self._counted[requester if apart else None, code] += 1

    def _event(self, asked: Asked, code: str) -> AuditEvent:
        path, point = self._names.guess(asked.target, asked.arguments)
        task = asked.arguments.get("lease", asked.arguments.get("task_id"))
        task_id = task if isinstance(task, str) else None
        return AuditEvent(
            "refused", path, code, asked.requester, task_id, point=point or None, new=asked.method, id=asked.id
        )
