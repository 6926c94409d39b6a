"""Knows the truth, from the devices' own log, and finds what is not as it was promised."""

from __future__ import annotations

import time
from bisect import bisect_right
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from itertools import groupby, pairwise

from tests.integration.waiting import PATIENCE
from tests.soak.plant import SETTABLE, Log, Poll, Span, Written, carried
from tests.soak.seen import Seen
from tests.soak.traffic import FIRST_VALUE, UNKNOWN, Book, Lease, Write
from tests.soak.windows import Window, Windows

LATE = 1.0 * PATIENCE
"""Seconds from a lease's end to the revert on the wire, if the device answers and the gateway runs."""
BETWEEN = 1000
"""Readings at most that a unit has given out between one that was answered in time and what was asked after it."""
TOGETHER = 1.0
"""Seconds in which a connection goes on with a device although another one has asked it meanwhile: both are at it."""
LEASED = {address: rest for name, (address, rest) in SETTABLE.items() if name in "st"}
"""Registers that leases write, and what they hold at rest."""
REFUSED = {"bad_request", "busy", "lease_lost", "leased_by_other", "lease_required", "overridden", "timeout"}
REFUSED |= {"device_offline", "unavailable", "unknown_device"}
"""Codes of a write that was not sent."""


@dataclass
class Verdict:
    """What was looked at (``checks``), and what was found wrong, by kind of check."""

    checks: Counter[str] = field(default_factory=Counter)
    faults: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    latest_revert: float = 0.0
    excused: int = 0
    """Readings that may be lost, as a device was ill or a gateway killed, and were."""

    def check(self, kind: str, fine: object, what: object = "") -> None:
        """Count a check, and keep what is wrong."""
        self.checks[kind] += 1
        if not fine:
            self.faults[kind].append(str(what))


def judge(log: Log, book: Book, seen: Seen, windows: Windows, until: float) -> Verdict:
    """All checks; of readings those that were given out ``until`` then must have come."""
    verdict = Verdict()
    _values(verdict, log, seen)
    _delivered(verdict, log, seen, windows.lossy, until)
    _reads(verdict, log, book)
    _writes(verdict, log, book)
    _reverts(verdict, log, book, windows)
    _owners(verdict, log)
    return verdict


def missing(log: Log, seen: Seen, lossy: Iterable[Window], until: float) -> list[Poll]:
    """Readings that were given out until then and that nobody was told, but for those in windows."""
    excused = _excuses(lossy)
    return [poll for poll in _untold(log, seen, until) if not excused(poll)]


def at_rest(log: Log) -> bool:
    """Whether every register that leases write holds what it held at first."""
    return all(words[address] == rest for words in log.words.values() for address, rest in LEASED.items())


def _untold(log: Log, seen: Seen, until: float) -> list[Poll]:
    return [poll for poll in log.polls if poll.number not in seen.delivered[poll.unit] and poll.at < until]


def _excuses(lossy: Iterable[Window]) -> Callable[[Poll], bool]:
    windows: dict[int, list[Window]] = defaultdict(list)
    for window in lossy:
        for unit in window.units:
            windows[unit].append(window)
    return lambda poll: any(window.since <= poll.at <= window.until for window in windows[poll.unit])


def _delivered(verdict: Verdict, log: Log, seen: Seen, lossy: Sequence[Window], until: float) -> None:
    excused = _excuses(lossy)
    lost = missing(log, seen, lossy, until)
    verdict.excused = len(_untold(log, seen, until)) - len(lost)
    verdict.checks["readings are delivered"] += sum(poll.at < until and not excused(poll) for poll in log.polls)
    verdict.faults["readings are delivered"] += map(str, lost)
    verdict.check("readings come in order", not seen.disorder, seen.disorder)


def _values(verdict: Verdict, log: Log, seen: Seen) -> None:
    given = {(poll.unit, poll.number): poll for poll in log.polls}
    wall = time.time() - time.monotonic()
    for unit, readings in list(seen.delivered.items()):
        for number, reading in list(readings.items()):
            poll = given.get((unit, number))  # none: the unit took its time, and was heard all the same
            fine = poll is None or (reading.held == poll.held and abs(reading.wall - poll.at - wall) < 2.0 * PATIENCE)
            verdict.check("values are those of the registers", fine, f"{reading} is not {poll}")
    for each in seen.wrong:
        verdict.check("values are those of the registers", False, each)


