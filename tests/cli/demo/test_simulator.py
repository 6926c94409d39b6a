from __future__ import annotations

import asyncio
import socket
import struct
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.cli.demo.simulator import AirHandler, Meter, Simulated
from tests.cli.modbus import exchange

READ_SUPPLY = b"\x04\x00\x00\x00\x02"
READ_SETPOINT = b"\x03\x00\x00\x00\x02"
READ_FAN = b"\x01\x00\x00\x00\x01"
READ_FROST = b"\x02\x00\x00\x00\x01"
READ_POWER = READ_SUPPLY
READ_ENERGY = b"\x04\x00\x02\x00\x02"
SET_28 = b"\x10\x00\x00\x00\x02\x04" + struct.pack(">f", 28)
FAN_OFF = b"\x05\x00\x00\x00\x00"
LIMIT_0 = b"\x06\x00\x00\x00\x00"


def float_of(response):
    """The value of a response with two registers."""
    return struct.unpack(">f", response[2:])[0]


def served(model, *steps):
    """The responses of a served model to requests; a number among them lets so many seconds pass."""

    async def run():
        with socket.create_server(("127.0.0.1", 0)) as listening:
            port = listening.getsockname()[1]
            device = Simulated(model, listening)
            await device.start()
            for step in steps:
                if isinstance(step, bytes):
                    yield await asyncio.to_thread(exchange, port, step)
                else:
                    await device.advance(step)
            await asyncio.sleep(0)  # the last connection is closed before the server is
            await device.server.shutdown()

    async def all_of_it():
        return [response async for response in run()]

    return asyncio.run(all_of_it())


def test_supply_air_follows_the_setpoint():
    """A written setpoint is read back, stays while values move, and the supply air gets there."""
    taken, setpoint, cold, warm, still = served(
        AirHandler(), SET_28, READ_SETPOINT, READ_SUPPLY, 200, READ_SUPPLY, READ_SETPOINT
    )
    assert taken == SET_28[:5]
    assert float_of(setpoint) == float_of(still) == 28
    assert float_of(cold) == 18
    assert abs(float_of(warm) - 28) < 0.5


def test_without_the_fan_it_gets_cold_and_the_frost_alarm_comes():
    """Coil 0 stops the fan, and stays written; below 10 degrees discrete input 0 is set."""
    before, taken, supply, frost, fan = served(AirHandler(), READ_FROST, FAN_OFF, 200, READ_SUPPLY, READ_FROST, READ_FAN)
    assert (before, taken) == (b"\x02\x01\x00", FAN_OFF)
    assert float_of(supply) < 10
    assert (frost, fan) == (b"\x02\x01\x01", b"\x01\x01\x00")


def test_mode_0_is_off():
    """With the mode off, the setpoint is not followed."""
    _, supply = served(AirHandler(), b"\x06\x00\x02\x00\x00", 200, READ_SUPPLY)
    assert float_of(supply) < 10


def test_power_and_energy_move():
    """Power changes from one second to the next; energy only grows."""
    power, energy, later_power, later_energy = served(Meter(), READ_POWER, READ_ENERGY, 1, READ_POWER, READ_ENERGY)
    assert power != later_power
    assert later_energy > energy


def test_the_power_limit_is_compared_with_the_power():
    """Discrete input 0 is set as soon as the power is above the limit that was written."""
    before, _, after = served(Meter(), READ_FROST, LIMIT_0, 1, READ_FROST)
    assert (before, after) == (b"\x02\x01\x00", b"\x02\x01\x01")


@pytest.mark.parametrize(
    "request_", [b"\x04\x00\x02\x00\x02", b"\x03\x00\x03\x00\x01", b"\x10\x00\x02\x00\x02\x04\x00\x01\x00\x01"]
)
def test_a_register_that_it_does_not_have_is_an_illegal_address(request_):
    """Beyond the last register there is exception 2."""
    assert served(AirHandler(), request_) == [bytes([request_[0] | 0x80, 2])]


@given(st.lists(st.tuples(st.booleans(), *[st.integers(0, 0xFFFF)] * 3, st.floats(0, 1e6))))
def test_no_written_value_brings_a_model_out_of_what_registers_hold(steps):
    """Whatever is written, NaN and infinity too, all inputs stay within 16 bits."""
    air_handler, meter = AirHandler(), Meter()
    for fan, *words, seconds in steps:
        for discrete, inputs in air_handler.advance(seconds, [fan], words), meter.advance(seconds, [fan], words[:1]):
            assert set(map(type, discrete)) == {bool}
            assert all(0 <= word <= 0xFFFF for word in inputs)


def test_as_a_process_it_serves_two_sockets_without_a_word():
    """The program takes its sockets by their descriptors, moves the values by itself, and logs no nonsense that comes in."""
    with socket.create_server(("127.0.0.1", 0)) as one, socket.create_server(("127.0.0.1", 0)) as other:
        command = [sys.executable, "-m", "gateway.cli.demo.simulator", str(one.fileno()), str(other.fileno())]
        process = subprocess.Popen(command, pass_fds=[one.fileno(), other.fileno()], stderr=subprocess.PIPE)
        air_handler, meter = one.getsockname()[1], other.getsockname()[1]
        try:
            with socket.create_connection(("127.0.0.1", meter)) as stranger:
                stranger.sendall(b"GET / HTTP/1.1\r\n\r\n")
            first = exchange(air_handler, READ_SUPPLY)
            while exchange(air_handler, READ_SUPPLY) == first:
                pass
            assert exchange(meter, b"\x04\x00\x64\x00\x02", unit=255) == b"\x84\x02"
        finally:
            process.terminate()
            told = process.communicate(timeout=10)
        assert told == (None, b"")
