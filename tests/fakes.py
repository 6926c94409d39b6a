"""Test doubles that several test modules share."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from gateway.actuator.journal import JournalError, SeenRequest
from gateway.broker import Subscription
from gateway.device import Device
from gateway.errors import GatewayError
from gateway.interfaces.base import Batch, Interface, MaySend
from gateway.model import DeviceStatus, Outgoing, PointError, Reading, Register, Scalar, Taken
from gateway.rpc.calls import Request
from gateway.store.device_config import DeviceConfig, Spec
from gateway.testing import FakeClock as FakeClock
from gateway.testing import Gate as Gate
from gateway.ticket import Ticket


class FakeKeeper:
    """A journal of requests in memory; with ``failure`` nothing can be written."""

    def __init__(self) -> None:
        self.rows: dict[tuple[str, str], SeenRequest] = {}
        self.failure: JournalError | None = None

    def record(self, requests: Iterable[SeenRequest], forgotten: Iterable[SeenRequest] = ()) -> None:
        """Keep and forget."""
        if self.failure is not None:
            raise self.failure
        for row in forgotten:
            self.rows.pop((row.requester, row.key), None)
        self.rows |= {(row.requester, row.key): row for row in requests}

    def seen(self) -> list[SeenRequest]:
        """What is kept."""
        if self.failure is not None:
            raise self.failure
        return list(self.rows.values())


class FakeRefusals:
    """Remembers what was refused: method and code."""

    def __init__(self) -> None:
        self.wake: Callable[[], None] = lambda: None
        self.told: list[tuple[str, str]] = []

    def tell(self, asked: Request, code: str) -> None:
        """A request was refused."""
        self.told.append((asked.method, code))

    def flush(self, last: bool = False) -> None:
        """Nothing waits."""


def point(name: str, type: str = "float", **fields: Any) -> Register:
    """A point whose raw values are what clients see."""
    return Register(**{"name": name, "type": type, "raw_type": type} | fields)


def spec(wire: Wire, *registers: Register, path: str = "C/B/D", **device: Any) -> Spec:
    """A device with these points at the other end of a wire."""
    config = DeviceConfig(**{"driver_type": "scripted", "interval": 10} | device)
    return Spec(path, "scripted", ScriptedInterface, wire, registers, config, "hash", repr((wire.name, registers, device)))


@dataclass
class Wire:
    """A device on paper: ``expect`` says what is asked next and what comes back, anything else fails the test.

    An answer that is an exception is raised, a callable is called. ``down`` is raised by ``open``, ``unsent`` by a write
    before anything leaves. ``log`` is all that was done, ``batch`` how many registers one request reads, ``facts`` what was
    learned.
    """

    name: str = "wire"
    batch: int = 1
    down: Exception | None = None
    facts: tuple[str, ...] = ()
    recalled: list[tuple[str, ...]] = field(default_factory=list)
    unsent: Exception | None = None
    relinquishes: bool = True
    told: list[tuple[Register, Any]] = field(default_factory=list)
    heard: Callable[[float], object] = lambda until: None
    options: Mapping[str, Any] = field(default_factory=dict)
    log: list[str] = field(default_factory=list)
    script: deque[tuple[str, Any]] = field(default_factory=deque)

    def expect(self, asked: str, answer: Any) -> None:
        """Next comes this request, and this is the answer."""
        self.script.append((asked, answer))

    def ask(self, asked: str) -> Any:
        """The answer that the script has."""
        self.log.append(asked)
        wanted, answer = self.script.popleft() if self.script else ("nothing more", None)
        assert asked == wanted
        if isinstance(answer, Exception):
            raise answer
        return answer() if callable(answer) else answer


class ScriptedInterface(Interface):
    """Asks its Wire: ``read a,b`` is answered with ``{name: value or error}``, ``write a=1`` with the value taken."""

    config: Wire

    def learned(self) -> tuple[str, ...]:
        """What the test says."""
        return self.config.facts

    def recall(self, facts: Sequence[str]) -> None:
        """The test can see it."""
        self.config.recalled.append(tuple(facts))
        self.config.facts = tuple(facts)

    def _open(self) -> None:
        self.config.log.append("open")
        if self.config.down:
            raise self.config.down

    def _close(self) -> None:
        self.config.log.append("close")

    def _plan(self, registers: Sequence[Register]) -> list[Batch]:
        size = self.config.batch
        return [Batch(tuple(registers[at : at + size])) for at in range(0, len(registers), size)]

    def _read(self, batch: Batch) -> dict[str, Scalar | PointError]:
        return dict(self.config.ask("read " + ",".join(register.name for register in batch.registers)))

    @classmethod
    def described(cls, registers: Sequence[Register], facts: Sequence[str]) -> Sequence[Register]:
        """Units as the facts say: ``kW is in W``."""
        units = dict(fact.split(" is in ") for fact in facts if " is in " in fact)
        return [replace(register, units=units.get(register.name, register.units)) for register in registers]

    def _notices(self) -> list[tuple[Register, Scalar | PointError]]:
        told, self.config.told = self.config.told, []
        return told

    def _relinquishes(self, register: Register) -> bool:
        return self.config.relinquishes

    def _write(self, register: Register, raw: Scalar | None, options: Mapping[str, Any], may_send: MaySend) -> Any:
        if self.config.unsent:
            raise self.config.unsent
        self.config.heard(may_send())
        self.config.options = dict(options)
        return self.config.ask(f"write {register.name}={raw}")


@dataclass
class RecordingOutlet:
    """Keeps what a device has told."""

    readings: list[Reading] = field(default_factory=list)
    statuses: list[DeviceStatus] = field(default_factory=list)
    gone: list[str] = field(default_factory=list)
    facts: list[tuple[str, ...]] = field(default_factory=list)

    def reading(self, spec: Spec, reading: Reading) -> None:
        """A poll brought this."""
        self.readings.append(reading)

    def status(self, path: str, status: DeviceStatus) -> None:
        """The device's state has changed."""
        self.statuses.append(status)

    def learned(self, spec: Spec, facts: tuple[str, ...]) -> None:
        """The driver knows something new."""
        self.facts.append(facts)

    def ended(self, path: str) -> None:
        """The device is gone."""
        self.gone.append(path)


