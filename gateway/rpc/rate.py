"""How many requests each requester may make: a bucket of tokens for each, filled at a steady rate."""

from __future__ import annotations

import threading

MANY = 1000
"""Requesters after which those who have been quiet are forgotten."""


class Rate:
    """``per_second`` requests for each requester, ``burst`` at once; any thread may ask. ``now`` is on the boot clock."""

    def __init__(self, per_second: float, burst: int) -> None:
        self.per_second = per_second
        self._burst = float(burst)
        self._lock = threading.Lock()
        self._buckets: dict[str, tuple[float, float]] = {}

    def take(self, requester: str, now: float, number: int = 1) -> bool:
        """Whether so many requests more may be made now; if not, none of them counts."""
        with self._lock:
            if requester not in self._buckets and len(self._buckets) >= MANY:
                self._forget(now)
            left = self._left(self._buckets.get(requester, (self._burst, now)), now)
            enough = left >= number
            self._buckets[requester] = (left - number if enough else left, now)
            return enough

    def _left(self, bucket: tuple[float, float], now: float) -> float:
        tokens, at = bucket
        return min(self._burst, tokens + (now - at) * self.per_second)

    def _forget(self, now: float) -> None:
        self._buckets = {name: b for name, b in self._buckets.items() if self._left(b, now) < self._burst}
