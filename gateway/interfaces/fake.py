"""A device that lives in memory, for trials and tests: VOLTTRON's ``fake`` registry, with latency and faults on demand.

The columns are VOLTTRON's (Point Name, Volttron Point Name, Starting Value, Type, ...); docs/drivers/fake.md lists them, and
where this driver refuses what VOLTTRON's would have guessed.
"""

from __future__ import annotations

import difflib
import math
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from threading import Event
from typing import Any, ClassVar

from pydantic import Field

from gateway.errors import BadValue, ConfigFault, Rejected, RequestError, Transient, Unreachable
from gateway.interfaces.base import Batch, DriverConfig, Environment, MaySend, RegistryRow, shared, text_value
from gateway.interfaces.base import Interface as Base
from gateway.model import PointError, Register, Scalar
from gateway.values import to_raw

TYPES = {
    "int": "integer",
    "integer": "integer",
    "float": "float",
    "bool": "boolean",
    "boolean": "boolean",
    "string": "string",
}
"""What the column Type may say, and the type that it means."""

WAVES: Mapping[str, Callable[[float], float]] = {
    "acos": lambda x: math.acos(min(x, 1)),
    "acosh": lambda x: math.acosh(max(x, 1)),
    "asin": lambda x: math.asin(min(x, 1)),
    "asinh": math.asinh,
    "atan": math.atan,
    "atan2": lambda x: math.atan2(math.sin(x), math.cos(x)),
    "atanh": lambda x: math.atanh(min(x, 0.999)),
    "sin": math.sin,
    "sinh": math.sinh,
    "sqrt": math.sqrt,
    "tan": math.tan,
    "tanh": math.tanh,
}
"""The waveforms over 0 to 2 pi. Where a function has no value the angle is held at the edge, so that all are finite."""


class FakeConfig(DriverConfig):
    """The ``driver_config`` of a fake device: all keys are for tests, and ``{}`` is a device that always answers."""

    latency: float = Field(0, ge=0)  # seconds that each answer takes
    offline: bool = False  # the device can not be reached
    timeout_every: int = Field(0, ge=0)  # each n-th request is not answered; 0 for none
    reject: frozenset[str] = frozenset()  # points that the device refuses to read or write
    batch: int = Field(100, ge=1)  # registers that one request reads
    seed: int = 0  # changes the values of points without a Starting Value


class FakeRow(RegistryRow):
    """One row of VOLTTRON's fake registry."""

    skip_if_blank: ClassVar[tuple[str, ...]] = ("Point Name", "Volttron Point Name")

    device_point: str = Field(alias="Point Name", min_length=1)
    start: str | None = Field(None, alias="Starting Value")
    type: str = Field("string", alias="Type")


@dataclass(frozen=True, kw_only=True, slots=True)
class FakeRegister(Register):
    """A point in memory: its first raw value, or the name of the waveform that it follows."""

    start: Scalar = 0
    wave: str = ""


class Interface(Base):
    """A device in memory; it keeps what was written as long as the interface lives, closed or not."""

    Config = FakeConfig
    Row = FakeRow

    def __init__(self, config: FakeConfig, env: Environment) -> None:
        super().__init__(config, env)
        self._written: dict[str, Scalar] = {}
        self._requests = 0
        self._closed = Event()
        self._closed.set()

    def _register(self, row: FakeRow) -> FakeRegister:
        if row.point_name.startswith("EKG"):
            return _waveform(row)
        plain = FakeRegister(**shared(row, _type(row.type)))
        if row.start is None:
            return replace(plain, start=_pseudo_random(plain, self.config.seed))
        try:
            start = text_value(plain, row.start)
            return replace(plain, start=to_raw(plain, start), default=start if row.default is None else plain.default)
        except RequestError as error:
            raise ConfigFault(error.message, "Starting Value") from None

    def _open(self) -> None:
        if self.config.offline:
            raise Unreachable("the fake device is set offline")
        self._closed.clear()

    def _close(self) -> None:
        self._closed.set()

    def _plan(self, registers: Sequence[Register]) -> list[Batch]:
        size = self.config.batch
        return [Batch(tuple(registers[at : at + size])) for at in range(0, len(registers), size)]

    def _read(self, batch: Batch) -> dict[str, Scalar | PointError]:
        self._answer()
        return {register.name: self._held(register) for register in batch.registers}

    def _write(self, register: Register, raw: Scalar | None, options: Mapping[str, Any], may_send: MaySend) -> Scalar:
        if raw is None:
            raise BadValue(f'"{register.name}" holds one value and nothing below it: null has no meaning here')
        self._connected(0)
        may_send()
        refused = register.name in self.config.reject
        if not refused:  # taken before the answer: when that is lost, the device has the value all the same
            self._written[register.name] = raw
        self._answer()
        if refused:
            raise Rejected(_refusal(register))
        return raw

    def _held(self, register: Register) -> Scalar | PointError:
        assert isinstance(register, FakeRegister)
        if register.name in self.config.reject:
            return PointError(Rejected.code, _refusal(register))
        if register.wave:
            return WAVES[register.wave](math.pi * (self.env.clock.wall() % 60) / 30)
        return self._written.get(register.name, register.start)

    def _answer(self) -> None:
        """Wait for the device's answer, or raise what stands for its absence."""
        self._connected(self.config.latency)
        self._requests += 1
        if self.config.timeout_every and self._requests % self.config.timeout_every == 0:
            raise Transient(f"no answer to request {self._requests} (timeout_every is {self.config.timeout_every})")

    def _connected(self, seconds: float) -> None:
        """Wait so long with the connection open; Unreachable if it is not, or closes meanwhile."""
        if self.config.offline:
            raise Unreachable("the fake device is set offline")
        if self._closed.wait(seconds):
            raise Unreachable("the connection to the fake device is closed")


def _type(word: str) -> str:
    known = TYPES.get(word.strip().lower())
    if known is None:
        near = difflib.get_close_matches(word.strip().lower(), TYPES, n=1)
        raise ConfigFault(f'"{word}" is not one of {", ".join(TYPES)}', "Type", near[0] if near else "")
    return known


def _waveform(row: FakeRow) -> FakeRegister:
    """A register that follows the seconds of the minute: always a float, never writable."""
    wave = row.start if row.start in WAVES else "sin"
    return FakeRegister(**shared(row, "float") | {"writable": False, "wave": wave})


def _pseudo_random(register: Register, seed: int) -> Scalar:
    """A raw value that depends on the point's name and the seed alone: 0 to 100, or one of the Enum."""
    source = random.Random(f"{seed} {register.name}")  # noqa: S311  # not a secret, but the same after each start
    if register.enum is not None:
        return source.choice(sorted(register.enum))
    number = source.randint(0, 100)
    values: dict[str, Scalar] = {"boolean": number > 50, "integer": number, "float": float(number), "string": str(number)}
    return values[register.raw_type]


def _refusal(register: Register) -> str:
    return f'the fake device is set to refuse "{register.name}"'
