"""A SunSpec device for tests: a chain of models in the holding registers of a server."""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from typing import Any

from pymodbus.simulator import DataType, SimData, SimDevice

from gateway.cli.scanning.models import Models

MARKER = [0x5375, 0x6E53]
END = [0xFFFF, 0]

FORMATS = {"int": "bhiq", "uint": "BHIQ"}


def words(data: bytes) -> list[int]:
    """Bytes as registers."""
    return [int.from_bytes(data[at : at + 2], "big") for at in range(0, len(data), 2)]


def absent(kind: str, size: int) -> list[int]:
    """The registers of a point that the device does not implement."""
    if kind in ("string", "pad", "acc16", "acc32", "acc64", "ipaddr", "ipv6addr", "eui48"):
        return [0] * size
    if kind == "float32":
        return [0x7FC0, 0]
    if kind in ("int16", "int32", "int64", "sunssf"):
        return [0x8000] + [0] * (size - 1)
    return [0xFFFF] * size


def encoded(kind: str, size: int, value: Any) -> list[int]:
    """The registers of a value."""
    if isinstance(value, str):
        return words(value.encode().ljust(2 * size, b"\0"))
    if kind == "float32":
        return words(struct.pack(">f", value))
    return words((value % (1 << 16 * size)).to_bytes(2 * size, "big"))


def group_words(group: Mapping[str, Any], values: Mapping[str, Any]) -> list[int]:
    """The registers of a group's points and the groups in it; ``values`` has a list for each inner group."""
    found: list[int] = []
    for point in group.get("points", []):
        value = values.get(point["name"])
        kind, size = point["type"], point["size"]
        found += absent(kind, size) if value is None else encoded(kind, size, value)
    for inner in group.get("groups", []):
        for one in values.get(inner["name"], []):
            found += group_words(inner, one)
    return found


def filled(group: Mapping[str, Any]) -> dict[str, Any]:
    """A value for each point of a group, and one of each group in it."""
    kinds = {point["name"]: point["type"] for point in group.get("points", []) if point["type"] != "pad"}
    values: dict[str, Any] = {name: "x" if kind == "string" else 1 for name, kind in kinds.items()}
    return values | {inner["name"]: [filled(inner)] for inner in group.get("groups", [])}


def model(number: int, values: Mapping[str, Any] | None = None) -> list[int]:
    """The registers of a model with its id and length; what has no value is not implemented."""
    group = Models().get(number)
    assert group is not None
    body = group_words(group, values or {})
    return [number, len(body) - 2, *body[2:]]


def chain(*models: Sequence[int]) -> list[int]:
    """The marker, the models, and the end."""
    return [*MARKER, *(word for one in models for word in one), *END]


def device(base: int, registers: Sequence[int], unit: int = 1) -> SimDevice:
    """A unit with these holding registers, and nothing else."""
    nothing = [SimData(65000, values=[False], datatype=DataType.BITS)]
    holding = [SimData(base, values=list(registers), datatype=DataType.REGISTERS)]
    return SimDevice(unit, (nothing, nothing, holding, [SimData(65000, values=[0], datatype=DataType.REGISTERS)]))
