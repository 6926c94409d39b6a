from __future__ import annotations

import math
import struct
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pymodbus.client.mixin import ModbusClientMixin

from gateway.errors import BadValue, OutOfRange
from gateway.interfaces._modbus.codec import decode, encode
from gateway.interfaces._modbus.kinds import Bcd, Mod10k, Part, SignMagnitude, Text
from gateway.interfaces._modbus.types import NAMES, type_of
from gateway.model import PointError
from tests.interfaces.modbus.making import one

ORDERS = ["ABCD", "CDAB", "DCBA", "BADC"]
WHOLE = [n for n in NAMES if type_of(n, "Type").raw_type == "integer"]
RANGES = {
    "bcd16": (0, 9999),
    "bcd32": (0, 99999999),
    "mod10k": (-99999999, 99999999),
    "mod10k48": (-(10**12) + 1, 10**12 - 1),
    "mod10k64": (-(10**16) + 1, 10**16 - 1),
    "sm16": (-32767, 32767),
}
PYMODBUS = {
    "int16": "INT16",
    "uint16": "UINT16",
    "int32": "INT32",
    "uint32": "UINT32",
    "int64": "INT64",
    "uint64": "UINT64",
    "float32": "FLOAT32",
    "float64": "FLOAT64",
}


def limits(name: str) -> tuple[int, int]:
    """The least and greatest number of a whole type."""
    if name in RANGES:
        return RANGES[name]
    bits = int("".join(c for c in name if c.isdigit()))
    return (0, 2**bits - 1) if name.startswith("u") else (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)


def swapped(data: bytes, order: str) -> bytes:
    """Bytes from ABCD to another order, by the letters alone."""
    words = [data[at : at + 2] for at in range(0, len(data), 2)]
    if order in ("BADC", "DCBA"):
        words = [word[::-1] for word in words]
    return b"".join(reversed(words) if order in ("CDAB", "DCBA") else words)


@given(st.sampled_from(WHOLE), st.sampled_from(ORDERS), st.data())
def test_whole_numbers_come_back_in_every_order(name: str, order: str, data: st.DataObject) -> None:
    """Every number of every whole type comes back from its bytes, which are those of ABCD put in order."""
    value = data.draw(st.integers(*limits(name)))
    register = one(name, Byte_Order=order)
    wire = encode(register, value)
    assert len(wire) == 2 * register.count
    assert decode(register, wire) == value
    assert wire == swapped(encode(one(name), value), order)


@given(st.sampled_from(["float16", "float32", "float64"]), st.sampled_from(ORDERS), st.data())
def test_floats_come_back_in_every_order(name: str, order: str, data: st.DataObject) -> None:
    """Every float that a type holds comes back from its bytes, not a number and the infinite ones too."""
    width = int(name[5:])
    value = data.draw(st.floats(width=width))  # type: ignore[arg-type]
    register = one(name, Byte_Order=order)
    wire = encode(register, value)
    back = decode(register, wire)
    assert back == value or (math.isnan(value) and isinstance(back, float) and math.isnan(back))
    assert wire == swapped(struct.pack({16: ">e", 32: ">f", 64: ">d"}[width], value), order)


@pytest.mark.parametrize("name", sorted(WHOLE))
def test_a_whole_number_that_does_not_fit_is_refused(name: str) -> None:
    """One more than the most, and one less than the least, is out of range; the message names the point."""
    least, most = limits(name)
    for value in (least - 1, most + 1):
        with pytest.raises(OutOfRange, match='"P"'):
            encode(one(name), value)


@given(st.sampled_from(sorted(PYMODBUS)), st.sampled_from(["big", "little"]), st.data())
def test_words_are_those_of_another_library(name: str, words: Any, data: st.DataObject) -> None:
    """Pymodbus makes the same registers of a number, whichever word goes first."""
    if name.startswith("float"):
        value: float = data.draw(st.floats(width=int(name[5:]), allow_nan=False))  # type: ignore[arg-type]
    else:
        value = data.draw(st.integers(*limits(name)))
    kind = getattr(ModbusClientMixin.DATATYPE, PYMODBUS[name])
    theirs = ModbusClientMixin.convert_to_registers(value, kind, word_order=words)
    wire = encode(one(name, Word_Order=words), value)
    assert list(struct.unpack(f">{len(wire) // 2}H", wire)) == theirs
    assert decode(one(name, Word_Order=words), wire) == ModbusClientMixin.convert_from_registers(theirs, kind, words)


