"""The driver of tally boards: the gateway's suite, and what is special about these boards."""

from __future__ import annotations

import csv
import json
import socket
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from gateway_tally import Interface
from gateway_tally.board import Board
from gateway_tally.protocol import READ, Request, taken

from gateway.driver import Environment, PointError, Rejected, Transient
from gateway.testing import FakeClock, Gate, InterfaceContract, Peer, poll, registers_of

ROOT = Path(__file__).parents[1]


def sample_rows() -> list[dict[str, Any]]:
    """The rows of the sample, empty cells left out."""
    with (ROOT / "samples" / "registry.csv").open(newline="") as file:
        return [{column: cell for column, cell in row.items() if cell} for row in csv.DictReader(file)]


@dataclass
class BoardPeer(Peer):
    """A board that can be stopped and started."""

    board: Board | None = None

    def start(self) -> None:
        """Serve, on the same port as before."""
        self.board = Board({0: 1200, 1: 345, 2: 6, 3: 0}, frozenset({0, 1}), self.config.get("port", 0))
        self.config["port"] = self.board.port
        threading.Thread(target=self.board.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()

    def stop(self) -> None:
        """Close the port and every connection."""
        if self.board is not None:
            self.board.shutdown()
            self.board.server_close()
            self.board.hang_up()
            self.board = None


class TestTallyContract(InterfaceContract):
    """What every driver must do."""

    @pytest.fixture
    def peer(self) -> Iterator[Peer]:
        """A board with the points of the sample."""
        peer = BoardPeer(Interface, {"host": "127.0.0.1"}, sample_rows())
        peer.start()
        yield peer
        peer.stop()


@pytest.fixture
def peer() -> Iterator[BoardPeer]:
    """A board."""
    peer = BoardPeer(Interface, {"host": "127.0.0.1"}, sample_rows())
    peer.start()
    yield peer
    peer.stop()


def test_a_channel_that_is_not_there_loses_no_other(peer: BoardPeer) -> None:
    """A refused request is divided, and only that point is in error."""
    rows = [*sample_rows(), {"Volttron Point Name": "Missing", "Channel": "4"}]
    interface = peer.make()
    answer = poll(interface, registers_of(interface, rows))
    assert answer.pop("Missing") == PointError("device_rejected", "no such channel", unsupported=True)
    assert answer == {"Water": 12.0, "Energy": 345, "Visitors": 6, "Batches": 0}
    interface.close()


def test_a_locked_channel_is_a_refusal(peer: BoardPeer) -> None:
    """The board's status is told in words, and the write is sent once."""
    interface = peer.make()
    (register,) = registers_of(interface, [{"Volttron Point Name": "Energy", "Channel": "1", "Writable": "TRUE"}])
    gate = Gate()
    with pytest.raises(Rejected, match="the channel is locked"):
        interface.write(register, 5, {}, gate)
    assert gate.calls == 1
    interface.close()


def test_the_counters_that_follow_each_other_are_one_request() -> None:
    """At most sixteen at a time."""
    interface = Interface(Interface.Config(host="127.0.0.1"), Environment(FakeClock()))
    rows = [{"Volttron Point Name": f"c{n}", "Channel": str(n)} for n in [*range(20), 30]]
    assert [len(batch.registers) for batch in interface.batches(registers_of(interface, rows))] == [16, 4, 1]


def test_what_is_no_reply_is_no_value() -> None:
    """Bytes of something else are refused, half a reply is waited for, and what follows it is kept."""
    whole = bytes.fromhex("5459 81 07 0000 0001 000000000000002a")
    reply, rest = taken(whole + b"TY")
    assert reply is not None
    assert (reply.sequence, reply.status, reply.counters, rest) == (7, 0, (42,), b"TY")
    assert taken(whole[:-1]) == (None, whole[:-1])
    with pytest.raises(ValueError, match="no reply"):
        taken(b"HTTP/1.1")
    assert Request(READ, 3, 2).frame(7) == bytes.fromhex("5459 01 07 0003 0002")


def test_a_board_that_says_nothing_is_a_timeout() -> None:
    """The connection goes with it, so that a late reply is nobody's."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        config = Interface.Config(host="127.0.0.1", port=silent.getsockname()[1], timeout=0.05)
        interface = Interface(config, Environment(FakeClock()))
        with pytest.raises(Transient, match=r"no answer within 0\.05 s"):
            poll(interface, registers_of(interface, sample_rows()))
        interface.close()


def test_the_page_names_every_key_and_column() -> None:
    """README.md is the driver's page, and the sample is what it says."""
    page = (ROOT / "README.md").read_text()
    titles = {str(field.alias) for name, field in Interface.Row.model_fields.items() if name == "channel"}
    assert [word for word in {*Interface.Config.model_fields, *titles} if f"`{word}`" not in page] == []
    Interface.Config.model_validate(json.loads((ROOT / "samples" / "device.json").read_text())["driver_config"])
