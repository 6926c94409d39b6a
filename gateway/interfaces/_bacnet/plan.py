"""Which requests read which registers; pure.

A ReadPropertyMultiple asks for as many registers as the request and the answer have room for in one APDU of the device, by
what they take at most (ASHRAE 135, 20.2 and 21: ReadPropertyMultiple-Request and -ACK). The answer is what counts; texts are
taken for 40 octets long, so that one may be refused as too long: then it is divided, and that is remembered.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType

from gateway.interfaces._bacnet import names
from gateway.interfaces._bacnet.rows import BacnetRegister
from gateway.interfaces._bacnet.values import Ref
from gateway.interfaces.base import Batch

HEAD = 3
"""Octets of an unsegmented Complex-ACK before its service."""
_OBJECT = 7
"""Octets of an object: its identifier, and the tags around its properties."""
_PROPERTY = 7
"""Octets of a property beside its value: number of two octets, an index, and the tags around the value."""
_SIZES = {"boolean": 1, "enumerated": 3, "unsigned": 5, "integer": 5, "real": 5, "double": 10, "bit-string": 12}
_SIZES |= {"date": 5, "time": 5, "object-identifier": 5, "array": 120, "list": 120, "other": 40}
_TEXT = 40
LEAST = 50
"""Octets of the smallest APDU that a device may have."""


@dataclass(frozen=True)
class BacnetBatch(Batch):
    """Registers that one request reads; ``octets`` is how long the answer may be.

    ``refs`` are what it asks for, ``counts`` how many of them belong to each register, its own property first.
    """

    registers: tuple[BacnetRegister, ...]
    refs: tuple[Ref, ...] = ()
    counts: tuple[int, ...] = ()
    multiple: bool = True
    octets: int = 0


@dataclass(frozen=True)
class Chore(Batch):
    """A request that reads no register: what objects say of themselves (``refs``), or the time for the device."""

    refs: tuple[Ref, ...] = ()
    multiple: bool = True


@dataclass(frozen=True, slots=True)
class Limits:
    """What one request may ask for; ``single``: one property. ``flags``: status flags are read with present values."""

    octets: int
    points: int
    single: bool
    flags: bool


USUAL: Mapping[Ref, int] = MappingProxyType({})
ALONE, FLAGGED, FAULTY = 1, 2, 3
"""How many properties are asked for a present value: it alone, its status flags too, and its reliability as well."""


def refs_of(register: BacnetRegister, flags: bool, how: Mapping[Ref, int]) -> tuple[Ref, ...]:
    """What is asked for a register: the property, and beside a present value what ``how`` says, mostly status flags."""
    count = how.get(register.ref, FLAGGED) if flags and register.flagged else ALONE
    beside = (names.STATUS_FLAGS, names.RELIABILITY)[: count - 1]
    return (register.ref, *(replace(register.ref, property=number) for number in beside))


def plan(registers: Iterable[BacnetRegister], limits: Limits, how: Mapping[Ref, int] = USUAL) -> list[BacnetBatch]:
    """The batches that read these registers, each once and in order."""
    if limits.single:
        return [single(register) for register in registers]
    batches: list[BacnetBatch] = []
    group: list[tuple[BacnetRegister, tuple[Ref, ...]]] = []
    octets = HEAD
    for register in registers:
        refs = refs_of(register, limits.flags, how)
        size = octets_of(register, len(refs))
        if group and (octets + size > limits.octets or len(group) >= limits.points):
            batches.append(_batch(group, octets))
            group, octets = [], HEAD
        group.append((register, refs))
        octets += size
    return [*batches, _batch(group, octets)] if group else batches


def single(register: BacnetRegister) -> BacnetBatch:
    """The request for a register alone, of its property alone."""
    return BacnetBatch((register,), (register.ref,), (1,), multiple=False)


def _batch(group: Sequence[tuple[BacnetRegister, tuple[Ref, ...]]], octets: int) -> BacnetBatch:
    refs = tuple(ref for _, refs in group for ref in refs)
    return BacnetBatch(tuple(r for r, _ in group), refs, tuple(len(refs) for _, refs in group), octets=octets)


def halves(batch: BacnetBatch, limits: Limits, how: Mapping[Ref, int]) -> list[BacnetBatch]:
    """A batch in two; one of a single register becomes the request for its property alone."""
    if len(batch.registers) == 1:
        return [single(batch.registers[0])]
    middle = (len(batch.registers) + 1) // 2
    parts = batch.registers[:middle], batch.registers[middle:]
    return [smaller for part in parts for smaller in plan(part, limits, how)]


def octets_of(register: BacnetRegister, count: int) -> int:
    """How long the part of an answer that brings a register may be; ``count``: of how many properties."""
    value = _SIZES.get(register.datatype, _TEXT)
    return _OBJECT + _PROPERTY + value + (count - 1) * (_PROPERTY + 3)


def chores(refs: Sequence[Ref], limits: Limits, each: int) -> list[Chore]:
    """The requests for what objects say of themselves, ``each`` octets long at most."""
    count = 1 if limits.single else max(1, min(limits.points, (limits.octets - HEAD) // (_OBJECT + _PROPERTY + each)))
    parts = [tuple(refs[at : at + count]) for at in range(0, len(refs), count)]
    return [Chore((), part, multiple=not limits.single) for part in parts]
