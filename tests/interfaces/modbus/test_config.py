from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from gateway.interfaces._modbus.config import ModbusConfig


def config(**keys: Any) -> ModbusConfig:
    """A config of unit 1."""
    return ModbusConfig.model_validate({"slave_id": 1} | keys)


@pytest.mark.parametrize(
    ("keys", "transport", "framing", "port"),
    [
        ({"device_address": "10.0.0.5"}, "tcp", "socket", 502),
        ({"device_address": "/dev/ttyUSB0"}, "serial", "rtu", 0),
        ({"device_address": "/dev/ttyUSB0", "framing": "ASCII"}, "serial", "ascii", 0),
        ({"device_address": "plc-1", "transport": "tls"}, "tls", "socket", 802),
        ({"device_address": "plc-1", "transport_protocol": "UDP"}, "udp", "socket", 502),
        ({"device_address": "plc-1", "framing": "rtu", "port": "4001"}, "tcp", "rtu", 4001),
    ],
)
def test_what_is_not_said_follows_from_the_rest(keys: dict[str, Any], transport: str, framing: str, port: int) -> None:
    """A path means a serial line with RTU, anything else TCP; each transport has its framing and port."""
    made = config(**keys)
    assert (made.transport, made.framing, made.port) == (transport, framing, port)


@pytest.mark.parametrize(
    "wrong",
    [
        {"transport": "serial"},
        {"transport": "udp", "framing": "rtu"},
        {"transport": "tls", "framing": "ascii"},
        {"device_address": "/dev/ttyS0", "transport": "tcp"},
        {"device_address": "/dev/ttyS0", "framing": "socket"},
        {"device_address": "/dev/ttyS0", "port": 502},
        {"device_address": "/dev/ttyS0", "slave_id": 0},
        {"device_address": "/dev/ttyS0", "slave_id": 248},
        {"device_address": "/dev/ttyS0", "bytesize": 7},
        {"device_address": "/dev/ttyS0", "xonxoff": True},
        {"device_address": "/dev/ttyS0", "parity": "odd-ish"},
        {"device_address": "/dev/ttyS0", "stopbits": 3},
        {"device_address": "/dev/ttyS0", "rs485": {"rts": True}},
        {"device_address": "/dev/ttyS0", "ca": "x"},
        {"baudrate": 9600},
        {"parity": "even"},
        {"rs485": {}},
        {"echo": True},
        {"cert": "x"},
        {"server_name": "plc"},
        {"port": 0},
        {"gap": -1},
        {"requests_per_second": 0},
        {"connect_delay": "soon"},
    ],
)
def test_what_does_not_go_together_is_refused_at_its_key(wrong: dict[str, Any]) -> None:
    """A key of another transport, and a value that can not work on this one, is a fault at that key."""
    with pytest.raises(ValidationError) as raised:
        config(**({"device_address": "10.0.0.5"} | wrong))
    (fault,) = raised.value.errors()
    assert fault["loc"][0] == list(wrong)[-1]


def test_an_endpoint_is_the_same_by_every_name(tmp_path: Path) -> None:
    """Letters in another case, a final dot and a longer IPv6 address are one host; links to a port are that port."""
    assert config(device_address="PLC-1.").endpoint == config(device_address="plc-1").endpoint
    assert config(device_address="fe80:0::1").endpoint == config(device_address="fe80::1").endpoint
    assert config(device_address="plc-1").endpoint != config(device_address="plc-1", port=503).endpoint
    (tmp_path / "ttyUSB0").touch()
    (tmp_path / "by-id").symlink_to("ttyUSB0")
    paths = [config(device_address=str(tmp_path / name)).endpoint for name in ("ttyUSB0", "by-id")]
    assert paths[0] == paths[1]


@pytest.mark.parametrize(
    ("keys", "gap"),
    [
        ({"device_address": "plc-1"}, 0),
        ({"device_address": "/dev/ttyS0"}, 3.5 * 10 / 9600),
        ({"device_address": "/dev/ttyS0", "parity": "even"}, 3.5 * 11 / 9600),
        ({"device_address": "/dev/ttyS0", "baudrate": 115200}, 0.00175),
        ({"device_address": "/dev/ttyS0", "gap": 0.25}, 0.25),
        ({"device_address": "plc-1", "gap": 0.01}, 0.01),
    ],
)
def test_the_gap_is_three_and_a_half_characters(keys: dict[str, Any], gap: float) -> None:
    """On a serial line 3.5 characters, at least 1.75 ms; elsewhere none; both unless it is said."""
    assert config(**keys).frame_gap == pytest.approx(gap)
