"""The two clocks of the gateway; everything that needs the time is given one of these.

Deadlines and intervals run on the boot clock, which counts through a suspend and never jumps. The wall clock only
appears in messages.
"""

from __future__ import annotations

import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol


class Clock(Protocol):
    """What the gateway wants to know about time."""

    def now(self) -> float:
        """Seconds on the boot clock."""
        ...

    def wall(self) -> float:
        """Seconds since 1970-01-01T00:00Z by the wall clock."""
        ...


class SystemClock:
    """The clocks of this machine."""

    def now(self) -> float:
        """Seconds since boot, suspend included."""
        return time.clock_gettime(time.CLOCK_BOOTTIME)

    def wall(self) -> float:
        """Seconds since 1970-01-01T00:00Z."""
        return time.time()


def boot() -> bytes:
    """What tells this boot of the machine from others; empty where the system does not say it."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_bytes().strip()
    except OSError:
        return b""


def rfc3339(wall: float) -> str:
    """``2026-11-22T10:00:00.123456Z`` for a wall clock time in seconds (RFC 3339, always UTC and microseconds)."""
    return datetime.fromtimestamp(wall, UTC).isoformat(timespec="microseconds").removesuffix("+00:00") + "Z"
