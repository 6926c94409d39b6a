"""Modbus bytes to values and back; pure.

Source: [AP] MODBUS Application Protocol Specification V1.1b3.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence

from gateway.errors import BadValue, OutOfRange
from gateway.interfaces._modbus.pdu import WRITE_COIL, WRITE_REGISTERS, ModbusRegister, Query
from gateway.model import PointError, Scalar
from gateway.values import shown

_HEAD = struct.Struct(">BHH")


def write_query(register: ModbusRegister, raw: Scalar) -> Query:
    """Write a value: function 5 for a coil, 16 for registers; the echo is checked ([AP] 6.5, 6.12).

    Raises BadValue or OutOfRange.
    """
    if register.table.bits:
        pdu = _HEAD.pack(WRITE_COIL, register.address, 0xFF00 if raw else 0)
        return Query(pdu, pdu, len(pdu))
    data = encode(register, raw)
    head = _HEAD.pack(WRITE_REGISTERS, register.address, register.count)
    return Query(head + bytes((len(data),)) + data, head, len(head))


def encode(register: ModbusRegister, raw: Scalar) -> bytes:
    """The bytes of a value in the order of the wire. Raises BadValue or OutOfRange if the registers can not hold it."""
    data = _text_bytes(register, raw) if isinstance(raw, str) else _number_bytes(register, raw)
    return _words_reversed(data) if register.mixed else data


def decode(register: ModbusRegister, data: bytes) -> Scalar | PointError:
    """The value of one point from the bytes of its registers."""
    (value,) = struct.unpack(register.format, _words_reversed(data) if register.mixed else data)
    return _text(value) if isinstance(value, bytes) else value


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
        runs = {order: _disjoint(r for r in registers if r.format[0] == order and _plain(r)) for order in "><"}
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


def _plain(register: ModbusRegister) -> bool:
    return not register.format.endswith("s") and (register.count == 1 or not register.mixed)


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


def _words_reversed(data: bytes) -> bytes:
    return b"".join(data[at : at + 2] for at in range(len(data) - 2, -1, -2))


def _number_bytes(register: ModbusRegister, raw: float) -> bytes:
    try:
        return struct.pack(register.format, raw)
    except (struct.error, OverflowError):
        raise OutOfRange(f'{shown(raw)} does not fit the {register.format} of "{register.name}"{_range(register)}') from None


def _range(register: ModbusRegister) -> str:
    if register.raw_type != "integer":
        return ""
    bits = 16 * register.count
    least, most = (-(1 << bits - 1), (1 << bits - 1) - 1) if register.format[1].islower() else (0, (1 << bits) - 1)
    return f" ({least} to {most})"


def _text_bytes(register: ModbusRegister, text: str) -> bytes:
    size = 2 * register.count
    if not text.isascii() or "\0" in text:
        raise BadValue(f'"{register.name}" takes ASCII text, not {shown(text)}')
    if len(text) > size:
        raise OutOfRange(f'"{register.name}" takes at most {size} characters, not {len(text)}')
    return text.encode("ascii").ljust(size, b"\0")


def _text(data: bytes) -> str | PointError:
    text = data.rstrip(b"\0 ")
    if not text.isascii() or b"\0" in text:
        return PointError("bad_value", f"the device holds {shown(data.hex(' '))}, which is not ASCII text")
    return text.decode("ascii")
