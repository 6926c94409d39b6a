"""The points of one slave of ThingsBoard's ``modbus.json``; pure.

An entry of ``timeseries`` or ``attributes`` is read, one of ``attributeUpdates`` or ``rpc`` writes (or reads on request).
Entries for the same registers become one point.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from gateway.cli.importing.documents import number
from gateway.cli.importing.model import Names, Result, Row

READ = ("timeseries", "attributes")
WRITE = ("attributeUpdates", "rpc")
SECTIONS = (*READ, *WRITE)

TABLES = {1: "coil", 2: "discrete", 3: "holding", 4: "input"}
WRITES = {5: ("coil", "single"), 6: ("holding", "single"), 15: ("coil", "multiple"), 16: ("holding", "multiple")}
"""What a function writes, and how."""

ORDERS = {
    ("BIG", "BIG"): "ABCD",
    ("BIG", "LITTLE"): "CDAB",
    ("LITTLE", "BIG"): "BADC",
    ("LITTLE", "LITTLE"): "DCBA",
}
"""byteOrder (inside of a register) and wordOrder (of registers) as the letters of the bytes."""

TYPES = {
    "8int": ("int8h", 1),
    "8uint": ("uint8h", 1),
    "16int": ("int16", 1),
    "16uint": ("uint16", 1),
    "16float": ("float16", 1),
    "32int": ("int32", 2),
    "32uint": ("uint32", 2),
    "32float": ("float32", 2),
    "64int": ("int64", 4),
    "64uint": ("uint64", 4),
    "64float": ("float64", 4),
}
"""Type and number of registers. One of 8 bits is the high byte of its register."""

BY_SIZE = {"int": "int", "integer": "int", "long": "int", "uint": "uint", "float": "float", "double": "float"}
"""Types whose size ``objectsCount`` gives."""

BITS = ("bit", "bits")
_RANGE = re.compile(r"(\d{1,5})\s*-\s*(\d{1,5})")
_VARIABLE = re.compile(r"\$\{(\w+)\}")
_WHOLE = re.compile(r"0[xX][0-9a-fA-F]+|0|[1-9]\d*")
ORDERLESS = ("bool", "int8h", "uint8h", "string")
KNOWN = {
    *("tag", "key", "type", "functionCode", "objectsCount", "registersCount", "registerCount", "address", "divider"),
    *("multiplier", "byteOrder", "wordOrder", "bit", "bitTargetType"),
}
MEANINGS = {
    "reportStrategy": "of a single point has no counterpart: the device's is used",
    "sendDataOnlyOnChange": "of a single point has no counterpart: see on_change of the device config",
    "value": "there is no value for a request without one: the client says what to write",
    "timeout": "of a single point has no counterpart: the device's is used",
    "repack": "values are written in their byte order",
    "requestType": "has no counterpart: the function says it",
}


class Skip(Exception):
    """An entry that can not become a point; says why and what to do."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry, understood: where it stands, its point's name and cells, the registers it is at."""

    where: str
    tag: str
    cells: Row
    place: tuple[str, ...]


