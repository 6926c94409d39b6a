"""How the gateway is: looked at from the main thread, and told to the service manager, in a file and on the status topic."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import structlog

from gateway import healthfile
from gateway.board import Board
from gateway.clock import Clock, rfc3339
from gateway.notify import Notifier
from gateway.vitals import PATIENCE, Vitals

log = structlog.get_logger()

INTERVAL = 5.0
"""Seconds between two looks when no watchdog asks for another interval."""
RENEWED = 3
"""Intervals that a report counts: a look may be late on a busy machine."""


class Connection(Protocol):
    """A link to the broker."""

    @property
    def connected(self) -> bool:
        """Whether the broker has let us in."""
        ...

    @property
    def reason(self) -> str:
        """Why there is no connection; empty while none was tried."""
        ...


class Health:
    """``look`` is called each ``interval`` seconds between ``begin`` and ``stopping``.

    ``folder`` is for the health file. ``links`` are the connections to the broker, in the order in which they are made.
    """

    def __init__(
        self,
        folder: Path,
        gateway_id: str,
        clock: Clock,
        vitals: Vitals,
        board: Board,
        links: Sequence[Connection],
        notifier: Notifier,
    ) -> None:
        self._folder = folder
        self._gateway_id = gateway_id
        self._clock = clock
        self._vitals = vitals
        self._board = board
        self._links = links
        self._notifier = notifier
        self._late: list[str] = []
        self._failed = False
        self.interval = notifier.watchdog / 2 if notifier.watchdog else INTERVAL

    @property
    def patience(self) -> float:
        """Seconds that a thread of the core may be silent: the service manager may want to know it sooner than we."""
        return min(PATIENCE, self.interval) if self._notifier.watchdog else PATIENCE

    def begin(self) -> None:
        """The core runs, whether there is a broker or not."""
        self._notifier.tell(READY="1")
        self.look()

    def look(self) -> None:
        """Look after the threads, and tell it. The watchdog gets its sign of life while none of them owes one."""
        self._tell_late(self._vitals.late(self.interval))
        self._write("running")
        alive = {} if self._late else {"WATCHDOG": "1"}
        self._notifier.tell(**alive, STATUS=self._sentence())

    def stopping(self) -> None:
        """The gateway begins to stop."""
        self._notifier.tell(STOPPING="1", STATUS="stopping")
        self._write("stopping")

    def stopped(self) -> None:
        """It has stopped."""
        healthfile.remove(self._folder)

    def _tell_late(self, late: list[str]) -> None:
        for name in set(late) - set(self._late):
            log.error("a thread shows no sign of life", thread=name)
        if late != self._late:
            more = f" and {len(late) - 5} more" if len(late) > 5 else ""
            told = f"no sign of life of: {', '.join(late[:5])}{more}; the gateway has to be restarted"
            self._board.problem("thread_stuck", told if late else None)
        self._late = late

    def _broker(self) -> str | None:
        """Why there is no connection to the broker, None if there is."""
        return next((link.reason or "not yet" for link in self._links if not link.connected), None)

    def _sentence(self) -> str:
        """What there is and what is missing, for people."""
        devices = ", ".join(f"{count} {state}" for state, count in self._board.counts().items()) or "no devices"
        broker = None if self._board.health == "displaced" else self._broker()
        missing = [f"no connection to the broker: {broker}"] if broker else []
        return "; ".join([devices, *missing, *self._board.problems().values()])[:1000]

    def _write(self, state: str) -> None:
        try:
            healthfile.write(self._folder, self._report(state))
        except OSError as error:
            if not self._failed:
                log.warning("the health file can not be written", folder=str(self._folder), reason=error.strerror)
            self._failed = True
        else:
            self._failed = False

    def _report(self, state: str) -> dict[str, Any]:
        now, broker = self._clock.now(), self._broker()
        return {
            "gateway": self._gateway_id,
            "state": state,
            "health": self._board.health,
            "broker": {"connected": broker is None, "reason": broker},
            "devices": self._board.counts(),
            "problems": [{"code": code, "message": text} for code, text in self._board.problems().items()],
            "late": self._late,
            "pid": os.getpid(),
            "time": rfc3339(self._clock.wall()),
            "at": now,
            "until": now + RENEWED * self.interval,
        }
