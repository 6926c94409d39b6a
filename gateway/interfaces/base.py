"""The contract between the gateway and a driver; this text is the guide to writing one.

A driver is one module ``gateway/interfaces/<driver_type>.py``, or one of another package that names its class in the
entry-point group ``gateway.interfaces``; docs/how-to/write-a-driver.md goes through an example. It holds

- ``Config``, a model of ``driver_config`` (subclass of ``DriverConfig``): every key typed, unknown keys refused;
- ``Row``, a model of one registry row (subclass of ``RegistryRow``): every column named by its title in the CSV;
- a frozen ``Register`` subclass with the address of a point on the device;
- ``Interface``, which names these models and overrides the small protected methods below.

What to override, and what each must do:

``_register(row)``
    Make the register of a row; no network. ``shared(row, raw_type)`` gives the fields that every register has. A row that
    can not work is a ``ConfigFault`` with the column in ``where``. A driver whose rows may be several points overrides
    ``_registers`` too, one whose rows refer to each other ``_complete``, one whose ``driver_config`` adds to rows ``cells``.
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
    any more, and else says until when it may. Never send a write twice: raise ``Rejected`` when the device refuses,
    ``Transient`` or ``Unreachable`` when its answer did not come (the gateway then tells the client that the outcome is
    unknown), ``DeadlinePassed`` or ``NotSent`` when it is certain that nothing left after all.

Where points have priorities (``Register.priority``), ``options["priority"]`` is the one to write to, a raw None gives it up,
and ``Masked`` is returned while a higher one is in force. ``_relinquishes`` is for points of which only the device knows.

A device that tells values by itself: call ``self.wake`` from whatever thread hears it, and return them from ``_notices``
(registers and raw values, oldest first). ``self.quality`` is for what a device says against values of its own.

Devices behind one serial line or endpoint share a link of ``env.links``, by a ``Share`` (``_links.py``), as ``modbus`` does.
An interface belongs to one thread: no locks are needed. The constructor only stores. Retries, back-off, polling, limits,
types, scaling, status and MQTT are the gateway's business. Any exception that is not a ``DeviceError`` is a bug: it is
logged with its traceback, the device is marked, the others go on.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict

from gateway.allow import Allow
from gateway.clock import Clock, SystemClock
from gateway.errors import BadValue, ConfigFault, NotTaken, Transient
from gateway.interfaces._bacnet.life import Options
from gateway.interfaces._bacnet.networks import BacnetNetworks
from gateway.interfaces._bacnet.values import Networks
from gateway.interfaces._links import GiveWay as GiveWay
from gateway.interfaces._links import Pool
from gateway.interfaces._rows import MAX_INTERVAL as MAX_INTERVAL
from gateway.interfaces._rows import MIN_INTERVAL as MIN_INTERVAL
from gateway.interfaces._rows import Flag as Flag
from gateway.interfaces._rows import RegistryRow as RegistryRow
from gateway.interfaces._rows import shared as shared
from gateway.interfaces._rows import text_value as text_value
from gateway.model import Masked, PointError, Quality, Register, Scalar, Taken
from gateway.values import from_raw, shown, to_raw
from gateway.vitals import Vitals

MaySend = Callable[[], float]
"""Raises when a write may not leave any more; else the boot clock time until when it may, or infinity."""


class DriverConfig(BaseModel):
    """Base of a driver's ``driver_config`` model: unknown keys are faults."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


@dataclass(frozen=True)
class Batch:
    """Registers that one request reads; a driver may add what it needs to ask for them."""

    registers: tuple[Register, ...]
    converting: tuple[Register, ...] = field(init=False)
    hidden: tuple[Register, ...] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "converting", tuple(r for r in self.registers if r.converts and not r.hidden))
        object.__setattr__(self, "hidden", tuple(r for r in self.registers if r.hidden))


class Split(Exception):
    """The device refuses a batch as a whole: ask for these smaller ones instead."""

    def __init__(self, batches: Sequence[Batch]) -> None:
        super().__init__(f"split into {len(batches)} requests")
        self.batches = batches


