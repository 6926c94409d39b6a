"""Modbus bytes to values and back; pure.

Sources: [AP] MODBUS Application Protocol Specification V1.1b3; [TCP] MODBUS Messaging on TCP/IP Implementation Guide V1.0b.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import IntEnum

from gateway.errors import BadValue, OutOfRange, Transient
from gateway.model import PointError, Register, Scalar
from gateway.values import shown

EXCEPTIONS = {
    1: "illegal function",
    2: "illegal data address",
    3: "illegal data value",
    4: "server device failure",
    5: "acknowledge",
    6: "server device busy",
    8: "memory parity error",
    10: "gateway path unavailable",
    11: "gateway target device failed to respond",
}
"""The words for the exception codes ([AP] 7)."""

WRITE_COIL, WRITE_REGISTERS = 5, 16
MAX_WRITE_REGISTERS = 123
"""The most that one request writes ([AP] 6.12)."""

_MBAP = struct.Struct(">HHHB")
_MAX_PDU = 253
_READ = struct.Struct(">BHH")


class Table(IntEnum):
    """The four tables of a device ([AP] 4.3), each with the function that reads it ([AP] 6.1 to 6.4)."""

    COIL = 1
    DISCRETE_INPUT = 2
    HOLDING = 3
    INPUT = 4

    @property
    def bits(self) -> bool:
        """Whether an address of this table is one bit, not a register of 16."""
        return self in (Table.COIL, Table.DISCRETE_INPUT)

    @property
    def most(self) -> int:
        """How many addresses one request may read ([AP] 6.1 to 6.4)."""
        return 2000 if self.bits else 125


@dataclass(frozen=True, kw_only=True, slots=True)
class ModbusRegister(Register):
    """A point at ``count`` addresses of a table, from ``address`` (0-based, as on the wire).

    ``format`` is the struct format of its value, empty for a bit. ``mixed`` says that its 16-bit words are in reverse order.
    """

    table: Table
    address: int
    count: int
    format: str = ""
    mixed: bool = False

    @property
    def end(self) -> int:
        """The address after the last one."""
        return self.address + self.count


class Refusal(Exception):
    """The device answered with an exception code."""

    def __init__(self, code: int) -> None:
        super().__init__(EXCEPTIONS.get(code, f"exception code {code}"))
        self.code = code


@dataclass(frozen=True, slots=True)
class Query:
    """A request, and what a good reply must be: it begins with ``head`` and has ``length`` bytes (both without MBAP)."""

    pdu: bytes
    head: bytes
    length: int

    def data(self, reply: bytes) -> bytes:
        """What the reply holds after its head. Raises Refusal, or Transient if it does not belong to this request."""
        if len(reply) == self.length and reply.startswith(self.head):
            return reply[len(self.head) :]
        if len(reply) == 2 and reply[0] == self.pdu[0] | 0x80:
            raise Refusal(reply[1])
        raise Transient(self._complaint(reply))

    def _complaint(self, reply: bytes) -> str:
        if reply[0] & 0x7F != self.pdu[0]:
            return f"the device answered function {self.pdu[0]} with function {reply[0]}"
        if len(reply) != self.length:
            return f"the device answered with {len(reply)} bytes where {self.length} were due"
        return f"the device answered {reply[: len(self.head)].hex(' ')} where {self.head.hex(' ')} was due"


def read_query(table: Table, address: int, count: int) -> Query:
    """Read ``count`` addresses ([AP] 6.1 to 6.4)."""
    size = (count + 7) // 8 if table.bits else 2 * count
    return Query(_READ.pack(table, address, count), bytes((table, size)), 2 + size)


def write_query(register: ModbusRegister, raw: Scalar) -> Query:
    """Write a value: function 5 for a coil, 16 for registers; the echo is checked ([AP] 6.5, 6.12).

    Raises BadValue or OutOfRange.
    """
    if register.table.bits:
        pdu = _READ.pack(WRITE_COIL, register.address, 0xFF00 if raw else 0)
        return Query(pdu, pdu, len(pdu))
    data = encode(register, raw)
    head = _READ.pack(WRITE_REGISTERS, register.address, register.count)
    return Query(head + bytes((len(data),)) + data, head, len(head))


def to_frame(transaction: int, unit: int, pdu: bytes) -> bytes:
    """A request as it goes over TCP ([TCP] 3.1.3: transaction, protocol 0, length of what follows, unit)."""
    return _MBAP.pack(transaction, 0, len(pdu) + 1, unit) + pdu


def from_frame(data: bytes, transaction: int, unit: int) -> bytes | None:
    """The reply to that transaction of that unit, or None while bytes are missing. Raises Transient for anything else."""
    if len(data) < _MBAP.size:
        return None
    got, protocol, length, replier = _MBAP.unpack_from(data)
    if protocol != 0 or not 3 <= length <= _MAX_PDU + 1:
        raise Transient(f"what came back is not a Modbus TCP frame: {data[:16].hex(' ')}")
    if got != transaction:
        raise Transient(f"the device answered transaction {got}, not {transaction}")
    if replier != unit:
        raise Transient(f"unit {replier} answered, not {unit}: is slave_id right?")
    if len(data) > length + 6:
        raise Transient(f"{len(data) - length - 6} bytes too many came with the reply")
    return data[_MBAP.size :] if len(data) == length + 6 else None


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
