"""What the users do, each with devices of their own: leases that end in every way, writes that come twice, reads."""

from __future__ import annotations

import random
import threading
import time
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from tests.soak.plant import SETTABLE
from tests.soak.stage import GRACE, Stage
from tests.soak.voice import Asked

FIRST_VALUE = 2000
"""Written values count up from here, so that each is written to a register once; at rest registers hold less."""
UNKNOWN = "end unknown"
LIFE = 11.0
"""Seconds after which a request is over on any account."""


@dataclass
class Lease:
    """A lease that was had. ``ended`` is when, on the monotonic clock: the end that was told, if nothing ends it sooner."""

    unit: int
    task: str
    ended: float
    how: str = "time"


@dataclass(frozen=True)
class Write:
    """A value that somebody asked to be written."""

    unit: int
    address: int
    value: int
    asked: Asked
    lease: Lease | None


@dataclass
class Book:
    """All that was asked."""

    writes: list[Write] = field(default_factory=list)
    leases: list[Lease] = field(default_factory=list)
    reads: list[tuple[int, int, Asked]] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)
    again: deque[Write] = field(default_factory=lambda: deque(maxlen=10))


class User:
    """One of the users: a thread that does one thing after another to the units that are theirs."""

    def __init__(self, stage: Stage, book: Book, number: int, units: list[int], seed: str) -> None:
        self._stage = stage
        self._book = book
        self._name = f"user{number}"
        self._units = units
        self._random = random.Random(f"{seed} {number}")
        self._values = {(unit, name): FIRST_VALUE for unit in units for name in SETTABLE}
        self._stopping = threading.Event()
        self._failure: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name=self._name)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """Finish what is under way, and raise what went wrong."""
        self._stopping.set()
        self._thread.join()
        if self._failure is not None:
            raise self._failure

    def _run(self) -> None:
        turns: list[Callable[[int], None]] = [self._lease, self._write_freely, self._read]
        try:
            while not self._stopping.wait(0.05):
                self._random.choices(turns, [3, 2, 1])[0](self._random.choice(self._units))
        except Exception as error:  # noqa: BLE001  (the top of a thread: raised again by stop)
            self._failure = error

    def _call(self, method: str, unit: int, payload: Any, who: str = "", copies: int = 1) -> Asked:
        return self._stage.voice.call(f"rpc/{who or self._name}/{method}/{self._stage.path(unit)}", payload, copies)

    def _read(self, unit: int) -> None:
        address = self._random.randrange(3, 10)
        topic = f"rpc/{self._name}/get_point/{self._stage.path(unit)}/c{address}"
        self._book.reads.append((unit, address, self._stage.voice.call(topic)))

    def _write(self, unit: int, name: str, lease: Lease | None, who: str = "") -> None:
        self._values[unit, name] += 1
        value = self._values[unit, name]
        copies = self._random.choice([1, 1, 2, 3])
        arguments = {"value": value} | ({"lease": lease.task} if lease is not None else {})
        topic = f"rpc/{who or self._name}/set_point/{self._stage.path(unit)}/{name}"
        asked = self._stage.voice.ask(topic, arguments, copies)
        write = Write(unit, SETTABLE[name][0], value, asked, lease)
        self._book.writes.append(write)
        self._book.again.append(write)
        self._book.counts["writes that came twice or more"] += copies > 1
        self._stage.voice.wait(asked)

    def _write_freely(self, unit: int) -> None:
        self._write(unit, "u", None, who=f"{self._name}-free")  # a holder of a lease writes under it, named or not

    def _lease(self, unit: int) -> None:
        how = self._random.choice(["time", "time", "release", "preempt", "override", "override without revert"])
        lease = self._acquire(unit, "LOW_PREEMPT" if how == "preempt" else "LOW", self._random.uniform(0.5, 3.0))
        if lease is None:
            return
        for _ in range(self._random.randint(1, 4)):
            self._write(unit, self._random.choice("st"), lease)
        lease.how = how
        match how:
            case "release":
                self._release(unit, lease)
            case "preempt":
                self._preempt(unit, lease)
            case "override" | "override without revert":
                self._override(unit, lease, failsafe=how == "override")
        while lease.how == "time" and time.monotonic() < lease.ended + 0.1 and not self._stopping.is_set():
            self._write(unit, self._random.choice("st"), lease)  # up to the end, and beyond it
            self._stopping.wait(0.1)

    def _acquire(self, unit: int, priority: str, duration: float, who: str = "") -> Lease | None:
        asked = self._call("acquire_lease", unit, {"duration": duration, "priority": priority}, who)
        if asked.result is None:
            return None
        lease = Lease(unit, asked.result["task_id"], monotonic(asked.result["until"]))
        self._book.leases.append(lease)
        return lease

    def _release(self, unit: int, lease: Lease) -> None:
        if self._call("release_lease", unit, {"lease": lease.task}).code == "ok":
            lease.ended = min(lease.ended, time.monotonic())
        else:
            lease.how = "time"

    def _preempt(self, unit: int, lease: Lease) -> None:
        other = self._acquire(unit, "HIGH", GRACE + 1, who="chief")
        if other is None:
            lease.how = "time"
            return
        other.how = "time"
        lease.ended = min(lease.ended, time.monotonic() + GRACE)
        self._stopping.wait(GRACE + 0.2)
        self._write(unit, self._random.choice("st"), other, who="chief")

    def _override(self, unit: int, lease: Lease, *, failsafe: bool) -> None:
        pattern, end = self._stage.path(unit), self._random.uniform(0.5, 1.5)
        where = f"chief/set_override_on/{self._stage.owners[unit].id}"
        arguments = {"pattern": pattern, "failsafe_revert": failsafe, "duration": end}
        asked = self._stage.voice.call(f"rpc/{where}", arguments, patience=LIFE)  # one that comes later would be in the way
        if asked.code == "ok":
            lease.ended = time.monotonic() + (0 if failsafe else end)
            self._write_freely(unit)  # nobody may
            self._stopping.wait(end)
        else:
            lease.how = UNKNOWN if asked.code is None else "time"


def monotonic(stamp: str) -> float:
    """A time as gateways tell it, on the clock that never jumps."""
    return datetime.fromisoformat(stamp).timestamp() - time.time() + time.monotonic()
