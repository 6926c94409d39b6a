"""The examples on the page about registers: what they say the registers hold, and what the points then are."""

from __future__ import annotations

import csv
import io
from typing import Any

import pytest

from gateway.errors import BadValue
from gateway.interfaces._modbus.codec import decode, encode
from gateway.interfaces._modbus.pdu import ModbusRegister
from gateway.interfaces._modbus.types import NAMES, type_of
from gateway.interfaces.base import text_value
from gateway.model import PointError
from gateway.values import from_raw, to_raw
from tests.interfaces.modbus.making import made
from tests.markdown import ROOT, blocks, first_cells

PAGE = ROOT / "docs" / "drivers" / "modbus-registers.md"


def examples() -> list[dict[str, str]]:
    """Every row on the page whose Notes say what it comes to."""
    tables = [csv.DictReader(io.StringIO(block.text)) for block in blocks(PAGE) if block.language == "csv"]
    return [row for table in tables for row in table if " is " in (row.get("Notes") or "")]


def value_of(register: ModbusRegister, data: bytes) -> Any:
    """What a client sees of a register that holds these bytes."""
    raw = decode(register, data)
    try:
        return raw if isinstance(raw, PointError) else from_raw(register, raw)
    except BadValue as error:
        return PointError(error.code, error.message)


@pytest.mark.parametrize("row", examples(), ids=lambda row: row["Volttron Point Name"])
def test_an_example_is_what_it_says(row: dict[str, str]) -> None:
    """The registers that the Notes give are the value that they give, and it is written to the same registers."""
    (register,) = made({title: cell for title, cell in row.items() if cell})
    held, _, told = row["Notes"].partition(" is ")
    data = bytes.fromhex(held)
    assert len(data) == 2 * register.count
    value = value_of(register, data)
    if told == "an error":
        assert isinstance(value, PointError)
        assert value.code == "bad_value"
        return
    assert value == text_value(register, told)
    assert str(value).lower() == told.lower()
    if register.writable:
        assert encode(register, to_raw(register, value)) == data


def test_there_are_examples_of_most_types() -> None:
    """The examples are found at all."""
    assert len(examples()) > 25


def test_every_type_is_described() -> None:
    """The page names every type."""
    cells = set(first_cells(PAGE))
    assert {name for name in NAMES if name not in cells} == {"string"}  # it stands there with its length


def test_every_word_for_a_type_means_one() -> None:
    """What the page calls a type is one, in any case."""
    for word in first_cells(PAGE):
        if word in NAMES or word.startswith("string["):
            assert type_of(word.upper(), "Type") == type_of(word, "Type")
