"""The requests that write a value; pure.

Source: [AP] MODBUS Application Protocol Specification V1.1b3.
"""

from __future__ import annotations

import struct

from gateway.errors import ConfigFault, RequestError
from gateway.interfaces._modbus.codec import encode, ordered
from gateway.interfaces._modbus.kinds import Part
from gateway.interfaces._modbus.pdu import (
    MASK_REGISTER,
    WRITE_COIL,
    WRITE_COILS,
    WRITE_REGISTER,
    WRITE_REGISTERS,
    ModbusRegister,
    Query,
)
from gateway.model import Scalar
from gateway.values import shown, to_raw

_HEAD = struct.Struct(">BHH")


def needs_before(register: ModbusRegister) -> bool:
    """Whether a write must know what the registers hold: a value that is part of them, without a mask write."""
    return isinstance(register.kind, Part) and register.write != MASK_REGISTER


def check_writable(register: ModbusRegister) -> None:
    """ConfigFault if a writable register can not hold its Default Value or a number of its Enum."""
    values: list[tuple[str, Scalar]] = [("Enum", text) for text in (register.enum or {}).values()]
    if register.default is not None and not register.scale_register:  # what that does is known from the device only
        values.append(("Default Value", register.default))
    for column, value in values if register.writable else []:
        try:
            write_query(register, to_raw(register, value), bytes(2 * register.count))
        except RequestError as error:
            raise ConfigFault(f"{shown(value)} can not be written: {error.message}", column) from None


def write_query(register: ModbusRegister, raw: Scalar, before: bytes = b"") -> Query:
    """Write a value by the function of its register; the echo is checked ([AP] 6.5, 6.6, 6.11, 6.12, 6.16).

    ``before`` is what the registers hold, in the order of the wire, where ``needs_before``. Raises BadValue or OutOfRange.
    """
    if register.table.bits:
        return _coil(register, bool(raw))
    if register.write == MASK_REGISTER:
        return _mask(register, raw)
    data = _changed(register, raw, before) if needs_before(register) else encode(register, raw)
    if register.write == WRITE_REGISTER:
        return _echoed(struct.pack(">BH", WRITE_REGISTER, register.address) + data)
    head = _HEAD.pack(WRITE_REGISTERS, register.address, register.count)
    return Query(head + bytes((len(data),)) + data, head, len(head))


def _coil(register: ModbusRegister, on: bool) -> Query:
    if register.write == WRITE_COILS:
        head = _HEAD.pack(WRITE_COILS, register.address, 1)
        return Query(head + bytes((1, on)), head, len(head))
    return _echoed(_HEAD.pack(WRITE_COIL, register.address, 0xFF00 if on else 0))


def _mask(register: ModbusRegister, raw: Scalar) -> Query:
    """Keep the bits of the one mask, take the others from the other ([AP] 6.16)."""
    assert isinstance(register.kind, Part)
    keep = (~register.kind.mask & 0xFFFF).to_bytes(2, "big")
    return _echoed(struct.pack(">BH", MASK_REGISTER, register.address) + ordered(register, keep) + encode(register, raw))


def _changed(register: ModbusRegister, raw: Scalar, before: bytes) -> bytes:
    assert isinstance(register.kind, Part)
    encode(register, raw)  # says by name what does not fit
    return ordered(register, register.kind.within(ordered(register, before), raw))


def _echoed(pdu: bytes) -> Query:
    return Query(pdu, pdu, len(pdu))
