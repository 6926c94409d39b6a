"""The listening end of servers for tests."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable


class Acceptor:
    """Listens on TCP and serves each connection in a thread of its own, until it is shut: then none stands.

    ``serve`` ends when its connection does, and may raise OSError then.
    """

    def __init__(self, serve: Callable[[socket.socket], object], host: str = "127.0.0.1", port: int = 0) -> None:
        self.port = port
        self._serve = serve
        self._host = host
        self._server: socket.socket | None = None
        self._links: list[socket.socket] = []
        self._lock = threading.Lock()

    def open(self) -> None:
        """Listen, on the same port as before."""
        self._server = server = socket.create_server((self._host, self.port), backlog=200)
        self.port = server.getsockname()[1]
        threading.Thread(target=self._accept, args=(server,), name="acceptor", daemon=True).start()

    def shut(self) -> None:
        """Be gone: no connection stands and none is taken."""
        with self._lock:
            server, links, self._server, self._links = self._server, self._links, None, []
        for end in (server, *links):
            if end is not None:
                hang_up(end)

    def _accept(self, server: socket.socket) -> None:
        while True:
            try:
                link, _ = server.accept()
            except OSError:
                return  # shut
            with self._lock:
                stands = server is self._server
                if stands:
                    self._links.append(link)
            if stands:
                threading.Thread(target=self._run, args=(link,), name="acceptor's link", daemon=True).start()
            else:
                hang_up(link)

    def _run(self, link: socket.socket) -> None:
        with link:
            try:
                self._serve(link)
            except OSError:
                pass  # hung up


def hang_up(sock: socket.socket) -> None:
    """Close a socket, and wake whoever waits for it."""
    try:
        sock.shutdown(socket.SHUT_RDWR)
    except OSError:
        pass  # it is down already
    sock.close()
