"""What stands in for the gateway in tests of a driver: a clock that the test moves, and leave to write."""

from __future__ import annotations

import math
from dataclasses import dataclass

from gateway.errors import GatewayError


class FakeClock:
    """Both clocks of the gateway, standing still until a test moves them."""

    def __init__(self, now: float = 1_000.0, wall: float = 1_795_341_600.0) -> None:
        self._now = now
        self._wall = wall

    def now(self) -> float:
        """Seconds on the boot clock."""
        return self._now

    def wall(self) -> float:
        """Seconds since 1970-01-01T00:00Z; the default is 2026-11-22T10:00:00Z."""
        return self._wall

    def advance(self, seconds: float) -> None:
        """Let time pass on both clocks."""
        self._now += seconds
        self._wall += seconds

    def set_wall(self, wall: float) -> None:
        """Let somebody set the wall clock."""
        self._wall = wall


@dataclass
class Gate:
    """A ``may_send`` that counts its calls, and raises what it is given."""

    refusal: GatewayError | None = None
    calls: int = 0

    def __call__(self) -> float:
        """Pass, or raise the refusal."""
        self.calls += 1
        if self.refusal is not None:
            raise self.refusal
        return math.inf
