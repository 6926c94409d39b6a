"""Events from the links and device threads to the manager: the newest message of each topic, and each that is said once."""

from __future__ import annotations

import threading
from collections.abc import Hashable
from itertools import count
from typing import Generic, TypeVar

from gateway.model import Message
from gateway.ownership import RELEASED

T = TypeVar("T")


class Inbox(Generic[T]):
    """Any thread puts, one takes. A message replaces an older one of its topic from the same sender.

    Not so the word that a gateway has let go of a device: the next status does not say that.
    """

    def __init__(self) -> None:
        self._events: dict[Hashable, tuple[str, T]] = {}
        self._numbers = count()
        self._condition = threading.Condition()

    def put(self, sender: str, event: T) -> None:
        """Add an event; never waits."""
        with self._condition:
            key = (sender, event.topic, _is_release(event)) if isinstance(event, Message) else next(self._numbers)
            self._events.pop(key, None)
            self._events[key] = (sender, event)
            self._condition.notify()

    def take(self, timeout: float) -> list[tuple[str, T]]:
        """All events so far, oldest first; waits up to ``timeout`` seconds for the first."""
        with self._condition:
            if not self._events:
                self._condition.wait(max(0.0, timeout))
            events, self._events = self._events, {}
        return list(events.values())


def _is_release(message: Message) -> bool:
    return any(name == RELEASED for name, _ in message.user)
