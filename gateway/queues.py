"""What waits to be published: one source for each link, filled by any thread, emptied by the link's own."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from typing import Protocol

from gateway.clock import Clock
from gateway.model import Outgoing

CONTROL_LIMIT = 50_000
"""Messages that may wait on the control link."""


class Source(Protocol):
    """Where a link takes its messages from; called on the link's thread."""

    def pop(self) -> Outgoing | None:
        """The next message to send, or None."""
        ...

    def unsent(self, messages: list[Outgoing]) -> None:
        """The connection is lost; these had been popped and were not acknowledged, oldest first."""
        ...

    def acknowledged(self, message: Outgoing) -> None:
        """The broker has this message, which had been popped with QoS 1."""
        ...

    def refused(self, message: Outgoing, reason: str) -> None:
        """The broker does not take this message, and would not if it came again; the reason is its own word."""
        ...

    def __len__(self) -> int:
        """How many messages would go out now."""
        ...


class ControlQueue:
    """Statuses, answers and events, in order. What is not worth keeping goes when the connection is lost."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._waiting: deque[Outgoing] = deque()
        self._lock = threading.Lock()
        self.wake: Callable[[], None] = lambda: None
        self.dropped = 0

    def put(self, message: Outgoing) -> None:
        """Queue a message; the oldest is dropped, and counted, when too many wait."""
        with self._lock:
            if len(self._waiting) >= CONTROL_LIMIT:
                self._waiting.popleft()
                self.dropped += 1
            self._waiting.append(message)
        self.wake()

    def pop(self) -> Outgoing | None:
        """The next message, or None."""
        with self._lock:
            return self._waiting.popleft() if self._waiting else None

    def unsent(self, messages: list[Outgoing]) -> None:
        """Keep what is still worth sending on the next connection."""
        now = self._clock.now()
        with self._lock:
            self._waiting = deque(m for m in (*messages, *self._waiting) if m.until > now)

    def acknowledged(self, message: Outgoing) -> None:
        """It is over."""

    def refused(self, message: Outgoing, reason: str) -> None:
        """Count it."""
        self.dropped += 1

    def __len__(self) -> int:
        return len(self._waiting)
