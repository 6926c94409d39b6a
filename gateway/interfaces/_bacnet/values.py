"""What a device's thread and the BACnet network say to each other: frozen values, and the network as the thread sees it.

Numbers of object types, properties and datatypes are those of ASHRAE 135 (clauses 20.2 and 21). Nothing here knows a
BACnet library; all of it crosses the pipe to the child process as JSON.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from gateway.errors import GatewayError

PRESENT_VALUE = 85
"""The property that a ``Ref`` means if it names none."""
ANY_DEVICE = 4194303
"""The instance by which a device object answers whatever its own is (ASHRAE 135, 12.11)."""

DATATYPES = (
    "null",
    "boolean",
    "unsigned",
    "integer",
    "real",
    "double",
    "octet-string",
    "character-string",
    "bit-string",
    "enumerated",
    "date",
    "time",
    "object-identifier",
)
"""Names of the application datatypes, each at the place of its tag number (ASHRAE 135, 20.2.1.4)."""

Value = Any
"""None, bool, int (enumerated too), float (not finite too), str, a list, or a dict with one key that says what it is.

``{"bits": [true, false]}``, ``{"octets": "0a0b"}``, ``{"object": [8, 1001]}``; ``{"date": [2026, 11, 26, 4]}`` (year, month,
day, weekday 1 = Monday) and ``{"time": [10, 0, 0, 0]}`` (hour, minute, second, hundredths), where null stands for "any";
``{"other": "..."}`` for what has no simple form, to be shown and never written.
"""


@dataclass(frozen=True, slots=True)
class Target:
    """A device by its id, its address, or both; by the id alone it is looked for, and again when it has moved.

    The address is ``10.0.0.5``, ``10.0.0.5:47809``, or ``<network>:<mac>`` behind a router.
    """

    device_id: int | None = None
    address: str | None = None

    def __str__(self) -> str:
        return f"device {self.device_id}" if self.address is None else self.address


@dataclass(frozen=True, slots=True)
class Ref:
    """A property of an object; ``index`` is the element of an array (0 is its length)."""

    object_type: int
    instance: int
    property: int = PRESENT_VALUE
    index: int | None = None


@dataclass(frozen=True, slots=True)
class Item:
    """A value of a property; ``datatype`` is one of ``DATATYPES``, or ``list`` or ``other``.

    The elements of a list (of an array too) are ``Item`` s with the same ``ref``.
    """

    ref: Ref
    datatype: str
    value: Value


@dataclass(frozen=True, slots=True)
class Failure:
    """Why there is no answer to use.

    ``kind`` is ``error``, ``reject`` or ``abort`` (the device's refusal: ``reason`` is its name in ASHRAE 135, such as
    ``unknown-object``, ``unrecognized-service``, ``segmentation-not-supported``, and ``error_class`` that of an error),
    ``timeout`` (no answer), ``lost`` (the network went down with the request under way), ``unreachable`` (no network, no
    route, device not found), ``busy`` (too much is under way: nothing left), ``not_sent`` (a write that was late or
    cancelled: nothing left). After ``timeout`` and ``lost`` nobody knows whether a write was carried out.
    """

    kind: str
    message: str
    reason: str = ""
    error_class: str = ""


class RequestFailed(GatewayError):
    """A request as a whole came to nothing."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.message)
        self.failure = failure


@dataclass(frozen=True, slots=True)
class Facts:
    """What a device says of itself in I-Am: ``segmentation`` is ``both``, ``transmit``, ``receive`` or ``none``."""

    device_id: int
    address: str
    max_apdu: int
    segmentation: str
    vendor_id: int


@dataclass(frozen=True, slots=True)
class Changed:
    """A notice of a subscription: present value and status flags, and when they came (boot clock, seconds)."""

    ref: Ref
    items: tuple[Item, ...]
    received: float


@dataclass(frozen=True, slots=True)
class Ended:
    """A subscription is dead: it could not be renewed, or the network went down. Subscribe again, or poll."""

    ref: Ref
    failure: Failure


@dataclass(frozen=True, slots=True)
class Restarted:
    """The device told that it has started: its subscriptions are renewed, what it held may be another value now."""


Notice = Changed | Ended | Restarted


class Session(Protocol):
    """One device on a network, for the thread of that device. Each call blocks for at most its timeout (seconds).

    All raise RequestFailed; reads and subscriptions are repeated once within the timeout, writes never.
    """

    @property
    def facts(self) -> Facts | None:
        """What ``find`` has found, or an I-Am has told since."""
        ...

    def find(self, timeout: float) -> Facts:
        """Look for the device, also when it was found before."""
        ...

    def read(self, refs: Sequence[Ref], *, multiple: bool = True, timeout: float = 3.0) -> list[Item | Failure]:
        """One request: ReadPropertyMultiple, or ReadProperty of a single ref. An answer for each ref, in their order."""
        ...

    def write(
        self, ref: Ref, datatype: str, value: Value, *, priority: int | None, deadline: float, timeout: float = 3.0
    ) -> None:
        """Write once; null relinquishes. After ``deadline`` (boot clock) it does not leave: ``not_sent``."""
        ...

    def subscribe(self, ref: Ref, *, lifetime: int, confirmed: bool, timeout: float = 3.0) -> None:
        """Have changes of an object told, and the subscription renewed until ``unsubscribe``, ``leave`` or ``Ended``."""
        ...

    def unsubscribe(self, ref: Ref) -> None:
        """Have no more changes told; does not wait."""
        ...

    def notices(self) -> list[Notice]:
        """What has come since the last call; does not wait."""
        ...

    def leave(self) -> None:
        """Use the session no more; any number of times."""
        ...


@dataclass(frozen=True, slots=True)
class Interface:
    """The local interface that a network uses: ``address`` is ``192.168.1.10/24``, and what its stack is told."""

    address: str
    port: int = 47808
    bbmd: str = ""
    bbmd_ttl: int = 300
    device_id: int = 4194302
    device_name: str = "gateway"
    vendor_id: int = 999
    max_apdu: int = 1476

    def __str__(self) -> str:
        return f"{self.address.partition('/')[0]}:{self.port}"


class Network(Protocol):
    """A local interface and port; several devices share it."""

    def join(self, target: Target, alarm: Callable[[], None], *, in_flight: int = 1) -> Session:
        """A session, without asking the device for anything.

        ``alarm`` is called from another thread when ``notices`` has something, or the network went down or came up.
        ``in_flight`` is how many requests the device takes at a time.
        """
        ...

    def who_is(self, low: int | None, high: int | None, address: str | None, timeout: float) -> list[Facts]:
        """The devices that answer a Who-Is within that time. Raises RequestFailed."""
        ...

    def time_sync(self, address: str | None, wall: float, utc: bool) -> None:
        """Tell the time to a device, or to all. Raises RequestFailed."""
        ...


class Networks(Protocol):
    """The networks in use (``Environment.networks``): started for the first that joins, ended when the last has left."""

    def network(self, interface: Interface) -> Network:
        """The network of an interface. Raises RequestFailed if it is in use with other settings."""
        ...
