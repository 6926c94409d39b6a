"""How requests and replies are framed on the way; pure.

Sources: [TCP] MODBUS Messaging on TCP/IP Implementation Guide V1.0b; [SL] MODBUS over Serial Line V1.02.
"""

from __future__ import annotations

import binascii
import struct
from typing import Protocol

from gateway.errors import Transient
from gateway.interfaces._modbus.pdu import Query

_MBAP = struct.Struct(">HHHB")
_MAX_PDU = 253
_START, _END = b":", b"\r\n"


class Framing(Protocol):
    """Puts PDUs into frames and takes them out again.

    ``numbered`` says that a reply tells which request it answers, ``longest`` how many bytes a reply or request has at most.
    """

    numbered: bool
    longest: int

    def request(self, unit: int, pdu: bytes) -> bytes:
        """A request as it goes to a unit."""
        ...

    def reply(self, data: bytes, unit: int, query: Query, seen: int = 0) -> bytes | None:
        """The PDU that answers the newest request, or None while bytes are missing.

        ``seen`` is how many of the bytes were looked at before, and held no reply. Raises Transient for what can not become
        a good reply any more.
        """
        ...


class SocketFraming:
    """Modbus TCP ([TCP] 3.1.3): transaction, protocol 0, length of what follows, unit. Also over UDP and TLS."""

    numbered = True
    longest = 260

    def __init__(self) -> None:
        self.transaction = 0
        """The number of the newest request, 1 to 65535: a device that always answers 0 is found out."""

    def request(self, unit: int, pdu: bytes) -> bytes:
        """A request with the next transaction."""
        self.transaction = self.transaction % 0xFFFF + 1
        return _MBAP.pack(self.transaction, 0, len(pdu) + 1, unit) + pdu

    def reply(self, data: bytes, unit: int, query: Query, seen: int = 0) -> bytes | None:
        """The reply to the newest transaction of that unit; anything else is refused at once."""
        if len(data) < _MBAP.size:
            return None
        got, protocol, length, replier = _MBAP.unpack_from(data)
        if protocol != 0 or not 3 <= length <= _MAX_PDU + 1:
            raise Transient(f"what came back is not a Modbus TCP frame: {data[:16].hex(' ')}")
        if got != self.transaction:
            raise Transient(f"the device answered transaction {got}, not {self.transaction}")
        if replier != unit:
            raise Transient(f"unit {replier} answered, not {unit}: is slave_id right?")
        if len(data) > length + 6:
            raise Transient(f"{len(data) - length - 6} bytes too many came with the reply")
        return data[_MBAP.size :] if len(data) == length + 6 else None


class RtuFraming:
    """RTU ([SL] 2.5.1): unit, PDU, and a CRC that is looked for behind any noise that came first.

    Only a frame of this unit with the head and length that the request is due, or an exception to it, and a good CRC, is a
    reply, and nothing may follow it: what follows is the sign of a second reply, and then nobody knows which is which.
    """

    numbered = False
    longest = 256

    def request(self, unit: int, pdu: bytes) -> bytes:
        """A request with its CRC."""
        body = bytes((unit,)) + pdu
        return body + crc16(body)

    def reply(self, data: bytes, unit: int, query: Query, seen: int = 0) -> bytes | None:
        """The reply of that unit; None as long as there is none, whatever else has come."""
        _no_echo(data, self.request(unit, query.pdu), query)
        refusal = bytes((query.pdu[0] | 0x80,))
        for at in sorted(_places(data, unit, query.head) + _places(data, unit, refusal, seen - 4)):
            size = 5 if data.startswith(refusal, at + 1) else query.due(data[at + 1 :]) + 3
            if size > 3 and seen < at + size <= len(data) and _crc_is_good(data, at, size):
                _nothing_after(len(data) - at - size)
                return data[at + 1 : at + size - 2]
        return None


class AsciiFraming:
    """ASCII ([SL] 2.5.2): a colon, unit, PDU and LRC as hexadecimal digits, carriage return and line feed.

    A colon always begins a frame: what came before is noise.
    """

    numbered = False
    longest = 513

    def request(self, unit: int, pdu: bytes) -> bytes:
        """A request with its LRC."""
        body = bytes((unit,)) + pdu
        return _START + (body + lrc(body)).hex().upper().encode() + _END

    def reply(self, data: bytes, unit: int, query: Query, seen: int = 0) -> bytes | None:
        """The reply of that unit; None as long as there is none. Raises Transient for one that is broken."""
        _no_echo(data, self.request(unit, query.pdu), query)
        first, start = data.find(_START), data.rfind(_START)
        if 0 <= data.find(_END, first) < start and first >= 0:
            raise Transient("more than one frame came where one was due")
        end = data.find(_END, start)
        if start < 0 or end < 0:
            return None
        _nothing_after(len(data) - end - len(_END))
        return _ascii_pdu(data[start + 1 : end], unit)


def crc16(data: bytes) -> bytes:
    """The CRC of an RTU frame as it is sent, low byte first ([SL] 6.2.2)."""
    crc = 0xFFFF
    for byte in data:
        crc = crc >> 8 ^ _CRC_TABLE[(crc ^ byte) & 0xFF]
    return crc.to_bytes(2, "little")


def lrc(data: bytes) -> bytes:
    """The LRC of an ASCII frame: what makes the sum of all bytes 0 ([SL] 6.2.1)."""
    return bytes((-sum(data) & 0xFF,))


def _crc_entry(value: int) -> int:
    for _ in range(8):
        value = value >> 1 ^ (0xA001 if value & 1 else 0)
    return value


_CRC_TABLE = tuple(map(_crc_entry, range(256)))


def _crc_is_good(data: bytes, at: int, size: int) -> bool:
    return crc16(data[at : at + size - 2]) == data[at + size - 2 : at + size]


def _places(data: bytes, unit: int, head: bytes, first: int = 0) -> list[int]:
    """Where from a place on a frame of that unit may begin whose PDU begins so."""
    start, at = bytes((unit,)) + head, max(0, first) - 1
    found = []
    while (at := data.find(start, at + 1)) >= 0:
        found.append(at)
    return found


def _nothing_after(extra: int) -> None:
    if extra:
        raise Transient(f"{extra} bytes too many came with the reply")


def _no_echo(data: bytes, request: bytes, query: Query) -> None:
    """Refuse what we sent ourselves; where the echo of a write is its reply, that is the reply."""
    if query.head != query.pdu and data.startswith(request):
        raise Transient("the line gives back what is sent: set echo to true")


def _ascii_pdu(digits: bytes, unit: int) -> bytes:
    try:
        body = binascii.unhexlify(digits)
    except ValueError:
        raise Transient(f"what came back is not a Modbus ASCII frame: {digits[:32]!r}") from None
    if len(body) < 4 or sum(body) & 0xFF:
        raise Transient("the checksum of the reply is wrong")
    if body[0] != unit:
        raise Transient(f"unit {body[0]} answered, not {unit}: is slave_id right?")
    return body[1:-1]
