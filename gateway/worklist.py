"""What waits for a device: reverts, then a new configuration, then writes, then reads."""

from __future__ import annotations

import random
import threading
from collections import deque
from collections.abc import Callable

import structlog

from gateway.backoff import Backoff
from gateway.clock import Clock
from gateway.errors import Busy, GatewayError, Transient, Unavailable
from gateway.jobs import Job, ReadJob, RevertJob, WriteJob
from gateway.store.device_config import Spec

log = structlog.get_logger()

QUEUE_LIMIT = 64
"""Requests that may wait for one device; more are answered ``busy``."""
REVERT_WITHIN = 10.0
"""Seconds that a new configuration, or the end of the device, waits for reverts under the old one."""
REVERT_PAUSE = 5.0
"""Seconds between two tries of a revert, at most."""


class Worklist:
    """Filled by any thread, emptied by the device's own. Times are boot clock seconds."""

    def __init__(self, clock: Clock, settle: float) -> None:
        self.writes_from = settle
        """Time before which nothing is written: the claim to the device is not settled until then."""
        self.asks_from = 0.0
        """Time before which nothing at all is asked: another gateway may still be at the device."""
        self.reload: tuple[Spec, float, float] | None = None
        self._before: Callable[[], None] | None = None
        self.alarm: Callable[[], None] = lambda: None
        """Called when something comes: the device's thread may wait for something less urgent."""
        self.news = False
        """Whether the device may have told something without being asked."""
        self.closing = False
        self.abandoned = False
        self._clock = clock
        self._changed = threading.Condition()
        self._reverts: deque[RevertJob] = deque()
        self._writes: deque[WriteJob] = deque()
        self._reads: deque[ReadJob] = deque()
        self._late: list[WriteJob] = []
        self._reverts_from = 0.0
        self._backoff = Backoff(random.random, most=REVERT_PAUSE)
        self._silent = 0
        self._drain_until = 0.0

    # ---- from other threads

    def submit(self, *jobs: Job) -> None:
        """Queue jobs, all of them or none; Busy if too many wait, Unavailable once the device is being stopped."""
        with self._changed:
            if self.closing:
                raise Unavailable("the device is being stopped")
            if len(self._reads) + len(self._writes) >= QUEUE_LIMIT:
                raise Busy(f"{QUEUE_LIMIT} requests wait for this device already")
            for job in jobs:
                if isinstance(job, WriteJob):
                    self._writes.append(job)
                else:
                    self._reads.append(job)
            self._tell()

    def revert(self, job: RevertJob) -> bool:
        """Queue a revert; never refused, unless the device has ended: whether it was taken."""
        with self._changed:
            if self.over:
                return False
            self._reverts.append(job)
            self._tell()
            return True

    def reconfigure(self, spec: Spec, phase: float, at: float, before: Callable[[], None] = lambda: None) -> None:
        """Go on with this specification from that time, between two requests; ``before`` is called when that has come."""
        with self._changed:
            self.reload = (spec, phase, at)
            self._before = before
            self._tell()

    def settle(self, until: float) -> None:
        """Write nothing before that time."""
        with self._changed:
            self.writes_from = until
            self._changed.notify()

    def hold(self, until: float) -> None:
        """Ask nothing of the device before that time."""
        with self._changed:
            self.asks_from = until
            self._changed.notify()

    def close(self, abandon: bool, drain_until: float) -> None:
        """Take no more requests; reverts go on until they are done, or until ``drain_until``."""
        with self._changed:
            self.abandoned = self.abandoned or abandon
            self._drain_until = drain_until if not self.closing else min(self._drain_until, drain_until)
            self.closing = True
            self._tell()

    def stir(self) -> None:
        """The device may have told something without being asked."""
        with self._changed:
            self.news = True
            self._changed.notify()

    def _tell(self) -> None:
        self._changed.notify()
        self.alarm()

    # ---- on the device's thread

    @property
    def over(self) -> bool:
        """Whether the device is to end now."""
        return self.closing and not (self._reverts and self.may_write and self._clock.now() < self._drain_until)

    @property
    def may_write(self) -> bool:
        """Whether the claim to the device is settled."""
        return self._clock.now() >= self.writes_from

    @property
    def held(self) -> bool:
        """Whether nothing may be asked of the device yet."""
        return not self.closing and self._clock.now() < self.asks_from

    @property
    def has_reverts(self) -> bool:
        """Whether anything is to be given back yet."""
        return any(not job.debt.over for job in list(self._reverts))

    def wait(self, until: float) -> None:
        """Wait until that time, or until there is something to do."""
        with self._changed:
            if not self._has_job():
                self._changed.wait(max(0.0, min(until, self.wake()) - self._clock.now()))

    def wake(self) -> float:
        """When something that waits is due, or infinity."""
        if self.held:
            return self.asks_from
        due = [self._drain_until] if self.closing else []
        if self.reload and not self.closing:  # who ends takes no new configuration
            due.append(self.reload[2] if self._before else self.reload_at())
        if self._writes and not self.may_write:
            due.append(self.writes_from)
        if self._reverts:
            first = min(job.not_before for job in self._reverts)
            due.append(max(first, self._reverts_from, self.writes_from))
        return min(due, default=float("inf"))

    def reload_at(self) -> float:
        """When the new configuration is due: the old one's reverts come first, for a while."""
        assert self.reload is not None
        return self.reload[2] + (REVERT_WITHIN if self._reverts else 0.0)

    def next_revert(self, now: float) -> RevertJob | None:
        """The revert to do now; it stays until ``done`` or ``again``."""
        if not (self._reverts or self.reload):
            return None  # mostly, and without taking the lock
        self._prepare_reload(now)
        with self._changed:
            self._reverts = deque(job for job in self._reverts if not job.debt.over)
            if now < max(self._reverts_from, self.writes_from):
                return None
            return next((job for job in self._reverts if job.not_before <= now), None)

    def done(self, job: RevertJob) -> None:
        """The device has answered a revert: it is over."""
        with self._changed:
            self._backoff.reset()
            self._silent = 0
            if job in self._reverts:
                self._reverts.remove(job)

    def again(self, job: RevertJob, error: GatewayError) -> None:
        """A revert was not answered: it is the only write that is ever sent again.

        After two in a row, or without a connection, no other fares better now. One that is not wanted any more is dropped.
        """
        if job.debt.over:
            return
        if not job.repeated:
            log.warning("a revert is repeated", device=job.spec.path, point=job.register.name, reason=error.message)
        job.repeated = True
        with self._changed:
            self._silent += 1
            job.not_before = self._clock.now() + self._backoff.next()
            if self._silent > 1 or not isinstance(error, Transient):
                self._reverts_from = job.not_before

    def next_job(self, now: float) -> Job | None:
        """The next request that still wants an answer."""
        if not (self._writes or self._reads):
            return None  # mostly, and without taking the lock
        with self._changed:
            while self._writes and now >= self.writes_from:
                write = self._writes.popleft()
                if not write.over:
                    return write
                self._late.append(write)
            while self._reads:
                read = self._reads.popleft()
                if not read.over:
                    return read
        return None

    def take_late(self) -> list[WriteJob]:
        """The writes that were answered while they waited: nothing of them is sent."""
        late, self._late = self._late, []
        return late

    def put_back(self, job: ReadJob) -> None:
        """A read is not at its end: it goes on when the others had their turn."""
        with self._changed:
            self._reads.append(job)

    def take_reload(self) -> tuple[Spec, float, list[RevertJob]]:
        """The new configuration and its phase, and the reverts that a device on it can not do."""
        with self._changed:
            assert self.reload is not None
            spec, phase, _ = self.reload
            self.reload = None
            stranded = [job for job in self._reverts if not job.fits(spec)]
            self._reverts = deque(job for job in self._reverts if job.fits(spec))
            return spec, phase, stranded

    def leave(self) -> tuple[list[Job], list[RevertJob]]:
        """All that still waits when the device ends."""
        with self._changed:
            self.closing, self._drain_until = True, 0.0
            jobs: list[Job] = [*self._writes, *self._reads]
            reverts = [job for job in self._reverts if not job.debt.over]
            self._writes.clear()
            self._reads.clear()
            self._reverts.clear()
            return jobs, reverts

    def _prepare_reload(self, now: float) -> None:
        """The time of a new configuration has come: have given back what is not to outlive the old one."""
        with self._changed:
            if not self.reload or now < self.reload[2]:
                return
            before, self._before = self._before, None
        if before is not None:
            before()  # takes other locks

    def _has_job(self) -> bool:
        return self.over or (not self.held and (self.news or bool(self._reads) or bool(self._writes and self.may_write)))
