"""What waits to be published: one source for each link, filled by any thread, emptied by the link's own."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterable
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

    def refused(self, message: Outgoing) -> None:
        """The broker does not take this message, and would not if it came again."""
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

    def refused(self, message: Outgoing) -> None:
        """Count it."""
        self.dropped += 1

    def __len__(self) -> int:
        return len(self._waiting)


class DataQueue:
    """Readings: live ones first, then those that an outage held back, which go to their replay topic.

    Bounded in bytes: the oldest are dropped and counted.
    """

    def __init__(self, max_bytes: int = 64 * 1024 * 1024) -> None:
        self._max_bytes = max_bytes
        self._live: deque[Outgoing] = deque()
        self._held: deque[Outgoing] = deque()
        self._bytes = 0
        self._lock = threading.Lock()
        self._connected = False
        self._open = False
        self.wake: Callable[[], None] = lambda: None
        self.dropped = 0
        self.refusals = 0

    def put(self, messages: Iterable[Outgoing]) -> None:
        """Queue readings, in order; without a connection they are held back at once."""
        with self._lock:
            for message in messages:
                if self._connected:
                    self._live.append(message)
                    self._bytes += len(message.payload)
                else:
                    self._hold(message)
            self._bound()
        self.wake()

    def connected(self) -> None:
        """The link is up: from now on readings are live."""
        with self._lock:
            self._connected = True

    def open(self) -> None:
        """It is known whose the devices are: from now on readings may go out."""
        with self._lock:
            self._open = self._connected
        self.wake()

    def pop(self) -> Outgoing | None:
        """The next message, or None."""
        with self._lock:
            queue = (self._live or self._held) if self._open else None
            if not queue:
                return None
            message = queue.popleft()
            self._bytes -= len(message.payload)
            return message

    def unsent(self, messages: list[Outgoing]) -> None:
        """The connection is lost: nothing that waits is a present value any more."""
        with self._lock:
            self._connected = self._open = False
            waiting = [*self._held, *self._live]
            self._held.clear()
            self._live.clear()
            self._bytes = 0
            for message in (*filter(_is_held, messages), *filter(_is_held, waiting)):
                self._keep(message)
            for message in (*messages, *waiting):
                if not _is_held(message):
                    self._hold(message)
            self._bound()

    def refused(self, message: Outgoing) -> None:
        """Set aside with a count."""
        self.refusals += 1

    @property
    def waiting(self) -> int:
        """How many messages wait."""
        return len(self._live) + len(self._held)

    def __len__(self) -> int:
        """How many messages would go out now."""
        return self.waiting if self._open else 0

    def _hold(self, message: Outgoing) -> None:
        """Keep a reading for its replay topic, marked as replayed; plain point values are not replayed."""
        if message.replay_topic is None or message.replay is None:
            return
        payload = b'{"replayed":true,' + message.replay[1:]
        self._keep(Outgoing(message.replay_topic, payload, qos=message.qos, replay_topic=message.replay_topic))

    def _keep(self, message: Outgoing) -> None:
        self._held.append(message)
        self._bytes += len(message.payload)

    def _bound(self) -> None:
        while self._bytes > self._max_bytes:
            oldest = (self._held or self._live).popleft()
            self._bytes -= len(oldest.payload)
            self.dropped += 1


def _is_held(message: Outgoing) -> bool:
    return message.topic == message.replay_topic
