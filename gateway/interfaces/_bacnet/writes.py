"""What a point holds after a write: the slot of the priority that was written, and what is in force above it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from gateway.errors import DeviceError, NotTaken, Rejected
from gateway.interfaces._bacnet import names
from gateway.interfaces._bacnet.peer import LACKING, REFUSALS, Peer, read_trouble
from gateway.interfaces._bacnet.rows import ALWAYS, BacnetRegister
from gateway.interfaces._bacnet.values import Failure, Item, Ref, RequestFailed
from gateway.model import Masked, PointError, Scalar, Taken

SLOTS = 16
"""Elements of a priority array (ASHRAE 135, 19.2)."""
Decode = Callable[[Item], Scalar | PointError]


def has_slots(peer: Peer, place: BacnetRegister) -> bool:
    """Whether the object has a priority array, by asking for its length. Raises Transient, Unreachable, Rejected."""
    if place.ref.object_type in ALWAYS:
        return True
    told = ask(peer, _slot(place, 0))
    if isinstance(told, Item):
        return True
    if told.kind not in REFUSALS:
        raise read_trouble(told)
    if told.reason == "unknown-object":
        raise Rejected(told.message)
    return told.reason not in LACKING - {"property-is-not-an-array", "invalid-array-index"}


def taken(
    peer: Peer, place: BacnetRegister, raw: Scalar | None, priority: int | None, multiple: bool, decode: Decode
) -> Taken:
    """What the device holds after it has confirmed a write; what was written, if it does not tell. Raises NotTaken."""
    try:
        if priority is None:
            return _or(_value(ask(peer, place.ref), decode), raw)
        present, above, slot = _look(peer, place, priority, multiple, decode)
    except DeviceError:
        return raw
    if isinstance(slot, PointError):
        return raw
    if slot is None and raw is not None:
        raise NotTaken(f"the device confirmed the write, and then priority {priority} holds nothing")
    if above and not isinstance(present, PointError) and present is not None:
        return Masked(slot, present)
    return slot


def ask(peer: Peer, ref: Ref) -> Item | Failure:
    """One property; a failure whichever way it fails. Raises Unreachable."""
    try:
        return peer.read((ref,), multiple=False)[0]
    except RequestFailed as failed:
        return failed.failure


def _look(
    peer: Peer, place: BacnetRegister, priority: int, multiple: bool, decode: Decode
) -> tuple[Scalar | PointError | None, bool, Scalar | PointError | None]:
    """The present value, whether a higher priority is in force, and what the slot holds."""
    present, array = _both(peer, place, multiple)
    value = _value(present, decode)
    if isinstance(array, Item) and isinstance(array.value, list) and len(array.value) == SLOTS:
        above = any(item.datatype != "null" for item in array.value[: priority - 1])
        return value, above, _value(array.value[priority - 1], decode)
    slot = _value(ask(peer, _slot(place, priority)), decode)
    return value, slot is not None and value != slot, slot


def _both(peer: Peer, place: BacnetRegister, multiple: bool) -> tuple[Item | Failure, Item | Failure]:
    array = replace(place.ref, property=names.PRIORITY_ARRAY)
    if multiple:
        try:
            present, slots = peer.read((place.ref, array), multiple=True)
        except RequestFailed as failed:
            if failed.failure.kind not in REFUSALS:
                return failed.failure, failed.failure
        else:
            return present, slots
    return ask(peer, place.ref), ask(peer, array)


def _slot(place: BacnetRegister, number: int) -> Ref:
    return replace(place.ref, property=names.PRIORITY_ARRAY, index=number)


def _value(told: Item | Failure, decode: Decode) -> Scalar | PointError | None:
    """What was told, None for null, an error for a failure."""
    if isinstance(told, Failure):
        return PointError("timeout", told.message)
    return None if told.datatype == "null" else decode(told)


def _or(value: Scalar | PointError | None, raw: Scalar | None) -> Scalar | None:
    return raw if isinstance(value, PointError) else value
