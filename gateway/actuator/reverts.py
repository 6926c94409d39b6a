"""What has to be given back: the open writes of the journal, on their way to the device.

A point is **open** from its first leased write until it is given back. It is **due** from the end of the lease on; then a
revert stands in the worklist of its device, before everything else, until the device has answered it.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from math import inf
from typing import Any, Protocol

import structlog

from gateway.actuator.audit import Audit, AuditEvent
from gateway.actuator.journal import Journal, JournalError, OpenWrite
from gateway.errors import Busy, DeadlinePassed, GatewayError, Rejected
from gateway.jobs import RevertJob
from gateway.model import Masked, Register, Scalar, Taken
from gateway.store.device_config import Spec

log = structlog.get_logger()

Key = tuple[str, str, int | None]
"""Device, point and priority."""
Done = Callable[[Taken, GatewayError | None], object]


class Places(Protocol):
    """Where reverts are carried out."""

    def queue(self, job: RevertJob) -> bool:
        """Give a revert to whoever reaches what it was written to; whether there is anybody now."""
        ...


@dataclass(slots=True)
class OpenPoint:
    """One point that was written under a lease; ``spec`` and ``register`` are those it was written under."""

    entry: OpenWrite
    spec: Spec
    register: Register
    due: bool = False
    hand: GivingBack | None = None
    """Who has it in hand: the one revert that may leave."""
    done: list[Done] = field(default_factory=list)

    @property
    def goal(self) -> tuple[Scalar | None, dict[str, Any]]:
        """What to write, and the options to write it with."""
        return goal(self.register, self.entry.priority, self.entry.prior)


def goal(register: Register, priority: int | None, prior: Scalar | None) -> tuple[Scalar | None, dict[str, Any]]:
    """What gives a point back: relinquish a priority, else its default, else the value from before; with the options.

    None without options: nothing is known.
    """
    if priority is not None:
        return None, {"priority": priority}
    return prior if register.default is None else register.default, {}


class Reverts:
    """All open points; any thread may call. ``changed`` is told a device and how many of its points are due."""

    def __init__(
        self,
        journal: Journal,
        audit: Audit,
        lock: threading.RLock,
        compiled: Callable[[str, bytes, dict[str, bytes]], Spec | None],
        changed: Callable[[str, int], None],
        paid: Callable[[str], None],
    ) -> None:
        self._journal = journal
        self._audit = audit
        self._lock = lock
        self.places: Places
        self._compiled = compiled
        self._changed = changed
        self._paid = paid
        self._open: dict[Key, OpenPoint] = {}
        self._unwritten: set[Key] = set()  # not open any more, and the disk does not know it yet
        self._closing = threading.Lock()
        self._lost: dict[Key, OpenWrite] = {}  # their configuration can not be had: nobody knows how to give them back
        self.waits: Callable[[str], bool] = lambda _path: False
        """Whether the reverts of a device wait, for the end of an override."""

    # ---- what is open

    def load(self) -> None:
        """Take over what the journal holds: all of it is due."""
        with self._lock:
            for entry in self._journal.open_writes():
                if entry.key not in self._open:
                    self._take(entry)
            for path in self.devices():
                self.tell(path)

    def _take(self, entry: OpenWrite) -> None:
        spec = self._compiled(entry.device, entry.config, dict(entry.documents))
        register = next((r for r in spec.registers if r.name == entry.point), None) if spec else None
        if spec is None or register is None:
            log.error(
                "a point can not be given back: what it was written under is lost", device=entry.device, point=entry.point
            )
            self._lost[entry.key] = entry
        else:
            self._open[entry.key] = OpenPoint(entry, spec, register, due=True)

    def devices(self) -> set[str]:
        """The devices with anything open."""
        with self._lock:
            return {key[0] for key in (*self._open, *self._lost)}

    def points(self, path: str) -> list[OpenPoint]:
        """What is open on a device, oldest first."""
        with self._lock:
            return [point for key, point in self._open.items() if key[0] == path]

    def is_open(self, key: Key) -> bool:
        """Whether the point was written already and is to be given back."""
        return key in self._open

    def due(self, path: str) -> int:
        """How many points of a device wait for their revert."""
        with self._lock:
            return sum(1 for point in self.points(path) if point.due) + sum(1 for key in self._lost if key[0] == path)

    def open(self, entry: OpenWrite, spec: Spec, register: Register) -> bool:
        """A leased write is about to leave: journal it. Whether it is the first of its point.

        Raises JournalError, and Busy if what was written before ceased to be open meanwhile.
        """
        with self._lock:
            new = entry.key not in self._open
            point = self._open.setdefault(entry.key, OpenPoint(entry, spec, register))
        try:
            self._write_closed(entry.key)  # or the value from before would be that of the time before
            self._journal.begin(entry)
        except JournalError:
            if new:
                self._forget(entry.key)
            raise
        if self._open.get(entry.key) is not point:  # and the disk knows it again, though nobody else does
            self._close(entry.key)
            raise Busy("what was written before was just kept, or given back; ask again")
        return new

    def unsent(self, key: Key) -> None:
        """The write that was journalled first has not left: there is nothing to give back."""
        self._close(key)

    def keep(self, task_id: str) -> None:
        """What a task has written stays: nothing of it is given back, but for what is due already.

        The disk is to know it by ``settle``.
        """
        with self._lock:
            kept = [key for key, point in self._open.items() if point.entry.task_id == task_id and not point.due]
            self._unwritten.update(kept)
            for key in kept:
                self._forget(key)

    def abandon(self, path: str) -> list[str]:
        """Give up what is due on a device; the names of its points. Raises JournalError."""
        with self._lock:
            keys = [key for key, point in self._open.items() if key[0] == path and point.due]
            keys += [key for key in self._lost if key[0] == path]
        for key in keys:
            self._journal.close_write(*key)
            self._forget(key)
        return [key[1] for key in keys]

    # ---- giving back

    def start(self, path: str, points: Iterable[OpenPoint] | None = None) -> None:
        """Give back these points, or all that is open on the device: they are due from now on."""
        with self._lock:
            for point in self.points(path) if points is None else points:
                point.due = True
            self.tell(path)
            self.queue(path)

    def queue(self, path: str) -> None:
        """Hand what is due to where it can be done, unless it must wait or is there already."""
        with self._lock:
            for point in self.points(path):
                if point.due and point.hand is None and not self.waits(path):
                    self._queue(point)

    def _queue(self, point: OpenPoint) -> None:
        value, options = point.goal
        if value is None and not options:
            self._refused(
                point, Rejected("there is no value to go back to: the point has no default, and none was read before")
            )
            return
        point.hand = GivingBack(self, point)
        if not self.places.queue(RevertJob(point.spec, point.register, value, options, point.hand)):
            point.hand = None

    def _refused(self, point: OpenPoint, error: GatewayError) -> None:
        self.ended(point, None, error)

    def review(self) -> None:
        """What makes reverts wait has changed: put off those that now do, take up the others."""
        with self._lock:
            for path in self.devices():
                if self.waits(path):
                    self._put_off(path)
                else:
                    self.queue(path)

    def _put_off(self, path: str) -> None:
        for point in self.points(path):
            point.hand = None

    def wanted(self, right: GivingBack) -> bool:
        """Whether a revert is still to be done, and by this one."""
        return self._open.get(right.point.entry.key) is right.point and right.point.hand is right

    def may_leave(self, right: GivingBack) -> bool:
        """Whether a revert is still to be done, and now: one whose device came back under an override is put off."""
        with self._lock:
            if self.wanted(right) and self.waits(right.point.entry.device):
                right.point.hand = None
            return self.wanted(right)

    def stranded(self, right: GivingBack) -> None:
        """Nobody has it in hand any more: somebody else may."""
        with self._lock:
            if self.wanted(right):
                right.point.hand = None
                self.queue(right.point.entry.device)

    def ended(self, point: OpenPoint, taken: Taken, error: GatewayError | None) -> None:
        """The device has taken the value back, or has refused to."""
        entry = point.entry
        if error is not None:
            log.error("a revert was refused", device=entry.device, point=entry.point, reason=error.message)
        self._audit.event(
            AuditEvent(
                "revert" if error is None else "revert_failed",
                entry.device,
                outcome=error.code if error else "ok",
                requester=entry.requester,
                task_id=entry.task_id,
                point=entry.point,
                priority=entry.priority,
                new=taken.value if isinstance(taken, Masked) else taken,
            )
        )
        self._close(entry.key)
        for done in point.done:
            done(taken, error)

    def _close(self, key: Key) -> None:
        try:
            self._journal.close_write(*key)
        except JournalError as error:
            log.error("a revert could not be journalled", device=key[0], point=key[1], reason=error.message)  # noqa: TRY400
            with self._lock:
                self._unwritten.add(key)
        self._forget(key)

    @property
    def behind(self) -> bool:
        """Whether the disk does not know yet what was given back, or kept."""
        return bool(self._unwritten)

    def settle(self) -> None:
        """Have the disk know what is not open any more: after a restart these points would be given back once more.

        Raises JournalError.
        """
        for key in sorted(self._unwritten, key=str):
            self._write_closed(key)

    def _write_closed(self, key: Key) -> None:
        with self._closing:  # once: the next time, it may be open again
            if key in self._unwritten:
                self._journal.close_write(*key)
                self._unwritten.discard(key)

    def _forget(self, key: Key) -> None:
        with self._lock:
            self._open.pop(key, None)
            self._lost.pop(key, None)
            self.tell(key[0])
            if key[0] not in self.devices():
                self._paid(key[0])

    def tell(self, path: str) -> None:
        """Say how many points of a device are due."""
        self._changed(path, self.due(path))


@dataclass(slots=True)
class GivingBack:
    """One revert, as the device's thread sees it."""

    reverts: Reverts
    point: OpenPoint

    @property
    def over(self) -> bool:
        """Whether it was given up, or put off."""
        return not self.reverts.wanted(self)

    def claim(self) -> float:
        """A revert that is wanted has every right: nobody else may write until it is done."""
        if not self.reverts.may_leave(self):
            raise DeadlinePassed("the revert was given up or put off before it could be sent")
        return inf

    def end(self, taken: Taken, error: GatewayError | None) -> None:
        """The device has answered."""
        self.reverts.ended(self.point, taken, error)

    def stranded(self) -> None:
        """The device will not do it."""
        self.reverts.stranded(self)
