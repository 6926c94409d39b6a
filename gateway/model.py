"""Frozen values that cross threads."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

Scalar = bool | int | float | str
"""A point's value, as it stands in JSON."""


@dataclass(frozen=True, slots=True)
class Masked:
    """A write took, and a higher priority is in force: ``value`` is in the slot, ``effective`` what the point holds."""

    value: Scalar | None
    effective: Scalar


Taken = Scalar | Masked | None
"""What a device took: the value in engineering units, None if it was relinquished."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Register:
    """One point of a device, made by ``Interface.register`` from a validated row; drivers add its address.

    ``type`` is what clients see, ``raw_type`` what the driver reads and writes; both are ``boolean``,
    ``integer``, ``float`` or ``string``. Limits, default, deadband and tolerance are in engineering units.

    The value is raw * scale / divisor + offset, rounded to ``precision`` decimals. ``scale_register`` names the point that
    holds one more factor. A raw value of ``no_value`` stands for none. ``tolerance`` is how far what the device holds after
    a write may be from what was written; None is any distance. ``write_only`` points are never read. ``hidden`` registers
    are read for the sake of others and belong to no point. ``interval`` is seconds between two polls of it, None the
    device's. ``max_step`` is how far one write may change it, ``min_write_interval`` seconds between two writes.
    ``priority`` is the one that a write goes to which names none, ``min_priority`` the smallest number that it may name;
    None: the point has no priorities, and what is written to it stays until something else is.
    """

    name: str
    type: str
    raw_type: str
    units: str = ""
    writable: bool = False
    minimum: float | None = None
    maximum: float | None = None
    default: Scalar | None = None
    enum: Mapping[int, str] | None = None
    description: str = ""
    deadband: float = 0
    interval: float | None = None
    max_step: float | None = None
    min_write_interval: float = 0
    scale: float = 1
    offset: float = 0
    divisor: float = 1
    precision: int | None = None
    scale_register: str = ""
    no_value: frozenset[int | float] = frozenset()
    tolerance: float | None = None
    write_only: bool = False
    hidden: bool = False
    priority: int | None = None
    min_priority: int = 1

    @property
    def scaled(self) -> bool:
        """Whether the value is another number than the raw one."""
        return self.scale != 1 or self.offset != 0 or self.divisor != 1

    @property
    def converts(self) -> bool:
        """Whether a raw value needs a second look before a client may see it."""
        special = self.enum is not None or bool(self.no_value) or self.scale_register != ""
        return self.raw_type == "float" or special or self.scaled


@dataclass(frozen=True, slots=True)
class PointError:
    """Why a point has no value: a code of the error table and a sentence for people.

    ``unsupported`` says that the device does not have this point: it is left out of the next polls.
    """

    code: str
    message: str
    unsupported: bool = False


@dataclass(frozen=True, slots=True)
class Quality:
    """What a device says against a value of its own: flags such as ``fault`` and ``overridden``, and why, if it knows."""

    flags: tuple[str, ...]
    reliability: str = ""


@dataclass(frozen=True, slots=True)
class Reading:
    """What one poll or notice brought; ``wall`` is the time of the device's last answer, in seconds since 1970.

    ``quality`` is of those values that the device itself says something against.
    """

    path: str
    wall: float
    values: Mapping[str, Scalar]
    errors: Mapping[str, PointError]
    quality: Mapping[str, Quality] = field(default_factory=dict)


class DeviceState(StrEnum):
    """The states of a device, as in its status topic."""

    STARTING = "starting"
    ONLINE = "online"
    DEGRADED = "degraded"
    OFFLINE = "offline"
    MISCONFIGURED = "misconfigured"


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing wrong in a document: where it stands, what it is, how to mend it."""

    where: str
    message: str
    suggestion: str = ""


@dataclass(frozen=True, slots=True)
class DeviceStatus:
    """How a device does at present; ``since``, ``last_reading`` and ``next_try`` are wall clock seconds."""

    state: DeviceState
    since: float
    reason: PointError | None = None
    last_reading: float | None = None
    next_try: float | None = None
    points_ok: int = 0
    points_failed: int = 0


@dataclass(frozen=True, slots=True)
class LastValue:
    """The newest good value of a point with its quality, and the error if the newest try failed."""

    value: Scalar | None = None
    wall: float | None = None
    error: PointError | None = None
    quality: Quality | None = None


@dataclass(frozen=True, slots=True)
class Learned:
    """What a driver has found out about its device, running on the config with this fingerprint."""

    path: str
    fingerprint: str
    facts: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Message:
    """A message as it came from the broker.

    ``received`` is boot clock seconds, ``expiry`` the seconds it had left then. ``suspect`` says that it may have waited
    unseen, so that its true age is not known.
    """

    topic: str
    payload: bytes
    retain: bool = False
    qos: int = 0
    received: float = 0.0
    response_topic: str | None = None
    correlation: bytes | None = None
    expiry: int | None = None
    user: tuple[tuple[str, str], ...] = ()
    suspect: bool = False


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A message to publish.

    ``until`` (boot clock) is how long it is worth sending when the connection breaks first; 0 is not at all. One that is
    ``expendable`` is not worth sending later in any case, and goes first when too much waits. ``replay`` is the payload
    that goes to ``replay_topic`` instead when the reading could not be sent in time.
    """

    topic: str
    payload: bytes
    qos: int = 1
    retain: bool = False
    expiry: int | None = None
    correlation: bytes | None = None
    content_type: str | None = None
    user: tuple[tuple[str, str], ...] = ()
    until: float = 0.0
    expendable: bool = False
    replay_topic: str | None = None
    replay: bytes | None = None


@dataclass(frozen=True, slots=True)
class Connected:
    """The link is up: nothing is subscribed yet."""


@dataclass(frozen=True, slots=True)
class Disconnected:
    """The link is down, or could not be brought up; the reason is for people."""

    reason: str


Event = Message | Connected | Disconnected
"""What a link tells."""
