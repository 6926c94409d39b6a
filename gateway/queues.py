"""What waits to be published: one source for each link, filled by any thread, emptied by the link's own."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from itertools import count
from operator import itemgetter
from typing import Protocol

import structlog

from gateway.clock import Clock
from gateway.model import Outgoing

log = structlog.get_logger()

MIB = 1 << 20
READS_LIMIT, WRITES_LIMIT, STATES_LIMIT = 8 * MIB, 8 * MIB, 64 * MIB
"""Bytes that may wait on the control link: of answers to those who read, of answers to those who write, and of all else."""
OVERHEAD = 512
"""Bytes that a message takes besides its topic and payload, about."""


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


class _Lane:
    """Messages of one kind, each with its number among all; ``most`` bytes of them."""

    def __init__(self, most: int) -> None:
        self.waiting: deque[tuple[int, Outgoing]] = deque()
        self._most = most
        self._bytes = 0

    def put(self, number: int, message: Outgoing) -> int:
        """Add a message; how many of the oldest had to go for it."""
        self.waiting.append((number, message))
        self._bytes += _size(message)
        gone = 0
        while self._bytes > self._most and len(self.waiting) > 1:
            self.pop()
            gone += 1
        return gone

    def pop(self) -> Outgoing:
        """The oldest message."""
        message = self.waiting.popleft()[1]
        self._bytes -= _size(message)
        return message


class ControlQueue:
    """Statuses, answers and events, in order. What is not worth keeping goes when the connection is lost.

    Each kind has room of its own, so that no flood of reading requests costs the answer to a write, or a status.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._numbers = count()
        self._lock = threading.Lock()
        self._told = False
        self._clear()
        self.wake: Callable[[], None] = lambda: None
        self.tell_refused: Callable[[str, str], None] = lambda topic, reason: None
        """Told of each topic whose message the broker refuses, with the reason."""
        self.dropped = 0

    def _clear(self) -> None:
        self._reads, self._writes, self._states = map(_Lane, (READS_LIMIT, WRITES_LIMIT, STATES_LIMIT))
        self._lanes = (self._reads, self._writes, self._states)

    def put(self, message: Outgoing) -> None:
        """Queue a message; the oldest of its kind are dropped, counted and told when too many wait."""
        with self._lock:
            tell = self._put(message)
        if tell:
            log.warning("the broker takes messages too slowly: the oldest are dropped", topic=message.topic[:200])
        self.wake()

    def pop(self) -> Outgoing | None:
        """The next message, or None; an answer to who reads is not sent when its time is over."""
        with self._lock:
            while waiting := [lane for lane in self._lanes if lane.waiting]:
                message = min(waiting, key=_first).pop()
                if not message.expendable or message.until > self._clock.now():
                    return message
                self.dropped += 1
            self._told = False
        return None

    def unsent(self, messages: list[Outgoing]) -> None:
        """Keep what is still worth sending on the next connection."""
        now = self._clock.now()
        with self._lock:
            waiting = sorted((entry for lane in self._lanes for entry in lane.waiting), key=itemgetter(0))
            self._clear()
            for message in (*messages, *(message for _, message in waiting)):
                if message.until > now:
                    self._put(message)

    def acknowledged(self, message: Outgoing) -> None:
        """It is over."""

    def refused(self, message: Outgoing, reason: str) -> None:
        """Count and tell it."""
        self.dropped += 1
        self.tell_refused(message.topic, reason)

    def __len__(self) -> int:
        return sum(len(lane.waiting) for lane in self._lanes)

    def _put(self, message: Outgoing) -> bool:
        """Whether it is to be told that messages are dropped."""
        lane = self._reads if message.expendable else self._writes if message.until else self._states
        gone = lane.put(next(self._numbers), message)
        self.dropped += gone
        tell, self._told = bool(gone) and not self._told, self._told or bool(gone)
        return tell


def _size(message: Outgoing) -> int:
    return len(message.payload) + len(message.topic) + OVERHEAD


def _first(lane: _Lane) -> int:
    return lane.waiting[0][0]
