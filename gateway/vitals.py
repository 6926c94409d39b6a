"""Signs of life of the threads: each says until when it will be silent, and it is known who has been so for too long.

A sign of life is one assignment, so that it costs nothing; nobody is asked, and nothing is polled.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Mapping

from gateway.clock import Clock

PATIENCE = 15.0
"""Seconds that a thread of the core may be silent: it looks around once a second, and may have the disk to wait for."""
DEVICE_PATIENCE = 300.0
"""Seconds for a device's thread over the time when it is due: it may wait for its turn on a shared link, for a connection
and for some requests in a row, each with its time limit."""
VARIABLE = "GATEWAY_FAULT_THREAD"


class Pulse:
    """What one thread says of itself: ``due`` is the boot clock time of its next sign of life at the latest."""

    __slots__ = ("due", "name", "patience")

    def __init__(self, name: str, patience: float, due: float) -> None:
        self.name = name
        self.patience = patience
        self.due = due


class Vitals:
    """Where threads check in, from the one that makes them until they end; any thread may call.

    ``faults`` names threads that are to fail, for tests.
    """

    def __init__(self, clock: Clock, faults: Mapping[str, Callable[[], None]] | None = None) -> None:
        self._clock = clock
        self._faults = faults or {}
        self._lock = threading.Lock()
        self._pulses: set[Pulse] = set()
        self._looked = clock.now()
        self.others: list[Callable[[float], list[str]]] = []
        """Who else knows threads, and says which of them are late at a boot clock time."""
        self.patience = PATIENCE
        """Seconds for those that begin from now on."""

    def begin(self, name: str) -> Pulse:
        """A thread begins: from now on it is missed when it is silent."""
        fault, now = self._faults.get(name), self._clock.now()
        pulse = Pulse(name, self.patience, now) if fault is None else _FaultyPulse(name, self.patience, now, fault)
        with self._lock:
            self._pulses.add(pulse)
        return pulse

    def end(self, pulse: Pulse) -> None:
        """A thread ends as it should; may be called again."""
        with self._lock:
            self._pulses.discard(pulse)

    def late(self, interval: float) -> list[str]:
        """The names of the threads that have been silent for too long; to be called each ``interval`` seconds.

        If it was not for longer than that, the process or the machine stood still, and nobody is late because of that.
        """
        now = self._clock.now()
        with self._lock:
            paused, self._looked = now - self._looked > 1.5 * interval, now
            if paused:
                for pulse in self._pulses:
                    pulse.due = max(pulse.due, now)
                return []
            late = [pulse.name for pulse in self._pulses if now > pulse.due + pulse.patience]
        return sorted(late + [name for other in self.others for name in other(now)])


class _FaultyPulse(Pulse):
    """One that lets its thread fail at a sign of life."""

    __slots__ = ("_due", "_fault")

    def __init__(self, name: str, patience: float, due: float, fault: Callable[[], None]) -> None:
        self._fault: Callable[[], None] = lambda: None
        super().__init__(name, patience, due)
        self._fault = fault

    @property
    def due(self) -> float:
        """As in ``Pulse``; setting it is the sign of life."""
        return self._due

    @due.setter
    def due(self, due: float) -> None:
        self._due = due
        self._fault()


def faults_from_environment(environ: Mapping[str, str]) -> dict[str, Callable[[], None]]:
    """The threads that ``GATEWAY_FAULT_THREAD=<name>:<raise|hang>:<file>`` lets fail, once that file is there.

    The file is removed by the failure. Raises ValueError for anything else.
    """
    wanted = environ.get(VARIABLE)
    if not wanted:
        return {}
    name, _, rest = wanted.rpartition(":hang:") if ":hang:" in wanted else wanted.rpartition(":raise:")
    if not name:
        raise ValueError(f"{VARIABLE} is <thread>:<raise|hang>:<file>")

    def fault() -> None:
        try:
            os.unlink(rest)  # noqa: PTH108 - the plainest that says whether it was there
        except FileNotFoundError:
            return
        if ":hang:" in wanted:
            threading.Event().wait()
        raise RuntimeError(f"a test lets {name} fail")

    return {name: fault}
