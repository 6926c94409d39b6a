"""Writing requests that come twice: carried out once, answered alike, also after a restart.

Each requester's newest requests are held in memory by their ids until their deadlines, and in the journal, from before they
are carried out. Only ``load`` and ``commit`` touch the disk, on the dispatcher's thread; answers come from any.
"""

from __future__ import annotations

import json
import threading
from collections import Counter, OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from gateway.actuator.journal import JournalError, SeenRequest
from gateway.clock import Clock
from gateway.errors import Busy, OutcomeUnknown
from gateway.rpc.calls import LONGEST_DEADLINE, Answer, answer_of, number

NEWEST = 4096
"""Requests that are held for each requester."""
NEWEST_BYTES, OVERHEAD = 16 << 20, 512
"""Bytes of them and their answers, and what a request takes besides its answer, about."""
SWEEP = 10.0
"""Seconds between two looks for what is over."""
LOST = OutcomeUnknown(
    "the gateway was ended while it carried this request out, and it is not carried out again; read the point back"
)
ELSEWHERE = OutcomeUnknown(
    "the gateway that had the device when this came first may have carried it out, and it is not carried out again; "
    "read the point back"
)


class Keeper(Protocol):
    """The part of the journal that keeps requests."""

    def record(self, requests: list[SeenRequest], forgotten: list[SeenRequest] = ...) -> None:
        """Keep and forget. Raises JournalError."""
        ...

    def seen(self) -> list[SeenRequest]:
        """What is kept. Raises JournalError."""
        ...


@dataclass(slots=True, eq=False)
class Seen:
    """A writing request that was admitted; ``until`` is its deadline on the boot clock, ``wall_until`` on the wall clock."""

    requester: str
    key: str
    digest: str
    until: float
    wall_until: float
    kept: str | None = None
    """The answer as JSON: long ones take a third of what they would as objects."""
    waiting: list[Callable[[Answer | None], None]] = field(default_factory=list)
    ours: bool = True
    """Whether it was for us: what was for another gateway is in memory only."""

    def row(self) -> SeenRequest:
        """The request as it is kept."""
        return SeenRequest(self.requester, self.key, self.digest, self.wall_until, self.kept)

    @property
    def answer(self) -> Answer | None:
        """The answer, if there is one."""
        if self.kept is None:
            return None
        code, body = json.loads(self.kept)
        return Answer(code, body, number(code))

    @property
    def size(self) -> int:
        """Bytes that it takes, about."""
        return OVERHEAD + len(self.kept or "")


def _json(answer: Answer) -> str:
    return json.dumps([answer.code, answer.body])


