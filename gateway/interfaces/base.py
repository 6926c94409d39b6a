"""The contract between the gateway and a driver; this text is the guide to writing one.

A driver is one module ``gateway/interfaces/<driver_type>.py``. It holds

- ``Config``, a model of ``driver_config`` (subclass of ``DriverConfig``): every key typed, unknown keys refused;
- ``Row``, a model of one registry row (subclass of ``RegistryRow``): every column named by its title in the CSV;
- a frozen ``Register`` subclass with the address of a point on the device;
- ``Interface``, which names these models and overrides the small protected methods below.

What to override, and what each must do:

``_register(row)``
    Make the register of a row; no network. ``shared(row, raw_type)`` gives the fields that every register has. A row that
    can not work is a ``ConfigFault`` with the column in ``where``.
``_open()`` / ``_close()``
    Connect, disconnect. ``_open`` raises ``Unreachable``; ``_close`` never fails and may be called at any time.
``_plan(registers)``
    Split registers into batches, each of them one request on the wire.
``_read(batch)``
    One request at most; a raw value or a ``PointError`` for each register. Raise ``Transient`` when no usable answer came,
    ``Unreachable`` when the connection is gone, ``Split`` when the device refuses the batch as a whole and smaller ones may
    work.
``_write(register, raw, options, may_send)``
    Write a raw value and return the raw value that the device took, read back where the protocol allows. Call
    ``may_send()`` once, with the connection open, immediately before the bytes go: it raises when the write may not happen
    any more. Never send a write twice: raise ``Rejected`` when the device refuses, ``Transient`` or ``Unreachable`` when
    its answer did not come (the gateway then tells the client that the outcome is unknown).

Devices behind one serial line or endpoint share a link of ``env.links`` (``_links.py``): see how ``modbus`` does it.
An interface belongs to one thread: no locks are needed. The constructor only stores. Retries, back-off, polling, limits,
types, scaling, status and MQTT are the gateway's business. Any exception that is not a ``DeviceError`` is a bug: it is
logged with its traceback, the device is marked, the others go on.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any, ClassVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from gateway.allow import Allow
from gateway.clock import Clock
from gateway.errors import BadValue, ConfigFault, RequestError, Transient
from gateway.interfaces._links import GiveWay as GiveWay
from gateway.interfaces._links import Pool
from gateway.model import PointError, Register, Scalar
from gateway.values import coerce, from_raw, is_whole, to_raw

MIN_INTERVAL, MAX_INTERVAL = 0.05, 31 * 86_400
"""Seconds between two polls, of a device or a point."""

MaySend = Callable[[], None]
"""Raises when a write may not leave any more."""


def _truth(value: object) -> object:
    if isinstance(value, str):
        words = {"true": True, "t": True, "yes": True, "y": True, "1": True}
        words |= {"false": False, "f": False, "no": False, "n": False, "0": False, "": False}
        return words.get(value.strip().lower(), value)
    return value


Flag = Annotated[bool, BeforeValidator(_truth)]
"""A yes or no of a CSV: true, t, yes, y, 1 and their opposites, in any case."""


class DriverConfig(BaseModel):
    """Base of a driver's ``driver_config`` model: unknown keys are faults."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


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
    enum: str | dict[str, str] | None = Field(None, alias="Enum")
    interval: float | None = Field(None, alias="Interval", ge=MIN_INTERVAL, le=MAX_INTERVAL)
    max_step: float | None = Field(None, alias="Max Step", gt=0)
    min_write_interval: float = Field(0, alias="Min Write Interval", ge=0)


@dataclass(frozen=True)
class Batch:
    """Registers that one request reads; a driver may add what it needs to ask for them."""

    registers: tuple[Register, ...]
    converting: tuple[Register, ...] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "converting", tuple(r for r in self.registers if r.converts))


class Split(Exception):
    """The device refuses a batch as a whole: ask for these smaller ones instead."""

    def __init__(self, batches: Sequence[Batch]) -> None:
        super().__init__(f"split into {len(batches)} requests")
        self.batches = batches


@dataclass(frozen=True, slots=True)
class Environment:
    """What the gateway lends to every interface."""

    clock: Clock
    allow: Allow = field(default_factory=Allow)
    links: Pool = field(default_factory=Pool)
    """The links that several devices share."""


