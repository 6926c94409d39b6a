"""The outbox's thread: keeps on disk what the data queue says, and brings it back, paced, when the broker takes it.

In normal running it writes nothing. What the broker has acknowledged is forgotten, what is too old or too much is dropped,
the oldest first, counted and told. A disk that can not be used holds nobody up: it is tried again, and told.
"""

from __future__ import annotations

from collections.abc import Callable

import structlog

from gateway.clock import Clock
from gateway.dataqueue import KEEP_BYTES, DataQueue
from gateway.entry import Chores
from gateway.settings import Outbox as Bounds
from gateway.store.outbox import Kept, OutboxError, OutboxFile
from gateway.store.sqlite import MovedAside, is_passing
from gateway.vitals import Vitals
from gateway.worker import Bell, Worker

log = structlog.get_logger()

TICK = 0.25
"""Seconds between two looks at whether the broker acknowledges."""
REPLAY_TICK = 0.05
"""Seconds between two looks while there is something to replay."""
LINGER = 0.01
"""Seconds that a reading may wait for others to be written with it."""
RETRY = 2.0
"""Seconds until a disk that could not be used is tried again."""
SYNC = 1.0
"""Seconds between two commits that wait for the disk: what a loss of power may cost."""
DISK_PATIENCE = 60.0
"""Seconds that the disk may take before the thread counts as hanging: a worn one stands still for long, and nobody waits."""
OPENING = 600.0
"""The same while a file is opened or begun anew: what is whole in a damaged one is copied, up to ``max_bytes`` of it."""
AGE_CHECK = 60.0
REFUSED_WITHIN = 600.0
"""Seconds that refused messages may wait to be set aside."""
DROPPED = "more waits than max_bytes, max_age or memory allow: the oldest readings are dropped, and counted in the stats"


