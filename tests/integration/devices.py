"""Devices for tests, and configs of such."""

from __future__ import annotations

import socket
from typing import Any

from gateway import localbroker
from tests.acceptor import Acceptor


def fake(interval: float = 0.2, **keys: Any) -> dict[str, Any]:
    """The config of a fake device with a writable number."""
    row = {"Point Name": "n", "Volttron Point Name": "n", "Type": "float", "Starting Value": "1", "Writable": "TRUE"}
    return {"driver_type": "fake", "interval": interval, "registry_config": [row]} | keys


class Meter:
    """A Modbus TCP device, used as a context manager, that answers each reading with 7 in one register, and counts them."""

    def __init__(self) -> None:
        self.requests = 0
        self._acceptor = Acceptor(self._serve)

    @property
    def config(self) -> dict[str, Any]:
        """The device config that polls it."""
        row = {"Point Name": "r", "Volttron Point Name": "r", "Modbus Register": ">H", "Point Address": "0"}
        where = {"device_address": localbroker.HOST, "port": self._acceptor.port}
        return {"driver_type": "modbus", "driver_config": where, "interval": 0.2, "registry_config": [row]}

    def __enter__(self) -> Meter:
        self._acceptor.open()
        return self

    def __exit__(self, *_: object) -> None:
        self._acceptor.shut()

    def _serve(self, link: socket.socket) -> None:
        while len(request := link.recv(12)) == 12:
            self.requests += 1
            link.sendall(request[:5] + bytes([5, request[6], request[7], 2, 0, 7]))
