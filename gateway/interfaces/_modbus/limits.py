"""What one read request may ask for: what the configuration says of a device, and what it was found to refuse; pure."""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass, replace
from typing import Annotated, NamedTuple

from pydantic import AfterValidator, Field

from gateway.interfaces._modbus.pdu import Table
from gateway.interfaces.base import DriverConfig

TABLES = {table.name.lower(): table for table in Table}
"""The tables by their names in configurations: coil, discrete_input, holding, input."""


class Span(NamedTuple):
    """Addresses of a table, from ``start`` to before ``end``."""

    table: Table
    start: int
    end: int

    @property
    def size(self) -> int:
        """How many addresses."""
        return self.end - self.start

    def contains(self, other: Span) -> bool:
        """Whether all of the other lies in this one."""
        return self.table == other.table and self.start <= other.start and other.end <= self.end

    def overlaps(self, other: Span) -> bool:
        """Whether they have an address in common."""
        return self.table == other.table and self.start < other.end and other.start < self.end


class Cut(NamedTuple):
    """Addresses that are not read together, and the one at which they are divided."""

    span: Span
    at: int


def _holes(holes: tuple[tuple[str, int, int], ...]) -> tuple[tuple[str, int, int], ...]:
    for table, first, last in holes:
        if table not in TABLES:
            raise ValueError(f'a hole is [table, first, last]; the tables are {", ".join(TABLES)}, not "{table}"')
        if not 0 <= first <= last <= 0xFFFF:
            raise ValueError(f"a hole is [table, first, last] with 0 <= first <= last <= 65535, not {first} and {last}")
    return holes


class ReadKeys(DriverConfig):
    """The keys of ``driver_config`` that say what one request may read."""

    max_gap: int = Field(0, ge=0, le=Table.COIL.most)
    max_registers: int = Field(Table.HOLDING.most, ge=1, le=Table.HOLDING.most)
    max_bits: int = Field(Table.COIL.most, ge=1, le=Table.COIL.most)
    holes: Annotated[tuple[tuple[str, int, int], ...], AfterValidator(_holes)] = ()


@dataclass(frozen=True, slots=True)
class Limits:
    """What a request must keep to.

    It bridges holes of up to ``gap`` addresses, and what ``pad`` rows name if ``pads``, never one that overlaps ``never``,
    and reads at most ``registers`` or ``bits`` addresses; ``lengths`` are smaller limits for single tables. ``apart``, in
    order, are spans that no request for several points holds whole, and ``cuts`` those that are divided at a place.
    """

    gap: int = 0
    pads: bool = True
    registers: int = Table.HOLDING.most
    bits: int = Table.COIL.most
    never: tuple[Span, ...] = ()
    lengths: tuple[tuple[Table, int], ...] = ()
    apart: tuple[Span, ...] = ()
    cuts: tuple[Cut, ...] = ()

    def most(self, table: Table) -> int:
        """How many addresses of a table one request may read."""
        most = self.bits if table.bits else self.registers
        return min([most, *(length for of, length in self.lengths if of == table)])

    def bridges(self, hole: Span, named: int = 0) -> bool:
        """Whether a request may read over this hole between two points; ``pad`` rows name its first ``named`` addresses."""
        size = hole.size - named if self.pads else hole.size
        return size <= self.gap and not any(span.overlaps(hole) for span in self.never)

    def parts(self, span: Span, at: int) -> bool:
        """Whether a run of points that covers ``span`` has to end before its newest one, which begins at ``at``."""
        return self._holds_apart(span) or any(
            span.table == cut.span.table and span.start <= cut.span.start and span.start < cut.at <= at for cut in self.cuts
        )

    def _holds_apart(self, span: Span) -> bool:
        """Whether one of ``apart`` lies in a span; looked for only where it can be, as there may be thousands."""
        for place in range(bisect_left(self.apart, span[:2]), len(self.apart)):
            one = self.apart[place]
            if one[:2] >= (span.table, span.end):
                return False
            if one.end <= span.end:
                return True
        return False

    def without_holes(self) -> Limits:
        """The same, but nothing is read that no point asks for."""
        return replace(self, gap=0, pads=False)


NO_LIMITS = Limits()
"""What the protocol allows, without reading over holes."""


def configured(keys: ReadKeys) -> Limits:
    """The limits that a ``driver_config`` gives."""
    never = tuple(Span(TABLES[table], first, last + 1) for table, first, last in keys.holes)
    return Limits(keys.max_gap, registers=keys.max_registers, bits=keys.max_bits, never=never)
