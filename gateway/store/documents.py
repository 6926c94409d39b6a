"""One document: bytes to JSON values or a table; pure.

A document is CSV unless it begins with ``{`` or ``[``, white space and comments aside.
"""

from __future__ import annotations

import csv
import hashlib
import io
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from gateway import payloads
from gateway.payloads import BadPayload

MAX_COLUMNS = 100
MAX_ROWS = 20_000

_LEAD = re.compile(r"(?:\s+|//[^\n]*|#[^\n]*|/\*.*?\*/)*+", re.DOTALL)
_CONTROL = re.compile(r"[\x00-\x08\x0e-\x1f]")
_FIRST_RECORD = re.compile(r'\s*+((?:"[^"]*"|[^"\r\n]+)*+)')
_QUOTED = re.compile(r'"[^"]*"')
_SEPARATORS = {",": "commas", ";": "semicolons", "\t": "tabs"}


class BadDocument(BadPayload):
    """A document can not be read at all; ``suggestion`` is how to mend it."""

    def __init__(self, message: str, suggestion: str = "") -> None:
        super().__init__(message)
        self.suggestion = suggestion


@dataclass(frozen=True, slots=True)
class Table:
    """A CSV document.

    ``columns`` are the titles, "" for a column without one. ``rows`` are the filled rows, each with its number as a
    spreadsheet shows it and its cells, stripped, no more than there are columns. ``surplus`` numbers the rows that were
    left out because they have something in a column without a title. ``links`` says whether a cell may hold a link.
    """

    columns: tuple[str, ...]
    rows: tuple[tuple[int, list[Any]], ...]
    surplus: tuple[int, ...] = ()
    links: bool = False

    def records(self) -> list[dict[str, Any]]:
        """The rows as objects, as JSON would have them."""
        return [{title: cell for title, cell in zip(self.columns, cells, strict=False) if title} for _, cells in self.rows]


def sha256(payload: bytes) -> str:
    """The hash of a document: SHA-256 of its bytes, hexadecimal."""
    return hashlib.sha256(payload).hexdigest()


def may_link(payload: bytes) -> bool:
    r"""Whether a JSON document can hold a ``config://`` link; its letters could also be written as ``\u`` escapes."""
    return b"config:" in payload or b"\\u" in payload


def parse_document(payload: bytes) -> Any | Table:
    """The value of a JSON document, comments allowed, or the table of a CSV document.

    Raises BadPayload, mostly BadDocument: too big, not UTF-8, not text, not JSON, not CSV; with line or row.
    """
    source = _text(payload)
    lead = _LEAD.match(source)
    if source.startswith(("{", "["), lead.end() if lead else 0):
        return payloads.parse(payloads.without_comments(source))
    return _table(source)


def _text(payload: bytes) -> str:
    try:
        source = payloads.text(payload)
    except BadPayload as error:
        hint = "save it as UTF-8 (Excel: CSV UTF-8)" if len(payload) <= payloads.MAX_BYTES else ""
        raise BadDocument(str(error), hint) from None
    if control := _CONTROL.search(source):
        raise BadDocument(f"not text: character {ord(control.group())} at offset {control.start()}")
    if not source.strip():
        raise BadDocument("the document is empty")
    return source


def _table(source: str) -> Table:
    records = _records(source)
    number, titles = next(records, (1, []))
    columns = _columns(titles, number)
    width, untitled = len(columns), [index for index, title in enumerate(columns) if not title]
    rows: list[tuple[int, list[str]]] = []
    surplus: list[int] = []
    for number, cells in records:
        if any(cells[width:]) or (untitled and any(cells[index] for index in untitled if index < len(cells))):
            surplus.append(number)
        else:
            rows.append((number, cells[:width]))
        if len(rows) + len(surplus) > MAX_ROWS:
            raise BadDocument(f"more than {MAX_ROWS} rows")
    return Table(columns, tuple(rows), tuple(surplus), links="config://" in source)


def _records(source: str) -> Iterator[tuple[int, list[str]]]:
    """The rows that are not blank, numbered as in a spreadsheet."""
    reader = csv.reader(io.StringIO(source, newline=""), delimiter=_separator(source), strict=True)
    number = 0
    try:
        for number, row in enumerate(reader, 1):
            cells = [cell.strip() for cell in row]
            if any(cells):
                yield number, cells
    except csv.Error as error:
        raise BadDocument(f"not CSV: row {number + 1}: {error}", "check the quotes of that row") from None


def _separator(source: str) -> str:
    """What separates the columns, told by the header; BadDocument if it holds two candidates."""
    first = _FIRST_RECORD.match(source)
    header = _QUOTED.sub("", first.group(1) if first else "")
    found = [separator for separator in _SEPARATORS if separator in header]
    if len(found) > 1:
        words = " and ".join(_SEPARATORS[separator] for separator in found)
        raise BadDocument(f"the header holds {words}: which of them separate columns is not clear", "use commas alone")
    return found[0] if found else ","


def _columns(titles: list[str], number: int) -> tuple[str, ...]:
    """The titles of the header, runs of white space as one blank, without empty ones at the end."""
    columns = [" ".join(title.split()) for title in titles]
    while columns and not columns[-1]:
        columns.pop()
    if not columns or len(columns) > MAX_COLUMNS:
        raise BadDocument(f"the header in row {number} has {len(columns)} columns, not 1 to {MAX_COLUMNS}")
    lower = [column.lower() for column in columns if column]
    if twice := next((title for title in lower if lower.count(title) > 1), None):
        raise BadDocument(f'the column "{twice[:60]}" stands twice in the header', "remove or rename one of them")
    return tuple(columns)
