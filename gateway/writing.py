"""A write, and looking at its point before and after it."""

from __future__ import annotations

from gateway.clock import Clock
from gateway.errors import DeviceError, PointFailed, Unreachable
from gateway.interfaces.base import Interface
from gateway.jobs import WriteJob
from gateway.model import Register, Scalar, Taken
from gateway.sweep import sweep_of


def carry_out(interface: Interface, job: WriteJob, clock: Clock) -> Taken:
    """What there is to know first, the journal, and the write itself; what the device took. Raises what these raise."""
    relinquishes = interface.relinquishes(job.register)
    wants_present = job.warrant.wants_present(relinquishes)
    job.warrant.record(present_value(interface, job.register, clock) if wants_present else None)
    value = job.register.default if job.value is None and not relinquishes else job.value
    return interface.write(job.register, value, job.options, job.warrant.claim)


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
