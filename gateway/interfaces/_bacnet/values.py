"""What a device's thread and the BACnet network say to each other: frozen values, and the network as the thread sees it.

Numbers of object types, properties and datatypes are those of ASHRAE 135 (clauses 20.2 and 21). Nothing here knows a
BACnet library; all of it crosses the pipe to the child process as JSON.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from gateway.errors import GatewayError

PRESENT_VALUE = 85
"""The property that a ``Ref`` means if it names none."""
ANY_DEVICE = 4194303
"""The instance by which a device object answers whatever its own is (ASHRAE 135, 12.11)."""
MAX_INSTANCE = 4194302

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
"""None, bool, int (enumerated too), float (not finite too), str, a list of ``Item``, or a dict that says what it is.

``{"bits": [true, false]}``, ``{"hex": "0a0b"}``, ``{"object": [8, 1001]}``, ``{"date": "2026-11-26"}``, ``{"time":
"10:00:00.00"}``; in dates and times ``*`` stands for a part that is left open. ``{"other": "<hex>"}`` has no simple form:
it is shown and never written.
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
    """The value of a property; ``datatype`` is one of ``DATATYPES``, or ``list`` (also an array), or ``other``.

    Of a list or array with a single element only the element is told: the wire does not say which it is.
    """

    datatype: str
    value: Value


@dataclass(frozen=True, slots=True)
class Failure:
    """Why there is no answer to use.

    ``kind`` is ``error``, ``reject`` or ``abort`` (the device's refusal: ``reason`` is its name in ASHRAE 135, such as
    ``unknown-object``, ``unrecognized-service``, ``segmentation-not-supported``, and ``error_class`` that of an error),
    ``timeout`` (no answer), ``lost`` (the network went down with the request under way), ``unreachable`` (no network, no
    route, device not found: nothing left), ``busy`` (too much is under way: nothing left), ``not_sent`` (a write that was
    late, cancelled or can not be encoded: nothing left).
    """

    kind: str
    message: str
    reason: str = ""
    error_class: str = ""

    @property
    def unknown(self) -> bool:
        """Whether a write that ended so may have been carried out."""
        return self.kind in ("timeout", "lost")


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
    vendor: int


@dataclass(frozen=True, slots=True)
class Changed:
    """A notice of a subscription: values by property (present value and status flags), come at ``received`` (boot clock)."""

    ref: Ref
    items: Mapping[int, Item]
    received: float


@dataclass(frozen=True, slots=True)
class Lapsed:
    """A subscription is refused or dead; it is tried again from time to time until ``unsubscribe``. Poll meanwhile."""

    ref: Ref
    failure: Failure


@dataclass(frozen=True, slots=True)
class Restarted:
    """The device has told that it started: its subscriptions are being renewed, what it held may be another value now."""


Notice = Changed | Lapsed | Restarted


class Session(Protocol):
    """One device on a network, for the thread of that device; a call takes no longer than its timeout (seconds)."""

    def facts(self) -> Facts | None:
        """What ``find`` has found."""
        ...

    def find(self, timeout: float = 3.0) -> Facts:
        """Ask the device who it is, or all devices where it is; also when it was found before. Raises RequestFailed."""
        ...

    def read(
        self, refs: Sequence[Ref], *, multiple: bool = True, timeout: float = 3.0, retries: int = 1
    ) -> list[Item | Failure]:
        """One request: ReadPropertyMultiple, or ReadProperty of a single ref. An answer for each ref, in their order.

        It is repeated so many times within the timeout. Raises RequestFailed.
        """
        ...

    def write(
        self,
        ref: Ref,
        datatype: str,
        value: Value,
        priority: int | None = None,
        *,
        deadline: float,
        timeout: float = 3.0,
    ) -> None:
        """Write once; ``null`` relinquishes. After ``deadline`` (boot clock) it does not leave. Raises RequestFailed."""
        ...

    def subscribe(self, ref: Ref, *, lifetime: int, confirmed: bool) -> None:
        """Have changes of an object told from now on, whatever happens to device and network; does not wait."""
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
class Local:
    """The local interface that a device config asks for; None is what the settings say.

    ``address`` is ``192.168.1.10/24``, ``bbmd`` ``10.0.0.1`` or ``10.0.0.1:47808``: where to register as a foreign device.
    """

    address: str | None = None
    port: int | None = None
    bbmd: str | None = None


class Networks(Protocol):
    """The networks in use (``Environment.networks``): each is started for the first that joins and ended with the last."""

    def join(self, local: Local, target: Target, alarm: Callable[[], None], *, in_flight: int = 1) -> Session:
        """A session, without asking the device for anything. Raises RequestFailed if there is no such network.

        ``alarm`` is called from another thread when ``notices`` has something, or the network went down or came up: it may
        not block. ``in_flight`` is how many requests the device takes at a time.
        """
        ...

    def who_is(
        self, local: Local, low: int | None, high: int | None, address: str | None, timeout: float = 3.0
    ) -> list[Facts]:
        """The devices that answer a Who-Is within that time. Raises RequestFailed."""
        ...

    def time_sync(self, local: Local, address: str | None, wall: float, utc: bool) -> None:
        """Tell the time to one device, or to all. Raises RequestFailed."""
        ...