@dataclass(frozen=True, slots=True)
class Use:
    """What a poll takes of a link that devices may share: the link in words, requests, seconds that it is busy with them.

    The seconds are what is known beforehand, 0 if nothing is.
    """

    link: str
    requests: int
    seconds: float


@dataclass(frozen=True, slots=True)
class Environment:
    """What the gateway lends to every interface."""

    clock: Clock
    allow: Allow = field(default_factory=Allow)
    links: Pool = field(default_factory=Pool)
    """The links that several devices share."""
    networks: Networks = field(default_factory=lambda: BacnetNetworks(Options(), SystemClock()))
    """The BACnet networks."""
    vitals: Vitals = field(default_factory=lambda: Vitals(SystemClock()))
    """Where a thread of a driver checks in, so that it is missed when it hangs."""


class Interface:
    """A connection to one device; subclass it as the module's docstring says."""

    Config: ClassVar[type[DriverConfig]] = DriverConfig
    Row: ClassVar[type[RegistryRow]] = RegistryRow

    def __init__(self, config: Any, env: Environment) -> None:
        self.config = config
        self.env = env

        self.wake: Callable[[], None] = lambda: None
        """To be called, from any thread, when ``notices`` has something."""
        self.quality: Mapping[str, Quality] = {}
        """What the device says against values of its own, as last read or told; no point that it says nothing against."""
        self.urgent = False
        """Whether what is asked next is for a client, and goes before the polls of others on a shared link."""
        self._asked: tuple[Register, ...] = ()
        self._readable: tuple[Register, ...] = ()

    @property
    def longest_pause(self) -> float:
        """Seconds between two tries to reach a device that is offline, at most."""
        return 30.0

    def nudge(self) -> None:
        """From any thread: something urgent has come; a poll that waits for a shared link raises GiveWay."""

    def register(self, row: Any) -> Register:
        """The register of a validated row; never touches the network. Raises ConfigFault."""
        return self._register(row)

    def registers(self, row: Any) -> tuple[Register, ...]:
        """The registers of a validated row, mostly one; never touches the network. Raises ConfigFault."""
        return self._registers(row)

    def cells(self, cells: dict[str, Any]) -> dict[str, Any]:
        """The filled cells of a row, by title, with what the ``driver_config`` has to add. Raises ConfigFault."""
        return cells

    def complete(self, registers: Sequence[Register]) -> tuple[tuple[Register, ...], list[ConfigFault]]:
        """The registers of all rows, each with what it needs of others, and what is wrong with them together."""
        return self._complete(registers)

    def check(self) -> None:
        """Whatever can be said against the ``driver_config`` without a network, as ConfigFault."""

    def link(self) -> tuple[object, ...] | None:
        """What the device is reached by, such as protocol, host, port and unit id: equal for two configs of one device."""
        return None

    def shares(self) -> tuple[object, Mapping[str, object]] | None:
        """The line or endpoint that the device shares with others, and the settings of it that they must have in common."""
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

    def use(self, registers: Sequence[Register]) -> Use | None:
        """What a poll of these registers takes of the device's link, without a network; None if it has none to share."""
        return None

    def learned(self) -> tuple[str, ...]:
        """What was found out about the device and is worth knowing after a restart; the same object if there is no news.

        These sentences stand in the device's ``meta``, so a person should understand them.
        """
        return ()

    def recall(self, facts: Sequence[str]) -> None:
        """What ``learned`` gave in an earlier run with the same config and registers; called before ``open``."""

    @classmethod
    def described(cls, registers: Sequence[Register], facts: Sequence[str]) -> Sequence[Register]:
        """The registers as clients see them, with what was learned: such as units, where the registry names none."""
        return registers

    def notices(self) -> list[dict[str, Scalar | PointError]]:
        """What the device has told without being asked since the last call, oldest first; each point once in an item."""
        items: list[dict[str, Scalar | PointError]] = []
        for register, raw in self._notices():
            if not items or register.name in items[-1]:
                items.append({})
            value = self._converted(register, raw) if register.converts and not isinstance(raw, PointError) else raw
            items[-1][register.name] = value
        return items

    def batches(self, registers: Sequence[Register]) -> list[Batch]:
        """Split a poll into batches, each of them one request; write-only points are in none."""
        asked = tuple(registers)  # itself, if it is one: from poll to poll it is the same
        if asked is not self._asked:
            self._asked, self._readable = asked, tuple(register for register in asked if not register.write_only)
        return self._plan(self._readable)

    def read(self, batch: Batch) -> dict[str, Scalar | PointError]:
        """A value or an error for each register of the batch, with at most one request on the wire.

        Raises Transient (no usable answer), Unreachable (connection gone), Split (ask for less at a time), or GiveWay
        (nothing was sent: serve the queue and ask again).
        """
        values = self._read(batch)
        for register in batch.converting:
            raw = values[register.name]
            if not isinstance(raw, PointError):
                values[register.name] = self._converted(register, raw)
        return values

    def relinquishes(self, register: Register) -> bool:
        """Whether what is written to the point can be given up by a null at its priority; may ask the device.

        Raises Transient, Unreachable.
        """
        return register.priority is not None and self._relinquishes(register)

    def write(self, register: Register, value: Scalar | None, options: Mapping[str, Any], may_send: MaySend) -> Taken:
        """Write a value that ``values.coerce`` gave; returns what the device took, in engineering units.

        Raises what ``may_send`` raises, BadValue or OutOfRange before anything is sent, Rejected, NotTaken,
        Transient, Unreachable.
        """
        known = self._scaled(register, ask=True) if register.scale_register else register
        raw = None if value is None else to_raw(known, value)
        taken = self._write(register, raw, options, may_send)
        try:
            result = _engineering(known, taken)
        except BadValue as error:
            raise Transient(f"the write was confirmed, but now {error.message}") from error
        held = result.value if isinstance(result, Masked) else result
        if register.tolerance is not None and not _near(value, held, register.tolerance):
            raise NotTaken(
                f"the device confirmed {shown(value)} and then holds {shown(held)}, which is not within the Tolerance"
            )
        return result

    def _converted(self, register: Register, raw: Scalar) -> Scalar | PointError:
        try:
            return from_raw(self._scaled(register) if register.scale_register else register, raw)
        except BadValue as error:
            return PointError(error.code, error.message)

    def _register(self, row: Any) -> Register:
        raise NotImplementedError

    def _registers(self, row: Any) -> tuple[Register, ...]:
        return (self._register(row),)

    def _complete(self, registers: Sequence[Register]) -> tuple[tuple[Register, ...], list[ConfigFault]]:
        return tuple(registers), []

    def _scaled(self, register: Register, ask: bool = False) -> Register:
        """The register with what its ``scale_register`` held when it was last read; ``ask``: read that now.

        Raises BadValue if that is not known or no scale, and when it asks what a read raises.
        """
        raise NotImplementedError

    def _open(self) -> None:
        raise NotImplementedError

    def _close(self) -> None:
        raise NotImplementedError

    def _plan(self, registers: Sequence[Register]) -> list[Batch]:
        raise NotImplementedError

    def _read(self, batch: Batch) -> dict[str, Scalar | PointError]:
        raise NotImplementedError

    def _notices(self) -> list[tuple[Register, Scalar | PointError]]:
        return []

    def _relinquishes(self, register: Register) -> bool:
        return True

    def _write(self, register: Register, raw: Scalar | None, options: Mapping[str, Any], may_send: MaySend) -> Taken:
        raise NotImplementedError


def _engineering(register: Register, taken: Taken) -> Taken:
    """What was taken, in engineering units. Raises BadValue."""
    if isinstance(taken, Masked):
        value = None if taken.value is None else from_raw(register, taken.value)
        return Masked(value, from_raw(register, taken.effective))
    return None if taken is None else from_raw(register, taken)


def _near(wanted: Scalar | None, taken: Scalar | None, tolerance: float) -> bool:
    """Whether the device took a value: a number within the tolerance, anything else as it is."""
    numbers = all(isinstance(value, (int, float)) and not isinstance(value, bool) for value in (wanted, taken))
    if not numbers:
        return wanted == taken
    return abs(Decimal(str(wanted)) - Decimal(str(taken))) <= Decimal(str(tolerance))
