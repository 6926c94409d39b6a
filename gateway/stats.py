"""The ``gateways/<id>/stats`` topic: counters since the start, and what waits now."""

from __future__ import annotations

import os
import threading
from pathlib import Path
from typing import Any

from gateway.board import Board
from gateway.clock import Clock, rfc3339
from gateway.fleet import Fleet
from gateway.outbox import Outbox
from gateway.publisher import Publisher
from gateway.queues import ControlQueue
from gateway.rpc import Rpc


class Stats:
    """Collects what the parts count."""

    def __init__(
        self,
        clock: Clock,
        board: Board,
        fleet: Fleet,
        publisher: Publisher,
        rpc: Rpc,
        control: ControlQueue,
        outbox: Outbox,
    ) -> None:
        self._clock = clock
        self._board = board
        self._fleet = fleet
        self._publisher = publisher
        self._rpc = rpc
        self._control = control
        self._outbox = outbox
        self._started = clock.now()

    def payload(self) -> dict[str, Any]:
        """The stats as published; times in seconds, sizes in bytes."""
        polls = self._fleet.counters()
        return {
            "timestamp": rfc3339(self._clock.wall()),
            "uptime": round(self._clock.now() - self._started, 1),
            "devices": self._board.counts(),
            "polls": {
                "count": polls.polls,
                "missed": polls.missed,
                "driver_failures": polls.failures,
                "max_late": round(polls.max_late, 4),
            },
            "readings": {"published": self._publisher.readings, **self._outbox.counts()},
            "requests": {"count": self._rpc.requests, "answers": dict(self._rpc.answers)},
            "control": {"waiting": len(self._control), "dropped": self._control.dropped},
            "threads": threading.active_count(),
            "memory": _resident(),
        }


def _resident() -> int:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGESIZE")
