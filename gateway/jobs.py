"""What others want of a device, and what it tells them: the values that cross to and from its thread."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from gateway.errors import GatewayError
from gateway.model import DeviceStatus, Reading, Register, Scalar, Taken
from gateway.store.device_config import Spec
from gateway.sweep import Sweep
from gateway.ticket import Ticket


class Warrant(Protocol):
    """The right to write, as the device's thread sees it: asked before each step of a write, told its end once."""

    @property
    def over(self) -> bool:
        """Whether the write is answered already, so that nothing needs to be done any more."""
        ...

    @property
    def sent(self) -> bool:
        """Whether the write was let through to the wire."""
        ...

    def begin(self) -> None:
        """Raises when the write may not be done."""
        ...

    def wants_present(self, relinquishes: bool) -> bool:
        """Whether the point's present value is to be read first; ``relinquishes``: null gives up what is written."""
        ...

    def record(self, present: Scalar | None) -> None:
        """The last thing before the device is asked to write: judge and journal it; raises when that fails."""
        ...

    def claim(self) -> float:
        """The connection is open and the bytes go now; raises when they may not. The boot clock time until they may."""
        ...

    def time_left(self) -> bool:
        """Whether the answer is still waited for."""
        ...

    def end(self, taken: Taken, error: GatewayError | None) -> None:
        """What became of it: the value that the device took, or an error."""
        ...


class Debt(Protocol):
    """A revert, as the device's thread sees it; it is asked for until it is paid, refused or given up."""

    @property
    def over(self) -> bool:
        """Whether the revert is not wanted any more."""
        ...

    def claim(self) -> float:
        """The bytes go now; raises when they may not. The boot clock time until they may."""
        ...

    def end(self, taken: Taken, error: GatewayError | None) -> None:
        """The device has taken the value, or it never will."""
        ...

    def stranded(self) -> None:
        """The device will not do it: it ends, or goes on with another connection."""
        ...


@dataclass(slots=True)
class ReadJob:
    """A client wants these registers, which are of ``spec``, read now; ``result`` makes the answer, or raises it."""

    spec: Spec
    registers: tuple[Register, ...]
    ticket: Ticket
    result: Callable[[Reading], Any]
    sweep: Sweep | None = None

    @property
    def over(self) -> bool:
        """Whether the answer has gone."""
        return self.ticket.answered

    @property
    def sent(self) -> bool:
        """Reading changes nothing: it can be given up at any time."""
        return False

    def fail(self, error: GatewayError) -> None:
        """Answer with an error."""
        self.ticket.finish(error=error)

    def abandon(self) -> None:
        """No answer is ours to give."""
        self.ticket.abandon()


@dataclass(slots=True)
class WriteJob:
    """Somebody wants this value written; ``None`` relinquishes, where the protocol can."""

    spec: Spec
    register: Register
    value: Scalar | None
    options: Mapping[str, Any]
    warrant: Warrant
    abandon: Callable[[], None] = lambda: None
    """No answer is ours to give: another gateway has the device."""

    @property
    def over(self) -> bool:
        """Whether the answer has gone."""
        return self.warrant.over

    @property
    def sent(self) -> bool:
        """Whether the write may have reached the device."""
        return self.warrant.sent

    def fail(self, error: GatewayError) -> None:
        """The write has failed."""
        self.warrant.end(None, error)


@dataclass(slots=True)
class RevertJob:
    """What was written is to be given back; goes before everything else, and again until it is done.

    ``not_before`` is boot clock seconds. ``spec`` is what the point was written under.
    """

    spec: Spec
    register: Register
    value: Scalar | None
    options: Mapping[str, Any]
    debt: Debt
    not_before: float = 0.0
    repeated: bool = False

    def fits(self, spec: Spec) -> bool:
        """Whether a device that runs on ``spec`` reaches what this one was written to."""
        return self.spec.interface is spec.interface and self.spec.config == spec.config


Job = ReadJob | WriteJob


class Outlet(Protocol):
    """Where a device's readings and states go; called on its thread, never waits."""

    def reading(self, spec: Spec, reading: Reading) -> None:
        """A poll brought this."""
        ...

    def status(self, path: str, status: DeviceStatus) -> None:
        """The device's state has changed."""
        ...

    def learned(self, spec: Spec, facts: tuple[str, ...]) -> None:
        """The driver knows something new about the device, or no more."""
        ...

    def ended(self, path: str) -> None:
        """The device is no more."""
        ...


@dataclass(slots=True)
class Counters:
    """What has happened since the start; written by the device thread, read by anyone."""

    polls: int = 0
    missed: int = 0
    failures: int = 0
    max_late: float = 0.0
