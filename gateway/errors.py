"""Every error the gateway raises on purpose, with its code on the wire and what the caller does next.

GatewayError
├── RequestError            a request is refused before anything reaches the device
│   ├── BadRequest          bad_request       mend the request
│   ├── UnknownMethod       unknown_method    mend the method name
│   ├── UnknownDevice       unknown_device    mend the path, or configure the device
│   ├── UnknownPoint        unknown_point     mend the point name
│   ├── ReadOnly            read_only         do not write this point
│   ├── BadValue            bad_value         send a value of the point's type
│   ├── OutOfRange          out_of_range      send a value within the point's limits
│   ├── LeaseRequired       lease_required    acquire a lease first
│   ├── LeasedByOther       leased_by_other   wait for the end that it tells, or ask with HIGH
│   ├── Overridden          overridden        wait until the override is taken back
│   ├── LeaseLost           lease_lost        the lease or fence named is not, or no longer, the device's
│   ├── Busy                busy              try again later
│   └── Unavailable         unavailable       the gateway stops, or another process has taken its id
├── DeadlinePassed          timeout           nothing was sent; ask again
├── OutcomeUnknown          outcome_unknown   the write left and was not answered; read the point back
├── Misconfigured           misconfigured     see the device's status topic
├── Offline                 device_offline    wait; the gateway keeps trying
├── PointFailed             (the point's)     see the message
└── DeviceError             raised by an interface; its class says what the device thread does next
    ├── Unreachable         device_offline    close, back off, open again
    │   └── NotSent         device_offline    the same, and the write in hand has not left
    ├── Transient           timeout           these points, this time; go on with the poll
    ├── Rejected            device_rejected   the device said no; never repeat a write
    ├── NotTaken            device_rejected   it confirmed a write and holds something else: what it held may be gone
    └── ConfigFault         misconfigured     the configuration can not work; say where and how to mend it
"""

from __future__ import annotations

from typing import NamedTuple


class GatewayError(Exception):
    """Base of all: ``code`` is the word on the wire, ``message`` is for people, ``data`` for programs."""

    code: str = "internal"

    def __init__(self, message: str, **data: object) -> None:
        super().__init__(message)
        self.message = message
        self.data = data


class RequestError(GatewayError):
    """A request is refused before anything is sent to a device."""

    code = "bad_request"


class BadRequest(RequestError):
    """The request can not be understood: mend it."""


class UnknownMethod(RequestError):
    """There is no such method."""

    code = "unknown_method"


class UnknownDevice(RequestError):
    """No device of this gateway has that path."""

    code = "unknown_device"


class UnknownPoint(RequestError):
    """The device has no such point."""

    code = "unknown_point"


class ReadOnly(RequestError):
    """The point is not writable."""

    code = "read_only"


class BadValue(RequestError):
    """The value is not of the point's type."""

    code = "bad_value"


class OutOfRange(RequestError):
    """The value lies outside the point's limits."""

    code = "out_of_range"


class LeaseRequired(RequestError):
    """The device may be written only under a lease."""

    code = "lease_required"


class LeasedByOther(RequestError):
    """Another task holds the device, or has reserved it: ``task``, ``holder`` and ``until`` say whose and how long."""

    code = "leased_by_other"


class Overridden(RequestError):
    """An override is in force on the device: nobody writes."""

    code = "overridden"


class LeaseLost(RequestError):
    """The lease or fence that the request names is not the one in force."""

    code = "lease_lost"


class Busy(RequestError):
    """A queue is full, or the device can not take the request now: try again later."""

    code = "busy"


class Unavailable(RequestError):
    """The gateway is stopping, displaced, or can not keep its journal."""

    code = "unavailable"


class DeadlinePassed(GatewayError):
    """The deadline came before the frame left: nothing was sent."""

    code = "timeout"


class OutcomeUnknown(GatewayError):
    """The write left for the device and no answer came: it may have been carried out or not."""

    code = "outcome_unknown"


class Misconfigured(GatewayError):
    """The device has no working configuration: its status topic says why."""

    code = "misconfigured"


class Offline(GatewayError):
    """The device does not answer at present; the gateway keeps trying."""

    code = "device_offline"