class Points:
    """Makes the rows of a slave."""

    def __init__(self, where: str, slave: Mapping[str, Any], result: Result) -> None:
        self._where = where
        self._slave = slave
        self._result = result
        self._names = Names()
        self._rows: list[Row] = []
        self._at: dict[tuple[str, ...], Row] = {}

    def rows(self, attribute_interval: str = "") -> list[Row]:
        """A row for each point; attributes have this Interval."""
        self._tell_of_orders()
        for section in READ:
            for where, given in self._entries(section):
                self._try(self._read, where, given, attribute_interval if section == "attributes" else "")
        for section in WRITE:
            for where, given in self._entries(section):
                self._try(self._command, where, given, "")
        return self._rows

    def _tell_of_orders(self) -> None:
        for key in ("byteOrder", "wordOrder"):
            if key not in self._slave:
                self._result.note(self._where, f"there is no {key}: LITTLE, as ThingsBoard takes it")

    def _entries(self, section: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
        given = self._slave.get(section)
        if isinstance(given, dict):
            given = [{"tag": tag, **entry} if isinstance(entry, dict) else entry for tag, entry in given.items()]
        for where, entry in self._result.objects(f"{self._where}.{section}", given):
            where = f"{where} ({entry.get('tag', entry.get('key', ''))})"
            yield from ((where, each) for each in _each(entry, self._slave.get("unitId", 0)))

    def _try(self, take: Any, where: str, given: Mapping[str, Any], interval: str) -> None:
        self._result.unknown(where, given, KNOWN | MEANINGS.keys())
        self._result.without_use(where, given, MEANINGS)
        try:
            take(where, given, interval)
        except Skip as skip:
            self._result.lost(where, str(skip))

    def _read(self, where: str, given: Mapping[str, Any], interval: str) -> None:
        table = TABLES.get(_whole(given, "functionCode"))
        if table is None:
            raise Skip(f"functionCode {given.get('functionCode')} does not read: 1, 2, 3 and 4 do")
        for entry in self._understood(where, given, table):
            same = self._at.get(entry.place)
            if same is None:
                self._add(entry, {"Interval": interval})
            elif same["Volttron Point Name"] != entry.tag:
                self._result.note(where, f'is the same register as "{same["Volttron Point Name"]}", which stands for both')

    def _command(self, where: str, given: Mapping[str, Any], interval: str) -> None:
        function = _whole(given, "functionCode")
        if function in TABLES:
            self._read(where, given, interval)
            return
        if function not in WRITES:
            raise Skip(f"functionCode {given.get('functionCode')} is none of 1 to 6, 15 and 16")
        table, how = WRITES[function]
        if table == "coil" and (_count(given) or 1) > 1:
            raise Skip("a write of several coils at once has no counterpart: write the points one by one")
        for entry in self._understood(where, given, table):
            self._writable(entry, how)

    def _writable(self, entry: Entry, how: str) -> None:
        wide = entry.cells["Type"][-2:] in ("32", "64") or entry.cells.get("Count", "1") != "1"
        extra = {"Writable": "TRUE", "Write Function": "" if wide else how}
        row = self._at.get(entry.place)
        if row is None:
            self._add(entry, extra | {"Write Only": "TRUE"})
            return
        row |= extra
        name = row["Volttron Point Name"]
        if name != entry.tag:
            self._result.note(entry.where, f'write to the point "{name}", which is the same register')
        if row.get("Scale", "") != entry.cells.get("Scale", ""):
            scale = row.get("Scale") or 1
            self._result.note(entry.where, f'"{name}" is written as it is read, with Scale {scale}, not as a raw number')

    def _add(self, entry: Entry, extra: Row) -> None:
        name = self._names.unique(entry.tag)
        if name != entry.tag:
            self._result.note(entry.where, f'the name stands for another register already: this point is called "{name}"')
        row = {"Volttron Point Name": name, "Writable": "FALSE"} | entry.cells | extra
        self._rows.append(row)
        self._at[entry.place] = row

    def _understood(self, where: str, given: Mapping[str, Any], table: str) -> Iterator[Entry]:
        tag = str(given.get("tag", given.get("key", ""))).strip()
        if not tag:
            raise Skip("it has no tag")
        address, cells = _address(given), self._kind(given, table)
        count = int(cells.get("Count", "1")) if table in ("coil", "discrete") else 1
        if count > 1:
            self._result.note(where, f"is a list of {count} in ThingsBoard, and a point for each bit here")
            cells.pop("Count")
        for index in range(count):
            place = {"Table": table, "Address": str(address + index)} | cells
            kind = tuple(place.get(column, "") for column in ("Table", "Address", "Type", "Count", "Bit", "Byte Order"))
            yield Entry(where, f"{tag}_{index}" if count > 1 else tag, place | _scale(given, cells["Type"]), kind)

    def _kind(self, given: Mapping[str, Any], table: str) -> Row:
        """The cells that say what the registers hold."""
        kind, count = str(given.get("type", "")).lower(), _count(given)
        if table in ("coil", "discrete"):
            return _coils(given, count or 1)
        if kind in BITS:
            return _register_bit(given)
        if kind == "string":
            return {"Type": "string", "Count": str(count or 1), "String Encoding": "utf-8"}
        if kind == "bytes":
            raise Skip("bytes have no counterpart: make it a string or a number")
        name = _typed(kind, count)
        order = self._order(given)
        plain = order == "ABCD" or name in ORDERLESS or (order == "CDAB" and name.endswith("16"))
        return {"Type": name} if plain else {"Type": name, "Byte Order": order}

    def _order(self, given: Mapping[str, Any]) -> str:
        orders = [str(given.get(key) or self._slave.get(key) or "LITTLE").upper() for key in ("byteOrder", "wordOrder")]
        if tuple(orders) not in ORDERS:
            raise Skip(f"byteOrder {orders[0]}, wordOrder {orders[1]}: each is BIG or LITTLE")
        return ORDERS[orders[0], orders[1]]


def _each(entry: Mapping[str, Any], unit: Any) -> Iterator[Mapping[str, Any]]:
    """An entry; of one whose address is a range such as 0-10, one for each value in it, with the tag filled in."""
    match = _RANGE.fullmatch(str(entry.get("address")))
    count = entry.get("objectsCount", 1)
    if not match or not isinstance(count, int) or count < 1:
        yield entry
        return
    for address in range(int(match[1]), min(int(match[2]), 65536) + 2 - count, count):
        yield {**entry, "tag": _filled(entry, unit, address), "address": address}


def _filled(entry: Mapping[str, Any], unit: Any, address: int) -> str:
    """The tag with its variables replaced, as in ``${type}.${address}``."""
    known = {**entry, "unitId": unit, "address": address}
    return _VARIABLE.sub(lambda found: str(known.get(found[1], found[0])), str(entry.get("tag", "")))


def _typed(kind: str, count: int | None) -> str:
    if kind in BY_SIZE:
        name = f"{16 * (count or 1)}{BY_SIZE[kind]}"
        if name not in TYPES:
            raise Skip(f"there is no {kind} of {count} registers: objectsCount is 1, 2 or 4")
        return TYPES[name][0]
    if kind not in TYPES:
        raise Skip(f'the type "{kind}" is not known: {", ".join(TYPES)}, string, bits, int, uint, float are')
    name, size = TYPES[kind]
    if count is not None and count < size:
        raise Skip(f"a {kind} needs an objectsCount of {size}, not {count}")
    return name


def _coils(given: Mapping[str, Any], count: int) -> Row:
    if given.get("bit") is not None:
        raise Skip("which coil bit means depends on ThingsBoard's version: give the address of the coil, and no bit")
    return {"Type": "bool"} | ({"Count": str(count)} if count > 1 else {})


def _register_bit(given: Mapping[str, Any]) -> Row:
    if given.get("bit") is None:
        raise Skip('it does not say which bit of the register it is: add "bit", 0 being the lowest')
    bit = _whole(given, "bit")
    if not 0 <= bit <= 15:
        raise Skip(f"bit {bit} is not in one register: 0 to 15 are")
    return {"Type": "bool", "Bit": str(bit)}


def _scale(given: Mapping[str, Any], kind: str) -> Row:
    """The multiplier over the divider; 0 and nothing leave a value as it is, as in ThingsBoard. Bits and texts have none."""
    divider, multiplier = given.get("divider") or 1, given.get("multiplier") or 1
    if not all(isinstance(factor, (int, float)) and math.isfinite(factor) for factor in (divider, multiplier)):
        raise Skip("divider and multiplier are numbers")
    if kind in ("bool", "string") or divider == multiplier:
        return {}
    return {"Scale": number(multiplier / divider)}


def _count(given: Mapping[str, Any]) -> int | None:
    for key in ("objectsCount", "registersCount", "registerCount"):
        if given.get(key) is not None:
            return _whole(given, key)
    return None


def _address(given: Mapping[str, Any]) -> int:
    address = _whole(given, "address")
    if not 0 <= address <= 65535:
        raise Skip(f"address {address} is not on the wire: 0 to 65535 are")
    return address


def _whole(given: Mapping[str, Any], key: str) -> int:
    """A whole number, be it written as text, hexadecimal too."""
    value = given.get(key)
    if isinstance(value, str) and _WHOLE.fullmatch(value.strip()):
        return int(value, 0)
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    raise Skip(f"{key} is no whole number" if key in given else f"it has no {key}")
