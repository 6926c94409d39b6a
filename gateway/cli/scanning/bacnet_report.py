"""What a scan of BACnet devices found, as documents, as a table and as JSON."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

from rich.table import Table as Grid

from gateway.cli.importing.ede import camel
from gateway.cli.importing.model import Device, Names, Result, Row
from gateway.cli.scanning.bacnet_device import Found, FoundDevice
from gateway.interfaces._bacnet import names
from gateway.interfaces._bacnet.rows import BINARY, MULTI_STATE, WRITABLE

LARGEST = 1e30
"""Limits beyond are those of a device that has none."""


def device(found: FoundDevice, result: Result) -> Device:
    """A device with a point for each object that has a value."""
    name = found.name or f"device_{found.facts.device_id}"
    config = {"device_id": found.facts.device_id, "device_address": found.facts.address}
    unique = Names()
    rows = [row for each in found.objects if (row := _row(each, unique, name, result)) is not None]
    for remark in found.remarks:
        result.lost(name, remark)
    return Device(name, config, {"interval": 60}, rows, "bacnet")


def _row(found: Found, unique: Names, device_name: str, result: Result) -> Row | None:
    row = {
        "Reference Point Name": printable(found.name),
        "Volttron Point Name": unique.unique(printable(found.name)),
        "Units": camel(names.UNITS.get(found.units, str(found.units))) if found.units not in (None, 95) else "",
        "Unit Details": _details(found),
        "BACnet Object Type": camel(names.type_name(found.object_type)),
        "Property": "presentValue",
        "Writable": "TRUE" if found.commandable else "FALSE",
        "Index": str(found.instance),
        "Enum": ";".join(f"{n}={_cell(text)}" for n, text in enumerate(found.states, 1))
        if found.object_type in MULTI_STATE and _distinct(found.states)
        else "",
        "Notes": printable(found.description),
    }
    kind = names.datatype(found.object_type, names.PRESENT_VALUE, False)
    if kind == "unknown" or found.object_type == names.SCHEDULE:
        told = found.value.datatype if found.value else ""
        if told not in WRITABLE:
            result.lost(device_name, f"{found.name}: its value is {told or 'nothing'}, of which no point can be made")
            return None
        row["Data Type"] = told
    return row


def printable(text: str) -> str:
    """A text as a cell: whatever is not printable is a space."""
    return "".join(c if c.isprintable() else " " for c in text).strip()


def _cell(text: str) -> str:
    return printable(text).replace(";", ",").replace("=", "-") or "-"


def _distinct(texts: list[str]) -> bool:
    """Whether each text stands for one state, so that writing it is not a guess."""
    cells = [_cell(text).lower() for text in texts]
    return bool(cells) and len(set(cells)) == len(cells)


def _details(found: Found) -> str:
    default = f" (default {short(found.default)})" if isinstance(found.default, (int, float)) else ""
    if found.object_type in MULTI_STATE:
        return f"State count: {len(found.states)}{default}"
    if found.object_type in BINARY:
        return (
            f"0: {printable(found.states[0])}, 1: {printable(found.states[1])}{default}" if found.states else default.strip()
        )
    limits = [limit for limit in (found.minimum, found.maximum) if limit is not None and abs(limit) < LARGEST]
    return f"{short(limits[0])} to {short(limits[1])}{default}" if len(limits) == 2 else default.strip()


def short(value: float) -> str:
    """A number as people write it: what a single-precision float holds has seven digits."""
    return (
        f"{value:.7g}" if isinstance(value, float) and math.isfinite(value) else str(int(value) if value == value else value)
    )


def plain(found: FoundDevice) -> dict[str, Any]:
    """A device as JSON."""
    facts = found.facts
    return {
        "device_id": facts.device_id,
        "address": facts.address,
        "name": found.name,
        "description": found.description,
        "vendor": found.vendor,
        "model": found.model,
        "firmware": found.firmware,
        "max_apdu": facts.max_apdu,
        "segmentation": facts.segmentation,
        "objects": [_plain_object(each) for each in found.objects],
        "objects_without_value": found.others,
        "remarks": found.remarks,
    }


def _plain_object(found: Found) -> dict[str, Any]:
    value = found.value.value if found.value and found.value.datatype != "list" else None
    return {
        "type": names.type_name(found.object_type),
        "instance": found.instance,
        "name": found.name,
        "description": found.description,
        "value": value if not isinstance(value, float) or math.isfinite(value) else None,
        "units": names.UNITS.get(found.units, str(found.units)) if found.units is not None else None,
        "states": found.states,
        "commandable": found.commandable,
        "cov": found.cov,
    }


def grid(found: Iterable[FoundDevice]) -> Grid:
    """The devices as a table for a terminal."""
    table = Grid("device", "address", "name", "maker and model", "values", "writable", "remarks")
    for each in found:
        writable = sum(one.commandable for one in each.objects)
        table.add_row(
            str(each.facts.device_id),
            each.facts.address,
            printable(each.name),
            printable(f"{each.vendor} {each.model}"),
            str(len(each.objects)),
            str(writable),
            "\n".join(each.remarks),
        )
    return table
