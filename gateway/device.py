"""A device: the one owner of its interface.

``Device`` is the state machine; ``step`` does at most one thing on the wire: a reload, the next write, the next read that a
client asked for, or the next batch of a poll, whichever comes first in that order. ``DeviceThread``
calls it.
"""

from __future__ import annotations

import random
import threading
from collections import deque
from dataclasses import replace

import structlog

from gateway.backoff import Backoff
from gateway.clock import Clock
from gateway.errors import (
    Busy,
    DeviceError,
    GatewayError,
    Offline,
    OutcomeUnknown,
    Rejected,
    Transient,
    Unavailable,
    Unreachable,
)
from gateway.interfaces.base import Environment, Interface
from gateway.jobs import Counters, Job, Outlet, ReadJob, WriteJob
from gateway.last import LastValues
from gateway.model import DeviceState, DeviceStatus, PointError, Reading
from gateway.schedule import Schedule
from gateway.store.device_config import Spec
from gateway.sweep import Sweep

log = structlog.get_logger()

QUEUE_LIMIT = 64
"""Requests that may wait for one device; more are answered ``busy``."""
RETRY_UNSUPPORTED = 60.0
"""Seconds after which points that the device does not know are asked for again."""


class Device:
    """The state of one device; everything but ``submit`` and ``reconfigure`` runs on its own thread."""

    def __init__(self, spec: Spec, env: Environment, outlet: Outlet, phase: float, settle: float = 0.0) -> None:
        self.spec = spec
        self.counters = Counters()
        self.last = LastValues()
        self.status = DeviceStatus(DeviceState.STARTING, env.clock.wall())
        self.writes_from = settle
        """Boot clock time before which nothing is written: the claim to the device is not settled until then."""
        self._env = env
        self._clock: Clock = env.clock
        self._outlet = outlet
        self._phase = phase
        self._lock = threading.Condition()
        self._writes: deque[WriteJob] = deque()
        self._reads: deque[ReadJob] = deque()
        self._reload: tuple[Spec, float, float] | None = None
        self._closing = False
        self._abandon = False
        self._current: Job | None = None
        self._begin(spec, env.clock.now())

    def _begin(self, spec: Spec, now: float) -> None:
        self.spec = spec
        self._interface: Interface = spec.interface(spec.config, self._env)
        self._schedule = Schedule(spec.device.interval, self._phase % spec.device.interval, now)
        self._backoff = Backoff(random.random)
        self._open = False
        self._poll: Sweep | None = None
        self._left_out: dict[str, PointError] = {}
        self._ask_again = 0.0
        self._next_try = 0.0
        self._registers = spec.registers

    # ---- from other threads

    def submit(self, job: Job) -> None:
        """Queue a job; Busy if too many wait, Unavailable once the device is being stopped."""
        with self._lock:
            if self._closing:
                raise Unavailable("the device is being stopped")
            if len(self._reads) + len(self._writes) >= QUEUE_LIMIT:
                raise Busy(f"{QUEUE_LIMIT} requests wait for this device already")
            if isinstance(job, WriteJob):
                self._writes.append(job)
            else:
                self._reads.append(job)
            self._lock.notify()

    def reconfigure(self, spec: Spec, phase: float, at: float) -> None:
        """Go on with this specification from boot clock time ``at``, between two requests."""
        with self._lock:
            self._reload = (spec, phase, at)
            self._lock.notify()

    def settle(self, until: float) -> None:
        """Write nothing before that boot clock time."""
        with self._lock:
            self.writes_from = until
            self._lock.notify()

    def close(self, abandon: bool = False) -> None:
        """Take no more jobs; the thread ends after the request in flight. ``abandon``: others answer what waits."""
        with self._lock:
            self._abandon = self._abandon or abandon
            self._closing = True
            self._lock.notify()

    @property
    def closing(self) -> bool:
        """Whether the device is being stopped."""
        return self._closing

    def wait(self, until: float) -> None:
        """Wait until that boot clock time, or until there is something to do."""
        with self._lock:
            if not (self._closing or self._reads or (self._writes and self._may_write())):
                until = min(until, self._wake())  # a job or a reload may have come since the step
                self._lock.wait(max(0.0, until - self._clock.now()))

    # ---- on the device thread

    def step(self) -> float:
        """Do at most one thing on the wire; the boot clock time when there is something to do again."""
        now = self._clock.now()
        if self._reload and now >= self._reload[2]:
            self._take_reload(now)
        elif job := self._next_job(now):
            self._serve(job)
        elif self._poll is not None:
            self._poll_step(self._poll)
        elif now >= self._wake():
            self._start_poll(now)
        return self._clock.now() if self._poll is not None else self._wake()

    def finish(self) -> None:
        """Answer what still waits, and let go of the device."""
        waiting: list[Job] = [*self._writes, *self._reads]
        for job in waiting:
            if self._abandon:
                job.ticket.abandon()
            else:
                job.ticket.finish(error=Unavailable("the device is being stopped"))
        self._interface.close()

    def crashed(self, error: Exception) -> None:
        """A bug in a driver: answer the job in hand, mark the device, and begin again after a pause."""
        self.counters.failures += 1
        if self._current is not None:
            failure = "the driver failed; the gateway's log says more"
            claimed = self._current.ticket.claimed
            self._current.ticket.finish(error=OutcomeUnknown(failure) if claimed else GatewayError(failure))
            self._current = None
        self._went_offline(PointError("internal", "the driver failed; the gateway's log says more"))

    def _may_write(self) -> bool:
        return self._clock.now() >= self.writes_from

    def _wake(self) -> float:
        due = self._next_try if self.status.state is DeviceState.OFFLINE else self._schedule.due
        if self._reload:
            due = min(due, self._reload[2])
        return min(due, self.writes_from) if self._writes and not self._may_write() else due

    def _next_job(self, now: float) -> Job | None:
        with self._lock:
            while self._writes and now >= self.writes_from:
                write = self._writes.popleft()
                if not write.ticket.answered:
                    return write
            while self._reads:
                read = self._reads.popleft()
                if not read.ticket.answered:
                    return read
        return None

    def _take_reload(self, now: float) -> None:
        with self._lock:
            assert self._reload is not None
            spec, self._phase, _ = self._reload
            self._reload = None
        self._interface.close()
        self.last = LastValues()
        self._begin(spec, now)
        self._tell(DeviceState.STARTING, None)

    # ---- jobs

    def _serve(self, job: Job) -> None:
        self._current = job
        try:
            if job.spec is not self.spec:
                raise Busy("the device's configuration has just changed; ask again")
            self._ensure_open()
            if isinstance(job, WriteJob):
                self._write(job)
            else:
                self._read(job)
        except GatewayError as error:
            job.ticket.finish(error=error)
        self._current = None  # not in a finally: after a bug, crashed() answers the job

    def _ensure_open(self) -> None:
        if self._open:
            return
        now = self._clock.now()
        if self.status.state is DeviceState.OFFLINE and now < self._next_try:
            reason = self.status.reason.message if self.status.reason else "it does not answer"
            raise Offline(f"the device is offline: {reason}", next_try=round(self._next_try - now, 3))
        try:
            self._interface.open()
        except DeviceError as error:
            self._went_offline(PointError(error.code, error.message))
            raise Offline(error.message) from error
        self._open = True

    def _write(self, job: WriteJob) -> None:
        def may_send() -> None:
            job.guard()
            job.ticket.claim(self._clock.now())

        try:
            taken = self._interface.write(job.register, job.value, job.options, may_send)
        except GatewayError as error:
            if isinstance(error, Unreachable):
                self._went_offline(PointError(error.code, error.message))
            if not job.ticket.claimed or isinstance(error, Rejected):
                raise
            raise OutcomeUnknown(f"the write was sent, but its end is not known: {error.message}") from error
        job.ticket.finish(taken)

    def _read(self, job: ReadJob) -> None:
        if job.sweep is None:
            job.sweep = Sweep(self._interface.batches(job.registers), self._clock)
        sweep = job.sweep
        if not sweep.done:
            sweep.step(self._interface)
        if not sweep.done:
            with self._lock:
                self._reads.append(job)
            return
        self._remember(sweep)
        if sweep.lost:
            self._lost(sweep)
        if not sweep.answered and sweep.trouble is not None:
            raise sweep.trouble
        job.ticket.finish(job.result(Reading(self.spec.path, sweep.wall, sweep.values, sweep.errors)))

    # ---- polling

    def _start_poll(self, now: float) -> None:
        try:
            self._ensure_open()
        except Offline:
            return
        if self.status.state is DeviceState.OFFLINE:
            self._schedule.restart(now)
        missed = self._schedule.missed
        late = self._schedule.begin(now)
        self.counters.polls += 1
        self.counters.missed += self._schedule.missed - missed
        if self.status.state in (DeviceState.ONLINE, DeviceState.DEGRADED):
            self.counters.max_late = max(self.counters.max_late, late)
        if self._left_out and now >= self._ask_again:
            self._leave_out({})
        poll = self._poll = Sweep(self._interface.batches(self._registers), self._clock)
        if poll.done:
            self._end_poll(poll)
        else:
            self._poll_step(poll)

    def _poll_step(self, poll: Sweep) -> None:
        poll.step(self._interface)
        if poll.done:
            self._end_poll(poll)

    def _end_poll(self, poll: Sweep) -> None:
        self._poll = None
        self._publish(poll)
        if poll.lost:
            self._lost(poll)
        elif not poll.answered and poll.trouble is not None:
            self._went_offline(PointError(poll.trouble.code, poll.trouble.message))
        else:
            self._backoff.reset()
            first = next(iter(poll.errors.items()), None)
            reason = PointError(first[1].code, f'"{first[0]}": {first[1].message}') if first else None
            self._tell(DeviceState.DEGRADED if first else DeviceState.ONLINE, reason, len(poll.values), len(poll.errors))
            self._leave_out({name: error for name, error in poll.errors.items() if error.unsupported})

    def _publish(self, poll: Sweep) -> None:
        poll.errors.update(self._left_out)
        self._remember(poll)
        if not poll.answered:
            return
        wall = round(poll.wall, 6)  # as it is told: each one is at least a microsecond later than the last
        if self.status.last_reading is not None:
            wall = max(wall, round(self.status.last_reading + 1e-6, 6))
        self.status = replace(self.status, last_reading=wall)
        self._outlet.reading(self.spec, Reading(self.spec.path, wall, poll.values, poll.errors))

    def _remember(self, sweep: Sweep) -> None:
        if len(sweep.values) == len(self.spec.registers):
            self.last.whole(sweep.wall, sweep.values)
        else:
            self.last.partly(sweep.wall, sweep.values, sweep.errors)

    def _leave_out(self, unsupported: dict[str, PointError]) -> None:
        if unsupported.keys() == self._left_out.keys():
            return
        self._left_out = unsupported
        self._ask_again = self._clock.now() + RETRY_UNSUPPORTED
        self._registers = tuple(r for r in self.spec.registers if r.name not in unsupported)

    # ---- states

    def _lost(self, sweep: Sweep) -> None:
        assert sweep.trouble is not None
        self._went_offline(PointError(sweep.trouble.code, sweep.trouble.message))

    def _went_offline(self, reason: PointError) -> None:
        """Let go of the connection and try again later; what a poll had asked so far is given up."""
        now = self._clock.now()
        self._interface.close()
        self._open = False
        poll, self._poll = self._poll, None
        if poll is not None and poll.answered:
            poll.abandon(Transient(reason.message))
            self._publish(poll)
        self._leave_out({})
        self._next_try = now + self._backoff.next()
        self.last.failed((register.name for register in self.spec.registers), reason)
        state = DeviceState.OFFLINE
        next_try = self._clock.wall() + self._next_try - now
        self._tell(state, reason, 0, len(self.spec.registers), next_try)

    def _tell(
        self, state: DeviceState, reason: PointError | None, ok: int = 0, failed: int = 0, next_try: float | None = None
    ) -> None:
        before = self.status
        answers = state in (DeviceState.ONLINE, DeviceState.DEGRADED)
        if answers and (before.state, before.reason, before.points_ok, before.points_failed) == (state, reason, ok, failed):
            return
        since = before.since if state is before.state else self._clock.wall()
        self.status = DeviceStatus(state, since, reason, before.last_reading, next_try, ok, failed)
        if state is not before.state:
            report = log.warning if state is DeviceState.OFFLINE else log.info
            report("device is " + state.value, device=self.spec.path, reason=reason.message if reason else None)
        self._outlet.status(self.spec.path, self.status)
