from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from gateway.clock import SystemClock
from gateway.interfaces import load
from gateway.interfaces.serial import Interface
from gateway.testing import InterfaceContract, Peer
from tests.interfaces.serial.instruments import Instrument, TcpInstrument, row

ROWS = [
    row("t", r"t=(.*)", "Rt", Write="Wt={value}", Answer="OK"),
    row("n", r"n=(.*)", "Rn", Type="int", Write="Wn={value}", Answer="OK"),
    row("h", r"h=(.*)", "Rh", Type="hex", Write="Wh={value:02X}", Answer="OK"),
    row("b", r"b=(.*)", "Rb", Type="bool", Words="ON=1;OFF=0", Write="Wb={value}", Answer="OK"),
    row("s", r"s=(.*)", "Rs", Type="string", Write="Ws={value}", Answer="OK"),
    row("e", r"e=(.*)", "Re", Type="int", Enum="0=Off;1=On", Write="We={value}", Answer="OK"),
    row("scaled", r"x=(.*)", "Rx", Scale="0.5", Offset="-1", Write="Wx={value:.2f}", Answer="OK"),
    row("unconfirmed", r"u=(.*)", "Ru", Write="Wu={value}"),
    row("first", r"two=(\S+) (\S+)", "Rtwo", Group="1"),
    row("second", r"two=(\S+) (?P<second>\S+)", "Rtwo", Group="second", Type="int"),
    row("missing", r"z=(.*)", "Rz"),
]


@dataclass
class TcpPeer(Peer):
    """An instrument on TCP that can be stopped and started."""

    server: TcpInstrument | None = None

    def stop(self) -> None:
        """Close the port and every connection."""
        assert self.server is not None
        self.server.stop()

    def start(self) -> None:
        """Listen again."""
        assert self.server is not None
        self.server.start()


class TestSerialContract(InterfaceContract):
    """The contract, kept by the driver of instruments."""

    @pytest.fixture
    def peer(self) -> Iterator[Peer]:
        """An instrument with a point of each type."""
        values = {"t": "20.5", "n": "7", "h": "1F", "b": "OFF", "s": "Auto", "e": "0", "x": "3", "u": "1", "two": "1.5 2"}
        server = TcpInstrument(Instrument(**values))
        server.start()
        config = {"host": "127.0.0.1", "port": server.port, "timeout": 2, "error_pattern": "ERR"}
        yield TcpPeer(Interface, config, ROWS, SystemClock(), server)
        server.stop()


def test_it_is_loaded_by_its_name() -> None:
    """The driver type is serial, whatever else is called so."""
    assert load("serial") is Interface
