"""Patterns that are bounded, whatever is written in them and whatever comes."""

from __future__ import annotations

import time

import pytest

from gateway.errors import ConfigFault
from gateway.interfaces._text.patterns import compiled, escaped, group_number
from gateway.interfaces._text.register import Lines
from tests.integration.waiting import PATIENCE

LONGEST = b"a" * 4096
HOSTILE = [
    "(a+)+b",
    "(a*)*b",
    "((a|aa)+)+b",
    "(a|a|a|a|a)*b",
    "(.*a){20}b",
    "(.*)(.*)(.*)(.*)(.*)(.*)(.*)(.*)b",
    "((((((a*)*)*)*)*)*)*b",
    "(a?){500}(a){500}b",
    "(x+x+)+y|(a+a+)+b",
]


@pytest.mark.parametrize("pattern", HOSTILE)
def test_a_hostile_pattern_costs_next_to_nothing(pattern: str) -> None:
    """What takes other engines years is refused, or done in milliseconds on the longest line that there can be."""
    begin = time.thread_time()
    try:
        assert compiled(pattern).fullmatch(LONGEST.decode()) is None
    except ConfigFault:
        pass
    assert time.thread_time() - begin < 0.05 * PATIENCE


@pytest.mark.parametrize("pattern", ["(", r"(a)\1", "(?=a)", "a{1001}", "((a{100}){100}){100}", "a" * 501, "[z-a]"])
def test_a_pattern_that_can_not_be_is_a_fault(pattern: str) -> None:
    """Bad syntax, back references, look-around, and what takes too much memory."""
    with pytest.raises(ConfigFault) as raised:
        compiled(pattern)
    assert raised.value.where == "Pattern"


@pytest.mark.parametrize(
    ("pattern", "group", "number"),
    [("a", "", 0), ("(a)b", "", 1), ("(a)(b)", "2", 2), ("(?P<w>a)(b)", "w", 1), ("(?:a)(b)", "", 1), ("(a)", "0", 0)],
)
def test_the_group_of_the_value(pattern: str, group: str, number: int) -> None:
    """By number or name; without, the only one, or the whole line."""
    assert group_number(pattern, group) == number


@pytest.mark.parametrize(("pattern", "group"), [("(a)(b)", ""), ("(a)", "2"), ("(a)", "w"), ("a", "-1"), ("a", "²")])
def test_a_group_that_is_not_there_is_a_fault(pattern: str, group: str) -> None:
    """Also if there are several and none is named: nothing is guessed."""
    with pytest.raises(ConfigFault) as raised:
        group_number(pattern, group)
    assert raised.value.where == "Group"


def test_an_address_fits_itself_only() -> None:
    """What has a meaning in patterns has none in an address or a value."""
    assert compiled(escaped("0.*1")).fullmatch("0.*1")
    assert not compiled(escaped("0.*1")).fullmatch("0001")


@pytest.mark.parametrize("line", [b"\xff12.5", b"12.5\xb0", "12.5°".encode()])
def test_a_line_out_of_its_encoding_fits_nothing(line: bytes) -> None:
    """A byte that is no character of the encoding is a disturbed line."""
    assert Lines("(.*)", "ascii").match([line]) is None


def test_several_lines_are_seen_together() -> None:
    """The last so many lines, with line feeds between them; fewer are no answer yet."""
    lines = Lines(r"V=(\d+)\nI=(\d+)", "ascii", 2)
    assert lines.match([b"V=5"]) is None
    assert lines.match([b"noise", b"V=5", b"I=7"]) == ["V=5\nI=7", "5", "7"]
