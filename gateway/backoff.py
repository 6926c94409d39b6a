"""Growing pauses between attempts; pure."""

from __future__ import annotations

from collections.abc import Callable


class Backoff:
    """Pauses from ``first`` to ``most`` seconds, doubling, each shortened at random by up to half."""

    def __init__(self, random: Callable[[], float], first: float = 0.5, most: float = 30.0) -> None:
        self._random = random
        self._first = first
        self._most = most
        self._attempts = 0

    def next(self) -> float:
        """The pause before the next attempt, in seconds."""
        pause = min(self._most, self._first * 2.0 ** min(self._attempts, 32))
        self._attempts += 1
        return max(self._first, pause * (1 - self._random() / 2))

    def reset(self) -> None:
        """An attempt succeeded: begin again with the first pause."""
        self._attempts = 0
