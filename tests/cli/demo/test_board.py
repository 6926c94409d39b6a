from __future__ import annotations

import io
import re

import pytest
from rich.console import Console

from gateway.cli.demo.board import Board
from gateway.cli.mqttclient import Message
from gateway.payloads import dump
from gateway.topics import Topics

TOPICS = Topics("demo", "site")


@pytest.fixture
def board():
    """A board of two devices, below a prefix."""
    return Board(TOPICS, ("a/b/c", "a/b/d"))


def drawn(board, now):
    """The table as text."""
    console = Console(file=io.StringIO(), width=160)
    console.print(board.table(now))
    return console.file.getvalue()


def row(board, now, point):
    """What stands in a point's line after its name."""
    (line,) = (line for line in drawn(board, now).splitlines() if f" {point} " in line)
    return re.split(" {2,}", line.partition(f" {point} ")[2].strip())


def test_a_reading_shows_value_unit_and_age(board):
    """Values stand with the units of meta and the seconds since they came."""
    board.take(Message(TOPICS.meta("a/b/c"), dump({"points": {"Power": {"units": "kW"}}}), True), 0)
    assert board.take(Message(TOPICS.all("a/b/c"), dump({"values": {"Power": 1.5, "On": False}, "errors": {}}), False), 10)
    assert row(board, 12.5, "Power") == ["1.500", "kW", "2.5 s"]
    assert row(board, 12.5, "On") == ["false", "2.5 s"]


def test_an_error_takes_the_place_of_the_value(board):
    """A point in error shows the error, never its old value."""
    board.take(Message(TOPICS.all("a/b/c"), dump({"values": {"kW": 1.5}, "errors": {}}), False), 0)
    error = {"code": "timeout", "message": "no answer"}
    board.take(Message(TOPICS.all("a/b/c"), dump({"values": {}, "errors": {"kW": error}}), False), 1)
    assert row(board, 1, "kW")[0] == "timeout: no answer"


def test_states_and_faults_stand_with_their_device(board):
    """The state and what is wrong with a configuration are shown; a device that said nothing is waiting."""
    fault = {"where": "registry row 2", "message": "no such type", "suggestion": ""}
    status = {"state": "misconfigured", "reason": None, "config": {"verdict": "rejected", "errors": [fault]}}
    board.take(Message(TOPICS.status("a/b/c"), dump(status), True), 0)
    text = drawn(board, 0)
    assert "a/b/c  misconfigured" in text
    assert "registry row 2: no such type" in text
    assert "a/b/d  waiting" in text


@pytest.mark.parametrize("payload", [b"", b"\xff", b"5", b"{", b"[1]"])
def test_what_is_no_reading_changes_nothing(board, payload):
    """Other payloads and other devices are passed over."""
    before = drawn(board, 0)
    assert not board.take(Message(TOPICS.all("a/b/c"), payload, False), 0)
    assert not board.take(Message(TOPICS.all("x/y/z"), dump({"values": {"kW": 1}}), False), 0)
    assert drawn(board, 0) == before


def test_markup_in_values_is_only_text(board):
    """What looks like markup is shown as it is."""
    board.take(Message(TOPICS.all("a/b/c"), dump({"values": {"T": "[red]x[/nope]"}, "errors": {}}), False), 0)
    assert row(board, 0, "T")[0] == "[red]x[/nope]"


def test_it_asks_only_for_its_devices(board):
    """The filters are meta, status and readings of each device."""
    assert list(board.filters())[:3] == [TOPICS.meta("a/b/c"), TOPICS.status("a/b/c"), TOPICS.all("a/b/c")]
    assert len(list(board.filters())) == 6
