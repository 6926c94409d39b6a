"""What others want of a device, and what it tells them: the values that cross to and from its thread."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from gateway.model import DeviceStatus, Reading, Register, Scalar
from gateway.store.device_config import Spec
from gateway.sweep import Sweep
from gateway.ticket import Ticket


@dataclass(slots=True)
class ReadJob:
    """A client wants these registers, which are of ``spec``, read now; ``result`` makes the answer, or raises it."""

    spec: Spec
    registers: tuple[Register, ...]
    ticket: Ticket
    result: Callable[[Reading], Any]
    sweep: Sweep | None = None


@dataclass(slots=True)
class WriteJob:
    """A client wants this value written; ``None`` relinquishes, where the protocol can."""

    spec: Spec
    register: Register
    value: Scalar | None
    options: Mapping[str, Any]
    ticket: Ticket
    guard: Callable[[], None]
    """Raises when the requester may not write this device any more; called right before the bytes go."""


Job = ReadJob | WriteJob


class Outlet(Protocol):
    """Where a device's readings and states go; called on its thread, never waits."""

    def reading(self, spec: Spec, reading: Reading) -> None:
        """A poll brought this."""
        ...

    def status(self, path: str, status: DeviceStatus) -> None:
        """The device's state has changed."""
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
