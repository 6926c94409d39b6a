"""A lease book with VOLTTRON's numbers: it is 11:30, grace 60 s; and the words in which tests speak to it."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count
from typing import Any

from gateway.actuator.leases import LeaseBook
from gateway.actuator.model import Change, Kind, Lease, Now, Outcome
from gateway.clock import rfc3339

BASE = 1_795_347_000.0
"""2026-11-22T11:30:00Z."""
D1, D2, D3 = "C/B/fakedriver0", "C/B/fakedriver1", "C/B/fakedriver2"
DAY = 86400.0


def at(text: str) -> float:
    """``12:00`` or ``12:15:30`` of that day, wall clock seconds."""
    hours, minutes, seconds = [*map(float, text.split(":")), 0.0][:3]
    return BASE + (hours - 11.5) * 3600 + minutes * 60 + seconds


def triple(device: str, start: str, end: str) -> list[str]:
    """A row of a schedule request."""
    return [device, rfc3339(at(start)), rfc3339(at(end))]


class Book:
    """A lease book and its two clocks, which the test moves."""

    def __init__(self, grace: float = 60, max_lease: float = DAY, high: tuple[str, ...] = ("*",), epoch: int = 1) -> None:
        self.wall, self.boot = BASE, 5_000.0
        self.fences: Iterator[int] = count(epoch * 2**32 + 1)
        self.rules = LeaseBook(grace, max_lease, high, lambda: next(self.fences))

    @property
    def now(self) -> Now:
        """The moment."""
        return Now(self.wall, self.boot)

    def go(self, text: str) -> None:
        """Let both clocks come to a time of the day, forwards only."""
        self.forward(at(text) - self.wall)

    def forward(self, seconds: float) -> None:
        """Let time pass."""
        assert seconds >= 0
        self.wall += seconds
        self.boot += seconds

    def schedule(self, task_id: Any, holder: str, *rows: Any, priority: Any = "HIGH") -> Outcome:
        """Ask for a schedule."""
        return self.rules.request(task_id, holder, priority, list(rows), self.now)

    def acquire(self, holder: str, *devices: str, duration: float = 600, priority: str = "LOW") -> dict[str, Any]:
        """Ask for a lease from now."""
        return self.rules.acquire(holder, list(devices), duration, priority, self.now)

    def window(self, device: str) -> tuple[str, float] | None:
        """Who holds a device, and for how many seconds more."""
        lease = self.rules.holder(device, self.now)
        return None if lease is None else (lease.holder, lease.ends - self.boot)

    def changes(self) -> list[Change]:
        """What happened since the last time."""
        return self.rules.advance(self.now)

    def told(self) -> list[tuple[str, str, str, str]]:
        """What happened since the last time: kind, task, device or nothing, reason."""
        return [
            (c.kind.value, c.task_id, c.lease.device if c.lease else c.slot.device if c.slot else "", c.reason.value)
            for c in self.changes()
        ]

    def lost(self) -> list[tuple[str, str, float]]:
        """The holders to be told since the last time: task, by whom, and when it ends."""
        return [(c.task_id, c.by, c.at) for c in self.changes() if c.kind is Kind.LOST]

    def may(self, device: str, requester: str, task_id: str | None = None, fence: int | None = None) -> Lease | None:
        """Whether a write would go out now; raises what it would be refused with."""
        return self.rules.check(device, requester, task_id, fence, self.now)
