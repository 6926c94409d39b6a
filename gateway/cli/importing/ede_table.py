"""EDE files and their side files as tables, however they are written: encoding, delimiter, spelling of titles; pure.

Source: B.I.G.-EU, Engineering Data Exchange template, layouts 2.2 and 2.3; the spellings are those of files in the field.
"""

from __future__ import annotations

import csv
import difflib
import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from gateway.cli.importing.model import ImportFault

TITLES = {
    "keyname": "key",
    "deviceobjinstance": "device",
    "deviceobjectinstance": "device",
    "deviceinstance": "device",
    "objectname": "name",
    "objecttype": "type",
    "objectinstance": "instance",
    "description": "description",
    "presentvaluedefault": "default",
    "minpresentvalue": "minimum",
    "maxpresentvalue": "maximum",
    "settable": "settable",
    "commandable": "settable",
    "writable": "settable",
    "supportscov": "cov",
    "hilimit": "high",
    "highlimit": "high",
    "lowlimit": "low",
    "statetextreference": "states",
    "unitcode": "unit",
    "units": "unit",
    "vendorspecificaddress": "address",
    "notificationclass": "notification",
}
"""The columns by their titles, without blanks, signs and capitals."""
NEEDED = ("device", "type", "instance")
MOST_REFERENCE = 1 << 32
NEAR = 0.85
"""How much alike a title and a known one must be: ``vendor-specific-addres`` is meant as what it nearly is."""


@dataclass(frozen=True, slots=True)
class Line:
    """A row with its number in the file; cells by the names of their columns."""

    number: int
    cells: dict[str, str]

    def __getitem__(self, name: str) -> str:
        """The text of a cell, empty if there is none."""
        return self.cells.get(name, "")


@dataclass(slots=True)
class Table:
    """The rows, and the titles that are not known here."""

    lines: list[Line] = field(default_factory=list)
    unknown: list[str] = field(default_factory=list)


def decoded(data: bytes) -> str:
    """The text of a file: UTF-8 or UTF-16 by its mark, else UTF-8, else Latin-1, which spreadsheets of the West write."""
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        return data.decode("utf-16")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        return data.decode("latin-1")


def table(text: str) -> Table:
    """The rows of an EDE file. Raises ImportFault if its columns can not be found."""
    delimiter = delimiter_of(text)
    found = Table()
    columns: list[str] = []
    for number, cells in rows(text, delimiter):
        if not columns:
            titles = [_known(cell) for cell in cells]
            if set(NEEDED) <= set(titles):
                columns = titles
                found.unknown = [
                    cell.strip() for cell, title in zip(cells, titles, strict=True) if cell.strip() and not title
                ]
        elif any(cells) and not cells[0].startswith("#"):
            pairs = zip(columns, cells, strict=False)
            found.lines.append(Line(number, {title: cell for title, cell in pairs if title}))
    if not columns:
        raise ImportFault(
            "there is no row of titles with object-type, object-instance and device obj.-instance: is it an EDE file?"
        )
    return found


def references(text: str) -> dict[str, list[str]]:
    """The rows of a side file by their first cell: texts of states by reference, or units by code."""
    delimiter = delimiter_of(text)
    found: dict[str, list[str]] = {}
    for _, (first, *rest) in rows(text, delimiter):
        while rest and not rest[-1]:
            rest.pop()
        number = whole(first, MOST_REFERENCE)
        if number is not None and rest:
            found.setdefault(str(number), rest)
    return found


def whole(text: str, most: int) -> int | None:
    """A number without a sign; spreadsheets write ``7`` as ``7.0`` or ``7,0`` too."""
    text = re.sub(r"[.,]0+$", "", text)
    return int(text) if text.isascii() and text.isdigit() and len(text) < 12 and int(text) <= most else None


def delimiter_of(text: str) -> str:
    """Semicolon, comma or tab: what parts the most cells where the most are."""
    return max(";,\t", key=lambda sign: max((line.count(sign) for line in text.splitlines()), default=0))


def rows(text: str, delimiter: str) -> Iterator[tuple[int, list[str]]]:
    """The rows that hold anything, each with its number, with blanks around cells removed. Raises ImportFault."""
    reader = csv.reader(text.splitlines(), delimiter=delimiter)
    try:
        for cells in reader:
            if any(cell.strip() for cell in cells):
                yield reader.line_num, [cell.strip() for cell in cells]
    except csv.Error as error:
        raise ImportFault(f"line {reader.line_num}: {error}") from None


def _known(title: str) -> str:
    squeezed = re.sub(r"[^a-z]", "", title.lower())
    near = difflib.get_close_matches(squeezed, TITLES, n=1, cutoff=NEAR)
    return TITLES[near[0]] if near else ""
