from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.interfaces._modbus.budget import Timing, seconds, timing, words
from gateway.interfaces._modbus.config import ModbusConfig
from gateway.interfaces._modbus.pdu import Table, read_query
from tests.interfaces.test_modbus import interface_of, many


def config(**keys: Any) -> ModbusConfig:
    """A device on a serial line of 9600 baud, 8 data bits, no parity, 2 stop bits: 11 bits a character."""
    given = {"device_address": "/dev/ttyUSB0", "slave_id": 1, "stopbits": 2} | keys
    return ModbusConfig.model_validate(given)


def predicted(count: int, table: Table = Table.HOLDING, **keys: Any) -> float:
    """Milliseconds for one request for so many addresses."""
    return 1000 * seconds([read_query(table, 0, count)], timing(config(**keys)))


def test_an_rtu_request_by_hand() -> None:
    """8 characters of request, 3.5 of silence, 5 and two for each register of reply, and the gap of 3.5."""
    assert predicted(1) == pytest.approx((8 + 3.5 + 7 + 3.5) * 11 / 9.6)
    assert predicted(100) == pytest.approx((8 + 3.5 + 205 + 3.5) * 11 / 9.6)
    assert predicted(17, Table.COIL) == pytest.approx((8 + 3.5 + 8 + 3.5) * 11 / 9.6)


def test_a_fast_line_has_a_fixed_silence() -> None:
    """Where 3.5 characters are shorter than 1.75 ms, those are kept."""
    assert predicted(1, baudrate=115200) == pytest.approx(15 * 11 / 115.2 + 2 * 1.75)


def test_a_gap_of_ones_own() -> None:
    """The gap of the config takes the place of the 3.5 characters before a request, not of those after it."""
    assert predicted(1, gap=0.05) == pytest.approx((8 + 3.5 + 7) * 11 / 9.6 + 50)


def test_an_ascii_request_by_hand() -> None:
    """Two characters for each byte of address, PDU and LRC, a colon, CR LF; no silence tells the end."""
    assert predicted(1, framing="ascii", gap=0) == pytest.approx((17 + 15) * 11 / 9.6)


def test_a_limit_of_requests_counts_if_it_is_slower() -> None:
    """With two requests a second each takes half a second, however short it is."""
    assert predicted(1, requests_per_second=2) == 500
    assert predicted(1, requests_per_second=1000) == predicted(1)


def test_off_a_serial_line_only_what_is_configured_is_known() -> None:
    """Over TCP nothing is predicted but the limit of requests, and the gap."""
    queries = [read_query(Table.HOLDING, 0, 10)] * 3
    assert seconds(queries, timing(ModbusConfig(device_address="10.0.0.5"))) == 0
    assert seconds(queries, timing(ModbusConfig(device_address="10.0.0.5", requests_per_second=4))) == 0.75
    assert seconds(queries, timing(ModbusConfig(device_address="10.0.0.5", gap=0.1))) == pytest.approx(0.3)


@given(st.lists(st.integers(1, 125), max_size=9), st.floats(1e-5, 1e-2), st.floats(0, 0.01))
def test_one_longer_request_is_never_slower_than_two(counts: list[int], character: float, gap: float) -> None:
    """So that the plan with the fewest requests is the fastest, as long as it reads nothing in addition."""
    line = Timing(character, 3.5 * character, gap)
    whole = sum(counts)
    if 0 < whole <= 125:
        apart = seconds([read_query(Table.HOLDING, 0, count) for count in counts], line)
        assert seconds([read_query(Table.HOLDING, 0, whole)], line) <= apart + 1e-12


def test_devices_of_one_line_have_one_name() -> None:
    """Units of a line, or behind an address, are added up; other ports and addresses are not."""
    assert words(config()) == words(config(slave_id=9)) == "/dev/ttyUSB0 at 9600 baud"
    assert words(ModbusConfig(device_address="10.0.0.5")) == "10.0.0.5 port 502"


def test_an_interface_tells_what_its_plan_takes() -> None:
    """The requests are those of the plan, with its gaps and limits."""
    points = many((">H", 0), (">H", 3))
    assert interface_of().use(points).requests == 2
    assert interface_of(max_gap=2, requests_per_second=2).use(points).seconds == 0.5
