"""What a Modbus request and its reply hold, whatever carries them; pure.

Source: [AP] MODBUS Application Protocol Specification V1.1b3.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from enum import IntEnum

from gateway.errors import Transient
from gateway.interfaces._modbus.kinds import Kind
from gateway.model import Register

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

WRITE_COIL, WRITE_REGISTER, WRITE_COILS, WRITE_REGISTERS, MASK_REGISTER = 5, 6, 15, 16, 22
MAX_WRITE_REGISTERS = 123
"""The most that one request writes ([AP] 6.12)."""

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

    ``format`` is the struct format of a plain number, or only the byte order where ``kind`` says what the registers hold;
    it is empty for a bit of a table of bits. ``mixed`` says that its 16-bit words are in reverse order.

    ``write`` is the function that writes it (5, 6, 15, 16 or 22). ``read_back`` is whether a write is followed by a read.
    ``reference`` is the Register Name in the registry. ``scale_from`` is the register that holds the scale, ``scale_kind``
    what that does: power, factor or divisor. ``through`` is how many addresses behind its end are named by ``pad`` rows:
    they may be read with it, as if a point were there. ``pad`` marks the register of such a row, which is no point.
    """

    table: Table
    address: int
    count: int
    format: str = ""
    mixed: bool = False
    kind: Kind | None = None
    write: int = 0
    read_back: bool = True
    reference: str = ""
    scale_from: ModbusRegister | None = None
    scale_kind: str = "power"
    through: int = 0
    pad: bool = False

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

    def due(self, reply: bytes) -> int:
        """How many bytes a good reply that begins so has; 0 if it can not be one, or does not tell yet."""
        return self.length if reply.startswith(self.head) else 0

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