class Interface:
    """A connection to one device; subclass it as the module's docstring says."""

    Config: ClassVar[type[DriverConfig]] = DriverConfig
    Row: ClassVar[type[RegistryRow]] = RegistryRow
    write_options: ClassVar[frozenset[str]] = frozenset()
    """The options of ``write`` that the driver knows, such as ``priority``."""

    def __init__(self, config: Any, env: Environment) -> None:
        self.config = config
        self.env = env

        self.urgent = False
        """Whether what is asked next is for a client, and goes before the polls of others on a shared link."""

    def nudge(self) -> None:
        """From any thread: something urgent has come; a poll that waits for a shared link raises GiveWay."""

    def register(self, row: Any) -> Register:
        """The register of a validated row; never touches the network. Raises ConfigFault."""
        return self._register(row)

    def check(self) -> None:
        """Whatever can be said against the ``driver_config`` without a network, as ConfigFault."""

    def link(self) -> tuple[object, ...] | None:
        """What the device is reached by, such as protocol, host, port and unit id: equal for two configs of one device."""
        return None

    def target(self, register: Register) -> object:
        """What the register is behind its link: equal for two registers that write the same thing."""
        return register.name

    def open(self) -> None:
        """Connect; does nothing if connected. Raises Unreachable."""
        self._open()

    def close(self) -> None:
        """Disconnect; may be called at any time, any number of times."""
        self._close()

    def learned(self) -> tuple[str, ...]:
        """What was found out about the device and is worth knowing after a restart; the same object if there is no news.

        These sentences stand in the device's ``meta``, so a person should understand them.
        """
        return ()

    def recall(self, facts: Sequence[str]) -> None:
        """What ``learned`` gave in an earlier run with the same config and registers; called before ``open``."""

    def batches(self, registers: Sequence[Register]) -> list[Batch]:
        """Split a poll into batches, each of them one request."""
        return self._plan(registers)

    def read(self, batch: Batch) -> dict[str, Scalar | PointError]:
        """A value or an error for each register of the batch, with at most one request on the wire.

        Raises Transient (no usable answer), Unreachable (connection gone), Split (ask for less at a time), or GiveWay
        (nothing was sent: serve the queue and ask again).
        """
        values = self._read(batch)
        for register in batch.converting:
            raw = values[register.name]
            if not isinstance(raw, PointError):
                values[register.name] = _converted(register, raw)
        return values

    def write(
        self, register: Register, value: Scalar | None, options: Mapping[str, Any], may_send: MaySend
    ) -> Scalar | None:
        """Write a value that ``values.coerce`` gave; returns the one that the device took, in engineering units.

        Raises what ``may_send`` raises, BadValue or OutOfRange before anything is sent, Rejected, Transient, Unreachable.
        """
        raw = None if value is None else to_raw(register, value)
        taken = self._write(register, raw, options, may_send)
        try:
            return None if taken is None else from_raw(register, taken)
        except BadValue as error:
            raise Transient(f"the write was confirmed, but now {error.message}") from error

    def _register(self, row: Any) -> Register:
        raise NotImplementedError

    def _open(self) -> None:
        raise NotImplementedError

    def _close(self) -> None:
        raise NotImplementedError

    def _plan(self, registers: Sequence[Register]) -> list[Batch]:
        raise NotImplementedError

    def _read(self, batch: Batch) -> dict[str, Scalar | PointError]:
        raise NotImplementedError

    def _write(self, register: Register, raw: Scalar | None, options: Mapping[str, Any], may_send: MaySend) -> Scalar | None:
        raise NotImplementedError


def shared(row: RegistryRow, raw_type: str) -> dict[str, Any]:
    """The fields that every register has, from the common columns and the driver's raw type.

    Raises ConfigFault with the column for limits the wrong way round, a Scale of 0, a bad Enum or Default Value.
    """
    if row.scale == 0:
        raise ConfigFault("0 would make every value the same", "Scale", "1")
    if row.minimum is not None and row.maximum is not None and row.minimum > row.maximum:
        raise ConfigFault(f"{row.minimum} is above Max {row.maximum}", "Min")
    scaled = row.scale != 1 or row.offset != 0
    if scaled and raw_type not in ("integer", "float"):
        raise ConfigFault(f"a {raw_type} point can not be scaled", "Scale")
    enum = _enum(row.enum, raw_type)
    whole = raw_type == "integer" and is_whole(row.scale) and is_whole(row.offset)
    fields: dict[str, Any] = {
        "name": row.point_name,
        "type": "string" if enum else "integer" if whole else "float" if scaled else raw_type,
        "raw_type": raw_type,
        "units": row.units,
        "writable": row.writable,
        "minimum": row.minimum,
        "maximum": row.maximum,
        "enum": enum,
        "description": row.description or row.notes,
        "deadband": row.deadband,
        "interval": row.interval,
        "max_step": row.max_step,
        "min_write_interval": row.min_write_interval,
        "scale": int(row.scale) if is_whole(row.scale) else row.scale,
        "offset": int(row.offset) if is_whole(row.offset) else row.offset,
    }
    return fields | {"default": _default(row.default, Register(**fields))}


def text_value(register: Register, text: str) -> Scalar:
    """A value written as text, as in a CSV cell: ``21.5``, ``true``, a text of the Enum. Raises BadValue, OutOfRange."""
    if register.type == "string":
        return coerce(register, text)
    words = {"true": True, "false": False}
    if text.strip().lower() in words:
        return coerce(register, words[text.strip().lower()])
    try:
        return coerce(register, float(text) if register.type == "float" else _number(text))
    except ValueError:
        raise BadValue(f'"{text}" is not a {register.type}') from None


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
    if raw_type != "integer":
        raise ConfigFault(f"only integer points have an Enum, not {raw_type} ones", "Enum")
    pairs = enum.items() if isinstance(enum, dict) else [part.partition("=")[::2] for part in enum.split(";")]
    try:
        table = {int(raw): text.strip() for raw, text in pairs}
    except ValueError:
        raise ConfigFault("write number=text pairs", "Enum", "0=Off;1=On") from None
    if "" in table.values() or len(set(table.values())) < len(table) or len(table) < len(pairs):
        raise ConfigFault("every number and every text may stand once, and no text is empty", "Enum", "0=Off;1=On")
    return table


def _converted(register: Register, raw: Scalar) -> Scalar | PointError:
    try:
        return from_raw(register, raw)
    except BadValue as error:
        return PointError(error.code, error.message)
