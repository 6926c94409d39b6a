"""Readings and events on their way to the broker: the front of the outbox, filled by any thread.

A reading that comes while there is a connection is *live*: it goes out as it is. All others go to their replay topic,
marked, after the live ones. As long as acknowledgements flow, readings are in memory alone. When they stop, or there is no
connection, what is not acknowledged is to be kept on disk, and so is all that comes: the outbox takes it from here as
``Chores``, and brings it back when it may go out.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterable, Sequence

from gateway.clock import Clock
from gateway.entry import Chores, Entry
from gateway.model import Outgoing
from gateway.store.outbox import Kept, Refused

MEMORY = 32 << 20
"""Bytes of messages in memory: more than a few only while the disk can not be written or the broker is slow."""
LATE = 1.0
"""Seconds without acknowledgement after which a reading belongs on disk."""
LIVE = 10.0
"""Seconds after which a reading that still waits is no present value any more, though the connection stands."""
REPLAY_WINDOW = 5
"""Replayed messages in flight, half of what a link allows: a live reading finds room at once."""
REPLAYS_READY = 100
"""Replayed messages that wait in memory to be sent."""
KEEP_ROWS, KEEP_BYTES = 500, 1 << 20
"""What is handed to the disk at once."""
REFUSED_READY = 50
"""Refused messages in memory that wait to be set aside on disk."""


class DataQueue:
    """A link's source of readings; bounded in bytes: the oldest are dropped and counted."""

    def __init__(self, clock: Clock, max_bytes: int = MEMORY) -> None:
        self._clock = clock
        self._max_bytes = max_bytes
        self._lock = threading.Lock()
        self._number = 0
        self._bytes = 0
        self._live: deque[Entry] = deque()
        self._flying: dict[int, Entry] = {}
        self._to_keep: deque[Entry] = deque()
        self._ready: deque[Entry] = deque()
        self._replays_flying = 0
        self._done: list[int] = []
        self._refused: deque[Refused] = deque(maxlen=REFUSED_READY)
        self._connected = self._open = self._acked = self._late = False
        self._distrust = True
        self._again = True
        self.wake: Callable[[], None] = lambda: None
        """Tells the link that there is something to send."""
        self.alarm: Callable[[], None] = lambda: None
        """Tells the outbox that there is something to keep."""
        self.tell_refused: Callable[[str, str], None] = lambda topic, reason: None
        """Told of each topic whose message the broker refuses, with the reason."""
        self.dropped = 0
        """Readings that were lost because too many waited in memory."""
        self.not_kept = 0
        """What could not be sent and is not worth keeping."""
        self.replayed = 0
        self.refusals = 0

    # ---- from any thread

    def put(self, messages: Iterable[Outgoing]) -> None:
        """Queue messages, in order; never waits."""
        now = self._clock.now()
        with self._lock:
            idle = not self._to_keep
            for message in messages:
                self._put(message, now)
            while self._bytes > self._max_bytes and self._shed():
                pass
            news = idle and bool(self._to_keep)
        if news:
            self.alarm()
        self.wake()

    def connected(self) -> None:
        """The link is up: from now on readings are live."""
        with self._lock:
            self._connected = True

    def open(self) -> None:
        """It is known whose the devices are: from now on readings may go out."""
        with self._lock:
            self._open = self._connected
        self.alarm()
        self.wake()

    @property
    def waiting(self) -> int:
        """How many messages wait in memory, those on disk as well not counted."""
        with self._lock:
            return sum(not e.row for e in self._live) + sum(not (e.over or e.live) for e in self._to_keep)

    def __len__(self) -> int:
        """How many live messages would go out now."""
        return len(self._live) if self._open else 0

    def _put(self, message: Outgoing, now: float) -> None:
        self._number += 1
        entry = Entry(message, self._number, now, now, live=self._connected)
        if not (entry.live or entry.replayable):
            self.not_kept += 1
            return
        self._bytes += entry.cost
        if entry.live:
            self._live.append(entry)
        if self._distrust:
            self._queue(entry)

    def _queue(self, entry: Entry) -> None:
        if entry.replayable and not (entry.row or entry.queued or entry.over):
            entry.queued = True
            self._to_keep.append(entry)

    # ---- from the link

    def pop(self) -> Outgoing | None:
        """The next message, or None: live ones first."""
        with self._lock:
            if not self._open:
                return None
            if self._live:
                entry = self._live.popleft()
            elif self._ready and self._replays_flying < REPLAY_WINDOW:
                entry = self._ready.popleft()
                entry.at = self._clock.now()
            else:
                return None
            if entry.message.qos:
                self._flying[id(entry.message)] = entry
                self._replays_flying += not entry.live
            else:  # nobody will say whether it arrived
                self._finish(entry)
            return entry.message

    def acknowledged(self, message: Outgoing) -> None:
        """The broker has it: it may go from the disk too."""
        with self._lock:
            self._acked = True
            entry = self._landed(message)
            if entry is not None:
                self.replayed += not entry.live
                self._finish(entry)

    def refused(self, message: Outgoing, reason: str) -> None:
        """Set it aside, with a count, and tell it."""
        self.tell_refused(message.topic, reason)
        with self._lock:
            self._acked = True
            self.refusals += 1
            self._refused.append(Refused(message.topic, message.payload, reason, self._clock.wall()))
            entry = self._landed(message)
            if entry is not None:
                self._finish(entry)

    def unsent(self, messages: list[Outgoing]) -> None:
        """The connection is lost: nothing that waits is a present value any more."""
        with self._lock:
            self._connected = self._open = self._acked = self._late = False
            self._distrust = self._again = True
            waiting = [*self._flying.values(), *self._live, *self._ready]
            self._flying.clear()
            self._live.clear()
            self._ready.clear()
            self._replays_flying = 0
            for entry in waiting:
                self._no_longer_live(entry)
            self._sort()
        self.alarm()

    def _landed(self, message: Outgoing) -> Entry | None:
        entry = self._flying.pop(id(message), None)
        if entry is not None and not entry.live:
            self._replays_flying -= 1
        return entry

    def _finish(self, entry: Entry) -> None:
        entry.over = True
        self._bytes -= entry.cost
        if entry.row:
            self._done.append(entry.row)

    def _no_longer_live(self, entry: Entry) -> None:
        """It goes out later, from disk, or not at all."""
        entry.live = False
        if entry.row or not entry.replayable:
            self.not_kept += not entry.replayable
            entry.over = True
            self._bytes -= entry.cost
        else:
            self._queue(entry)

    def _shed(self) -> bool:
        """Make room: the oldest goes, from memory if it is on disk, else for good; whether there was one."""
        while self._to_keep and self._to_keep[0].over:
            self._to_keep.popleft()
        oldest = min((q[0] for q in (self._live, self._to_keep) if q), key=lambda entry: entry.number, default=None)
        if oldest is None:
            return False
        if self._to_keep and oldest is self._to_keep[0]:
            self._to_keep.popleft().queued = False
        if self._live and oldest is self._live[0]:
            self._live.popleft()
        elif oldest.live:
            return True  # it is on its way to the broker
        if oldest.row or oldest.queued or not oldest.replayable:  # queued: on its way to the disk
            self._no_longer_live(oldest)
        else:
            self.dropped += 1
            self._finish(oldest)
        return True

    # ---- from the outbox

    def look(self) -> None:
        """See whether acknowledgements flow; if not, what is not acknowledged is to be kept on disk."""
        now = self._clock.now()
        with self._lock:
            first = (self._live[0].at,) if self._live else ()
            self._late = now - min((*(e.at for e in self._flying.values()), *first), default=now) > LATE
            distrust = self._late or not self._acked
            if distrust and not self._distrust:
                for entry in (*self._flying.values(), *self._live):
                    self._queue(entry)
            elif self._distrust and not distrust:
                self._trust()
            self._distrust = distrust
            while self._live and now - self._live[0].at > LIVE:
                self._no_longer_live(self._live.popleft())

    def _trust(self) -> None:
        """What is live again need not be written any more."""
        for entry in self._to_keep:
            entry.queued = not entry.live
        self._to_keep = deque(entry for entry in self._to_keep if entry.queued)

    def chores(self, refused: bool) -> Chores:
        """Take what is to be done on disk, with ``refused`` also if it is only that; ``kept`` or ``give_back`` follows."""
        size = 0
        keep: list[Entry] = []
        with self._lock:
            while self._to_keep and size < KEEP_BYTES and len(keep) < KEEP_ROWS:
                entry = self._to_keep.popleft()
                if not entry.over:
                    keep.append(entry)
                    size += entry.cost
            done, self._done = self._done, []
            aside = list(self._refused) if keep or done or refused else []
            if aside:
                self._refused.clear()
        return Chores(keep, done, aside)

    def kept(self, chores: Chores, rows: Sequence[int]) -> None:
        """The disk has done that; these are the ids of what it keeps."""
        with self._lock:
            for entry, row in zip(chores.keep, rows, strict=True):
                entry.row, entry.queued = row, False
                if entry.over:
                    self._done.append(row)  # acknowledged meanwhile
                elif not entry.live:
                    self._bytes -= entry.cost

    def give_back(self, chores: Chores) -> None:
        """The disk could not do that; it is to be tried again."""
        with self._lock:
            self._done += chores.done
            self._refused.extendleft(reversed(chores.refused[: REFUSED_READY - len(self._refused)]))
            self._to_keep.extend(chores.keep)
            self._sort()

    def forgotten(self, rows: Iterable[int]) -> None:
        """These are not on disk any more."""
        with self._lock:
            self._done = sorted(set(self._done) - set(rows))

    def _sort(self) -> None:
        self._to_keep = deque(sorted(self._to_keep, key=lambda entry: entry.number))

    def room(self) -> int:
        """How many replayed messages might be brought now."""
        return REPLAYS_READY - len(self._ready) if self._open and not self._late else 0

    def horizon(self) -> int | None:
        """The number of the oldest live message: what came before it may be replayed; None if there is none."""
        with self._lock:
            first = (self._live[0],) if self._live else ()
            return min((e.number for e in (*self._flying.values(), *first) if e.live), default=None)

    def again(self) -> bool:
        """Whether replays begin from the oldest again, as a connection was lost; asked once for each."""
        with self._lock:
            asked, self._again = self._again, False
            return asked

    def bring(self, found: Sequence[Kept]) -> None:
        """These may be replayed."""
        now = self._clock.now()
        with self._lock:
            if not self._open:
                return  # lost meanwhile: they will be asked for again
            over = set(self._done)  # acknowledged as live readings, and on disk still
            for kept in (k for k in found if k.id not in over):
                entry = Entry(Outgoing(kept.topic, kept.payload), 0, now, row=kept.id)
                self._bytes += entry.cost
                self._ready.append(entry)
        self.wake()

    def replay_from_memory(self, count: int) -> int:
        """The disk can not be used: replay up to so many of those that wait for it; how many there were."""
        left = count
        with self._lock:
            while left and self._open and self._to_keep and not self._to_keep[0].live:
                waiting = self._to_keep.popleft()
                if waiting.over:
                    continue
                left -= 1
                kept = waiting.kept(0)
                message = Outgoing(kept.topic, kept.payload, replay_topic=kept.topic, replay=waiting.message.replay)
                entry = Entry(message, waiting.number, waiting.at, waiting.taken)
                self._bytes += entry.cost - waiting.cost
                self._ready.append(entry)
        self.wake()
        return count - left
