"""What a converter gives: devices with their rows, and remarks on whatever is not the same afterwards."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

Row = dict[str, str]
"""A row of a registry: the text of a cell under the title of its column; empty cells may be left out."""

COLUMNS = (
    "Volttron Point Name",
    "Reference Point Name",
    "Units",
    "Unit Details",
    "BACnet Object Type",
    "Property",
    "Writable",
    "Index",
    "Write Priority",
    "COV Flag",
    "Data Type",
    "Table",
    "Type",
    "Address",
    "Count",
    "Bit",
    "Byte Order",
    "Scale",
    "Offset",
    "Scale Register",
    "Scale Register Kind",
    "No Value",
    "String Encoding",
    "Enum",
    "Write Function",
    "Write Only",
    "Min",
    "Max",
    "Default Value",
    "Interval",
    "Notes",
)
"""The columns of a registry that is written, in their order; those that no row fills are left out."""


class ImportFault(Exception):
    """A file of which nothing can be made; says why and what to do."""


@dataclass(frozen=True, slots=True)
class Remark:
    """What the reader should know: where it stands in the source, what becomes of it, and what to do.

    ``lost`` if something that the source reads or writes is missing now, or may be another.
    """

    where: str
    text: str
    lost: bool


@dataclass(slots=True)
class Device:
    """One device: its name, the ``driver_config``, the other keys of its config, and its points."""

    name: str
    driver_config: dict[str, Any]
    keys: dict[str, Any] = field(default_factory=dict)
    rows: list[Row] = field(default_factory=list)
    driver_type: str = "modbus"


@dataclass(slots=True)
class Result:
    """What became of a source."""

    devices: list[Device] = field(default_factory=list)
    remarks: list[Remark] = field(default_factory=list)

    def lost(self, where: str, text: str) -> None:
        """Tell of something that could not be carried over."""
        self.remarks.append(Remark(where, text, True))

    def note(self, where: str, text: str) -> None:
        """Tell of something that is not quite the same, or has no counterpart and needs none."""
        self.remarks.append(Remark(where, text, False))

    def unknown(self, where: str, given: Mapping[str, Any], known: Collection[str]) -> None:
        """Tell of each key that no converter looks at."""
        for key in given:
            if key not in known:
                self.lost(_below(where, key), "is not known here, and was not carried over")

    def objects(self, where: str, given: Any) -> Iterator[tuple[str, Mapping[str, Any]]]:
        """Each object of a list, with its place; whatever else is there is told."""
        if not isinstance(given, list):
            if given:
                self.lost(where, "is not a list")
            return
        for index, entry in enumerate(given):
            if isinstance(entry, dict):
                yield f"{where}[{index}]", entry
            else:
                self.lost(f"{where}[{index}]", "is not an object")

    def number(self, where: str, given: Mapping[str, Any], key: str, default: int, most: int) -> Any:
        """The number at a key, at most ``most``; what is no number is told, and the default stands in its place."""
        value = given.get(key, default)
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value < math.inf:
            self.lost(_below(where, key), f"{value!r} is no number: {default} stands in its place")
            return default
        if value > most:
            self.note(_below(where, key), f"{most} is the most")
        return min(value, most)

    def without_use(self, where: str, given: Mapping[str, Any], meanings: Mapping[str, str]) -> None:
        """Note each key that is understood and has no counterpart; ``meanings`` says what stands in its place."""
        for key, meaning in meanings.items():
            if key in given:
                self.note(_below(where, key), meaning)


def _below(where: str, key: str) -> str:
    return f"{where}.{key}" if where else key


class Names:
    """Gives each name once: a second one of a kind becomes ``name_2``."""

    def __init__(self) -> None:
        self._taken: set[str] = set()

    def unique(self, name: str) -> str:
        """The name, or the first of ``name_2``, ``name_3``, ... that is free."""
        number, candidate = 1, name
        while candidate in self._taken:
            number += 1
            candidate = f"{name}_{number}"
        self._taken.add(candidate)
        return candidate
