"""A Modbus TCP device that remembers every write with its time, and can fall silent."""

from __future__ import annotations

import socket
import time
from dataclasses import dataclass
from itertools import count
from struct import pack, unpack

from tests.acceptor import Acceptor


@dataclass(frozen=True)
class Written:
    """One register write; ``at`` on the monotonic clock."""

    address: int
    value: int
    at: float


@dataclass(frozen=True)
class Asked:
    """One request on the wire: the number of the connection, the function code, when it came and when it was answered."""

    link: int
    function: int
    at: float
    done: float


class Plant:
    """100 holding registers that hold their address; a context manager.

    ``asked`` is every request, in the order of their ends. ``delay``: seconds before an answer. ``mute``: takes requests
    and answers none. ``forget``: so many writes are carried out and not answered. ``most``: a greater value is taken for
    this one.
    """

    def __init__(self) -> None:
        self.words = list(range(100))
        self.writes: list[Written] = []
        self.reads = 0
        self.asked: list[Asked] = []
        self.delay = 0.0
        self.mute = False
        self.forget = 0
        self.most = 65535
        self._numbers = count()
        self._acceptor = Acceptor(self._serve)

    def __enter__(self) -> Plant:
        self.open()
        return self

    def __exit__(self, *_: object) -> None:
        self.shut()

    @property
    def port(self) -> int:
        """Where it listens."""
        return self._acceptor.port

    def open(self) -> None:
        """Listen, on the same port as before."""
        self._acceptor.open()

    def shut(self) -> None:
        """Be gone: no connection stands and none is taken."""
        self._acceptor.shut()

    def values(self, address: int) -> list[int]:
        """What was written to a register, in order."""
        return [written.value for written in list(self.writes) if written.address == address]

    def _serve(self, link: socket.socket) -> None:
        number = next(self._numbers)
        while head := _exactly(link, 7):
            begun = time.monotonic()
            body = _exactly(link, unpack(">H", head[4:6])[0] - 1)
            answer = self._answer(body)
            time.sleep(self.delay)
            self.asked.append(Asked(number, body[0], begun, time.monotonic()))
            forgotten = self.forget > 0 and body[0] > 4
            self.forget -= forgotten
            if not (self.mute or forgotten):
                link.sendall(head[:4] + pack(">HB", len(answer) + 1, head[6]) + answer)

    def _answer(self, body: bytes) -> bytes:
        code, address, second = unpack(">BHH", body[:5])
        if code in (3, 4):
            self.reads += 1
            words = self.words[address : address + second]
            return pack(">BB", code, 2 * len(words)) + pack(f">{len(words)}H", *words)
        values = (second,) if code == 6 else unpack(f">{second}H", body[6:])
        for offset, value in enumerate(values):
            self.words[address + offset] = min(value, self.most)
            self.writes.append(Written(address + offset, value, time.monotonic()))
        return body[:5]


def _exactly(link: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        chunk = link.recv(size - len(data))
        if not chunk:
            return b""
        data += chunk
    return data
