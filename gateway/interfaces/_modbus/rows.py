"""What a row of a Modbus registry may say, and what the ``driver_config`` says for all of them.

Each column is described in docs/drivers/modbus-registers.md.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from typing import Annotated, Any, ClassVar, Literal

from pydantic import AfterValidator, BeforeValidator, Field

from gateway.interfaces._modbus.pdu import Table
from gateway.interfaces._modbus.places import number_of, order_of, table_of
from gateway.interfaces.base import DriverConfig, Flag, RegistryRow

NAME, REGISTER, KIND, ADDRESS = "Volttron Point Name", "Register Name", "Modbus Register", "Point Address"
SAME = ((KIND, "Type", "Data Type"), (ADDRESS, "Address"), ("Mixed Endian", "Mixed"))
"""Columns that say the same thing; a row has one of each at most."""

MAX_MAP = 20_000
HIGHEST = 465_536
"""The greatest number that any way of counting gives to a register."""

_BITS = re.compile(r"(\d{1,2})(?:\s*[-:.]+\s*(\d{1,2}))?")
_PAD = re.compile(r"pad\b", re.IGNORECASE)


def _address(value: object) -> str:
    text = "" if isinstance(value, bool) else str(value).strip()
    if number_of(text) > HIGHEST:
        raise ValueError(f"above {HIGHEST}")
    return text


def _table(value: object) -> Table:
    return table_of(str(value))


def _order(value: object) -> tuple[str, bool]:
    return order_of(str(value))


def _bits(value: object) -> tuple[int, int]:
    match = _BITS.fullmatch(str(value).strip())
    if not match:
        raise ValueError("write a bit, 0 the lowest, or first and last one, as 4-7")
    low, high = sorted((int(match[1]), int(match[2] or match[1])))
    return low, high


def _word(value: object) -> object:
    return value.strip().lower() if isinstance(value, str) else value


Address = Annotated[str, BeforeValidator(_address)]
WordOrder = Annotated[Literal["big", "little"], BeforeValidator(_word)]


class ModbusRow(RegistryRow):
    """One row of the registry."""

    skip_if_blank: ClassVar[tuple[str, ...]] = (NAME,)

    point_name: str = Field("", alias=NAME)
    register_name: str = Field("", alias=REGISTER)
    modbus_register: str = Field("", alias=KIND)
    type: str = Field("", alias="Type")
    data_type: str = Field("", alias="Data Type")
    point_address: Address | None = Field(None, alias=ADDRESS)
    address: Address | None = Field(None, alias="Address")
    table: Annotated[Table | None, BeforeValidator(_table)] = Field(None, alias="Table")
    count: int | None = Field(None, alias="Count", ge=1, le=2000)
    bit: Annotated[tuple[int, int] | None, BeforeValidator(_bits)] = Field(None, alias="Bit")
    byte_order: Annotated[tuple[str, bool] | None, BeforeValidator(_order)] = Field(None, alias="Byte Order")
    word_order: WordOrder | None = Field(None, alias="Word Order")
    mixed_endian: Flag = Field(False, alias="Mixed Endian")
    mixed: Flag = Field(False, alias="Mixed")
    transform: str = Field("", alias="Transform")
    scale_register: str = Field("", alias="Scale Register")
    scale_register_kind: Annotated[Literal["power", "factor", "divisor"], BeforeValidator(_word)] = Field(
        "power", alias="Scale Register Kind"
    )
    no_value: str = Field("", alias="No Value")
    string_encoding: str = Field("ascii", alias="String Encoding")
    padding: Annotated[Literal["nul", "space"], BeforeValidator(_word)] = Field("nul", alias="Padding")
    write_function: Annotated[Literal["", "single", "multiple", "mask"], BeforeValidator(_word)] = Field(
        "", alias="Write Function"
    )
    read_back: Flag | None = Field(None, alias="Read Back")
    tolerance: float | None = Field(None, alias="Tolerance", ge=0)
    write_only: Flag = Field(False, alias="Write Only")
    pad: Flag = Field(False, alias="Pad")

    @classmethod
    def required(cls, titles: Collection[str]) -> list[str]:
        """A type and an address, each under one of its titles, unless rows may take them from a register map."""
        pad = isinstance(titles, Mapping) and is_pad(titles)
        groups = () if REGISTER in titles else SAME[1:2] if pad else SAME[:2]
        named = [] if pad else [NAME]
        return [*named, *(group[0] for group in groups if not any(title in titles for title in group))]

    @classmethod
    def is_placeholder(cls, cells: Mapping[str, Any]) -> bool:
        """A row without a point name, or one that VOLTTRON takes for a comment; a pad needs no name."""
        if str(cells.get(REGISTER, "")).startswith("#"):
            return True
        return NAME not in cells and not is_pad(cells)

    @classmethod
    def placeholder_words(cls) -> str:
        """Why rows are left out, in words."""
        return f"no {NAME}, or a {REGISTER} that begins with #"


def is_pad(cells: Mapping[str, Any]) -> bool:
    """Whether the filled cells of a row say that it is no point, only registers that may be read over."""
    if str(cells.get("Pad", "")).strip().lower() in ("true", "t", "yes", "y", "1"):
        return True
    return any(_PAD.match(str(cells.get(title, ""))) for title in SAME[0])


TITLES: Mapping[str, str] = {str(field.alias).lower(): str(field.alias) for field in ModbusRow.model_fields.values()}
"""The titles of the columns by their lower case."""


def _map_rows(value: object) -> object:
    if value is not None and (not isinstance(value, list) or not all(isinstance(row, dict) for row in value)):
        raise ValueError("a register map is a list of rows, or a link to a registry-like document")
    return value


class RegisterKeys(DriverConfig):
    """The keys of ``driver_config`` that concern registers.

    ``addressing`` says how addresses are counted; ``byte_order`` is the order of numbers whose row gives none.
    ``register_map`` are rows that the rows of the registry refer to by their Register Name.
    """

    addressing: Literal["offset", "exact", "offset_plus", "address"] = "offset"
    byte_order: Annotated[str, AfterValidator(lambda name: order_of(name) and name)] = "ABCD"
    word_order: WordOrder | None = None
    write_multiple_registers: bool = True
    read_back: bool = True
    register_map: Annotated[list[dict[str, Any]] | None, BeforeValidator(_map_rows)] = Field(
        None, max_length=MAX_MAP, repr=False
    )
