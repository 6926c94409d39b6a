"""Just enough MQTT 3.1.1 for a benchmark, on blocking sockets (OASIS MQTT Version 3.1.1, sections 2 and 3)."""

from __future__ import annotations

import socket
import struct

CONNACK, PUBLISH, PUBACK, SUBACK = 0x20, 0x30, 0x40, 0x90


def connect(port: int, client_id: str) -> socket.socket:
    """A connection to the broker on this machine that has said CONNECT and heard that it is welcome."""
    link = socket.create_connection(("127.0.0.1", port), timeout=10)
    link.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    head = b"\x00\x04MQTT\x04\x02\x00\x00"  # level 4, clean session, no keepalive
    link.sendall(_frame(0x10, head + _text(client_id.encode())))
    answer = link.recv(4, socket.MSG_WAITALL)
    if answer != bytes((CONNACK, 2, 0, 0)):
        raise ConnectionError(f"the broker refused {client_id}: {answer.hex()}")
    return link


def publish(topic: bytes, payload: bytes, packet_id: int, *, retain: bool = False) -> bytes:
    """A PUBLISH at QoS 1."""
    return _frame(PUBLISH | 2 | retain, b"".join((_text(topic), struct.pack(">H", packet_id), payload)))


def subscribe(*filters: str) -> bytes:
    """A SUBSCRIBE at QoS 0."""
    return _frame(0x82, b"\x00\x01" + b"".join(_text(entry.encode()) + b"\x00" for entry in filters))


def receive(link: socket.socket) -> bytes:
    """What has come; ConnectionError if the broker has closed."""
    data = link.recv(1 << 18)
    if not data:
        raise ConnectionError("the broker closed the connection")
    return data


def message(body: bytes) -> tuple[str, bytes]:
    """Topic and payload of a PUBLISH at QoS 0."""
    end = 2 + int.from_bytes(body[:2])
    return body[2:end].decode(), body[end:]


class Frames:
    """Splits a stream into packets."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, data: bytes) -> list[tuple[int, bytes]]:
        """The packets that are whole now: type without flags, and body."""
        data = self._rest + data
        found, at = [], 0
        while (span := _body(data, at)) is not None:
            found.append((data[at] & 0xF0, data[span.start : span.stop]))
            at = span.stop
        self._rest = data[at:]
        return found


def _body(data: bytes, at: int) -> range | None:
    size = shift = 0
    for index in range(at + 1, min(at + 5, len(data))):
        size |= (data[index] & 0x7F) << shift
        shift += 7
        if data[index] < 0x80:
            end = index + 1 + size
            return range(index + 1, end) if end <= len(data) else None
    return None


def _text(text: bytes) -> bytes:
    return struct.pack(">H", len(text)) + text


def _frame(head: int, body: bytes) -> bytes:
    size, length = len(body), bytearray((head,))
    while size > 0x7F:
        length.append(size & 0x7F | 0x80)
        size >>= 7
    length.append(size)
    return bytes(length) + body