class Duplicates:
    """The writing requests that were seen.

    ``trouble`` is told why they are held in memory only, and None when they are on disk again; ``wake`` is called when there
    is an answer to commit.
    """

    def __init__(self, clock: Clock, keeper: Keeper, trouble: Callable[[str | None], None]) -> None:
        self._clock = clock
        self._keeper = keeper
        self._trouble = trouble
        self.wake: Callable[[], None] = lambda: None
        self._lock = threading.Lock()
        self._seen: dict[str, OrderedDict[str, Seen]] = {}
        self._bytes: Counter[str] = Counter()
        self._new: dict[tuple[str, str], Seen] = {}
        self._gone: dict[tuple[str, str], Seen] = {}
        self._next_sweep = 0.0
        self._problem: str | None = None
        self._loaded = False

    def load(self) -> None:
        """What an earlier process has seen; of what it had not answered nobody knows the outcome."""
        try:
            rows = self._keeper.seen()
        except JournalError as error:
            self._tell(error.message)
            return
        self._loaded = True
        for row in rows:
            self._restore(row)

    def _restore(self, row: SeenRequest) -> None:
        if self._get(row.requester, row.key) is not None:
            return  # the disk came late, and we know better
        left = min(row.until - self._clock.wall(), LONGEST_DEADLINE)  # the wall clock may have been set back
        answer = row.answer or _json(answer_of(None, LOST, None))
        self._hold(Seen(row.requester, row.key, row.digest, self._clock.now() + left, row.until, answer))

    # ---- on the dispatcher's thread

    def find(self, requester: str, key: str, digest: str) -> Seen | None:
        """The request that this one repeats: the latest under its id, equal to it, before its deadline."""
        seen = self._get(requester, key)
        return seen if seen is not None and seen.digest == digest and self._clock.now() < seen.until else None

    def admit(self, requester: str, key: str, digest: str, deadline: float) -> Seen:
        """A new request, in place of the latest under its id; carry it out after ``commit``.

        Raises Busy if what is held of this requester takes too much.
        """
        if self._bytes[requester] > NEWEST_BYTES:
            raise Busy("the answers to your latest writes are too long to hold more of them: wait for their deadlines")
        seen = Seen(requester, key, digest, deadline, self._wall(deadline))
        with self._lock:
            self._hold(seen)
            self._new[requester, key] = seen
            self._gone.pop((requester, key), None)
        return seen

    def note(self, requester: str, key: str, digest: str, deadline: float) -> None:
        """A request for another gateway's device: should that come to us, we do not carry it out once more."""
        answer = _json(answer_of(None, ELSEWHERE, None))
        seen = Seen(requester, key, digest, deadline, self._wall(deadline), answer, ours=False)
        with self._lock:
            before = self._get(requester, key)
            if before is not None:
                self._forget(before)
            self._hold(seen)

    def commit(self) -> bool:
        """Have everything new on disk; whether an answer was among it. What can not be kept is held in memory, told."""
        with self._lock:
            self._sweep()
            new, gone = list(self._new.values()), list(self._gone.values())
            if not new and not gone and self._problem is None:
                return False
            rows, gone_rows = [s.row() for s in new], [s.row() for s in gone]
            self._new, self._gone = {}, {}
        try:
            self._keeper.record(rows, gone_rows)
        except JournalError as error:
            self._tell(error.message)
            with self._lock:
                self._again(new, gone)
            return False
        self._tell(None)
        if not self._loaded:
            self.load()
        return any(row.answer is not None for row in rows)

    def _again(self, new: list[Seen], gone: list[Seen]) -> None:
        """Try these once more with the next commit, unless something newer is known of them."""
        for seen in new:
            if self._is_held(seen):
                self._new.setdefault((seen.requester, seen.key), seen)
        for seen in gone:
            if (seen.requester, seen.key) not in self._new:
                self._gone.setdefault((seen.requester, seen.key), seen)

    def _tell(self, problem: str | None) -> None:
        if problem != self._problem:
            self._problem = problem
            self._trouble(problem)

    def _wall(self, deadline: float) -> float:
        return self._clock.wall() + deadline - self._clock.now()

    # ---- from any thread

    def answered(self, seen: Seen, answer: Answer | None) -> None:
        """A request has its answer, for all who wait for it; None if none is ours to give, and then it is forgotten."""
        kept = "" if answer is None else _json(answer)
        with self._lock:
            waiting, seen.waiting = seen.waiting, []
            if answer is None:
                self._forget(seen)
            elif self._is_held(seen):
                self._bytes[seen.requester] += len(kept)
                self._new[seen.requester, seen.key] = seen
            seen.kept = kept or None
        for tell in waiting:
            tell(answer)
        self.wake()

    def attach(self, seen: Seen, tell: Callable[[Answer | None], None]) -> None:
        """Tell the answer of this request: now, or when it is there."""
        with self._lock:
            answer = seen.answer
            if answer is None:
                seen.waiting.append(tell)
                return
        tell(answer)

    # ---- with the lock

    def _is_held(self, seen: Seen) -> bool:
        return self._get(seen.requester, seen.key) is seen

    def _get(self, requester: str, key: str) -> Seen | None:
        held = self._seen.get(requester)
        return None if held is None else held.get(key)

    def _hold(self, seen: Seen) -> None:
        held = self._seen.setdefault(seen.requester, OrderedDict())
        if (before := held.get(seen.key)) is not None:
            self._bytes[seen.requester] -= before.size
        held[seen.key] = seen
        self._bytes[seen.requester] += seen.size
        held.move_to_end(seen.key)
        if len(held) > NEWEST:
            self._forget(next(iter(held.values())))

    def _forget(self, seen: Seen) -> None:
        if not self._is_held(seen):
            return
        held = self._seen[seen.requester]
        del held[seen.key]
        self._bytes[seen.requester] -= seen.size
        if not held:
            del self._seen[seen.requester], self._bytes[seen.requester]
        self._new.pop((seen.requester, seen.key), None)
        if seen.ours:
            self._gone[seen.requester, seen.key] = seen

    def _sweep(self) -> None:
        now = self._clock.now()
        if now < self._next_sweep:
            return
        self._next_sweep = now + SWEEP
        over = [seen for held in self._seen.values() for seen in held.values() if seen.until <= now]
        for seen in over:
            self._forget(seen)
