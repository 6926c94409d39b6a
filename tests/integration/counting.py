"""A plant of Modbus TCP devices, each of which numbers its readings: what is lost on the way, or out of order, shows."""

from __future__ import annotations

import socket
import time
from collections import defaultdict
from collections.abc import Iterable
from struct import pack, unpack
from typing import Any

from tests.acceptor import Acceptor

POINTS = 100


class CountingPlant:
    """Devices at 127.0.1.1, 127.0.1.2, ...: the first of 100 registers holds how often the device was read.

    A context manager. ``answers`` is when each reading was taken, on the monotonic clock, by device.
    """

    def __init__(self) -> None:
        self.answers: dict[int, list[float]] = defaultdict(list)
        self._acceptor = Acceptor(self._serve, "0.0.0.0")

    def __enter__(self) -> CountingPlant:
        self._acceptor.open()
        return self

    def __exit__(self, *_: object) -> None:
        self._acceptor.shut()

    @property
    def taken(self) -> int:
        """How many readings were taken in all."""
        return sum(len(times) for times in list(self.answers.values()))

    def registry(self) -> bytes:
        """The document with the points of each device."""
        rows = (f"r{n},>H,FALSE,{n}" for n in range(POINTS))
        return "\n".join(["Volttron Point Name,Modbus Register,Writable,Point Address", *rows, ""]).encode()

    def device(self, number: int, interval: float, **keys: Any) -> dict[str, Any]:
        """The config of a device; its registry is ``config://counting.csv``."""
        where = {"device_address": f"127.0.1.{number}", "port": self._acceptor.port, "slave_id": number}
        return {
            "driver_type": "modbus",
            "driver_config": where | {"timeout": 2},
            "interval": interval,
            "registry_config": "config://counting.csv",
        } | keys

    def missing(self, device: int, seen: Iterable[int], since: float, until: float, newest: float) -> list[int]:
        """Readings of a device that were not seen, but for those taken between two times, or later than the newest."""
        known, taken = set(seen), list(enumerate(self.answers[device], 1))
        return [n for n, at in taken if n not in known and not since <= at <= until and at < newest]

    def _serve(self, link: socket.socket) -> None:
        while len(request := link.recv(12, socket.MSG_WAITALL)) == 12:
            count = unpack(">H", request[10:])[0]
            taken = self.answers[request[6]]
            taken.append(time.monotonic())
            words = pack(f">{count}H", len(taken), *range(1, count))
            link.sendall(request[:4] + pack(">HBBB", 3 + len(words), request[6], request[7], len(words)) + words)
