"""Who answers on a link, and what each unit lets itself be asked."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from gateway.cli.scanning.identity import identify
from gateway.cli.scanning.line import Line
from gateway.cli.scanning.ranges import Sweep
from gateway.errors import Transient
from gateway.interfaces._modbus.pdu import Refusal, Table, read_query

TITLES = {Table.COIL: "coil", Table.DISCRETE_INPUT: "discrete", Table.HOLDING: "holding", Table.INPUT: "input"}
TABLES = (Table.HOLDING, Table.INPUT, Table.COIL, Table.DISCRETE_INPUT)
FAILURE = 4
"""The exception code server device failure."""
SILENCES = 3
"""After so many addresses in a row without any answer a table is left."""

Progress = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Window:
    """Which addresses are looked at: those asked first, and the first and last that any request may name."""

    starts: tuple[int, ...]
    first: int
    last: int


class Silent(Exception):
    """A unit that has answered does not any more."""


@dataclass(slots=True)
class Found:
    """A unit that answers: its names, the readable ranges of each table, the values that stood there, what is odd."""

    unit: int
    identity: dict[str, str] = field(default_factory=dict)
    ranges: dict[str, list[tuple[int, int]]] = field(default_factory=dict)
    values: dict[str, dict[int, int]] = field(default_factory=dict)
    most: dict[str, int] = field(default_factory=dict)
    remarks: list[str] = field(default_factory=list)

    @property
    def readable(self) -> bool:
        """Whether anything of it can be read."""
        return any(self.ranges.values())


def answers(line: Line, unit: int) -> bool:
    """Whether the unit answers a read of holding register 0, be it with a refusal. Raises Unreachable."""
    try:
        _refusal(line, unit, Table.HOLDING)
    except Transient:
        return False
    return True


def explore(line: Line, found: Found, window: Window, progress: Progress) -> None:
    """Fill in what a unit is and has; what is known so far is in ``found`` whatever interrupts it."""
    found.identity = identify(line, found.unit)
    if not found.identity and _fails(line, found.unit):
        found.remarks.append("answers each read with server device failure: it may be a gateway, and nobody behind it")
        return
    for table in TABLES:
        progress(f"unit {found.unit}: {TITLES[table]}")
        _Reader(line, found, table).run(window)


def _fails(line: Line, unit: int) -> bool:
    """Whether a unit has nothing but failures: some gateways answer so for units that are not there."""
    try:
        return all(_refusal(line, unit, table) == FAILURE for table in TABLES)
    except Transient:
        return False


def _refusal(line: Line, unit: int, table: Table) -> int:
    """The exception code that a read of address 0 is answered with; 0 if it is not refused. Raises Transient."""
    try:
        line.ask(unit, read_query(table, 0, 1))
    except Refusal as refusal:
        return refusal.code
    return 0


class _Reader:
    """Reads one table of one unit for a sweep, and keeps what it reads."""

    def __init__(self, line: Line, found: Found, table: Table) -> None:
        self._line = line
        self._found = found
        self._table = table
        self._title = TITLES[table]
        self._values = found.values.setdefault(self._title, {})
        self._silences = 0

    def run(self, window: Window) -> None:
        """Look for what of the table can be read, until the device does not know the function or falls silent."""
        sweep = Sweep(self._readable, self._table.most)
        self._found.ranges[self._title] = sweep.found
        try:
            sweep.run(window.starts, window.first, window.last)
        except Refusal as refusal:
            if refusal.code != 1:
                raise
        except Silent:
            self._found.remarks.append(f"{self._title}: it stopped answering, so there may be more")
        if sweep.most < self._table.most:
            self._found.most[self._title] = sweep.most
        kept = {address for first, end in sweep.found for address in range(first, end + 1)}
        for address in self._values.keys() - kept:
            del self._values[address]

    def _readable(self, address: int, count: int) -> bool:
        """Whether these can be read. Raises Refusal if the device has no such function, Silent if it is gone."""
        try:
            words = self._twice(address, count)
        except Refusal as refusal:
            if refusal.code == 1:
                raise
            self._silences = 0
            return False
        except Transient:
            self._silences += 1
            if self._silences >= SILENCES:
                raise Silent from None
            return False
        self._silences = 0
        self._values.update(enumerate(words, address))
        return True

    def _twice(self, address: int, count: int) -> list[int]:
        try:
            return self._line.words(self._found.unit, self._table, address, count)
        except Transient:
            return self._line.words(self._found.unit, self._table, address, count)
