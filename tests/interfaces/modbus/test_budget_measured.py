"""What is predicted of a line, against what it takes: libmodbus slaves on a pty bus of a baud rate."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from gateway.allow import Allow
from gateway.clock import SystemClock
from gateway.interfaces._modbus.config import ModbusConfig
from gateway.interfaces.base import Environment
from gateway.interfaces.modbus import Interface
from gateway.testing import poll
from tests.integration.waiting import PATIENCE
from tests.interfaces.modbus.bus import Bus, slaves
from tests.interfaces.test_modbus import many

BAUD = 9600
ENV = Environment(SystemClock(), Allow(serial_ports=("/**",)))
MAPS = {
    "one register at a time": [(">H", 3 * n) for n in range(10)],
    "small blocks": [(">H", 20 * block + n) for block in range(6) for n in range(10)],
    "one block": [(">H", n) for n in range(100)],
}


@pytest.fixture(scope="module")
def line(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bus]:
    """A line of 9600 baud with a slave 11."""
    folder = tmp_path_factory.mktemp("line")
    with Bus(folder, 2, BAUD) as bus, slaves(folder, bus, 11):
        yield bus


@pytest.mark.parametrize("places", MAPS.values(), ids=MAPS.keys())
def test_a_poll_takes_what_was_predicted(line: Bus, places: list[tuple[str, int]]) -> None:
    """The quickest of four polls takes within a fifth of the predicted time; the bus has 11 bits a character."""
    keys = {"device_address": str(line.paths[0]), "slave_id": 11, "baudrate": BAUD, "stopbits": 2}
    interface = Interface(ModbusConfig.model_validate(keys), ENV)
    points = many(*places, writable=False)
    interface.open()
    poll(interface, points)
    took = []
    for _ in range(4):
        begun = time.monotonic()
        answer = poll(interface, points)
        took.append(time.monotonic() - begun)
        assert list(answer.values()) == [11_000 + address for _, address in places]
    interface.close()
    predicted = interface.use(points).seconds
    assert 0.8 * predicted <= min(took) <= 1.2 * predicted * PATIENCE
