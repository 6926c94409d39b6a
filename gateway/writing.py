"""Looking at a point before and after a write."""

from __future__ import annotations

from gateway.clock import Clock
from gateway.errors import DeviceError, PointFailed, Unreachable
from gateway.interfaces.base import Interface
from gateway.model import Register, Scalar
from gateway.sweep import sweep_of


def present_value(interface: Interface, register: Register, clock: Clock) -> Scalar:
    """What the point holds now.

    Raises PointFailed, and Unreachable when the connection is gone: without this value the write may not be done.
    """
    sweep = sweep_of(interface, (register,), clock)
    while not sweep.done:
        sweep.step(interface)
    failed = sweep.errors.get(register.name)
    if failed is None:
        return sweep.values[register.name]
    told = f'nothing was written: the value that "{register.name}" holds could not be read first: {failed.message}'
    if sweep.lost:
        raise Unreachable(told)
    raise PointFailed(failed.code, told)


def read_back(interface: Interface, register: Register, clock: Clock) -> dict[str, Scalar]:
    """What the point holds after a write without an answer: ``{"read_back": value}``, or nothing if it can not be read."""
    try:
        interface.open()
        return {"read_back": present_value(interface, register, clock)}
    except (DeviceError, PointFailed):
        return {}
