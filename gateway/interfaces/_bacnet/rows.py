"""A row of a BACnet registry, and the register that is made of it; each column is described in docs/drivers/bacnet.md."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import AliasChoices, BeforeValidator, Field

from gateway.errors import ConfigFault
from gateway.interfaces._bacnet import names
from gateway.interfaces._bacnet.config import BacnetConfig
from gateway.interfaces._bacnet.values import DATATYPES, Ref
from gateway.interfaces.base import Flag, RegistryRow, shared
from gateway.model import Register

NAME, TYPE, PROPERTY, INDEX = "Volttron Point Name", "BACnet Object Type", "Property", "Index"
SAME = ((TYPE, "object_type"), (INDEX, "instance"))
"""Columns that a row needs, each with its other title."""
LOWEST = 16
"""The priority of a write that names none (ASHRAE 135, 15.9.2)."""

ALWAYS = frozenset({1, 4, 14, 30, 54, 55})
"""Object types that always have a priority array: outputs, access doors, lights (ASHRAE 135, 12)."""
COMMANDABLE = ALWAYS | {2, 5, 19, 39, 40, 41, 42, 43, 44, 45, 46, 47, 48, 49, 50}
"""Those that have one, or may: for a value object it is the device's choice."""
BINARY = frozenset({3, 4, 5})
MULTI_STATE = frozenset({13, 14, 19})
FLAGLESS = frozenset({6, 7, 11})
"""Object types with a present value and without status flags: calendar, command, group."""

RAW_TYPES = {"boolean": "boolean", "unsigned": "integer", "integer": "integer", "enumerated": "integer"}
RAW_TYPES |= {"real": "float", "double": "float"}
"""What values of a datatype are in the gateway; all others are texts."""
WRITABLE = frozenset(DATATYPES) - {"null"}


def _object_type(value: object) -> int:
    return names.object_type(str(value))


def _property(value: object) -> int:
    return names.property_of(str(value))


def _datatype(value: object) -> object:
    word = str(value).strip().lower().replace(" ", "-")
    if word not in WRITABLE:
        raise ValueError(f"one of {', '.join(name for name in DATATYPES if name in WRITABLE)}")
    return word


class BacnetRow(RegistryRow):
    """One row of the registry, with the titles of both generations of VOLTTRON."""

    object_type: Annotated[int, BeforeValidator(_object_type)] = Field(validation_alias=AliasChoices(TYPE, "object_type"))
    property: Annotated[int, BeforeValidator(_property)] = Field(names.PRESENT_VALUE, alias=PROPERTY)
    instance: int = Field(validation_alias=AliasChoices(INDEX, "instance"), ge=0, le=4_194_302)
    array_index: int | None = Field(None, validation_alias=AliasChoices("Array Index", "array_index"), ge=0)
    write_priority: int | None = Field(
        None, validation_alias=AliasChoices("Write Priority", "write_priority"), ge=1, le=LOWEST
    )
    cov: Flag = Field(False, validation_alias=AliasChoices("COV Flag", "cov_flag"))
    data_type: Annotated[str, BeforeValidator(_datatype)] = Field("", alias="Data Type")

    @classmethod
    def required(cls, titles: Collection[str]) -> list[str]:
        """A name, an object type and an instance, the latter under one of their titles."""
        return [NAME, *(group[0] for group in SAME if not any(title in titles for title in group))]


@dataclass(frozen=True, kw_only=True, slots=True)
class BacnetRegister(Register):
    """A property of an object. ``textual``: its numbers are told as the device's own texts of states."""

    ref: Ref
    datatype: str
    cov: bool = False
    textual: bool = False

    @property
    def is_value(self) -> bool:
        """Whether it is a present value."""
        return self.ref.property == names.PRESENT_VALUE and self.ref.index is None

    @property
    def flagged(self) -> bool:
        """Whether status flags stand beside it."""
        return self.is_value and self.ref.object_type not in FLAGLESS


def make(row: BacnetRow, config: BacnetConfig) -> BacnetRegister:
    """The register of a row. Raises ConfigFault with the column."""
    ref = Ref(row.object_type, row.instance, row.property, row.array_index)
    kind = _kind(row)
    is_value = row.property == names.PRESENT_VALUE
    if row.cov and not is_value:
        raise ConfigFault("only changes of the present-value are told: poll this property", "COV Flag", "false")
    if row.writable and kind not in WRITABLE:
        raise ConfigFault(f"{_where(row)} has no simple value: it can be read only", "Writable", "false")
    raw = "boolean" if is_value and row.object_type in BINARY else RAW_TYPES.get(kind, "string")
    textual = is_value and row.object_type in MULTI_STATE and config.enumerations == "text" and row.enum is None
    fields = shared(row, "string" if textual else raw, **_priority(row, config, is_value))
    return BacnetRegister(**fields, ref=ref, datatype=kind, cov=row.cov, textual=textual)


def _kind(row: BacnetRow) -> str:
    """The datatype: the standard's, or what the row says where that is open."""
    kind = names.datatype(row.object_type, row.property, bool(row.array_index))
    if row.array_index == 0:
        kind = "unsigned"
    if row.data_type and kind in WRITABLE and not _may_be(row, kind):
        raise ConfigFault(f"{_where(row)} is {kind}", "Data Type", kind)
    if row.data_type:
        return row.data_type
    if kind == "":
        raise ConfigFault(f"the object type {names.type_name(row.object_type)} has none: name another property", PROPERTY)
    if kind == "unknown" or (kind == "other" and row.object_type == names.SCHEDULE):
        raise ConfigFault(f"which datatype {_where(row)} has can not be known: say it", "Data Type", "real")
    return kind


def _may_be(row: BacnetRow, kind: str) -> bool:
    """Whether a row may say another datatype than the standard: numbers of odd devices, but for binary points."""
    numbers = {kind, row.data_type} <= RAW_TYPES.keys() - {"boolean"} and row.object_type not in BINARY
    return row.data_type == kind or numbers


def _priority(row: BacnetRow, config: BacnetConfig, is_value: bool) -> dict[str, Any]:
    """The fields of a register that say where it is written."""
    if row.write_priority is not None and row.write_priority < config.min_priority:
        raise ConfigFault(
            f"{row.write_priority} is kept for others by min_priority of the driver_config ({config.min_priority})",
            "Write Priority",
            str(max(config.min_priority, 8)),
        )
    if not (row.writable and is_value and row.object_type in COMMANDABLE):
        return {}
    return {"priority": row.write_priority or LOWEST, "min_priority": config.min_priority}


def _where(row: BacnetRow) -> str:
    return f"{names.property_name(row.property)} of {names.type_name(row.object_type)}"
