"""Devices for tests, and configs of such."""

from __future__ import annotations

import socket
import threading
from typing import Any

from gateway import localbroker
from tests.integration.proxy import hang_up


def fake(interval: float = 0.2, **keys: Any) -> dict[str, Any]:
    """The config of a fake device with a writable number."""
    row = {"Point Name": "n", "Volttron Point Name": "n", "Type": "float", "Starting Value": "1", "Writable": "TRUE"}
    return {"driver_type": "fake", "interval": interval, "registry_config": [row]} | keys


class Meter:
    """A Modbus TCP device, used as a context manager, that answers each reading with 7 in one register, and counts them."""

    def __init__(self) -> None:
        self.requests = 0

    @property
    def config(self) -> dict[str, Any]:
        """The device config that polls it."""
        row = {"Point Name": "r", "Volttron Point Name": "r", "Modbus Register": ">H", "Point Address": "0"}
        where = {"device_address": localbroker.HOST, "port": self._server.getsockname()[1]}
        return {"driver_type": "modbus", "driver_config": where, "interval": 0.2, "registry_config": [row]}

    def __enter__(self) -> Meter:
        self._server = socket.create_server((localbroker.HOST, 0), backlog=100)
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        hang_up(self._server)

    def _accept(self) -> None:
        while True:
            try:
                sock, _ = self._server.accept()
            except OSError:
                return  # closed
            threading.Thread(target=self._serve, args=(sock,), daemon=True).start()

    def _serve(self, sock: socket.socket) -> None:
        with sock:
            while len(request := sock.recv(12)) == 12:
                self.requests += 1
                sock.sendall(request[:5] + bytes([5, request[6], request[7], 2, 0, 7]))
