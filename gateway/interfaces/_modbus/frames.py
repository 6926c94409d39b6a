"""How requests and replies are framed on the way; pure.

Source: [TCP] MODBUS Messaging on TCP/IP Implementation Guide V1.0b.
"""

from __future__ import annotations

import struct

from gateway.errors import Transient

_MBAP = struct.Struct(">HHHB")
_MAX_PDU = 253


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
