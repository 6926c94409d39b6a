"""The chain of SunSpec models on a live device.

Source: SunSpec Device Information Model Specification: the marker ``SunS`` at 40000, 50000 or 0, then models, each with its
id, its length, and so many registers; the id 0xFFFF ends the chain.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from gateway.cli.scanning.line import Line
from gateway.errors import Transient
from gateway.interfaces._modbus.pdu import Refusal, Table

BASES = (40000, 50000, 0)
MARKER = [0x5375, 0x6E53]
END = 0xFFFF
MOST = 125
MAX_MODELS = 200


class NoChain(Exception):
    """There is no SunSpec device; says what was asked."""


@dataclass(frozen=True, slots=True)
class Model:
    """A model of the device: its id, where it begins, its registers from the id on; those lack that could not be read."""

    number: int
    address: int
    length: int
    words: tuple[int, ...]


@dataclass(slots=True)
class Chain:
    """What was found: the base, the models in their order, and what is odd."""

    base: int
    models: list[Model] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)


def find_base(line: Line, unit: int) -> int:
    """Where the marker is. Raises NoChain, Unreachable."""
    heard = False
    for base in BASES:
        try:
            words = line.words(unit, Table.HOLDING, base, 2)
        except Refusal:
            heard = True
        except Transient:
            pass  # told below, if no base answers
        else:
            heard = True
            if words == MARKER:
                return base
    places = ", ".join(map(str, BASES))
    if heard:
        raise NoChain(f'unit {unit} has no "SunS" at {places}: it is no SunSpec device, or has another unit id')
    raise NoChain(f"unit {unit} does not answer: try another --unit, or a longer --timeout")


def walk(line: Line, unit: int, chain: Chain) -> None:
    """Read the models into the chain. One that can not be read is told; the walk ends where none follows."""
    at = chain.base + 2
    for _ in range(MAX_MODELS):
        try:
            number, length = line.words(unit, Table.HOLDING, at, 2)
        except (Refusal, Transient) as error:
            chain.remarks.append(f"the chain breaks off at {at} without its end: {error}")
            return
        if number == END:
            return
        if at + 2 + length > 65536:
            chain.remarks.append(f"model {number} at {at} is said to have {length} registers, which no device has")
            return
        chain.models.append(Model(number, at, length, _body(line, unit, at, length, chain)))
        at += 2 + length
    chain.remarks.append(f"the chain has more than {MAX_MODELS} models: the rest was not looked at")


def _body(line: Line, unit: int, at: int, length: int, chain: Chain) -> tuple[int, ...]:
    """The registers of a model from its id on, as far as they can be read."""
    words: list[int] = []
    while len(words) < length + 2:
        count = min(MOST, length + 2 - len(words))
        try:
            words += line.words(unit, Table.HOLDING, at + len(words), count)
        except (Refusal, Transient) as error:
            chain.remarks.append(f"{count} registers from {at + len(words)} can not be read: {error}")
            break
    return tuple(words)
