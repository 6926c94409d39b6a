"""The points of one ``[[inputs.modbus]]``, in each of Telegraf's three forms; pure."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

from gateway.cli.importing.documents import number
from gateway.cli.importing.model import Names, Result, Row

TABLES = {"coils": "coil", "discrete_inputs": "discrete", "holding_registers": "holding", "input_registers": "input"}
BLOCKS = {"register": tuple(TABLES), "request": ("request",), "metric": ("metric",)}
"""Where the points are, for each ``configuration_type``."""

BITS = ("coil", "discrete")
MEASUREMENT = "modbus"
"""The measurement of a point that names none; it stands in no point's name."""

ORDERS = {"": "ABCD", "AB": "ABCD", "ABCDEFGH": "ABCD", "BA": "DCBA", "HGFEDCBA": "DCBA"}
ORDERS |= {"BADCFEHG": "BADC", "GHEFCDAB": "CDAB"} | {order: order for order in ("ABCD", "DCBA", "BADC", "CDAB")}
SWAPPED = ("BADC", "DCBA")
"""The orders in which the bytes inside of a register are swapped."""
OTHER_BYTE = {"l": "h", "h": "l"}

SIZES = {1: "16", 2: "32", 4: "64"}
BY_SIZE = {"FIXED": "int", "UFIXED": "uint", "FLOAT32": "uint"}
"""Types of the register form whose size the addresses give; its FLOAT32 is an old name of UFIXED."""
IEEE = {"FLOAT16-IEEE": "float16", "FLOAT32-IEEE": "float32", "FLOAT64-IEEE": "float64"}
WIDTHS = {"16": 1, "32": 2, "64": 4}
NUMBERS = {f"{kind}{size}" for kind in ("int", "uint") for size in WIDTHS} | {"int8l", "int8h", "uint8l", "uint8h"}
FLOATS = {"float16", "float32", "float64"}

LOCATED = {
    "register": {"measurement", "name", "byte_order", "data_type", "scale", "address", "bit"},
    "request": {"address", "name", "type", "scale", "output", "measurement", "omit", "length", "bit"},
    "metric": {"register", "address", "name", "type", "length", "bit", "scale", "output"},
}
BLOCK_KEYS = {
    "request": {"slave_id", "byte_order", "register", "measurement", "optimization", "fields", "tags"},
    "metric": {"slave_id", "byte_order", "measurement", "fields", "tags"},
}
FILL = "optimization_max_register_fill"


class Skip(Exception):
    """A field that can not become a point; says why and what to do."""


