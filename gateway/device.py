"""A device: the one owner of its interface.

``Device`` is the state machine; ``step`` does at most one thing on the wire: a revert, a reload, the next write, the next
read that a client asked for, or the next batch of a poll, whichever comes first in that order. ``DeviceThread`` calls it.
"""

from __future__ import annotations

import random

import structlog

from gateway.backoff import Backoff
from gateway.clock import Clock
from gateway.errors import (
    LEFT_NOTHING,
    Busy,
    DeadlinePassed,
    DeviceError,
    GatewayError,
    NotTaken,
    Offline,
    OutcomeUnknown,
    Rejected,
    RequestError,
    Transient,
    Unavailable,
    Unreachable,
)
from gateway.interfaces.base import Environment, GiveWay, Interface
from gateway.jobs import Counters, Job, Outlet, ReadJob, RevertJob, WriteJob
from gateway.last import LastValues
from gateway.model import DeviceState, DeviceStatus, PointError
from gateway.reporter import Reporter
from gateway.rounds import Rounds
from gateway.store.device_config import Spec
from gateway.sweep import Sweep, sweep_of
from gateway.worklist import Worklist
from gateway.writing import carry_out, read_back

log = structlog.get_logger()


class Device:
    """The state of one device; everything but ``submit``, ``close`` and ``work`` runs on its own thread."""

    def __init__(self, spec: Spec, env: Environment, outlet: Outlet, phase: float, settle: float = 0.0) -> None:
        self.spec = spec
        self.counters = Counters()
        self.status = DeviceStatus(DeviceState.STARTING, env.clock.wall())
        self.work = Worklist(env.clock, settle)
        self._env = env
        self._clock: Clock = env.clock
        self._outlet = outlet
        self._reporter = Reporter(env.clock, outlet)
        self._phase = phase
        self._current: Job | RevertJob | None = None
        self.due = env.clock.now()
        """When there is a sign of life again at the latest (boot clock)."""
        self._begin(spec, self.due)

    def _begin(self, spec: Spec, now: float) -> None:
        self.spec = spec
        self._interface: Interface = spec.interface(spec.config, self._env)
        self._interface.recall(spec.learned)
        self._interface.wake = self.work.stir
        self._reporter.begin(spec, self._interface)
        self.facts = spec.learned
        """What the driver has learned about the device."""
        self.work.alarm = self._interface.nudge
        self._rounds = Rounds(spec, self._phase, now)
        self._backoff = Backoff(random.random, most=self._interface.longest_pause)
        self._open = False
        self._poll: Sweep | None = None
        self._next_try = 0.0

    # ---- from other threads

    def submit(self, *jobs: Job) -> None:
        """Queue jobs, all of them or none; Busy if too many wait, Unavailable once the device is being stopped."""
        self.work.submit(*jobs)

    def close(self, abandon: bool = False, drain_until: float = 0.0) -> None:
        """Take no more jobs; the thread ends after the request in flight and, until that time, the reverts that wait.

        ``abandon``: others answer what waits.
        """
        self.work.close(abandon, drain_until)

    @property
    def closing(self) -> bool:
        """Whether the device is being stopped."""
        return self.work.closing

    @property
    def last(self) -> LastValues:
        """The newest value of each point."""
        return self._reporter.last

    # ---- on the device thread

    @property
    def over(self) -> bool:
        """Whether there is nothing left to do."""
        return self.work.over

    def wait(self, until: float) -> None:
        """Wait until that boot clock time, or until there is something to do."""
        self.due = until
        self.work.wait(until)

    def step(self) -> float:
        """Do at most one thing on the wire; the boot clock time when there is something to do again."""
        now = self.due = self._clock.now()
        if self.work.held:
            return self.work.asks_from
        if self.work.news:
            self._take_notices()
        if revert := self.work.next_revert(now):
            self._revert(revert)
        elif self.work.closing:
            return self._wake()
        elif self.work.reload and now >= self.work.reload_at():
            self._take_reload(now)
        elif job := self._next_job(now):
            self._serve(job)
        elif self._poll is not None:
            self._poll_step(self._poll)
        elif now >= self._next_poll():
            self._start_poll(now)
        return self._clock.now() if self._poll is not None and not self.work.closing else self._wake()

    def finish(self) -> None:
        """Answer what still waits, and let go of the device."""
        jobs, reverts = self.work.leave()
        for job in jobs:
            if self.work.abandoned:
                job.abandon()
            else:
                job.fail(Unavailable("the device is being stopped"))
        self._interface.close()
        for revert in reverts:
            revert.debt.stranded()

    def crashed(self, error: Exception) -> None:
        """A bug in a driver: answer the job in hand, mark the device, and begin again after a pause."""
        self.counters.failures += 1
        failure = "the driver failed; the gateway's log says more"
        job, self._current = self._current, None
        if isinstance(job, RevertJob):
            self.work.again(job, GatewayError(failure))
        elif job is not None:
            job.fail(OutcomeUnknown(failure) if job.sent else GatewayError(failure))
        self._went_offline(PointError("internal", failure))

    def _next_job(self, now: float) -> Job | None:
        job = self.work.next_job(now)
        for late in self.work.take_late():
            late.fail(DeadlinePassed("the deadline came before the write could be sent; nothing was written"))
        return job

    def _next_poll(self) -> float:
        return self._next_try if self.status.state is DeviceState.OFFLINE else self._rounds.due

    def _wake(self) -> float:
        waiting = self.work.wake()
        return waiting if self.work.closing or self.work.held else min(waiting, self._next_poll())

    def _take_reload(self, now: float) -> None:
        spec, self._phase, stranded = self.work.take_reload()
        self._interface.close()
        self._begin(spec, now)
        self._tell(DeviceState.STARTING, None)
        for job in stranded:
            job.debt.stranded()

    # ---- reverts

    def _revert(self, job: RevertJob) -> None:
        """One try; only an answer of the device ends it."""
        self._current = job
        self._interface.urgent = True
        try:
            self._ensure_open(at_once=True)
            taken = self._interface.write(job.register, job.value, job.options, job.debt.claim)
        except (Rejected, NotTaken, RequestError) as error:
            self.work.done(job)
            job.debt.end(None, error)
        except GatewayError as error:
            self.work.again(job, error)
            if isinstance(error, Unreachable):
                self._went_offline(PointError(error.code, error.message))
        else:
            self.work.done(job)
            job.debt.end(taken, None)
        self._current = None

    # ---- jobs

    def _serve(self, job: Job) -> None:
        self._current = job
        self._interface.urgent = True
        try:
            if job.spec is not self.spec:
                raise Busy("the device's configuration has just changed; ask again")
            if isinstance(job, WriteJob):
                self._write(job)
            else:
                self._ensure_open()
                self._read(job)
        except GatewayError as error:
            job.fail(error)
        self._current = None  # not in a finally: after a bug, crashed() answers the job

    def _ensure_open(self, at_once: bool = False) -> None:
        if self._open:
            return
        now = self._clock.now()
        if self.status.state is DeviceState.OFFLINE and now < self._next_try and not at_once:
            reason = self.status.reason.message if self.status.reason else "it does not answer"
            raise Offline(f"the device is offline: {reason}", next_try=round(self._next_try - now, 3))
        try:
            self._interface.open()
        except DeviceError as error:
            self._went_offline(PointError(error.code, error.message))
            raise Offline(error.message) from error
        self._open = True

    def _write(self, job: WriteJob) -> None:
        """The one road of every write but a revert: may it be done, what is there, journal, wire."""
        warrant = job.warrant
        warrant.begin()
        self._ensure_open()
        try:
            taken = carry_out(self._interface, job, self._clock)
        except GatewayError as error:
            if not warrant.sent or isinstance(error, (Rejected, NotTaken, *LEFT_NOTHING)):
                if isinstance(error, Unreachable):
                    self._went_offline(PointError(error.code, error.message))
                raise
            raise self._unknown(job, error) from error
        warrant.end(taken, None)

    def _unknown(self, job: WriteJob, error: GatewayError) -> OutcomeUnknown:
        """A write that left and was not answered, with what the point holds now if there is time to look."""
        seen = read_back(self._interface, job.register, self._clock) if job.warrant.time_left() else {}
        if isinstance(error, Unreachable) and not seen:
            self._went_offline(PointError(error.code, error.message))
        return OutcomeUnknown(f"the write was sent, but its end is not known: {error.message}", **seen)

    def _read(self, job: ReadJob) -> None:
        if job.sweep is None:
            job.sweep = sweep_of(self._interface, job.registers, self._clock)
        sweep = job.sweep
        if not sweep.done:
            sweep.step(self._interface)
        if not sweep.done:
            self.work.put_back(job)
            return
        self._reporter.remember(sweep)
        if sweep.lost:
            self._lost(sweep)
        if not sweep.answered and sweep.trouble is not None:
            raise sweep.trouble
        job.ticket.finish(job.result(self._reporter.reading(sweep)))

    # ---- polling

    def _start_poll(self, now: float) -> None:
        self._interface.urgent = False
        try:
            self._ensure_open()
        except (Offline, GiveWay):
            return
        missed = self._rounds.missed
        registers = self._rounds.begin(now, self.status.state is DeviceState.OFFLINE)
        self.counters.polls += 1
        self.counters.missed += self._rounds.missed - missed
        if self.status.state in (DeviceState.ONLINE, DeviceState.DEGRADED):
            self.counters.max_late = max(self.counters.max_late, self._rounds.late)
        poll = self._poll = Sweep(self._interface.batches(registers), self._clock)
        if poll.done:
            self._end_poll(poll)
        else:
            self._poll_step(poll)

    def _poll_step(self, poll: Sweep) -> None:
        self._interface.urgent = False
        poll.step(self._interface)
        if poll.done:
            self._end_poll(poll)

    def _end_poll(self, poll: Sweep) -> None:
        self._poll = None
        self._publish(poll)
        self._tell_learned()
        if poll.lost:
            self._lost(poll)
        elif not poll.answered and poll.trouble is not None:
            self._went_offline(PointError(poll.trouble.code, poll.trouble.message))
        else:
            self._backoff.reset()
            failing = self._rounds.ended(poll, self._clock.now())
            first = next(iter(failing.items()), None)
            reason = PointError(first[1].code, f'"{first[0]}": {first[1].message}') if first else None
            state = DeviceState.DEGRADED if failing else DeviceState.ONLINE
            self._tell(state, reason, len(self.spec.registers) - len(failing), len(failing))

    def _tell_learned(self) -> None:
        facts = self._interface.learned()
        if facts != self.facts:
            self.facts = facts
            self._outlet.learned(self.spec, facts)

    def _publish(self, poll: Sweep) -> None:
        poll.errors.update(self._rounds.left_out())
        self._reporter.publish(poll)

    def _take_notices(self) -> None:
        self.work.news = False  # before they are looked at: what comes meanwhile is looked for again
        if self._open:
            self._reporter.notices(self._poll)

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
        self._rounds.forget()
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
        self.status = DeviceStatus(state, since, reason, self._reporter.at, next_try, ok, failed)
        if state is not before.state:
            report = log.warning if state is DeviceState.OFFLINE else log.info
            report("device is " + state.value, device=self.spec.path, reason=reason.message if reason else None)
        self._outlet.status(self.spec.path, self.status)
