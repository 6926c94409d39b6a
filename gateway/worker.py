"""A thread of the core: it does its turn again and again until it is over, and a failure does not end it."""

from __future__ import annotations

import threading
from collections.abc import Callable

import structlog

from gateway.vitals import Pulse, Vitals

log = structlog.get_logger()

PAUSE = 1.0
"""Seconds after a failure."""


def nothing() -> None:
    """Nothing is to be done."""


class Bell:
    """What a thread waits by: it is rung when there is something to do, and at the end; any thread may ring."""

    def __init__(self) -> None:
        self.over = False
        self._changed = threading.Condition()
        self._rung = False

    def ring(self) -> None:
        """There is something to do."""
        with self._changed:
            self._rung = True
            self._changed.notify()

    def end(self) -> None:
        """There will be nothing more to do."""
        with self._changed:
            self.over = True
            self._changed.notify()

    def wait(self, seconds: float, linger: float = 0.0) -> None:
        """Wait that long, or until it rings or is over; when it has rung, linger so that more may come."""
        with self._changed:
            if not self._rung and not self.over:
                self._changed.wait(seconds)
            if linger and self._rung and not self.over:
                self._changed.wait(linger)
            self._rung = False


class Worker:
    """Calls ``begin``, then ``turn`` until ``over``, then ``finish``.

    A turn shows that it lives by ``pulse``; it must do so when it takes long. After a failure, which is logged with its
    traceback and told to ``failed``, the next turn comes after a pause.
    """

    def __init__(
        self,
        name: str,
        turn: Callable[[], None],
        over: Callable[[], bool],
        *,
        begin: Callable[[], None] = nothing,
        finish: Callable[[], None] = nothing,
        failed: Callable[[], None] = nothing,
    ) -> None:
        self._turn = turn
        self._over = over
        self._begin = begin
        self._finish = finish
        self._failed = failed
        self._told = ""
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._vitals: Vitals
        self.pulse = Pulse(name, 0.0, 0.0)

    @property
    def name(self) -> str:
        """The thread's name."""
        return self._thread.name

    def start(self, vitals: Vitals) -> None:
        """Begin, and check in with these."""
        self._vitals = vitals
        self.pulse = vitals.begin(self.name)
        self._thread.start()

    def join(self, timeout: float) -> bool:
        """Wait for the end; whether it came. One that never began has ended."""
        if self._thread.ident is not None:
            self._thread.join(timeout)
        return not self._thread.is_alive()

    def _run(self) -> None:
        self._guarded(self._begin)
        while not self._over():
            if not self._guarded(self._turn):
                threading.Event().wait(PAUSE)
        self._guarded(self._finish)
        self._vitals.end(self.pulse)

    def _guarded(self, step: Callable[[], None]) -> bool:
        """Whether it went well."""
        try:
            step()
        except Exception as error:
            if repr(error) != self._told:
                log.exception("a thread failed; it goes on", thread=self.name)
            self._told = repr(error)
            self._failed()
            return False
        return True
