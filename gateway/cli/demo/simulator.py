"""Two simulated Modbus devices with values that move, in a process of their own.

``python -m gateway.cli.demo.simulator FD FD`` serves an air handler and an electricity meter on two listening sockets that
it inherits; it is started by ``gateway demo``.
"""

from __future__ import annotations

import math
import socket
import struct
import sys
import threading
from collections.abc import Callable

from gateway.cli.demo.modbus_server import ILLEGAL_ADDRESS, ILLEGAL_VALUE, Device, Refused, Server, Table
from gateway.clock import SystemClock

Now = Callable[[], float]

SETPOINT, MODE = 0, 2
MODES = {0: "Off", 1: "Heating", 2: "Cooling", 3: "Auto"}
OUTDOOR = 8.0
LAG = 20.0
"""Seconds in which the supply air covers 63 % of the way to its goal."""


class AirHandler:
    """Supply air that follows a setpoint while the fan runs.

    Input registers: 0-1 supply air (float, degC), 2 return air (0.1 degC). Holding: 0-1 setpoint (float, degC), 2 mode.
    Coil 0: fan. Discrete input 0: frost alarm.
    """

    def __init__(self, now: Now) -> None:
        self._now = now
        self._since = now()
        self._supply = 18.0
        self._coils = [1]
        self._holding = [*_floats(21.0), 3]
        self._lock = threading.Lock()

    def read(self, table: Table, address: int, count: int) -> list[int]:
        """The values now."""
        with self._lock:
            self._advance()
            returned = round(10 * (self._supply + 1.5 + 0.5 * math.sin(self._since / 7)))
            tables = {
                "coils": self._coils,
                "inputs": [int(self._supply < 10)],
                "holding": self._holding,
                "input": [*_floats(self._supply + 0.2 * math.sin(self._since / 3)), returned],
            }
            return _part(tables[table], address, count)

    def write(self, table: Table, address: int, values: list[int]) -> None:
        """Take a setpoint, a mode or the fan."""
        with self._lock:
            self._advance()
            cells = {"coils": self._coils, "holding": self._holding}[table]
            _part(cells, address, len(values))
            wanted = [*cells[:address], *values, *cells[address + len(values) :]]
            if table == "holding" and wanted[MODE] not in MODES:
                raise Refused(ILLEGAL_VALUE)
            cells[:] = wanted

    def _advance(self) -> None:
        now = self._now()
        passed, self._since = now - self._since, now
        setpoint = struct.unpack(">f", struct.pack(">2H", *self._holding[SETPOINT:MODE]))[0]
        runs = self._coils[0] and self._holding[MODE] and math.isfinite(setpoint)
        goal = min(60.0, max(-20.0, setpoint)) if runs else OUTDOOR
        self._supply += (goal - self._supply) * (1 - math.exp(-passed / LAG))


class Meter:
    """Electricity that is used up and down.

    Input registers: 0-1 power (float, kW), 2-3 energy (Wh), 4 voltage (0.1 V), 5 frequency (0.01 Hz). Discrete input 0:
    over the power limit. Holding: 0 power limit (kW).
    """

    def __init__(self, now: Now) -> None:
        self._now = now
        self._start = now()
        self._limit = [15]

    def read(self, table: Table, address: int, count: int) -> list[int]:
        """The values now."""
        t = self._now() - self._start
        power = 12 + 4 * math.sin(t / 9)
        energy = 1_250_000 + (12 * t + 36 * (1 - math.cos(t / 9))) / 3.6
        tables = {
            "coils": [],
            "inputs": [int(power > self._limit[0])],
            "holding": self._limit,
            "input": [
                *_floats(power),
                *divmod(int(energy) & 0xFFFFFFFF, 1 << 16),
                round(2300 + 15 * math.sin(t / 4)),
                round(5000 + 2 * math.sin(t / 2)),
            ],
        }
        return _part(tables[table], address, count)

    def write(self, table: Table, address: int, values: list[int]) -> None:
        """Take a power limit."""
        if table != "holding" or address != 0 or len(values) != 1:
            raise Refused(ILLEGAL_ADDRESS)
        self._limit[:] = values


def _floats(value: float) -> tuple[int, int]:
    high, low = struct.unpack(">2H", struct.pack(">f", value))
    return high, low


def _part(cells: list[int], address: int, count: int) -> list[int]:
    if address + count > len(cells):
        raise Refused(ILLEGAL_ADDRESS)
    return cells[address : address + count]


def main(descriptors: list[str]) -> None:
    """Serve both devices, on a listening socket each, until killed."""
    now = SystemClock().now
    devices: list[Device] = [AirHandler(now), Meter(now)]
    for descriptor, device in zip(descriptors, devices, strict=True):
        server = Server(socket.socket(fileno=int(descriptor)), device)
        threading.Thread(target=server.serve_forever, name=type(device).__name__).start()


if __name__ == "__main__":
    main(sys.argv[1:])
