"""The least Modbus TCP client that tests need."""

from __future__ import annotations

import socket
import struct


def exchange(port: int, request: bytes, transaction: int = 7, unit: int = 3) -> bytes:
    """The response PDU to a request PDU, from a server on the loopback interface."""
    with socket.create_connection(("127.0.0.1", port), timeout=5) as connection, connection.makefile("rb") as stream:
        connection.sendall(struct.pack(">HHHB", transaction, 0, len(request) + 1, unit) + request)
        got, protocol, length, answered = struct.unpack(">HHHB", stream.read(7))
        assert (got, protocol, answered) == (transaction, 0, unit)
        return stream.read(length - 1)