class PointFailed(GatewayError):
    """One point could not be read; the code is that of the point."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class DeviceError(GatewayError):
    """Raised by an interface; the class says what the device thread does next."""


class Unreachable(DeviceError):
    """There is no connection: the device thread closes, backs off and opens again."""

    code = "device_offline"


class NotSent(Unreachable):
    """There is no connection any more, and the write that was let through has not left: nothing was written."""


class Transient(DeviceError):
    """No usable answer this time: the points of this request fail in this poll, the poll goes on."""

    code = "timeout"


class Rejected(DeviceError):
    """The device answered with a refusal: a write is never repeated."""

    code = "device_rejected"


class NotTaken(DeviceError):
    """The device confirmed a write and then holds something else: it may have changed, so what it held is owed to it."""

    code = "device_rejected"


class ConfigFault(DeviceError):
    """The configuration can not work.

    ``where`` is the column or key at fault, ``suggestion`` what to write instead.
    """

    code = "misconfigured"

    def __init__(self, message: str, where: str = "", suggestion: str = "") -> None:
        super().__init__(message)
        self.where = where
        self.suggestion = suggestion


LEFT_NOTHING = (DeadlinePassed, NotSent)
"""Errors of a write that was let through to the wire and, it is certain, has not left."""


class Row(NamedTuple):
    """What a code means, what the caller does next, and what its ``data`` may hold."""

    meaning: str
    next: str
    data: str = ""


TABLE = {
    "bad_request": Row(
        "the request can not be understood, or may not come this way",
        "mend it; the message says what is wrong",
        "`response_topic` if that is what is refused; `patterns`: those in force, if one that is not was to be taken back",
    ),
    "unknown_method": Row("there is no such method", "mend its name", "`methods`: all there are"),
    "unknown_device": Row("no device of the gateway has that path", "mend the path, or configure the device"),
    "unknown_point": Row("the device has no such point", "mend the name; `list_points` lists them"),
    "read_only": Row("the point is not writable", "do not write it; if it can be, say `Writable` in the registry"),
    "bad_value": Row(
        "the value is not of the point's type; in a reading: what the device holds is no value of the point",
        "send one that is",
        "`enum`: the texts that it takes",
    ),
    "out_of_range": Row(
        "the value is outside the point's limits, or too far from what it has",
        "send one that is not; go a long way in steps",
        "`min`, `max`; or `max_step`, `present`",
    ),
    "lease_required": Row("the device may be written under a lease only", "`acquire_lease`, then write"),
    "leased_by_other": Row(
        "another task holds the device or has reserved it, perhaps one of your own",
        "wait until then; or ask with `HIGH`, before which some leases give way",
        "`task`, `holder`, `from`, `until`",
    ),
    "overridden": Row(
        "an override is in force on the device",
        "wait until it is taken back; `get_override_patterns` says until when",
    ),
    "lease_lost": Row(
        "the lease or fence that the request names is not in force, or there is none to renew or release",
        "do not go on as if you had the device; acquire a new one",
    ),
    "device_offline": Row(
        "the device does not answer at present",
        "ask again after `next_try`; the gateway keeps trying",
        "`next_try`: seconds until then",
    ),
    "device_rejected": Row(
        "the device answered with a refusal, or took another value",
        "see the message; the same again will not do",
    ),
    "timeout": Row("there was no answer in time; of a write: nothing was written", "ask again"),
    "outcome_unknown": Row(
        "a write was sent, and no answer came: it may have been carried out or not",
        "read the point back before anything else",
        "`read_back`: what the point held right after, if there was time to look",
    ),
    "busy": Row(
        "too much waits, the device's configuration or lease has just changed, or what was written is being given back",
        "ask again later, and more slowly",
        "`reason`: `rate`, `revert_pending`, `too_many_slots`, or `min_write_interval` with `retry_after` in seconds",
    ),
    "unavailable": Row(
        "the gateway or the device is being stopped, or the journal can not be written",
        "ask again later; if it stays so, see the gateway's status",
    ),
    "misconfigured": Row("the device has no working configuration", "see its status, which says what to mend"),
    "internal": Row("a failure in the gateway or a driver", "see its log, and report it"),
}
"""The codes of the contract; ``make docs`` writes docs/reference/errors.md from it."""