class StillThread:
    """A device's thread that never runs: the test calls ``device.step`` and ``end``."""

    def __init__(self, device: Device, ended: Callable[[str], None]) -> None:
        self.device = device
        self.end = lambda: ended(device.spec.path)
        self.name = f"device:{device.spec.path}"
        self.stuck = False

    def start(self) -> None:
        """Nothing happens."""

    def stop(self, abandon: bool = False, drain_until: float = 0.0) -> None:
        """Ask the device to end."""
        self.device.close(abandon, drain_until)

    def join(self, timeout: float) -> bool:
        """Whether the end came."""
        return not self.stuck


@dataclass
class FakeLink:
    """A link that keeps what it was asked to subscribe to."""

    connected: bool = True
    asked: list[list[Subscription]] = field(default_factory=list)
    sent: list[Outgoing] = field(default_factory=list)

    def subscribe(self, subscriptions: Iterable[Subscription], then: Outgoing | None = None, hold: bool = False) -> None:
        """One packet, and what follows it at once."""
        self.asked.append(list(subscriptions))
        self.sent += [then] if then else []


@dataclass
class TestWarrant:
    """A write as a test wants it: allowed unless ``guard`` raises, answered through its ticket."""

    __test__ = False

    ticket: Ticket
    clock: FakeClock
    guard: Callable[[], None] = lambda: None
    wants: bool = False
    recorded: list[Any] = field(default_factory=list)

    @property
    def over(self) -> bool:
        """Whether the answer has gone."""
        return self.ticket.answered

    @property
    def sent(self) -> bool:
        """Whether the write was let through."""
        return self.ticket.claimed

    def begin(self) -> None:
        """It may be done."""

    def wants_present(self, relinquishes: bool) -> bool:
        """What the test says."""
        return self.wants

    def record(self, present: Scalar | None) -> None:
        """Keep what the point held."""
        self.recorded.append(present)

    def claim(self) -> float:
        """The bytes go now."""
        self.guard()
        self.ticket.claim(self.clock.now())
        return self.ticket.deadline

    def time_left(self) -> bool:
        """Whether the answer is still waited for."""
        return self.clock.now() < self.ticket.deadline

    def end(self, taken: Taken, error: GatewayError | None) -> None:
        """Answer."""
        self.ticket.finish(taken, error)


@dataclass
class TestDebt:
    """A revert as a test wants it; keeps what became of it."""

    __test__ = False

    over: bool = False
    claims: int = 0
    refusal: GatewayError | None = None
    ends: list[tuple[Any, GatewayError | None]] = field(default_factory=list)
    strandings: int = 0

    def claim(self) -> float:
        """The bytes go now."""
        self.claims += 1
        if self.refusal is not None:
            raise self.refusal
        return math.inf

    def end(self, taken: Taken, error: GatewayError | None) -> None:
        """It is over."""
        self.ends.append((taken, error))

    def stranded(self) -> None:
        """The device will not do it."""
        self.strandings += 1
