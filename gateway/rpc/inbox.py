"""Messages that wait for the dispatcher: bounded, and held back while it is not known whose the devices are."""

from __future__ import annotations

import threading
from collections import deque

from gateway.clock import Clock
from gateway.model import Message
from gateway.rpc.calls import deadline

INBOX_LIMIT = 1000
INBOX_BYTES = 4 << 20
"""Of what may wait, and of what is taken at once."""
AT_ONCE = 100
"""Messages that are taken together: their journal entries cost one write to the disk."""
LONGEST_PAUSE = 1.0


class Inbox:
    """Any thread puts; the dispatcher takes."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._condition = threading.Condition()
        self._messages: deque[Message] = deque()
        self._bytes = 0
        self._held = True
        self._woken = False
        self.closed = False
        self.stopping = False

    def __len__(self) -> int:
        """How many wait."""
        return len(self._messages)

    def put(self, message: Message) -> bool:
        """Whether there was room for the message."""
        size = _size(message)
        with self._condition:
            room = len(self._messages) < INBOX_LIMIT and self._bytes + size <= INBOX_BYTES
            if room:
                self._messages.append(message)
                self._bytes += size
                self._condition.notify()
        return room

    def hold(self) -> None:
        """Keep what comes waiting."""
        with self._condition:
            self._held = True

    def serve(self) -> None:
        """Give out what waits and what comes."""
        with self._condition:
            self._held = False
            self._condition.notify()

    def stop(self, close: bool = False) -> None:
        """Give out everything, held or not, to be refused; with ``close`` it is the last."""
        with self._condition:
            self.stopping = True
            self.closed = self.closed or close
            self._condition.notify()

    def wake(self) -> None:
        """Let ``take`` return, though there may be no message."""
        with self._condition:
            self._woken = True
            self._condition.notify()

    def take(self, until: float) -> list[Message]:
        """The next messages, waiting for them until that boot clock time at most."""
        with self._condition:
            if not self._ready() and not self._woken:
                self._condition.wait(self.pause(until))
            self._woken = False
            return [self._pop() for _ in range(min(AT_ONCE, len(self._messages)))] if self._ready() else []

    def pause(self, until: float) -> float:
        """Seconds to wait for a message: no longer than until that time, or the deadline of what is held back."""
        if self._messages:
            until = min(until, deadline(self._messages[0]))
        return max(0.0, min(until - self._clock.now(), LONGEST_PAUSE))

    def late(self) -> list[Message]:
        """What was held back until its deadline; it does not wait any more."""
        if not self._held:
            return []
        now = self._clock.now()
        with self._condition:
            late = [m for m in self._messages if deadline(m) <= now]
            for message in late:
                self._messages.remove(message)
                self._bytes -= _size(message)
        return late

    def _pop(self) -> Message:
        message = self._messages.popleft()
        self._bytes -= _size(message)
        return message

    def _ready(self) -> bool:
        return (bool(self._messages) and (not self._held or self.stopping)) or self.closed


def _size(message: Message) -> int:
    """Bytes of what came from outside, about."""
    user = sum(len(name) + len(value) for name, value in message.user) if message.user else 0
    return (
        len(message.payload)
        + len(message.topic)
        + len(message.response_topic or "")
        + len(message.correlation or b"")
        + user
    )
