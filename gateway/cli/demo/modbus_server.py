"""A small Modbus TCP server for simulated devices: one device, any unit id, as many clients as come.

Frames as in MODBUS Messaging on TCP/IP Implementation Guide V1.0b, 3.1.3; functions and exceptions as in MODBUS
Application Protocol V1.1b3, 6 and 7.
"""

from __future__ import annotations

import socket
import socketserver
import struct
from collections.abc import Callable
from typing import Protocol

ILLEGAL_FUNCTION, ILLEGAL_ADDRESS, ILLEGAL_VALUE = 1, 2, 3
ON = 0xFF00
MAX_BITS, MAX_REGISTERS = 2000, 125

Table = str
"""``coils``, ``inputs``, ``holding`` or ``input``."""


class Refused(Exception):
    """The device answers with this exception code."""

    def __init__(self, code: int) -> None:
        super().__init__(f"exception {code}")
        self.code = code


class Device(Protocol):
    """What is behind the server: 16-bit words, or 0 and 1 in the two bit tables."""

    def read(self, table: Table, address: int, count: int) -> list[int]:
        """So many values from an address on; Refused where there are none."""
        ...

    def write(self, table: Table, address: int, values: list[int]) -> None:
        """Take values; Refused where they can not be written."""
        ...


def answer(device: Device, request: bytes) -> bytes:
    """The response PDU to a request PDU."""
    function = request[0]
    try:
        return bytes([function]) + _FUNCTIONS.get(function, _unknown)(device, request[1:])
    except Refused as refusal:
        return bytes([function | 0x80, refusal.code])
    except struct.error:
        return bytes([function | 0x80, ILLEGAL_VALUE])


def _read_bits(table: Table) -> Callable[[Device, bytes], bytes]:
    def read(device: Device, body: bytes) -> bytes:
        address, count = struct.unpack(">HH", body)
        bits = device.read(table, address, _checked(count, MAX_BITS))
        size = (count + 7) // 8
        packed = sum(bit << index for index, bit in enumerate(bits))
        return bytes([size]) + packed.to_bytes(size, "little")

    return read


def _read_words(table: Table) -> Callable[[Device, bytes], bytes]:
    def read(device: Device, body: bytes) -> bytes:
        address, count = struct.unpack(">HH", body)
        words = device.read(table, address, _checked(count, MAX_REGISTERS))
        return struct.pack(f">B{count}H", 2 * count, *words)

    return read


def _write_coil(device: Device, body: bytes) -> bytes:
    address, value = struct.unpack(">HH", body)
    if value not in (0, ON):
        raise Refused(ILLEGAL_VALUE)
    device.write("coils", address, [int(value == ON)])
    return body


def _write_word(device: Device, body: bytes) -> bytes:
    address, value = struct.unpack(">HH", body)
    device.write("holding", address, [value])
    return body


def _write_coils(device: Device, body: bytes) -> bytes:
    address, count, size = struct.unpack(">HHB", body[:5])
    if size != (_checked(count, MAX_BITS) + 7) // 8 or len(body) != 5 + size:
        raise Refused(ILLEGAL_VALUE)
    packed = int.from_bytes(body[5:], "little")
    device.write("coils", address, [packed >> index & 1 for index in range(count)])
    return body[:4]


def _write_words(device: Device, body: bytes) -> bytes:
    address, count, size = struct.unpack(">HHB", body[:5])
    if size != 2 * _checked(count, MAX_REGISTERS):
        raise Refused(ILLEGAL_VALUE)
    device.write("holding", address, list(struct.unpack(f">{count}H", body[5:])))
    return body[:4]


def _unknown(device: Device, body: bytes) -> bytes:
    raise Refused(ILLEGAL_FUNCTION)


def _checked(count: int, most: int) -> int:
    if not 1 <= count <= most:
        raise Refused(ILLEGAL_VALUE)
    return count


_FUNCTIONS: dict[int, Callable[[Device, bytes], bytes]] = {
    1: _read_bits("coils"),
    2: _read_bits("inputs"),
    3: _read_words("holding"),
    4: _read_words("input"),
    5: _write_coil,
    6: _write_word,
    15: _write_coils,
    16: _write_words,
}


class Server(socketserver.ThreadingTCPServer):
    """Serves one device on a socket that already listens."""

    daemon_threads = True

    def __init__(self, listening: socket.socket, device: Device) -> None:
        super().__init__(listening.getsockname(), _Connection, bind_and_activate=False)
        self.socket.close()
        self.socket = listening
        self.device = device


class _Connection(socketserver.StreamRequestHandler):
    disable_nagle_algorithm = True

    def handle(self) -> None:
        assert isinstance(self.server, Server)
        while len(header := self.rfile.read(7)) == 7:
            transaction, protocol, length, unit = struct.unpack(">HHHB", header)
            request = self.rfile.read(length - 1) if protocol == 0 and 2 <= length <= 254 else b""
            if not request or len(request) < length - 1:
                return
            response = answer(self.server.device, request)
            self.wfile.write(struct.pack(">HHHB", transaction, 0, len(response) + 1, unit) + response)
