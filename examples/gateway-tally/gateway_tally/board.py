"""A tally board that is a program: ``python -m gateway_tally.board`` serves one on loopback and prints its port."""

from __future__ import annotations

import socket
import socketserver
import struct
import sys
from typing import cast

HEAD = struct.Struct(">2sBBHH")


class Board(socketserver.ThreadingTCPServer):
    """Counters by channel; those of ``locked`` can not be set. ``port`` 0 is any that is free."""

    allow_reuse_address = True
    daemon_threads = True

    def __init__(self, counters: dict[int, int], locked: frozenset[int] = frozenset(), port: int = 0) -> None:
        super().__init__(("127.0.0.1", port), _Connection)
        self.counters = counters
        self.locked = locked
        self.connections: list[socket.socket] = []

    @property
    def port(self) -> int:
        """Where it listens."""
        return int(self.server_address[1])

    def hang_up(self) -> None:
        """Close every connection."""
        for connection in self.connections:
            try:
                connection.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass  # the other side was faster

    def answer(self, operation: int, first: int, count: int, value: int) -> tuple[int, list[int]]:
        """The status and the counters for a request."""
        channels = range(first, first + count)
        if any(channel not in self.counters for channel in channels):
            return 1, []
        if operation == 2 and first in self.locked:
            return 2, []
        if operation == 2:
            self.counters[first] = value
        return 0, [self.counters[channel] for channel in channels]


class _Connection(socketserver.StreamRequestHandler):
    def handle(self) -> None:
        """Answer until the other side hangs up."""
        board = cast(Board, self.server)
        board.connections.append(self.connection)
        while head := self.rfile.read(HEAD.size):
            magic, operation, sequence, first, count = HEAD.unpack(head)
            value = int.from_bytes(self.rfile.read(8), "big", signed=True) if operation == 2 else 0
            status, counters = board.answer(operation, first, count, value)
            self.wfile.write(HEAD.pack(magic, operation | 0x80, sequence, status, len(counters)))
            self.wfile.write(struct.pack(f">{len(counters)}q", *counters))


def main() -> None:
    """Serve until the process is ended."""
    with Board({0: 1200, 1: 345, 2: 6, 3: 0}, locked=frozenset({0, 1})) as board:
        sys.stdout.write(f"{board.port}\n")
        sys.stdout.flush()
        board.serve_forever()


if __name__ == "__main__":
    main()
