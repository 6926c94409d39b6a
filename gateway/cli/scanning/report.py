"""What a scan found, as documents, as a table and as JSON."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from rich.table import Table as Grid

from gateway.cli.importing.model import Device, Result, Row
from gateway.cli.scanning.units import Found

TITLES = ("coil", "discrete", "holding", "input")
MAX_ROWS = 500
"""The most points of one table that a scan writes: nobody wants all of a device that has every address."""

NAMES = ("vendor", "product_code", "product", "model", "revision")


def device(found: Found, driver_config: Mapping[str, Any], name: str, result: Result) -> Device:
    """A device with a point for each register that could be read."""
    config: dict[str, Any] = dict(driver_config) | {"slave_id": found.unit}
    for key, titles in (("max_registers", ("holding", "input")), ("max_bits", ("coil", "discrete"))):
        limits = [found.most[title] for title in titles if title in found.most]
        if limits:
            config[key] = min(limits)
    rows: list[Row] = []
    for title in TITLES:
        found_rows = list(_rows(found, title))
        rows += found_rows[:MAX_ROWS]
        if len(found_rows) > MAX_ROWS:
            told = f"{title}: {len(found_rows)} addresses can be read, the first {MAX_ROWS} became points: see --addresses"
            result.lost(name, told)
    for remark in found.remarks:
        result.note(name, remark)
    return Device(name, config, {"interval": 60}, rows)


def _rows(found: Found, title: str) -> Iterable[Row]:
    values = found.values.get(title, {})
    for first, last in found.ranges.get(title, []):
        for address in range(first, last + 1):
            yield {
                "Volttron Point Name": f"{title}_{address}",
                "Writable": "FALSE",
                "Table": title,
                "Type": "bool" if title in ("coil", "discrete") else "uint16",
                "Address": str(address),
                "Notes": f"{values[address]} when it was scanned" if address in values else "",
            }


def plain(found: Found) -> dict[str, Any]:
    """A unit as JSON."""
    return {
        "unit": found.unit,
        "identity": found.identity,
        "ranges": {title: [list(pair) for pair in pairs] for title, pairs in found.ranges.items() if pairs},
        "most_per_request": found.most,
        "remarks": found.remarks,
    }


def grid(found: Iterable[Found]) -> Grid:
    """The units as a table for a terminal."""
    table = Grid("unit", "device", *TITLES, "remarks")
    for unit in found:
        ranges = (_listed(unit.ranges.get(title, [])) for title in TITLES)
        name = " ".join(unit.identity[key] for key in NAMES if key in unit.identity)
        table.add_row(str(unit.unit), name, *ranges, "\n".join(unit.remarks))
    return table


def _listed(ranges: Iterable[tuple[int, int]]) -> str:
    return "\n".join(str(first) if first == last else f"{first}-{last}" for first, last in ranges)
