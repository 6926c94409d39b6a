"""What a device was found to refuse, so that it is not asked for it again and again; pure.

A request for several points that the device refuses is divided. Only when all its parts were answered is it known that the
whole was at fault: by the one hole that it read over, by its length, or by the place where it was divided. When a part is
refused too, the cause lies in that part, and nothing is held against the whole. A point that is refused by itself is bad.

Each fact is a sentence that ``facts`` gives and ``recall`` understands:

- ``holding 7: refused``
- ``holding 10-12: not read over``
- ``holding 29-30: divided at 30``
- ``holding 0-93: too long, 63 are not``
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from gateway.interfaces._modbus.limits import TABLES, Cut, Limits, Span
from gateway.interfaces._modbus.pdu import Table

MAX_DOUBTS = 256

_FACT = re.compile(r"(\w+) (\d+)(?:-(\d+))?: (refused|not read over|divided at|too long,)(?: (\d+))?.*")


@dataclass(slots=True)
class _Doubt:
    """A request that was refused, and the parts of it that have not been answered yet."""

    span: Span
    holes: list[Span]
    at: int
    open: set[Span]


class Learned:
    """The facts about one device; every method is cheap when there is nothing new."""

    def __init__(self) -> None:
        self._bad: set[Span] = set()
        self._holes: set[Span] = set()
        self._cuts: dict[Span, Cut] = {}
        self._long: dict[Table, Span] = {}
        self._answered: dict[Table, int] = dict.fromkeys(Table, 0)
        self._doubts: list[_Doubt] = []

    def answered(self, span: Span) -> bool:
        """The device has answered a request; whether that is news."""
        news = False
        if span.size > self._answered[span.table]:
            news = self._longer(span)
        if self._bad and span in self._bad:
            self._bad.discard(span)
            news = True
        return self._resolve(span) or news if self._doubts else news

    def refused_alone(self, span: Span) -> bool:
        """The device has refused a request for one point; whether that is news."""
        self._explained(span)
        news = span not in self._bad
        self._add(span)
        self._bad.add(span)
        return news

    def refused(self, span: Span, holes: Sequence[Span], parts: Sequence[Span]) -> None:
        """The device has refused a request for several points, which is divided into these parts."""
        self._explained(span)
        self._doubts = [doubt for doubt in self._doubts if doubt.span != span][1 - MAX_DOUBTS :]
        at = holes[len(holes) // 2].end if holes else parts[len(parts) // 2].start
        self._doubts.append(_Doubt(span, list(holes), at, set(parts)))

    def forget(self) -> bool:
        """Forget all but bad points, which the gateway asks for again by itself; whether there was something."""
        news = bool(self._holes or self._cuts or self._long)
        for facts in (self._holes, self._cuts, self._long, self._doubts):
            facts.clear()
        return news

    def limits(self, limits: Limits) -> Limits:
        """What the device is asked from now on: half-way between the lengths that it answers and that it refuses."""
        lengths = tuple((table, (self._answered[table] + span.size) // 2) for table, span in self._long.items())
        apart = tuple(sorted(self._bad | self._holes))
        return replace(limits, lengths=lengths, apart=apart, cuts=tuple(sorted(self._cuts.values())))

    def facts(self) -> tuple[str, ...]:
        """All that is known, as sentences."""
        return (
            *(f"{_words(span)}: refused" for span in sorted(self._bad)),
            *(f"{_words(span)}: not read over" for span in sorted(self._holes)),
            *(f"{_words(cut.span)}: divided at {cut.at}" for cut in sorted(self._cuts.values())),
            *(f"{_words(span)}: too long, {self._answered[t]} are not" for t, span in sorted(self._long.items())),
        )

    def recall(self, facts: Iterable[str]) -> None:
        """Know what was known before; a sentence that is none of these is passed over."""
        for fact in facts:
            match = _FACT.fullmatch(fact)
            if match and match[1] in TABLES:
                table, first = TABLES[match[1]], int(match[2])
                self._recall(Span(table, first, int(match[3] or first) + 1), match[4], int(match[5] or 0))

    def _recall(self, span: Span, kind: str, number: int) -> None:
        if kind == "refused":
            self._bad.add(span)
        elif kind == "not read over":
            self._holes.add(span)
        elif kind == "divided at":
            self._cuts[span] = Cut(span, number)
        elif 0 < number < span.size:
            self._long[span.table] = span
            self._answered[span.table] = number

    def _longer(self, span: Span) -> bool:
        """The longest request so far was answered: what is not longer, and was thought too long, has another reason."""
        self._answered[span.table] = span.size
        long = self._long.get(span.table)
        if long is not None and long.size <= span.size:
            del self._long[span.table]
        return long is not None

    def _explained(self, part: Span) -> None:
        """A part is refused: the cause lies in it, and what it is a part of is not in doubt any more."""
        self._doubts = [doubt for doubt in self._doubts if part not in doubt.open]

    def _resolve(self, span: Span) -> bool:
        news = False
        for doubt in list(self._doubts):
            doubt.open.discard(span)
            if not doubt.open:
                self._doubts.remove(doubt)
                self._blame(doubt)
                news = True
        return news

    def _blame(self, doubt: _Doubt) -> None:
        """All parts were answered: the whole is at fault."""
        span = doubt.span
        if len(doubt.holes) == 1:
            self._add(doubt.holes[0])
            self._holes.add(doubt.holes[0])
        elif doubt.holes or span.size <= self._answered[span.table]:
            self._add(span)
            self._cuts[span] = Cut(span, doubt.at)
        elif span.table not in self._long or span.size < self._long[span.table].size:
            self._long[span.table] = span

    def _add(self, cause: Span) -> None:
        """What was known of larger spans is explained by this cause in them."""
        self._cuts = {span: cut for span, cut in self._cuts.items() if not span.contains(cause)}
        self._long = {table: span for table, span in self._long.items() if not span.contains(cause)}


def _words(span: Span) -> str:
    last = f"-{span.end - 1}" if span.size > 1 else ""
    return f"{span.table.name.lower()} {span.start}{last}"
