"""A TCP proxy that may hold its breath."""

from __future__ import annotations

import math
import socket
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from gateway import localbroker
from tests.acceptor import Acceptor, hang_up


class Proxy:
    """A TCP proxy that can be shut (connections are refused), hold what flows down to the client or both ways, or be slow.

    ``rate`` is how many bytes a second each connection forwards each way.
    """

    def __init__(self, target: int) -> None:
        self.port = localbroker.free_port()
        self.rate = math.inf
        self._target = target
        self._flow = {"up": threading.Event(), "down": threading.Event()}
        self._acceptor = Acceptor(self._serve, port=self.port)
        self.release()

    @property
    def url(self) -> str:
        """Where clients connect."""
        return f"mqtt://{localbroker.HOST}:{self.port}"

    def open(self) -> Proxy:
        """Take connections."""
        self._acceptor.open()
        return self

    def shut(self) -> None:
        """Close every connection and refuse new ones."""
        self.release()
        self._acceptor.shut()

    def hold(self, *directions: str) -> None:
        """Forward nothing any more, and keep it: ``up`` to the broker, ``down`` to the client, both if none is named."""
        for direction in directions or ("up", "down"):
            self._flow[direction].clear()

    def release(self) -> None:
        """Forward what was held, and go on."""
        for flow in self._flow.values():
            flow.set()

    def _serve(self, client: socket.socket) -> None:
        broker = socket.create_connection((localbroker.HOST, self._target))
        threading.Thread(target=self._pump, args=(broker, client, client, "down"), daemon=True).start()
        self._pump(client, broker, client, "up")

    def _passing(self, client: socket.socket, way: str, data: bytes) -> None:
        """For who wants to look: bytes of a client's connection that are about to be passed on."""

    def _pump(self, source: socket.socket, sink: socket.socket, client: socket.socket, way: str) -> None:
        flow = self._flow[way]
        try:
            while data := source.recv(int(min(65536, max(1, self.rate / 10)))):
                flow.wait()
                self._passing(client, way, data)
                sink.sendall(data)
                time.sleep(len(data) / self.rate)
        except OSError:
            pass  # one side is gone, so the other goes too
        flow.wait()
        for sock in (source, sink):
            hang_up(sock)


@pytest.fixture
def proxy() -> Iterator[Callable[[int], Proxy]]:
    """Makes open proxies: ``proxy(port of the broker)``."""
    made: list[Proxy] = []

    def make(target: int) -> Proxy:
        made.append(Proxy(target).open())
        return made[-1]

    yield make
    for each in made:
        each.shut()