class Outbox:
    """One thread, which owns ``file``; ``tell`` is given a problem's code with its text, or None when it is over."""

    def __init__(
        self,
        settings: Bounds,
        file: OutboxFile,
        queue: DataQueue,
        clock: Clock,
        tell: Callable[[str, str | None], None],
    ) -> None:
        self._settings = settings
        self._file = file
        self._queue = queue
        self._clock = clock
        self._tell = tell
        self._worker = Worker("outbox", self._turn, lambda: self._bell.over, finish=self.finish)
        self._bell = Bell()
        self._usable = False
        self._base: int | None = None  # an entry's id on disk is its number above this
        self._cursor = 0
        self._tokens = settings.replay_rate * TICK
        self._filled_at = clock.now()
        self._retry_at = self._synced_at = self._aged_at = self._refused_at = float("-inf")
        self._dropped_before = 0
        self._problems: set[str] = set()
        self.dropped = 0
        """Readings that were dropped from disk, as too much or too old."""

    # ---- from other threads

    @property
    def name(self) -> str:
        """The thread's name."""
        return self._worker.name

    def counts(self) -> dict[str, int]:
        """What is told in the stats."""
        return {
            "waiting": self._queue.waiting + self._file.count,
            "on_disk": self._file.count,
            "disk_bytes": self._file.bytes,
            "replayed": self._queue.replayed,
            "dropped": self.dropped + self._queue.dropped + self._file.lost,
            "not_kept": self._queue.not_kept,
            "refused_by_broker": self._queue.refusals,
        }

    def start(self, vitals: Vitals) -> None:
        """Begin."""
        self._worker.start(vitals)

    def wake(self) -> None:
        """There is something to keep."""
        self._bell.ring()

    def stop(self, timeout: float) -> bool:
        """Keep all that is not acknowledged, and end; whether the thread ended in time."""
        self._bell.end()
        return self._worker.join(timeout)

    # ---- the thread

    def _turn(self) -> None:
        self._worker.pulse.due = self._clock.now() + DISK_PATIENCE
        self._bell.wait(self.work(), LINGER)

    def work(self) -> float:
        """One turn; the seconds until there is something to do again, unless it is woken."""
        self._queue.look()
        now = self._clock.now()
        if now >= self._retry_at:
            self._keep(now)
        self._replay(now)
        self._tell_losses()
        return REPLAY_TICK if self._queue.room() and (self._file.count or self._queue.waiting) else TICK

    def finish(self) -> None:
        """The end: what is not acknowledged goes to disk, whatever the broker says from now on."""
        self._queue.unsent([])
        self._retry_at = self._refused_at = float("-inf")
        now = self._clock.now()
        self._keep(now)
        while self._queue.waiting and now >= self._retry_at:
            self._keep(now)
        if self._queue.waiting:
            log.error("readings are lost, as the outbox can not be written", count=self._queue.waiting)
        self._file.close()

    def _keep(self, now: float) -> None:
        """Bring the disk up to date."""
        chores = self._queue.chores(now - self._refused_at > REFUSED_WITHIN)
        try:
            self._open()
            self._change(chores, now)
        except OutboxError as error:
            self._queue.give_back(chores)
            self._failed(error, now)
            self._wipe(chores, now)
        else:
            self._trim(now)

    def _wipe(self, chores: Chores, now: float) -> None:
        """If all that is on a full disk was acknowledged, and there is no room even to forget it: begin again."""
        try:
            if not self._file.holds_only(chores.done):
                return
            self._file.wipe()
        except OutboxError as error:
            self._usable = False
            self._failed(error, now)
        else:
            self._queue.forgotten(chores.done)
            self._retry_at = now

    def _open(self) -> None:
        if not self._usable:
            self._worker.pulse.due = self._clock.now() + OPENING
            self._moved(self._file.open())
            self._usable = True
        if self._base is None:
            self._base = self._file.last_id()

    def _change(self, chores: Chores, now: float) -> None:
        assert self._base is not None
        rows = [self._base + entry.number for entry in chores.keep]
        if chores.keep or chores.done or chores.refused:
            new = [entry.kept(row) for entry, row in zip(chores.keep, rows, strict=True)]
            wait_for_disk = bool(new) and now - self._synced_at >= SYNC
            self._file.change(new, chores.done, chores.refused, wait_for_disk)
            self._synced_at = now if wait_for_disk else self._synced_at
            self._refused_at = now if chores.refused else self._refused_at
            self._cursor = min(self._cursor, rows[0] - 1) if rows else self._cursor
        elif "outbox_unusable" in self._problems:
            self._file.probe()
        self._queue.kept(chores, rows)
        self._problem("outbox_unusable", None)

    def _trim(self, now: float) -> None:
        oldest = float("-inf")
        if now - self._aged_at >= AGE_CHECK:
            self._aged_at, oldest = now, now - self._settings.max_age
        try:
            self.dropped += self._file.trim(self._settings.max_bytes, oldest)
        except OutboxError as error:
            self._failed(error, now)

    def _failed(self, error: OutboxError, now: float) -> None:
        """The disk is tried again in a while; a damaged file is moved aside at once."""
        self._worker.pulse.due = now + OPENING
        try:
            moved = self._file.start_again(error)
        except OutboxError as worse:
            error, moved, self._usable = worse, None, False
        if moved is not None:
            self._moved(moved)
            return
        self._retry_at = now + RETRY
        if self._base is None or not is_passing(error.__cause__):
            self._usable = False
            self._file.close()
        self._problem("outbox_unusable", f"what the broker has not acknowledged is in memory only: {error.message}")

    def _moved(self, moved: MovedAside | None) -> None:
        if moved is not None:
            self._cursor = 0
            self._problems.discard("outbox_set_aside")  # each is told
            self._problem("outbox_set_aside", f"{moved.reason}; it is kept as {moved.path.name}")

    # ---- replays

    def _replay(self, now: float) -> None:
        """Give the queue some of what waits, oldest first, as fast as is allowed."""
        if self._queue.again():
            self._cursor = 0
        count = self._allowance(now)
        found: list[Kept] = []
        if count and self._file.count:
            found = self._next(count, now)
        if found:
            self._cursor = found[-1].id
            self._queue.bring(found)
            self._tokens -= len(found)
        elif count and now < self._retry_at:
            self._tokens -= self._queue.replay_from_memory(count)

    def _next(self, count: int, now: float) -> list[Kept]:
        assert self._base is not None
        horizon = self._queue.horizon()
        before = None if horizon is None else self._base + horizon
        try:
            return self._file.next(self._cursor, before, count, KEEP_BYTES)
        except OutboxError as error:
            self._failed(error, now)
            return []

    def _allowance(self, now: float) -> int:
        rate = self._settings.replay_rate
        self._tokens = min(self._tokens + rate * (now - self._filled_at), max(1.0, rate * TICK))
        self._filled_at = now
        return min(int(self._tokens), self._queue.room())

    # ---- what is told

    def _tell_losses(self) -> None:
        dropped = self.dropped + self._queue.dropped
        if dropped > self._dropped_before:
            self._problem("readings_dropped", DROPPED)
        elif not (self._file.count or self._queue.waiting):
            self._problem("readings_dropped", None)
        self._dropped_before = dropped

    def _problem(self, code: str, text: str | None) -> None:
        """Tell it when it begins and when it is over."""
        if (text is not None) == (code in self._problems):
            return
        if text is None:
            self._problems.discard(code)
        else:
            self._problems.add(code)
            log.error("the outbox", problem=code, reason=text)
        self._tell(code, text)
