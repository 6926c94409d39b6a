"""What the arguments of a writing request mean."""

from __future__ import annotations

from typing import Any

from gateway.errors import BadRequest, BadValue, ReadOnly
from gateway.model import Register, Scalar
from gateway.payloads import BadPayload, parse
from gateway.rpc import Call
from gateway.store.device_config import Spec
from gateway.values import coerce, shown

LOWEST_PRIORITY = 16
"""BACnet has the priorities 1 to 16, 1 the highest (ANSI/ASHRAE 135, 19.2)."""
_MISSING = object()


def value_of(call: Call, register: Register) -> Scalar | None:
    """The value that a payload holds for a point. Raises ReadOnly, BadRequest, BadValue, OutOfRange."""
    given = call.arguments.get("value", _MISSING) if call.arguments else _plain(call.payload, register)
    if given is _MISSING:
        writable(register)
        raise BadRequest('there is no value: send it as the payload, or as {"value": ...}')
    return checked(register, given)


def checked(register: Register, given: Any) -> Scalar | None:
    """A value as the point takes it; None stays None. Raises ReadOnly, BadValue, OutOfRange."""
    writable(register)
    return None if given is None else coerce(register, given)


def writable(register: Register) -> None:
    """Raises ReadOnly."""
    if not register.writable:
        raise ReadOnly(f'"{register.name}" is not writable')


def priority_of(call: Call, spec: Spec) -> int | None:
    """The priority that is named; None if there is none. Raises BadRequest."""
    given = call.arguments.get("priority")
    if "priority" not in call.arguments:
        return None
    if all(register.priority is None for register in spec.registers):
        raise BadRequest(f"no point of this {spec.driver_type} device has priorities")
    if not isinstance(given, int) or isinstance(given, bool) or not 1 <= given <= LOWEST_PRIORITY:
        raise BadRequest(f"priority is a whole number from 1 to {LOWEST_PRIORITY}, not {shown(given)}")
    return given


def slot_of(register: Register, named: int | None) -> int | None:
    """The priority to write a point at: the one that is named, else its own; None if it has none. Raises BadRequest."""
    if named is None or register.priority is None:
        if named is not None:
            raise BadRequest(f'"{register.name}" has no priorities')
        return register.priority
    if named < register.min_priority:
        raise BadRequest(
            f"priority {named} is kept for others: this device is written at {register.min_priority} to {LOWEST_PRIORITY}"
        )
    return named


def text_of(call: Call, *names: str) -> str | None:
    """The text of the first of these arguments that is there. Raises BadRequest if it is no text."""
    for name in names:
        given = call.arguments.get(name)
        if given is not None:
            if not isinstance(given, str) or not given:
                raise BadRequest(f"{name} is a text, not {shown(given)}")
            return given
    return None


def fence_of(call: Call) -> int | None:
    """The fence that is named. Raises BadRequest."""
    given = call.arguments.get("fence")
    if given is not None and (not isinstance(given, int) or isinstance(given, bool)):
        raise BadRequest(f"fence is the whole number that acquire_lease gave, not {shown(given)}")
    return given


def flag_of(call: Call, name: str, default: bool) -> bool:
    """A yes or no. Raises BadRequest."""
    given = call.arguments.get(name, default)
    if not isinstance(given, bool):
        raise BadRequest(f"{name} is true or false, not {shown(given)}")
    return given


def _plain(payload: str, register: Register) -> Any:
    """The value of a payload that is no object: JSON, or for a text or enum point the text itself."""
    if not payload.strip() or payload.lstrip().startswith("{"):
        return _MISSING
    textual = register.type == "string"
    if textual and not payload.startswith('"') and payload.strip() != "null":
        return payload
    try:
        return parse(payload)
    except BadPayload as error:
        if textual:
            raise BadValue(f"{shown(payload)} begins with a quote, as a text in JSON does, but is {error}") from None
        return payload  # coerce refuses it, and says what the point takes
