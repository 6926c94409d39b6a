"""The rights to write: each is asked by the device's thread before every step, and told the end once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import inf

from gateway.actuator.asking import Claim
from gateway.actuator.audit import AuditEvent
from gateway.actuator.desk import Desk
from gateway.actuator.journal import JournalError, OpenWrite
from gateway.actuator.model import Lease
from gateway.actuator.reverts import Done, Key
from gateway.clock import Clock
from gateway.errors import LEFT_NOTHING, Busy, GatewayError, OutOfRange, Rejected, UnknownDevice
from gateway.model import Masked, Register, Scalar, Taken
from gateway.store.device_config import Spec
from gateway.ticket import Ticket
from gateway.values import shown


@dataclass(slots=True)
class Write:
    """A client's write of one point; ``done`` is told its end. ``kind`` is write or revert, as the audit log says it."""

    desk: Desk
    clock: Clock
    claimed: Claim
    spec: Spec
    register: Register
    value: Scalar | None
    priority: int | None
    ticket: Ticket
    id: str | None
    done: Done
    kind: str = "write"
    sent: bool = False
    _lease: Lease | None = None
    _first: bool = False
    _old: Scalar | None = None

    @property
    def key(self) -> Key:
        """What the journal knows the point by."""
        return self.spec.path, self.register.name, self.priority

    @property
    def over(self) -> bool:
        """Whether the answer has gone."""
        return self.ticket.answered

    def begin(self) -> None:
        """The lease and the pace allow it."""
        self._lease = self.desk.check(self.claimed)
        self.desk.paces.check(self.spec.path, self.register)

    def wants_present(self, relinquishes: bool) -> bool:
        """Whether the present value is to be read first: to go back to it, or to see how far the step is."""
        if not relinquishes:
            self.priority = None  # whatever was asked for: the point has one value and nothing below it
        return self._needs_prior() or self._is_stepped()

    def _needs_prior(self) -> bool:
        if self._lease is None or self.priority is not None or self.desk.reverts.is_open(self.key):
            return False
        return self.register.default is None

    def _is_stepped(self) -> bool:
        return self.kind == "write" and self.register.max_step is not None

    def record(self, present: Scalar | None) -> None:
        """Judge the step, and journal what would have to be given back."""
        self._old = present
        if self._is_stepped():
            self._check_step(present)
        if self._lease is None or self.kind == "revert":
            return
        self.desk.hold(self.spec.path)
        try:
            self._first = self.desk.reverts.open(self._entry(self._lease, present), self.spec, self.register)
        except JournalError as error:
            self.desk.records.unusable(error)
            raise
        self.desk.records.unusable(None)

    def _check_step(self, present: Scalar | None) -> None:
        step = self.register.max_step
        number = isinstance(self.value, (int, float)) and isinstance(present, (int, float))
        if step is not None and number and abs(self.value - present) > step:  # type: ignore[operator]
            raise OutOfRange(
                f'from {shown(present)} to {shown(self.value)} is more than Max Step {step:g} of "{self.register.name}"',
                max_step=step,
                present=present,
            )

    def _entry(self, lease: Lease, present: Scalar | None) -> OpenWrite:
        return OpenWrite(
            device=self.spec.path,
            point=self.register.name,
            priority=self.priority,
            task_id=lease.task_id,
            fence=lease.fence,
            requester=self.claimed.requester,
            correlation=None if self.id is None else self.id.encode(),
            config=self.spec.payload,
            documents=self.spec.documents,
            prior=present if self._needs_prior() else None,
            deadline=lease.until,
            at=self.clock.wall(),
        )

    def claim(self) -> float:
        """The bytes go now: the lease that was journalled is in force still, and the deadline has not come."""
        with self.desk.lock:
            lease = self.desk.check(self.claimed)
            if (lease and lease.task_id) != (self._lease and self._lease.task_id):
                raise Busy("the lease has just changed; ask again")
            if lease and self.kind == "write" and not self.desk.reverts.is_open(self.key):
                raise Busy("what was written before was just kept, or given back; ask again")
            self.ticket.claim(self.clock.now())
            self.sent = True
            self.desk.paces.wrote(self.spec.path, self.register)
        return min(self.ticket.deadline, lease.ends if lease else inf)

    def time_left(self) -> bool:
        """Whether the deadline is yet to come."""
        return self.clock.now() < self.ticket.deadline

    def end(self, taken: Taken, error: GatewayError | None) -> None:
        """Tell the audit log and the client."""
        if isinstance(error, LEFT_NOTHING):
            self.sent = False
        if self.sent and error is None:
            self.desk.fault_point("after_wire")
        if self._first and (not self.sent or isinstance(error, Rejected)):
            self.desk.reverts.unsent(self.key)
        held = taken.value if isinstance(taken, Masked) else taken
        tell = self.desk.audit.event if self.sent else self.desk.refusals.event
        tell(
            AuditEvent(
                self.kind if self.sent else "refused",
                self.spec.path,
                outcome=error.code if error else "ok",
                requester=self.claimed.requester,
                task_id=self._lease.task_id if self._lease else None,
                point=self.register.name,
                priority=self.priority,
                old=self._old,
                new=self.value if held is None else held,
                id=self.id,
            )
        )
        self.done(taken, error)


@dataclass(slots=True)
class Heartbeat:
    """The gateway's own write of a heartbeat point: no lease, no override stands against it, and it is not given back."""

    desk: Desk
    spec: Spec
    register: Register
    value: Scalar
    is_ours: Callable[[str], bool]
    until: float
    clock: Clock
    sent: bool = False

    @property
    def over(self) -> bool:
        """Whether the next one is due already."""
        return self.clock.now() >= self.until

    def begin(self) -> None:
        """Nothing is asked."""

    def wants_present(self, relinquishes: bool) -> bool:
        """It is not given back."""
        return False

    def record(self, present: Scalar | None) -> None:
        """Nothing is journalled: it is not given back."""

    def claim(self) -> float:
        """The device is still ours."""
        if not self.is_ours(self.spec.path):
            raise UnknownDevice(f'"{self.spec.path}" was removed, or has gone to another gateway')
        self.sent = True
        return self.until

    def time_left(self) -> bool:
        """Nobody waits for an answer."""
        return False

    def end(self, taken: Taken, error: GatewayError | None) -> None:
        """Tell the audit log of what was sent."""
        if self.sent:
            self.desk.audit.event(
                AuditEvent(
                    "write",
                    self.spec.path,
                    outcome=error.code if error else "ok",
                    point=self.register.name,
                    new=self.value,
                    id="heartbeat",
                )
            )
