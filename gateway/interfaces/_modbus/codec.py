"""Modbus bytes to values and back; pure.

Source: [AP] MODBUS Application Protocol Specification V1.1b3.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence

from gateway.errors import BadValue, OutOfRange
from gateway.interfaces._modbus.kinds import whole_range
from gateway.interfaces._modbus.pdu import ModbusRegister
from gateway.model import PointError, Scalar
from gateway.values import shown


def encode(register: ModbusRegister, raw: Scalar) -> bytes:
    """The bytes of a value in the order of the wire. Raises BadValue or OutOfRange if the registers can not hold it."""
    if register.kind is None:
        data = _number_bytes(register, raw)
        return words_reversed(data) if register.mixed else data
    try:
        return ordered(register, register.kind.encode(raw, 2 * register.count))
    except (BadValue, OutOfRange) as error:
        raise type(error)(f'"{register.name}" {error.message}') from None


def decode(register: ModbusRegister, data: bytes) -> Scalar | PointError:
    """The value of one point from the bytes of its registers."""
    if register.kind is not None:
        return register.kind.decode(ordered(register, data))
    value: int | float
    (value,) = struct.unpack(register.format, words_reversed(data) if register.mixed else data)
    return value


def ordered(register: ModbusRegister, data: bytes) -> bytes:
    """The bytes of a register, from the order of the wire to the most significant first, or back: it is its own inverse."""
    if register.mixed:
        data = words_reversed(data)
    return data[::-1] if register.format == "<" else data


class BitLayout:
    """Where points lie in the reply to a read of bits, which begins at ``start``."""

    def __init__(self, registers: Sequence[ModbusRegister], start: int) -> None:
        self._places = [(r.name, start - r.address - 1) for r in registers]

    def decode(self, data: bytes) -> dict[str, Scalar | PointError]:
        """The value of each point: the first bit is the lowest of the first byte ([AP] 6.1), so the number's last digit."""
        digits = f"{int.from_bytes(data, 'little'):0{8 * len(data)}b}"
        return {name: digits[place] == "1" for name, place in self._places}


class WordLayout:
    """Where points lie in the reply to a read of registers from ``start`` to before ``end``.

    Numbers that do not overlap are unpacked by one struct for each byte order; the rest one by one.
    """

    def __init__(self, registers: Sequence[ModbusRegister], start: int, end: int) -> None:
        runs = {order: _disjoint(r for r in registers if _plain(r) and r.format[0] == order) for order in "><"}
        together = {r.name for run in runs.values() for r in run}
        self._structs = [(_run_struct(order, run, start, end), [r.name for r in run]) for order, run in runs.items() if run]
        self._single = [
            (r, slice(2 * (r.address - start), 2 * (r.end - start))) for r in registers if r.name not in together
        ]

    def decode(self, data: bytes) -> dict[str, Scalar | PointError]:
        """The value of each point, or the error of one that has none."""
        values: dict[str, Scalar | PointError] = {}
        for packed, names in self._structs:
            values.update(zip(names, packed.unpack(data), strict=True))
        for register, place in self._single:
            values[register.name] = decode(register, data[place])
        return values


def layout(registers: Sequence[ModbusRegister], start: int, end: int) -> BitLayout | WordLayout:
    """How to decode a reply that holds these registers of one table."""
    return BitLayout(registers, start) if registers[0].table.bits else WordLayout(registers, start, end)


def words_reversed(data: bytes) -> bytes:
    """The 16-bit words in reverse order."""
    return b"".join(data[at : at + 2] for at in range(len(data) - 2, -1, -2))


def _plain(register: ModbusRegister) -> bool:
    return register.kind is None and len(register.format) == 2 and (register.count == 1 or not register.mixed)


def _disjoint(registers: Iterable[ModbusRegister]) -> list[ModbusRegister]:
    run: list[ModbusRegister] = []
    for register in sorted(registers, key=lambda r: r.address):
        if not run or register.address >= run[-1].end:
            run.append(register)
    return run


def _run_struct(order: str, run: Sequence[ModbusRegister], start: int, end: int) -> struct.Struct:
    parts = [order]
    for register in run:
        parts += [f"{2 * (register.address - start)}x", register.format[1:]]
        start = register.end
    return struct.Struct("".join([*parts, f"{2 * (end - start)}x"]))


def _number_bytes(register: ModbusRegister, raw: Scalar) -> bytes:
    try:
        return struct.pack(register.format, raw)
    except (struct.error, OverflowError):
        raise OutOfRange(f'{shown(raw)} does not fit the {register.format} of "{register.name}"{_range(register)}') from None


def _range(register: ModbusRegister) -> str:
    if register.raw_type != "integer":
        return ""
    least, most = whole_range(16 * register.count, register.format[1].islower())
    return f" ({least} to {most})"
