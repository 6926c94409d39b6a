"""The registers of a SunSpec model as rows of a registry; pure.

Source: SunSpec Device Information Model Specification (types, the values that say "not implemented", scale factors, groups
that repeat), and the schema that comes with the model files.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from gateway.cli.importing.documents import number
from gateway.cli.importing.model import Names, Row
from gateway.cli.scanning.chain import MOST, Model

TYPES = {
    **{name: name for name in ("int16", "int32", "int64", "uint16", "uint32", "uint64", "float32", "float64", "string")},
    **{f"{kind}{size}": f"uint{size}" for kind in ("acc", "enum", "bitfield") for size in (16, 32, 64)},
    "sunssf": "int16",
    "count": "uint16",
}
"""The type of the registry for each type of SunSpec that has one."""

SIGNED = ("int16", "int32", "int64", "sunssf")
ZERO = ("acc16", "acc32", "acc64", "string", "ipaddr", "ipv6addr", "eui48")
"""Types whose registers are all 0 if they are not implemented."""

HEAD = 2
"""The registers of a model that make the chain, its id and length: they are no news."""


@dataclass(slots=True)
class Mapped:
    """The rows of a model; points that the device does not implement; what could not become a row, each with its reason."""

    rows: list[Row] = field(default_factory=list)
    absent: list[str] = field(default_factory=list)
    lost: list[tuple[str, str]] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class _Place:
    """A point at its place: the name with its groups, the offset in the model, the points of its groups by name."""

    name: str
    point: dict[str, Any]
    offset: int
    scope: dict[str, _Place]


def map_model(group: dict[str, Any], model: Model, names: Names, everything: bool) -> Mapped:
    """The rows of a model; ``names`` gives its name once, ``everything`` is whether absent points get a row too."""
    walker = _Walker(model.words)
    places = list(walker.group(group, names.unique(group["name"]), 0, {}))
    mapped = Mapped()
    if walker.end > len(model.words):
        past = [place.name for place in places if place.offset + place.point["size"] > len(model.words)]
        mapped.lost.append((past[0], f"it and what follows, {len(past)} points, lie behind the registers that were read"))
    elif walker.end < len(model.words):
        count = len(model.words) - walker.end
        mapped.lost.append((f"model {model.number}", f"its last {count} registers are in no description"))
    for place in places:
        if place.offset + place.point["size"] <= len(model.words) and place.offset >= HEAD:
            _map(place, model, everything, mapped)
    return mapped


class _Walker:
    """Lays the groups of a description over the registers of a device; ``end`` is the offset after the last."""

    def __init__(self, words: Sequence[int]) -> None:
        self.end = 0
        self._words = words

    def group(self, group: dict[str, Any], name: str, offset: int, outer: dict[str, _Place]) -> Iterator[_Place]:
        """The places of a group's points and of the groups in it, from an offset on; ``outer`` are the points around it."""
        scope = dict(outer)
        self.end = offset
        for point in group.get("points", []):
            place = _Place(f"{name}.{point['name']}", point, self.end, scope)
            scope[point["name"]] = place
            self.end += point["size"]
            yield place
        for inner in group.get("groups", []):
            count, repeats = self._count(inner, scope)
            for index in range(1, count + 1):
                inner_name = f"{name}.{inner['name']}_{index}" if repeats else f"{name}.{inner['name']}"
                yield from self.group(inner, inner_name, self.end, scope)

    def _count(self, group: dict[str, Any], scope: dict[str, _Place]) -> tuple[int, bool]:
        """How often a group stands there: a number, the value of a point, or (0) as often as it fits."""
        count = group.get("count", 1)
        if isinstance(count, str):
            at = scope[count].offset if count in scope else len(self._words)
            value = self._words[at] if at < len(self._words) else 0
            return (0 if value == 0xFFFF else value), True
        if count == 0:
            size = sum(point["size"] for point in group.get("points", []))
            return max(0, len(self._words) - self.end) // max(1, size), True
        return count, "count" in group


def _map(place: _Place, model: Model, everything: bool, mapped: Mapped) -> None:
    point = place.point
    kind = point["type"]
    if kind == "pad":
        return
    words = model.words[place.offset : place.offset + point["size"]]
    if not everything and point.get("mandatory") != "M" and not implemented(kind, words):
        mapped.absent.append(place.name)
        return
    if kind not in TYPES:
        mapped.lost.append((place.name, f"the type {kind} has no counterpart"))
        return
    if point["size"] > MOST:
        mapped.lost.append((place.name, f"its {point['size']} registers are more than one request reads"))
        return
    scale = _scale(place, model)
    if scale is None:
        mapped.lost.append((place.name, f"its scale factor {point['sf']} is not implemented by the device"))
        return
    mapped.rows.append(_row(place, model) | scale)


def _row(place: _Place, model: Model) -> Row:
    point = place.point
    kind = TYPES[point["type"]]
    row = {
        "Volttron Point Name": place.name,
        "Reference Point Name": point.get("label", ""),
        "Units": point.get("units", "").strip(),
        "Writable": "TRUE" if point.get("access") == "RW" else "FALSE",
        "Table": "holding",
        "Type": kind,
        "Address": str(model.address + place.offset),
        "Notes": _notes(point),
    }
    if kind == "string":
        return row | {"Count": str(point["size"])}
    row["No Value"] = "0" if point["type"] in ZERO else "sunspec"
    return row | _enum(point)


def _enum(point: dict[str, Any]) -> Row:
    if not point["type"].startswith("enum") or not point.get("symbols"):
        return {}
    texts: dict[int, str] = {}
    for symbol in point["symbols"]:
        text = str(symbol["name"]).replace(";", ",")
        texts[symbol["value"]] = text if text not in texts.values() else f"{text} ({symbol['value']})"
    return {"Enum": ";".join(f"{value}={text}" for value, text in texts.items())}


def _notes(point: dict[str, Any]) -> str:
    """What the model says of the point, and the names of its bits."""
    text = str(point.get("desc", "")).strip()
    if not point["type"].startswith("bitfield"):
        return text
    bits = "; ".join(f"bit {symbol['value']} {symbol['name']}" for symbol in point.get("symbols", []))
    return f"{text}: {bits}" if text and bits else text or bits


def _scale(place: _Place, model: Model) -> Row | None:
    """The cells of the scale factor; None if it is a point that the device does not implement."""
    factor = place.point.get("sf")
    if factor is None:
        return {}
    if isinstance(factor, int):
        return {"Scale": number(10.0**factor) if factor >= 0 else f"{10.0**factor:g}"} if factor else {}
    source = place.scope.get(factor)
    if source is None:
        return None
    words = model.words[source.offset : source.offset + 1]
    if not words or not implemented("sunssf", words):
        return None
    return {"Scale Register": source.name, "Scale Register Kind": "power"}


def implemented(kind: str, words: Sequence[int]) -> bool:
    """Whether registers of this type hold anything but the value that says "not implemented"."""
    if kind in ZERO:
        return any(words)
    if kind.startswith("float"):
        return words[0] & 0x7FF0 != 0x7FF0 if kind == "float64" else words[0] & 0x7F80 != 0x7F80
    first, rest = (0x8000, 0) if kind in SIGNED else (0xFFFF, 0xFFFF)
    return list(words) != [first, *[rest] * (len(words) - 1)]
