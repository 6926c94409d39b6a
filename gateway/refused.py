"""What the broker has refused of what we publish, for people: on both links, one topic of each kind."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass

from gateway.clock import Clock

TOLD_FOR = 600.0
"""Seconds for which a refusal is told."""


@dataclass(slots=True)
class _Refusal:
    topic: str
    reason: str
    at: float


class RefusedTopics:
    """Called from any thread. ``kind`` says what a topic is for: a broker's ACL has a line for each kind.

    Of each the first topic is kept, and named until nothing of its kind was refused for a while: so the words change
    seldom, and what they tell is bounded.
    """

    def __init__(self, clock: Clock, kind: Callable[[str], str]) -> None:
        self._clock = clock
        self._kind = kind
        self._lock = threading.Lock()
        self._refusals: dict[str, _Refusal] = {}

    def note(self, topic: str, reason: str) -> None:
        """The broker has refused a message on this topic, with this word for it."""
        now = self._clock.now()
        with self._lock:
            refusal = self._refusals.setdefault(self._kind(topic), _Refusal(topic[:200], reason, now))
            refusal.at = now

    def words(self) -> str | None:
        """What to tell now; None if nothing was refused lately."""
        now = self._clock.now()
        with self._lock:
            self._refusals = {kind: each for kind, each in self._refusals.items() if now - each.at <= TOLD_FOR}
            told = [f'"{each.topic}" ({each.reason})' for _, each in sorted(self._refusals.items())]
        return f"the broker refuses what is published on {', '.join(told)}: see its ACL and its limits" if told else None
