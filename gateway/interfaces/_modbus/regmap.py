"""The register map of VOLTTRON's ``modbus_tk``: rows that those of the registry take their cells from; pure."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from typing import Any

from gateway.errors import ConfigFault
from gateway.interfaces._modbus.rows import NAME, REGISTER, SAME, TITLES

KEY = "register_map"
_NEAR = 0.8


class RegisterMap:
    """The rows by their Register Name; rows without one, or whose name begins with #, are comments."""

    def __init__(self, rows: Sequence[Mapping[str, Any]] | None) -> None:
        self._rows = rows
        self._by_name: dict[str, dict[str, Any]] | None = None

    def check(self) -> None:
        """ConfigFault for a column that is probably misspelt, or a name that stands twice."""
        self._index()

    def cells(self, cells: dict[str, Any]) -> dict[str, Any]:
        """The cells of a registry row over those of the row that it refers to. Raises ConfigFault if there is none."""
        name = str(cells.get(REGISTER, ""))
        if self._rows is None or not name:
            return cells
        found = self.row(name)
        if found is None:
            near = difflib.get_close_matches(name, self._index(), n=1)
            raise ConfigFault(f'the register_map has no row "{name}"', REGISTER, near[0] if near else "")
        given = {title for group in SAME if any(title in cells for title in group) for title in group}
        return {title: cell for title, cell in found.items() if title not in given} | cells

    def row(self, name: str) -> dict[str, Any] | None:
        """The filled cells of the row of that name, or None."""
        return self._index().get(name)

    def _index(self) -> dict[str, dict[str, Any]]:
        if self._by_name is None:
            found: dict[str, dict[str, Any]] = {}
            titles: dict[str, str] = {}
            for number, row in enumerate(self._rows or (), 1):
                cells = self._titled(row, titles)
                name = str(cells.get(REGISTER, ""))
                if name in found:
                    raise ConfigFault(f'entry {number}: the Register Name "{name}" stands there already', KEY)
                if name and not name.startswith("#"):
                    found[name] = {title: cell for title, cell in cells.items() if title != NAME}
            self._by_name = found
        return self._by_name

    def _titled(self, row: Mapping[str, Any], titles: dict[str, str]) -> dict[str, Any]:
        cells = {}
        for key, value in row.items():
            if key not in titles:
                titles[key] = _title(key)
            text = _text(value)
            if titles[key] and text != "":
                cells[titles[key]] = text
        return cells


def _title(key: str) -> str:
    """The title that a key of a map means, "" if it is none of ours. Raises ConfigFault if it nearly is one."""
    lower = " ".join(key.split()).lower()
    if lower in TITLES:
        return TITLES[lower]
    near = difflib.get_close_matches(lower, TITLES, n=1, cutoff=_NEAR)
    if near:
        raise ConfigFault(f'the column "{key[:60]}" is not known', KEY, TITLES[near[0]])
    return ""


def _text(value: Any) -> Any:
    if isinstance(value, str):
        return value.strip()
    if isinstance(value, bool) or value is None:
        return {True: "true", False: "false", None: ""}[value]
    return str(value) if isinstance(value, (int, float)) else value
