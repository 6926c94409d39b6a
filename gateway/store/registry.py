"""Registry rows to registers; pure.

Rows come from a CSV table or as a JSON list of objects. Titles are matched, whatever their case, with the columns of the
driver's row model.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Container, Mapping, Sequence
from typing import Any

from pydantic import ValidationError

from gateway.errors import ConfigFault
from gateway.interfaces.base import RegistryRow
from gateway.model import Register
from gateway.store.documents import MAX_ROWS, Table
from gateway.store.faults import Faults, keys, name, nearest, problems
from gateway.store.volttron import COLUMNS
from gateway.topics import LEAVES
from gateway.values import shown

POINT_NAME = "Volttron Point Name"
MAX_NAME = 255
MAX_FAILED = 500
"""After so many faults in rows the rest is not looked at: a registry this bad must not cost the other devices their time."""

LISTED = 20

Make = Callable[[Any], Sequence[Register]]
Extend = Callable[[dict[str, Any]], dict[str, Any]]


class Registry:
    """Judges the rows of one registry; ``registers`` are the good ones, ``faults`` says what is wrong with the others.

    ``row`` is the driver's row model. ``make`` makes the registers of a row, raising ConfigFault; without it (the driver's
    config is bad) the rows are judged alone. ``extend`` adds to a row's cells, raising ConfigFault. ``point_topics`` is
    whether each point has a topic of its own.
    """

    def __init__(
        self, row: type[RegistryRow], make: Make | None, point_topics: bool, faults: Faults, extend: Extend | None = None
    ) -> None:
        self.registers: list[Register] = []
        self._row = row
        self._make = make
        self._extend = extend
        self._point_topics = point_topics
        self._faults = faults
        self._titles = {title.lower(): title for title in keys(row)}
        self._kind = "column"
        self._numbers: dict[str, int] = {}
        self._skipped: list[int] = []
        self._failed = 0

    def read(self, source: Table | list[Any], broken: Container[int] = ()) -> None:
        """Judge all rows of a table or a list of objects; those with an index in ``broken`` are passed over."""
        if isinstance(source, Table):
            self._read_table(source, broken)
        else:
            self._read_list(source, broken)
        if self._skipped:
            self._faults.warn(f"registry {_rows(self._skipped)}", f"{self._row.placeholder_words()}: left out")

    def _read_table(self, table: Table, broken: Container[int]) -> None:
        titles = [self._title(column, table.columns) for column in table.columns]
        absent = [column for column in self._row.required(titles) if column not in titles]
        for column in absent:
            self._faults.error("registry header", f'the column "{column}" is missing')
        for index, (number, cells) in enumerate(table.rows):
            if self._failed >= MAX_FAILED:
                self._faults.more = True
                break
            if index not in broken:
                pairs = zip(titles, cells, strict=False)
                self._judge(number, {title: cell for title, cell in pairs if title and cell != ""}, absent)

    def _title(self, column: str, columns: tuple[str, ...]) -> str:
        """The model's title of a column; "" if it is none."""
        known = self._titles.get(column.lower())
        if known or not column:
            return known or ""
        near = "" if column.lower() in COLUMNS else nearest(column, self._titles.values())
        if not near:
            self._faults.warn(f'registry column "{name(column)}"', "is not used by this driver")
            return ""
        self._faults.error(f'registry column "{name(column)}"', "is not known", near)
        return "" if near.lower() in map(str.lower, columns) else near

    def _read_list(self, rows: list[Any], broken: Container[int]) -> None:
        self._kind = "key"
        titles: dict[str, str] = {}
        for index, row in enumerate(rows):
            if self._failed >= MAX_FAILED:
                self._faults.more = True
                break
            if index in broken:
                continue
            if not isinstance(row, dict):
                self._fail(index + 1, "", "a row is an object with a key for each column")
            else:
                self._judge(index + 1, self._cells(index + 1, row, titles))

    def _cells(self, number: int, row: Mapping[str, Any], titles: dict[str, str]) -> dict[str, Any]:
        """The filled cells of a JSON row under the model's titles; ``titles`` remembers what each key is."""
        cells: dict[str, Any] = {}
        for key, value in row.items():
            if key not in titles:
                titles[key] = self._key(number, key)
            title, cell = titles[key], as_text(value)
            if title and title in cells:
                self._fail(number, key, f'stands beside another spelling of "{title}"')
            elif title and cell != "":
                cells[title] = cell
        return cells

    def _key(self, number: int, key: str) -> str:
        """The model's title of a JSON row's key; "" if it is none, which is told once."""
        lower = key.strip().lower()
        if lower in self._titles:
            return self._titles[lower]
        if lower in COLUMNS:
            self._faults.warn(f'registry key "{key}"', "is not used by this driver")
            return ""
        near = "" if self._faults.full else nearest(lower, self._titles.values())
        self._fail(number, key, "is not known", near)
        return near

    def _judge(self, number: int, cells: dict[str, Any], absent: Collection[str] = ()) -> None:
        if self._row.is_placeholder(dict.fromkeys(absent, "") | cells):
            self._skipped.append(number)
            return
        before = self._faults.count
        if POINT_NAME in cells:
            self._judge_name(number, cells[POINT_NAME])
        try:
            cells = self._extend(cells) if self._extend else cells
            absent = {*absent, *self._tell_lacking(number, cells, absent)}
            made = self._row.model_validate(cells)
            registers = self._make(made) if self._make and not absent else ()
            if registers and self._faults.count == before:
                self._add(number, registers)
        except ValidationError as error:
            self._failed += bool(absent)  # such a row counts, though what it lacks was told already
            for loc, message, suggestion in problems(error):
                column = str(loc[0]) if loc else ""
                if column not in absent:
                    self._fail(number, column, message, suggestion)
        except ConfigFault as fault:
            self._fail(number, fault.where, fault.message, fault.suggestion)

    def _tell_lacking(self, number: int, cells: Mapping[str, Any], absent: Collection[str]) -> list[str]:
        """The columns that a row needs and has not filled; those of ``absent`` have been told of the header."""
        lacking = [column for column in self._row.required(cells) if column not in cells]
        for column in lacking:
            if column not in absent:
                self._fail(number, column, "is missing")
        return lacking

    def _add(self, number: int, registers: Sequence[Register]) -> None:
        """Keep the points of a row; those of an array have names of their own."""
        if len(self.registers) + len(registers) > MAX_ROWS:
            self._fail(number, "", f"the registry has more than {MAX_ROWS} points")
            self._failed = MAX_FAILED  # each of its rows may be thousands: enough of them
            return
        before = self._faults.count
        if len(registers) > 1:
            for register in registers:
                self._judge_name(number, register.name)
        if self._faults.count == before:
            self.registers.extend(registers)

    def _judge_name(self, number: int, point: Any) -> None:
        if not isinstance(point, str):
            return
        first = self._numbers.setdefault(point, number)
        if first != number:
            self._fail(number, POINT_NAME, f"{shown(point)} is the name of row {first} already")
        if not point.isprintable() or len(point) > MAX_NAME:
            self._fail(number, POINT_NAME, f"{shown(point)} is not printable text of at most {MAX_NAME} characters")
        taken = [level for level in point.split("/") if level in LEAVES] if self._point_topics else []
        if taken:
            self._fail(number, POINT_NAME, f'"{taken[0]}" is not free as a level of a topic (publish_depth_first is on)')

    def _fail(self, number: int, column: str, message: str, suggestion: str = "") -> None:
        self._failed += 1
        where = f'registry row {number}, {self._kind} "{name(column)}"' if column else f"registry row {number}"
        self._faults.error(where, message, suggestion)


def as_text(value: Any) -> Any:
    """A JSON cell as a CSV would have it; objects and lists stay."""
    if isinstance(value, str):
        return value.strip()
    if isinstance(value, bool) or value is None:
        return {True: "true", False: "false", None: ""}[value]
    return str(value) if isinstance(value, (int, float)) else value


def _rows(numbers: list[int]) -> str:
    listed = ", ".join(map(str, numbers[:LISTED]))
    more = f" and {len(numbers) - LISTED} more" if len(numbers) > LISTED else ""
    return f"row{'s' if len(numbers) > 1 else ''} {listed}{more}"
