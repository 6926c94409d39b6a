from __future__ import annotations

import socket
import struct
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.cli.demo.modbus_server import Server, answer
from gateway.cli.demo.simulator import AirHandler, Meter
from tests.cli.modbus import exchange
from tests.fakes import FakeClock

READ_SUPPLY = b"\x04\x00\x00\x00\x02"
SET_28 = b"\x10\x00\x00\x00\x02\x04" + struct.pack(">f", 28)


def float_of(response):
    """The value of a response with two registers."""
    return struct.unpack(">f", response[2:])[0]


@pytest.fixture
def clock():
    """A clock that only the test moves."""
    return FakeClock()


@pytest.fixture
def air_handler(clock):
    """An air handler as it is at start."""
    return AirHandler(clock.now)


def test_supply_air_follows_the_setpoint(air_handler, clock):
    """A written setpoint is read back, and the supply air gets there."""
    assert answer(air_handler, SET_28) == SET_28[:5]
    assert float_of(answer(air_handler, b"\x03\x00\x00\x00\x02")) == 28
    clock.advance(200)
    assert abs(float_of(answer(air_handler, READ_SUPPLY)) - 28) < 0.5


def test_without_the_fan_it_gets_cold_and_the_frost_alarm_comes(air_handler, clock):
    """Coil 0 stops the fan; below 10 degrees discrete input 0 is set."""
    assert answer(air_handler, b"\x02\x00\x00\x00\x01") == b"\x02\x01\x00"
    assert answer(air_handler, b"\x05\x00\x00\x00\x00") == b"\x05\x00\x00\x00\x00"
    clock.advance(200)
    assert float_of(answer(air_handler, READ_SUPPLY)) < 10
    assert answer(air_handler, b"\x02\x00\x00\x00\x01") == b"\x02\x01\x01"


def test_values_move(air_handler, clock):
    """Air, power and energy change from one second to the next; energy only grows."""
    meter = Meter(clock.now)
    requests = [(air_handler, READ_SUPPLY), (meter, b"\x04\x00\x00\x00\x02"), (meter, b"\x04\x00\x02\x00\x02")]
    before = [answer(*request) for request in requests]
    clock.advance(1)
    after = [answer(*request) for request in requests]
    assert all(one != other for one, other in zip(before, after, strict=True))
    assert after[2] > before[2]


@pytest.mark.parametrize(
    ("request_", "response"),
    [
        (b"\x04\x00\x02\x00\x02", b"\x84\x02"),
        (b"\x01\x00\x01\x00\x01", b"\x81\x02"),
        (b"\x10\x00\x02\x00\x02\x04\x00\x01\x00\x01", b"\x90\x02"),
        (b"\x06\x00\x02\x00\x09", b"\x86\x03"),
        (b"\x05\x00\x00\x12\x34", b"\x85\x03"),
        (b"\x03\x00\x00\x00\x00", b"\x83\x03"),
        (b"\x03\x00\x00\x00\x7e", b"\x83\x03"),
        (b"\x03\x00", b"\x83\x03"),
        (b"\x2b\x0e\x01\x00", b"\xab\x01"),
    ],
)
def test_what_it_does_not_have_is_answered_with_the_exception_of_the_standard(air_handler, request_, response):
    """Illegal function, data address and data value are codes 1, 2 and 3."""
    assert answer(air_handler, request_) == response


@pytest.mark.parametrize("request_", [b"\x0f\x00\x00\x00\x01\x01\x00", b"\x05\x00\x00\x00\x00"])
def test_both_coil_writes_write(air_handler, request_):
    """Functions 5 and 15 switch the fan off."""
    answer(air_handler, request_)
    assert answer(air_handler, b"\x01\x00\x00\x00\x01") == b"\x01\x01\x00"


@given(st.binary(min_size=1, max_size=253))
def test_any_request_has_an_answer_of_its_function(request_):
    """Whatever comes in, the answer carries its function code, or that code as an exception."""
    clock = FakeClock()
    for device in (AirHandler(clock.now), Meter(clock.now)):
        response = answer(device, request_)
        assert response[0] in (request_[0], request_[0] | 0x80)
        clock.advance(1)
        answer(device, READ_SUPPLY)


def test_the_server_answers_many_requests_and_ends_a_broken_stream(air_handler):
    """Transaction and unit come back; what is no Modbus frame closes the connection."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        server = Server(listening, air_handler)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            port = listening.getsockname()[1]
            assert exchange(port, READ_SUPPLY, transaction=0, unit=255)[:2] == b"\x04\x04"
            with socket.create_connection(("127.0.0.1", port), timeout=5) as connection:
                connection.sendall(b"GET / HTTP/1.1\r\n\r\n")
                assert connection.recv(100) == b""
        finally:
            server.shutdown()
            thread.join()
            server.server_close()
