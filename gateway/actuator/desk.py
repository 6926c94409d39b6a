"""Where every question about the right to write is answered: leases, overrides, what is to be given back.

One lock. The dispatcher asks on behalf of clients, device threads right before the bytes go, and the clerk's thread lets
time pass. Nothing waits for the disk or the network while it is held.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeVar

import structlog

from gateway.actuator.asking import Claim, Devices
from gateway.actuator.audit import Audit
from gateway.actuator.herald import Herald
from gateway.actuator.journal import Journal, JournalError
from gateway.actuator.leases import LeaseBook
from gateway.actuator.model import Kind, Lease, Now, Outcome, Reason
from gateway.actuator.notices import Notices
from gateway.actuator.overrides import Override, Overrides
from gateway.actuator.paces import Paces
from gateway.actuator.records import Records
from gateway.actuator.refusals import Refusals
from gateway.actuator.requests import named_devices
from gateway.actuator.reverts import Reverts
from gateway.clock import Clock
from gateway.errors import Busy, LeaseRequired, Overridden, Unavailable, UnknownDevice
from gateway.faultpoint import FaultPoint, passing
from gateway.settings import Actuator

log = structlog.get_logger()

T = TypeVar("T")


class Desk:
    """The rules of one gateway; ``wake`` is called when the clerk has something to do."""

    def __init__(
        self,
        settings: Actuator,
        clock: Clock,
        journal: Journal,
        audit: Audit,
        notices: Notices,
        problem: Callable[[str, str | None], None],
        devices: Devices,
        fault_point: FaultPoint = passing,
    ) -> None:
        self.lock = threading.RLock()
        self.reverts: Reverts
        self.refusals: Refusals
        self.audit = audit
        self.records = Records(journal, problem, self.lock)
        self.wake: Callable[[], None] = lambda: None
        self._clock = clock
        self._notices = notices
        self._herald = Herald(audit, notices)
        self._devices = devices
        self.fault_point = fault_point
        self._overrides = Overrides()
        self._book = LeaseBook(settings.preempt_grace, settings.max_lease, settings.high, self.records.fence)
        self.paces = Paces(clock)
        self._opening = threading.Lock()
        self._ready = False
        self._stopped = False

    def now(self) -> Now:
        """The present moment."""
        return Now(self._clock.wall(), self._clock.now())

    # ---- beginning and end

    def open(self) -> None:
        """Open the journal and take over what it holds; may be tried again. Raises JournalError."""
        with self._opening:
            if not self._ready:
                self._take_over()

    def _take_over(self) -> None:
        tasks, overrides = self.records.open()
        self.reverts.load()
        with self.lock:
            self._restore(tasks, overrides)
            self._ready = True
        self.reverts.review()  # devices may run already, if the journal could not be opened before
        self._herald.of_before(tasks.get("in_force", []))
        self.keep_tasks()

    def reopen(self) -> None:
        """The disk has refused something: go on with a journal that is whole. Raises JournalError."""
        if self._ready:
            self.records.reopen()
        else:
            self.open()

    def _restore(self, tasks: dict[str, Any], overrides: list[dict[str, Any]]) -> None:
        try:
            self._overrides.restore(overrides, self.now())
            self._book.restore(tasks.get("pending", []))
        except ValueError as error:
            log.error("tasks or overrides in the journal can not be used", reason=str(error))  # noqa: TRY400
        for path in self.reverts.devices():
            self._book.hold(path)

    def stop(self) -> None:
        """No more writes; all leases end, and what is open is given back while the devices still run."""
        with self.lock:
            self._stopped = True
            self._book.end(self._book.devices(), Reason.RESTART, "", self.now())
            for path in self.reverts.devices():
                self.reverts.start(path)
        self.wake()

    def ready(self) -> None:
        """Raises Unavailable while the journal can not be used, or when the gateway stops."""
        if self._stopped:
            raise Unavailable("the gateway is stopping")
        try:
            self.open()
        except JournalError as error:
            self.records.unusable(error)
            raise

    # ---- the right to write

    def check(self, claim: Claim) -> Lease | None:
        """The lease under which the write may go now, None for a free device.

        Raises UnknownDevice, Unavailable, Busy (reverts pending), Overridden, LeaseLost, LeasedByOther, LeaseRequired.
        """
        with self.lock:
            if self._stopped:
                raise Unavailable("the gateway is stopping")
            self._refuse_strangers([claim.device])
            now = self.now()
            if self._overrides.covers(claim.device, now):
                raise Overridden(f"an override is in force on {claim.device}: nobody writes")
            if due := self.reverts.due(claim.device):
                what = "1 point" if due == 1 else f"{due} points"
                raise Busy(f"{what} of {claim.device} to be given back first: try again", reason="revert_pending")
            lease = self._book.check(claim.device, claim.requester, claim.task_id, claim.fence, now)
            if lease is None and claim.lease_required:
                raise LeaseRequired(f"{claim.device} may be written under a lease only")
            return lease

    def _refuse_strangers(self, paths: Iterable[str]) -> None:
        for path in paths:
            if not self._devices.is_ours(path):
                raise UnknownDevice(f'"{path}" was removed, or has gone to another gateway')

    def hold(self, path: str) -> None:
        """Something is to be given back on the device: no other lease begins before that."""
        with self.lock:
            self._book.hold(path)

    def paid(self, path: str) -> None:
        """Nothing is open on the device any more."""
        with self.lock:
            self._book.unhold(path)
        self.wake()

    # ---- leases

    def leases(self) -> list[Lease]:
        """The leases in force."""
        with self.lock:
            return [lease for lease in self._book.leases(self.now()) if self._devices.is_ours(lease.device)]

    def tasks(self) -> list[dict[str, Any]]:
        """What ``list_leases`` answers."""
        with self.lock:
            return self._book.tasks(self.now())

    def request(self, task_id: Any, holder: str, priority: Any, requests: Any) -> Outcome:
        """VOLTTRON's request_new_schedule. Raises UnknownDevice, Unavailable."""

        def act(now: Now) -> Outcome:
            self._refuse_strangers(named_devices(requests))
            return self._book.request(task_id, holder, priority, requests, now)

        def undo(outcome: Outcome, now: Now) -> None:
            if outcome.ok:
                self._book.release(task_id, holder, now)

        return self._changing(act, undo)

    def cancel(self, task_id: Any, holder: str, keep: bool) -> Outcome:
        """VOLTTRON's request_cancel_schedule; with ``keep`` what the task has written stays."""

        def act(now: Now) -> Outcome:
            outcome = self._book.cancel(task_id, holder, now)
            if keep and outcome.ok:
                self.reverts.keep(task_id)
            return outcome

        return self._changing(act)

    def acquire(self, holder: str, devices: Sequence[str], duration: Any, priority: Any) -> dict[str, Any]:
        """A lease from now. Raises LeasedByOther, Busy, BadRequest, Overridden, UnknownDevice, Unavailable."""

        def act(now: Now) -> dict[str, Any]:
            self._refuse_strangers(devices)
            for path in devices:
                if self._overrides.covers(path, now):
                    raise Overridden(f"an override is in force on {path}: nobody writes")
            return self._book.acquire(holder, devices, duration, priority, now)

        return self._changing(act, lambda told, now: self._book.release(told["task_id"], holder, now))

    def renew(self, task_id: str, holder: str, duration: Any) -> dict[str, Any]:
        """A later end, not on disk: leases end with a restart. Raises LeaseLost, LeasedByOther, BadRequest, Unavailable."""
        self.ready()
        with self.lock:
            told = self._book.renew(task_id, holder, duration, self.now())
        self.wake()
        return told

    def release(self, task_id: str, holder: str, keep: bool) -> None:
        """The end of a task; with ``keep`` what it has written stays. Raises LeaseLost, Unavailable."""

        def act(now: Now) -> None:
            self._book.release(task_id, holder, now)
            if keep:
                self.reverts.keep(task_id)

        self._changing(act)

    def drop(self, path: str, by: str) -> None:
        """The device is not ours to write any more: nobody holds or reserves it, and what is open is given back."""
        with self.lock:
            self._book.drop(path, by, self.now())
            self.reverts.start(path)
        self.wake()

    def drop_strangers(self, by: str) -> None:
        """Slots that were kept over a restart, of devices that are not ours any more."""
        with self.lock:
            for path in self._book.devices():
                if not self._devices.is_ours(path):
                    self.drop(path, by)

    def _changing(self, act: Callable[[Now], T], undo: Callable[[T, Now], object] = lambda _result, _now: None) -> T:
        """Change the leases and have it on disk; ``undo`` is for what must not be so if the disk refuses."""
        self.ready()
        if self.records.troubled:
            self.keep_tasks()  # nobody is to lose a lease to somebody who then has none
        with self.lock:
            result = act(self.now())
        try:
            self.keep_tasks()
            self.reverts.settle()
        except JournalError as error:
            self.records.unusable(error)
            with self.lock:
                undo(result, self.now())
            raise
        finally:
            self.wake()
        return result

    def keep_tasks(self) -> None:
        """Write down what is to survive. Raises JournalError."""
        self.records.keep_tasks(self._tasks_to_keep)

    def _tasks_to_keep(self) -> dict[str, Any]:
        in_force = [{"device": ls.device, "holder": ls.holder, "task_id": ls.task_id} for ls in self.leases()]
        return {"pending": self._book.pending(), "in_force": in_force}

    # ---- overrides

    def override(self, pattern: Any, duration: Any, failsafe: bool, by: str, paths: Sequence[str]) -> Override:
        """Nobody writes the devices under a pattern from now on; leases on them end."""
        self.ready()
        with self.lock:
            now = self.now()
            override = self._overrides.on(pattern, duration, failsafe, by, now)
            covered = self._overrides.devices(paths, now)
            self._book.end(covered, Reason.OVERRIDE, by, now)
            for path in covered:
                self.reverts.start(path)
            self.reverts.review()
        self._overridden([override], "on", by)
        return override

    def lift(self, pattern: Any, by: str) -> None:
        """Take back one pattern, or all with None. Raises BadRequest."""
        self.ready()
        with self.lock:
            lifted = self._overrides.clear() if pattern is None else [self._overrides.off(pattern)]
            self.reverts.review()
        self._overridden(lifted, "off", by)

    def keep_overrides(self) -> None:
        """Write down what is in force. Raises JournalError."""
        self.records.keep_overrides(self._overrides.state)

    def patterns(self) -> dict[str, str | None]:
        """The patterns in force, each with its end."""
        with self.lock:
            return self._overrides.patterns(self.now())

    def overridden(self, paths: Sequence[str]) -> list[str]:
        """Those of the devices that are covered."""
        with self.lock:
            return self._overrides.devices(paths, self.now())

    def waits(self, path: str) -> bool:
        """Whether the reverts of a device wait: every override on it is one without fail-safe.

        Not if the device goes to another gateway: ours end for it with that, and nobody could give back afterwards.
        """
        covering = self._overrides.covering(path, self.now())
        return bool(covering) and not any(o.failsafe for o in covering) and not self._devices.has_gone(path)

    def _overridden(self, overrides: Sequence[Override], what: str, by: str) -> None:
        try:
            self.keep_overrides()
        finally:  # it is so, whether the disk knows it or not
            for override in overrides:
                self._herald.override(override, what, by, self.patterns())
            self.wake()

    # ---- the passing of time, on the clerk's thread

    def advance(self) -> float:
        """Let pass what is due and tell it; the boot clock time of the next change. Raises JournalError after all of it."""
        with self.lock:
            now = self.now()
            changes, ended = self._book.advance(now), self._overrides.advance(now)
            if ended:
                self.reverts.review()
        for change in changes:  # first: a disk may take its time
            if change.kind is Kind.ENDED and change.lease is not None:
                self.reverts.start(change.lease.device)
        try:
            if changes:
                self.keep_tasks()
        finally:  # it has happened, whether the disk knows it or not
            for change in changes:
                self._herald.change(change, now)
            if ended:
                self._overridden(ended, "ended", "")
        with self.lock:
            return min(self._book.next_change(self.now()), self._overrides.next_change())

    def announce(self) -> None:
        """Tell again who holds what, and the overrides."""
        with self.lock:
            leases, patterns, now = self.leases(), self.patterns(), self.now()
        for lease in leases:
            self._notices.lease(lease, now)
        self._notices.overrides(patterns)
