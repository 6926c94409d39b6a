"""A TCP proxy that may hold its breath."""

from __future__ import annotations

import math
import socket
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from gateway import localbroker


class Proxy:
    """A TCP proxy that can be shut (connections are refused), hold what flows down to the client or both ways, or be slow.

    ``rate`` is how many bytes a second each connection forwards each way.
    """

    def __init__(self, target: int) -> None:
        self.port = localbroker.free_port()
        self.rate = math.inf
        self._target = target
        self._flow = {"up": threading.Event(), "down": threading.Event()}
        self._listener: socket.socket | None = None
        self._sockets: list[socket.socket] = []
        self.release()

    @property
    def url(self) -> str:
        """Where clients connect."""
        return f"mqtt://{localbroker.HOST}:{self.port}"

    def open(self) -> Proxy:
        """Take connections."""
        self._listener = socket.create_server((localbroker.HOST, self.port))
        threading.Thread(target=self._accept, args=(self._listener,), daemon=True).start()
        return self

    def shut(self) -> None:
        """Close every connection and refuse new ones."""
        if self._listener is not None:
            self._listener.shutdown(socket.SHUT_RDWR)  # ends the accept, which close alone does not
            self._listener.close()
            self._listener = None
        self.release()
        sockets, self._sockets = self._sockets, []
        for sock in sockets:
            hang_up(sock)

    def hold(self, *directions: str) -> None:
        """Forward nothing any more, and keep it: ``up`` to the broker, ``down`` to the client, both if none is named."""
        for direction in directions or ("up", "down"):
            self._flow[direction].clear()

    def release(self) -> None:
        """Forward what was held, and go on."""
        for flow in self._flow.values():
            flow.set()

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return  # shut
            try:
                broker = socket.create_connection((localbroker.HOST, self._target))
            except OSError:
                client.close()
                continue
            self._sockets += [client, broker]
            for source, sink, way in ((client, broker, "up"), (broker, client, "down")):
                threading.Thread(target=self._pump, args=(source, sink, client, way), daemon=True).start()

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


def hang_up(sock: socket.socket) -> None:
    """Close a socket, and wake whoever waits for it."""
    try:
        sock.shutdown(socket.SHUT_RDWR)
    except OSError:
        pass  # it is down already
    sock.close()


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