class Fields:
    """Makes the rows of a plugin."""

    def __init__(self, where: str, style: str, plugin: Mapping[str, Any], result: Result) -> None:
        self._where = where
        self._style = style
        self._plugin = plugin
        self._result = result
        self._rows: dict[int, list[Row]] = {}
        self._names: dict[int, Names] = {}

    def by_slave(self) -> dict[int, list[Row]]:
        """A row for each point, by unit."""
        for where, block, given in self._fields():
            if given.get("omit"):
                self._result.note(where, "is omitted: requests are planned here, and max_gap says which holes are read over")
                continue
            self._result.unknown(where, given, LOCATED[self._style])
            try:
                self._add(where, block, given)
            except Skip as skip:
                self._result.lost(where, str(skip))
        return self._rows

    def _fields(self) -> Iterator[tuple[str, Mapping[str, Any], Mapping[str, Any]]]:
        """Each field with its place and what is said for all of its block."""
        if self._style == "register":
            for name, table in TABLES.items():
                block = {"slave_id": self._plugin.get("slave_id", 0), "register": table, "tags": {}}
                for where, field in self._result.objects(f"{self._where}.{name}", self._plugin.get(name)):
                    yield f"{where} ({field.get('name', '')})", block, field
            return
        for where, part in self._result.objects(f"{self._where}.{self._style}", self._plugin.get(self._style)):
            self._result.unknown(where, part, BLOCK_KEYS[self._style] | {FILL})
            for inner, field in self._result.objects(f"{where}.fields", part.get("fields")):
                yield f"{inner} ({field.get('name', '')})", part, field

    def _add(self, where: str, block: Mapping[str, Any], given: Mapping[str, Any]) -> None:
        name = str(given.get("name", "")).strip()
        if not name:
            raise Skip("it has no name")
        table = given.get("register", block.get("register") or ("holding" if self._style == "metric" else ""))
        if table not in TABLES.values():
            raise Skip(f'register "{table}" is none of {", ".join(TABLES.values())}')
        cells = {"Table": table, "Address": str(_address(given))} | self._kind(table, block, given)
        row = {"Writable": "FALSE"} | cells | self._scale(where, cells["Type"], given) | self._notes(block)
        slave = _unit(block)
        row["Volttron Point Name"] = self._name(where, slave, name, block, given)
        self._rows.setdefault(slave, []).append(row)

    def _name(self, where: str, slave: int, name: str, block: Mapping[str, Any], given: Mapping[str, Any]) -> str:
        measurement = given.get("measurement") or block.get("measurement") or MEASUREMENT
        wanted = name if measurement == MEASUREMENT else f"{measurement}.{name}"
        unique = self._names.setdefault(slave, Names()).unique(wanted)
        if unique != wanted:
            self._result.note(where, f'the name stands for another register already: this point is called "{unique}"')
        return unique

    def _notes(self, block: Mapping[str, Any]) -> Row:
        """Tags become the point's description."""
        tags = table(self._plugin, "tags") | table(block, "tags")
        return {"Notes": ", ".join(f"{key}={value}" for key, value in tags.items())} if tags else {}

    def _kind(self, table: str, block: Mapping[str, Any], given: Mapping[str, Any]) -> Row:
        """The cells that say what the registers hold."""
        if table in BITS:
            return {"Type": "bool"}
        kind = self._type(given)
        order = str(given.get("byte_order", block.get("byte_order", ""))).upper()
        if order not in ORDERS:
            raise Skip(f'byte_order "{order}" is not known: ABCD, DCBA, BADC and CDAB are')
        if kind == "bit":
            return _bit(given, ORDERS[order])
        if kind == "string":
            return self._text(given, ORDERS[order])
        return _number(kind, ORDERS[order])

    def _type(self, given: Mapping[str, Any]) -> str:
        kind = str(given.get("data_type" if self._style == "register" else "type", "")).upper()
        if self._style == "register":
            kind = self._register_type(kind, given)
        if kind.lower() in NUMBERS | FLOATS | {"bit", "string"}:
            return kind.lower()
        raise Skip(f'the type "{kind.upper()}" is not known' if kind else "it has no type")

    def _register_type(self, kind: str, given: Mapping[str, Any]) -> str:
        """The register form's own names; a field lists its addresses there."""
        addresses = given.get("address")
        count = len(addresses) if isinstance(addresses, list) else 1
        if kind in BY_SIZE:
            if count not in SIZES:
                raise Skip(f"a {kind} has 1, 2 or 4 addresses, not {count}")
            return BY_SIZE[kind] + SIZES[count]
        kind = IEEE.get(kind, kind).lower()
        due = WIDTHS.get(kind[-2:], count)
        if due != count:
            raise Skip(f"a {kind} has {due} addresses, not {count}")
        return kind

    def _text(self, given: Mapping[str, Any], order: str) -> Row:
        addresses = given.get("address")
        count = given.get("length", len(addresses) if isinstance(addresses, list) else None)
        if not isinstance(count, int) or count < 1:
            raise Skip("a STRING needs a length, in registers")
        if table(self._plugin, "workarounds").get("string_register_location", "both") not in ("", "both"):
            raise Skip("a text in one byte of each register has no counterpart: read the registers as numbers")
        return {"Type": "string", "Count": str(count)} | ({"Byte Order": "BADC"} if order in SWAPPED else {})

    def _scale(self, where: str, kind: str, given: Mapping[str, Any]) -> Row:
        scale, output = given.get("scale", 1), str(given.get("output", "")).upper()
        if output not in ("", "FLOAT64", "UINT16" if kind == "bool" else "", "BOOL" if kind == "bool" else ""):
            self._result.note(f"{where}.output", f"{output}: the value has the type that its register and scale give")
        if kind in ("bool", "string") or scale in (0, 1):
            return {}
        if not isinstance(scale, (int, float)) or isinstance(scale, bool) or not math.isfinite(scale):
            raise Skip(f'scale "{scale}" is no number')
        return {"Scale": number(scale)}


def table(given: Mapping[str, Any], key: str) -> dict[str, Any]:
    """The table at a key; an empty one if there is none."""
    value = given.get(key)
    return value if isinstance(value, dict) else {}


def _unit(block: Mapping[str, Any]) -> int:
    unit = block.get("slave_id", 0)
    if not isinstance(unit, int) or isinstance(unit, bool) or not 0 <= unit <= 255:
        raise Skip(f"slave_id {unit} is no unit: 0 to 255 are")
    return unit


def _bit(given: Mapping[str, Any], order: str) -> Row:
    bit = given.get("bit", 0)
    if not isinstance(bit, int) or not 0 <= bit <= 15:
        raise Skip(f"bit {bit} is not in one register: 0 to 15 are")
    return {"Type": "bool", "Bit": str((bit + 8) % 16 if order in SWAPPED else bit)}


def _number(kind: str, order: str) -> Row:
    """A number in this order; one of 8 bits is in the other byte if bytes are swapped."""
    if kind[-1] in OTHER_BYTE:
        return {"Type": kind[:-1] + OTHER_BYTE[kind[-1]] if order in SWAPPED else kind}
    plain = order == "ABCD" or (kind.endswith("16") and order == "CDAB")
    return {"Type": kind} | ({} if plain else {"Byte Order": order})


def _address(given: Mapping[str, Any]) -> int:
    """The first address; the register form lists all of them, one after the other."""
    addresses = given.get("address")
    listed = list(addresses) if isinstance(addresses, list) else [addresses]
    first = listed[0] if listed else None
    if not isinstance(first, int) or isinstance(first, bool) or not 0 <= first <= 65535:
        raise Skip(f"address {addresses} is not on the wire: 0 to 65535 are" if "address" in given else "it has no address")
    if listed != list(range(first, first + len(listed))):
        raise Skip(f"the addresses {', '.join(map(str, listed))} do not follow each other")
    return first