def _reads(verdict: Verdict, log: Log, book: Book) -> None:
    given: dict[int, list[Poll]] = defaultdict(list)
    for poll in sorted(log.polls, key=lambda poll: poll.at):
        given[poll.unit].append(poll)
    for unit, address, asked in book.reads:
        if asked.result is not None:
            count = bisect_right(given[unit], asked.at, key=lambda poll: poll.at)
            before = given[unit][count - 1].number if count else 0
            since = (asked.result - carried(unit, address, before)) & 0xFFFF
            verdict.check("values that are asked for are the register's", since < BETWEEN, (before, asked))


def _writes(verdict: Verdict, log: Log, book: Book) -> None:
    taken: dict[tuple[int, int, int], list[float]] = defaultdict(list)
    for written in log.writes:
        taken[_key(written)].append(written.at)
    for write in book.writes:
        at, asked = taken[write.unit, write.address, write.value], write.asked
        times, codes = len(at), {_code(answer) for answer in asked.answers}
        what = f"{write.unit} {write.address} {write.value}: at {at}, asked at {asked.at}, answers {asked.answers}"
        verdict.check("no write is made twice", times <= 1, what)
        if "ok" in codes:
            verdict.check("a write that is answered with a value was made", times == 1, what)
        elif codes and codes <= REFUSED:
            verdict.check("a write that is refused was not made", times == 0, what)
    known = {(write.unit, write.address, write.value) for write in book.writes}
    strangers = [write for write in log.writes if write.value >= FIRST_VALUE and _key(write) not in known]
    verdict.check("nothing is written that nobody asked for", not strangers, strangers)


def _reverts(verdict: Verdict, log: Log, book: Book, windows: Windows) -> None:
    by_value = {(write.unit, write.address, write.value): write for write in book.writes}
    for (unit, address), written in _by_register(log):
        runs = [list(run) for _, run in groupby(written, lambda w: _lease_number(by_value, w))]
        what = f"unit {unit} register {address}: {[(w.value, round(w.at, 2)) for w in written]}"
        given_back: dict[int | None, float] = {}
        for run, after in pairwise([*runs, []]):
            lease, number = _lease(by_value, run[0]), _lease_number(by_value, run[0])
            if lease is not None:
                before = given_back.get(number)
                verdict.check("no lease writes after its revert", before is None or windows.may_change(unit, before), what)
                given_back[number] = after[0].at if after else 0.0
                verdict.check("what is leased is given back", after and after[0].value == LEASED[address], what)
                _in_time(verdict, lease, run[-1], after, windows.slow)


def _in_time(verdict: Verdict, lease: Lease, last: Written, after: list[Written], slow: Sequence[Window]) -> None:
    if not after or lease.how == UNKNOWN:
        return
    end = max(lease.ended, last.at)
    windows = [w for w in slow if lease.unit in w.units and w.since <= after[0].at and end <= w.until]
    late = after[0].at - end
    if not windows:
        verdict.latest_revert = max(verdict.latest_revert, late)
        verdict.check(f"given back in time after: {lease.how}", late < LATE, f"{late:.2f} s: {lease}, {last}")
    verdict.checks[f"leases that wrote and ended by: {lease.how}"] += 1


def _owners(verdict: Verdict, log: Log) -> None:
    turns: dict[int, list[Span]] = defaultdict(list)
    for span in log.spans:
        turns[span.unit].append(span)
    for spans in turns.values():
        for one, _, again in zip(spans, spans[1:], spans[2:], strict=False):
            both = one.link == again.link and again.first - one.last < TOGETHER
            verdict.check("one connection at a time asks a device", not both, (one, again))


def _by_register(log: Log) -> Iterable[tuple[tuple[int, int], list[Written]]]:
    found: dict[tuple[int, int], list[Written]] = defaultdict(list)
    for write in log.writes:
        if write.address in LEASED:
            found[write.unit, write.address].append(write)
    return found.items()


def _lease(by_value: dict[tuple[int, int, int], Write], written: Written) -> Lease | None:
    write = by_value.get(_key(written))
    return write.lease if write is not None else None


def _lease_number(by_value: dict[tuple[int, int, int], Write], written: Written) -> int | None:
    lease = _lease(by_value, written)
    return id(lease) if lease is not None else None  # two gateways may give out the same task id


def _key(written: Written) -> tuple[int, int, int]:
    return written.unit, written.address, written.value


def _code(answer: dict) -> str:
    return "ok" if "result" in answer else str(answer["error"]["code"])
