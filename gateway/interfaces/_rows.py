"""The columns that every registry has, and the fields of a register that come from them."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from sys import intern
from typing import Annotated, Any, ClassVar

from pydantic import AliasChoices, BaseModel, BeforeValidator, ConfigDict, Field

from gateway.errors import BadValue, ConfigFault, RequestError
from gateway.model import Register, Scalar
from gateway.values import coerce, is_whole

MIN_INTERVAL, MAX_INTERVAL = 0.05, 31 * 86_400
"""Seconds between two polls, of a device or a point."""


def _truth(value: object) -> object:
    if isinstance(value, str):
        words = {"true": True, "t": True, "yes": True, "y": True, "1": True}
        words |= {"false": False, "f": False, "no": False, "n": False, "0": False, "": False}
        return words.get(value.strip().lower(), value)
    return value


Flag = Annotated[bool, BeforeValidator(_truth)]
"""A yes or no of a CSV: true, t, yes, y, 1 and their opposites, in any case."""


class RegistryRow(BaseModel):
    """The columns that every registry may have; a driver adds its own.

    Field aliases are the column titles; the header's case does not matter. An empty cell counts as absent, and every other
    one comes as text, in JSON too; only objects and lists stay what they are.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)
    skip_if_blank: ClassVar[tuple[str, ...]] = ("Volttron Point Name",)
    """The columns without which a row is a placeholder, left out with a warning."""

    point_name: str = Field(alias="Volttron Point Name", min_length=1)
    reference_name: str = Field("", alias="Reference Point Name")
    units: str = Field("", alias="Units")
    units_details: str = Field("", alias="Units Details")
    unit_details: str = Field("", alias="Unit Details")
    writable: Flag = Field(False, alias="Writable")
    notes: str = Field("", alias="Notes")
    description: str = Field("", alias="Description")
    scale: float = Field(1, alias="Scale")
    offset: float = Field(0, alias="Offset")
    minimum: float | None = Field(None, alias="Min")
    maximum: float | None = Field(None, alias="Max")
    default: str | float | bool | None = Field(None, alias="Default Value")
    deadband: float = Field(0, alias="Deadband", ge=0)
    max_step: float | None = Field(None, alias="Max Step", gt=0)
    min_write_interval: float = Field(0, alias="Min Write Interval", ge=0)
    enum: str | dict[str, str] | None = Field(None, alias="Enum")
    interval: float | None = Field(
        None, validation_alias=AliasChoices("Interval", "polling_interval"), ge=MIN_INTERVAL, le=MAX_INTERVAL
    )
    precision: int | None = Field(None, alias="Precision", ge=0, le=15)

    @classmethod
    def required(cls, titles: Collection[str]) -> list[str]:
        """The columns that a table with these titles, or a row with these filled cells, must have."""
        needed = [str(field.alias) for field in cls.model_fields.values() if field.is_required()]
        return list(dict.fromkeys((*needed, *cls.skip_if_blank)))

    @classmethod
    def is_placeholder(cls, cells: Mapping[str, Any]) -> bool:
        """Whether a row with these filled cells is to be left out."""
        return any(column not in cells for column in cls.skip_if_blank)

    @classmethod
    def placeholder_words(cls) -> str:
        """Why rows are left out, in words."""
        return f"no {' or '.join(cls.skip_if_blank)}"


def shared(row: RegistryRow, raw_type: str, **own: Any) -> dict[str, Any]:
    """The fields that every register has, from the common columns, the driver's raw type, and what it says of its ``own``.

    Raises ConfigFault with the column for limits the wrong way round, a Scale of 0, a bad Enum or Default Value.
    """
    if row.scale == 0:
        raise ConfigFault("0 would make every value the same", "Scale", "1")
    if row.minimum is not None and row.maximum is not None and row.minimum > row.maximum:
        raise ConfigFault(f"{row.minimum} is above Max {row.maximum}", "Min")
    moving = bool(own.get("scale_register")) or own.get("divisor", 1) != 1
    scaled = row.scale != 1 or row.offset != 0 or moving
    if scaled and raw_type not in ("integer", "float"):
        raise ConfigFault(f"a {raw_type} point can not be scaled", "Scale")
    enum = _enum(row.enum, raw_type)
    whole = raw_type == "integer" and is_whole(row.scale) and is_whole(row.offset) and not moving
    whole = whole or (row.precision == 0 and raw_type in ("integer", "float"))
    fields: dict[str, Any] = {
        "name": intern(row.point_name),  # many devices have the same registry: each text is held once
        "type": "string" if enum else "integer" if whole else "float" if scaled else raw_type,
        "raw_type": raw_type,
        "units": intern(row.units),
        "writable": row.writable,
        "minimum": row.minimum,
        "maximum": row.maximum,
        "enum": enum,
        "description": row.description or row.notes,
        "deadband": row.deadband,
        "max_step": row.max_step,
        "min_write_interval": row.min_write_interval,
        "interval": row.interval,
        "scale": int(row.scale) if is_whole(row.scale) else row.scale,
        "offset": int(row.offset) if is_whole(row.offset) else row.offset,
        "precision": row.precision,
        **own,
    }
    return fields | {"default": _default(row.default, Register(**fields))}


def text_value(register: Register, text: str) -> Scalar:
    """A value written as text, as in a CSV cell: ``21.5``, ``true``, a text of the Enum. Raises BadValue, OutOfRange."""
    if register.type == "string":
        return coerce(register, text)
    words = {"true": True, "false": False}
    if register.type == "boolean":
        words |= {"t": True, "yes": True, "y": True, "on": True, "f": False, "no": False, "n": False, "off": False}
    if text.strip().lower() in words:
        return coerce(register, words[text.strip().lower()])
    try:
        return coerce(register, float(text) if register.type == "float" else _number(text))
    except ValueError:
        raise BadValue(f'"{text}" is not {"an" if register.type == "integer" else "a"} {register.type}') from None


def _number(text: str) -> float:
    try:
        return int(text)
    except ValueError:
        return float(text)


def _default(default: str | float | bool | None, register: Register) -> Scalar | None:
    if default is None:
        return None
    try:
        return text_value(register, default) if isinstance(default, str) else coerce(register, default)
    except RequestError as error:
        raise ConfigFault(error.message, "Default Value") from None


def _enum(enum: str | dict[str, str] | None, raw_type: str) -> dict[int, str] | None:
    if enum is None:
        return None
    if raw_type not in ("integer", "boolean"):
        raise ConfigFault(f"only integer and boolean points have an Enum, not {raw_type} ones", "Enum")
    pairs = enum.items() if isinstance(enum, dict) else [part.partition("=")[::2] for part in enum.split(";")]
    try:
        table = {int(raw): text.strip() for raw, text in pairs}
    except ValueError:
        raise ConfigFault("write number=text pairs", "Enum", "0=Off;1=On") from None
    if "" in table.values() or len(set(table.values())) < len(table) or len(table) < len(pairs):
        raise ConfigFault("every number and every text may stand once, and no text is empty", "Enum", "0=Off;1=On")
    return table