@given(st.text(st.characters(max_codepoint=126, min_codepoint=33), max_size=12))
def test_texts_are_those_of_another_library(text: str) -> None:
    """Pymodbus makes the same registers of a text."""
    theirs = ModbusClientMixin.convert_to_registers(text, ModbusClientMixin.DATATYPE.STRING)
    wire = encode(one("string[12]"), text)
    assert wire.rstrip(b"\0") == struct.pack(f">{len(theirs)}H", *theirs).rstrip(b"\0")
    assert decode(one("string[12]"), wire) == text


@given(st.sampled_from(["ascii", "latin-1", "cp1252", "utf-8", "utf-16-be", "utf-16-le"]), st.booleans(), st.data())
def test_texts_come_back_in_every_encoding(encoding: str, blanks: bool, data: st.DataObject) -> None:
    """A text comes back from its bytes, without the padding that was put behind it."""
    alphabet = st.characters(codec=encoding, exclude_characters="\0", exclude_categories=("Cs",))
    text = data.draw(st.text(alphabet, max_size=6)).rstrip("\0 ")
    register = one("string[24]", String_Encoding=encoding, Padding="space" if blanks else "nul")
    wire = encode(register, text)
    assert len(wire) == 24
    assert decode(register, wire) == text


@pytest.mark.parametrize("data", [b"a\0bc", b"\xff\xfeab"])
def test_bytes_that_are_no_text_are_an_error(data: bytes) -> None:
    """A NUL within, and bytes that the encoding does not have, are errors."""
    assert isinstance(Text().decode(data), PointError)
    assert isinstance(Text("utf-8").decode(data), PointError)


def test_a_text_of_another_encoding_is_refused() -> None:
    """What the encoding can not write, a NUL within, and too many bytes are refused, and the point is named."""
    with pytest.raises(BadValue, match='"P" takes LATIN-1 text'):
        encode(one("string[4]", String_Encoding="latin1"), "€")
    with pytest.raises(BadValue):
        encode(one("string[4]"), "a\0b")
    with pytest.raises(OutOfRange, match="at most 4 bytes"):
        encode(one("string[4]", String_Encoding="utf-8"), "üüü")


@given(st.integers(0, 15), st.integers(0, 15), st.booleans(), st.binary(min_size=2, max_size=2))
def test_a_part_is_its_bits_and_leaves_the_others(one_end: int, other: int, signed: bool, before: bytes) -> None:
    """A range of bits is what those bits are; to change it changes nothing else."""
    low, high = sorted((one_end, other))
    part = Part(low, high - low + 1, signed)
    bits = format(int.from_bytes(before, "big"), "016b")[::-1]
    plain = int(bits[low : high + 1][::-1], 2)
    value = part.decode(before)
    assert int(value) % (1 << part.width) == plain  # type: ignore[arg-type]
    assert part.within(before, value) == before  # type: ignore[arg-type]
    cleared = format(int.from_bytes(part.within(before, 0), "big"), "016b")[::-1]
    assert cleared == bits[:low] + "0" * part.width + bits[high + 1 :]


@pytest.mark.parametrize("data", ["000a", "f123"])
def test_a_digit_above_nine_is_an_error(data: str) -> None:
    """Four bits that are no decimal digit are an error, not a number."""
    assert isinstance(Bcd().decode(bytes.fromhex(data)), PointError)


@pytest.mark.parametrize("words", [(10000, 0), (0, 20000), (1, -1), (-1, 5), (-10000, 0)])
def test_mod10k_out_of_its_range_is_an_error(words: tuple[int, int]) -> None:
    """A register beyond 9,999, or two of different signs, is an error, not a number."""
    assert isinstance(Mod10k((0, 1)).decode(struct.pack(">2h", *words)), PointError)


def test_sign_and_magnitude() -> None:
    """The top bit is the sign alone."""
    assert [SignMagnitude().decode(bytes.fromhex(w)) for w in ("0000", "7fff", "8001", "ffff")] == [0, 32767, -1, -32767]


def test_64_bits_are_exact_in_json() -> None:
    """What is read of 64 bits is the same number in what the gateway publishes, to the last digit."""
    from gateway.payloads import dump

    for name, number in (("uint64", 2**64 - 1), ("int64", -(2**63)), ("uint64", 2**53 + 1)):
        assert dump({"a": decode(one(name), encode(one(name), number))}) == f'{{"a":{number}}}'.encode()
