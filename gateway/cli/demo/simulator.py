"""Two simulated Modbus devices with values that move, in a process of their own.

``python -m gateway.cli.demo.simulator FD FD`` serves an air handler and an electricity meter on two listening sockets that
it inherits; it is started by ``gateway demo``.
"""

from __future__ import annotations

import asyncio
import logging
import math
import socket
import struct
import sys
from collections.abc import Sequence
from typing import Protocol

from pymodbus.server import ModbusTcpServer
from pymodbus.simulator import DataType, SimData, SimDevice

from gateway.clock import Clock, SystemClock

TICK = 0.1
"""Seconds from one change of the values to the next."""
OUTDOOR = 8.0
LAG = 20.0
"""Seconds in which the supply air covers 63 % of the way to its goal."""

_ANY_UNIT = 0
"""pymodbus's device 0 answers under every unit id."""
_COILS, _DISCRETE, _HOLDING, _INPUT = 1, 2, 3, 4
"""The tables, by the functions that read them (MODBUS Application Protocol V1.1b3, 6.1 to 6.4)."""


class Model(Protocol):
    """What a device does; ``coils`` and ``holding`` are what clients may write, as they are at first."""

    coils: list[bool]
    holding: list[int]

    def advance(self, seconds: float, coils: Sequence[int], holding: Sequence[int]) -> tuple[list[bool], list[int]]:
        """Discrete inputs and input registers so many seconds later, by what clients have written."""
        ...


class AirHandler:
    """Supply air that follows a setpoint while the fan runs.

    Input registers: 0-1 supply air (float, degC), 2 return air (0.1 degC). Holding: 0-1 setpoint (float, degC), 2 mode
    (0 is off). Coil 0: fan. Discrete input 0: frost alarm.
    """

    def __init__(self) -> None:
        self.coils = [True]
        self.holding = [*_words(21.0), 3]
        self._time = 0.0
        self._supply = 18.0

    def advance(self, seconds: float, coils: Sequence[int], holding: Sequence[int]) -> tuple[list[bool], list[int]]:
        """See Model."""
        self._time += seconds
        setpoint, mode = struct.unpack(">fH", struct.pack(">3H", *holding))
        runs = coils[0] and mode
        goal = min(60.0, max(-20.0, setpoint)) if runs else OUTDOOR
        self._supply += (goal - self._supply) * (1 - math.exp(-seconds / LAG))
        returned = round(10 * (self._supply + 1.5 + 0.5 * math.sin(self._time / 7)))
        supply = _words(self._supply + 0.2 * math.sin(self._time / 3))
        return [self._supply < 10], [*supply, returned & 0xFFFF]


class Meter:
    """Electricity that is used up and down.

    Input registers: 0-1 power (float, kW), 2-3 energy (Wh), 4 voltage (0.1 V), 5 frequency (0.01 Hz). Discrete input 0:
    over the power limit. Holding: 0 power limit (kW).
    """

    def __init__(self) -> None:
        self.coils = [False]  # nobody uses it, but pymodbus wants one in every table
        self.holding = [15]
        self._time = 0.0

    def advance(self, seconds: float, coils: Sequence[int], holding: Sequence[int]) -> tuple[list[bool], list[int]]:
        """See Model."""
        self._time += seconds
        t = self._time
        power = 12 + 4 * math.sin(t / 9)
        energy = 1_250_000 + (12 * t + 36 * (1 - math.cos(t / 9))) / 3.6
        voltage, frequency = round(2300 + 15 * math.sin(t / 4)), round(5000 + 2 * math.sin(t / 2))
        return [power > holding[0]], [*_words(power), *divmod(int(energy), 1 << 16), voltage, frequency]


class Simulated:
    """A model on a pymodbus server, which listens on a socket that is open already."""

    def __init__(self, model: Model, listening: socket.socket) -> None:
        self._model = model
        self._listening = listening

    async def start(self) -> None:
        """Serve, from now on."""
        model = self._model
        discrete, inputs = model.advance(0, model.coils, model.holding)
        tables = (_bits(model.coils), _bits(discrete), _registers(model.holding), _registers(inputs))
        self.server = server = ModbusTcpServer(SimDevice(_ANY_UNIT, tables))
        # It would open a port of its own, which is known too late for the gateway's configuration.
        server.call_create = lambda: server.loop.create_server(server.handle_new_connection, sock=self._listening)
        await server.serve_forever(background=True)

    async def advance(self, seconds: float) -> None:
        """Let time pass for the model."""
        coils = await self.server.async_getValues(_ANY_UNIT, _COILS, 0, len(self._model.coils))
        holding = await self.server.async_getValues(_ANY_UNIT, _HOLDING, 0, len(self._model.holding))
        discrete, inputs = self._model.advance(seconds, coils, holding)
        await self.server.async_setValues(_ANY_UNIT, _DISCRETE, 0, discrete)
        await self.server.async_setValues(_ANY_UNIT, _INPUT, 0, inputs)

    async def run(self, clock: Clock) -> None:
        """Serve with values that move, until cancelled."""
        await self.start()
        before = clock.now()
        while True:
            await asyncio.sleep(TICK)
            now = clock.now()
            await self.advance(now - before)
            before = now


def _words(value: float) -> tuple[int, int]:
    high, low = struct.unpack(">2H", struct.pack(">f", value))
    return high, low


def _bits(values: list[bool]) -> list[SimData]:
    return [SimData(0, values=values, datatype=DataType.BITS)]


def _registers(values: list[int]) -> list[SimData]:
    return [SimData(0, values=values, datatype=DataType.REGISTERS)]


async def _serve(devices: list[Simulated]) -> None:
    await asyncio.gather(*(device.run(SystemClock()) for device in devices))


def main(descriptors: list[str]) -> None:
    """Serve both devices, on a listening socket each, until killed."""
    logging.getLogger("pymodbus.logging").setLevel(logging.CRITICAL)  # strangers make it log errors
    sockets = [socket.socket(fileno=int(descriptor)) for descriptor in descriptors]
    models: list[Model] = [AirHandler(), Meter()]
    asyncio.run(_serve([Simulated(model, listening) for model, listening in zip(models, sockets, strict=True)]))


if __name__ == "__main__":
    main(sys.argv[1:])
