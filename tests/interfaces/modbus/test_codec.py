from __future__ import annotations

import math
import struct
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pymodbus.pdu import bit_message, register_message

from gateway.errors import BadValue, OutOfRange, Transient
from gateway.interfaces._modbus.codec import BitLayout, WordLayout, decode, encode
from gateway.interfaces._modbus.kinds import Text
from gateway.interfaces._modbus.pdu import EXCEPTIONS, ModbusRegister, Query, Refusal, Table, read_query
from gateway.interfaces._modbus.writes import write_query
from gateway.model import PointError

NUMBERS = [order + code for order in "><" for code in "hHiIlLqQefd"]
TABLES = st.sampled_from(Table)


def word(kind: str, address: int = 0, name: str = "P", *, mixed: bool = False) -> ModbusRegister:
    """A point in holding registers."""
    raw_type = "string" if kind.endswith("s") else "float" if kind[-1] in "efd" else "integer"
    count = struct.calcsize(kind) // 2
    place: dict[str, Any] = {"table": Table.HOLDING, "address": address, "count": count, "format": kind, "mixed": mixed}
    place |= {"write": 16, **({"format": ">", "kind": Text()} if raw_type == "string" else {})}
    return ModbusRegister(name=name, type=raw_type, raw_type=raw_type, writable=True, **place)


def coil(address: int, name: str = "P") -> ModbusRegister:
    """A point that is a coil."""
    place: dict[str, Any] = {"table": Table.COIL, "address": address, "count": 1, "write": 5}
    return ModbusRegister(name=name, type="boolean", raw_type="boolean", writable=True, **place)


def same(one: object, other: object) -> bool:
    """Equal, a number that is none equal to itself."""
    return one == other or (isinstance(one, float) and isinstance(other, float) and math.isnan(one) and math.isnan(other))


def expected(register: ModbusRegister, data: bytes, start: int) -> object:
    """The value by the plainest way: word by word, then byte by byte."""
    words = [data[2 * (at - start) : 2 * (at - start) + 2] for at in range(register.address, register.end)]
    stream = b"".join(reversed(words) if register.mixed else words)
    if isinstance(register.kind, Text):
        text = stream.rstrip(b"\0 ")
        return text.decode("ascii") if text.isascii() and b"\0" not in text else PointError
    order = "little" if register.format[0] == "<" else "big"
    number = int.from_bytes(stream, order)
    if register.format[1] in "efd":
        return struct.unpack(">" + register.format[1], number.to_bytes(len(stream), "big"))[0]
    limit = 1 << 8 * len(stream)
    return number - limit if register.format[1].islower() and 2 * number >= limit else number


@st.composite
def blocks(draw: st.DrawFn) -> tuple[list[ModbusRegister], int, int, bytes]:
    """Points of any format anywhere in a block, with its bounds and its bytes."""
    start = draw(st.integers(0, 60000))
    kinds = draw(st.lists(st.sampled_from([*NUMBERS, "2s", "8s"]), min_size=1, max_size=20))
    registers = [
        word(kind, start + draw(st.integers(0, 30)), f"P{n}", mixed=draw(st.booleans())) for n, kind in enumerate(kinds)
    ]
    end = max(r.end for r in registers)
    return registers, start, end, draw(st.binary(min_size=2 * (end - start), max_size=2 * (end - start)))


@given(blocks())
def test_a_block_decodes_to_what_each_point_alone_would_be(
    block: tuple[list[ModbusRegister], int, int, bytes],
) -> None:
    """However points touch, overlap or nest, each has the value of its own bytes."""
    registers, start, end, data = block
    values = WordLayout(registers, start, end).decode(data)
    assert set(values) == {r.name for r in registers}
    for register in registers:
        value, wanted = values[register.name], expected(register, data, start)
        assert isinstance(value, PointError) if wanted is PointError else same(value, wanted)


@given(st.integers(0, 60000), st.lists(st.integers(0, 300), min_size=1, unique=True), st.data())
def test_bits_are_counted_from_the_low_end_of_the_first_byte(start: int, offsets: list[int], data: st.DataObject) -> None:
    """Each coil is its own bit of the reply, whatever the bits after the last one are."""
    size = max(offsets) // 8 + 1
    reply = data.draw(st.binary(min_size=size, max_size=size))
    values = BitLayout([coil(start + offset, str(offset)) for offset in offsets], start).decode(reply)
    assert values == {str(offset): bool(reply[offset // 8] >> offset % 8 & 1) for offset in offsets}


@given(st.sampled_from(NUMBERS), st.booleans(), st.data())
def test_what_was_encoded_is_decoded(kind: str, mixed: bool, data: st.DataObject) -> None:
    """Every number that a format holds comes back from its bytes."""
    bits = 8 * struct.calcsize(kind)
    low, high = (-(1 << bits - 1), (1 << bits - 1) - 1) if kind[1].islower() else (0, (1 << bits) - 1)
    number = st.floats(width=bits) if kind[1] in "efd" else st.integers(low, high)  # type: ignore[arg-type]
    value = data.draw(number)
    assert same(decode(word(kind, mixed=mixed), encode(word(kind, mixed=mixed), value)), value)


@pytest.mark.parametrize(
    ("kind", "mixed", "wire"),
    [(">I", False, "01020304"), (">I", True, "03040102"), ("<I", False, "04030201"), ("<I", True, "02010403")],
)
def test_the_four_orders(kind: str, mixed: bool, wire: str) -> None:
    """Byte order and Mixed Endian give ABCD, CDAB, DCBA and BADC."""
    assert encode(word(kind, mixed=mixed), 0x01020304).hex() == wire


@pytest.mark.parametrize("kind", [k for k in NUMBERS if k[1] not in "efd"])
def test_an_integer_beyond_its_registers_is_refused(kind: str) -> None:
    """One more than the most, and one less than the least, is out of range, and the message gives the range."""
    bits = 8 * struct.calcsize(kind)
    low, high = (-(1 << bits - 1), (1 << bits - 1) - 1) if kind[1].islower() else (0, (1 << bits) - 1)
    for value in (low - 1, high + 1):
        with pytest.raises(OutOfRange, match=rf"\({low} to {high}\)"):
            encode(word(kind), value)


@pytest.mark.parametrize(("kind", "value"), [(">e", 70000.0), (">f", 1e39), ("<f", -1e39)])
def test_a_float_beyond_its_registers_is_refused(kind: str, value: float) -> None:
    """A float too big for its format is out of range."""
    with pytest.raises(OutOfRange, match="does not fit"):
        encode(word(kind), value)


def test_text_is_padded_with_nul() -> None:
    """A text fills its registers with NUL behind it; one that fills them all needs none."""
    assert encode(word("8s"), "abc") == b"abc\0\0\0\0\0"
    assert encode(word("8s"), "") == bytes(8)
    assert encode(word("4s"), "abcd") == b"abcd"
    assert encode(word("4s", mixed=True), "abcd") == b"cdab"


def test_text_that_does_not_fit_is_refused() -> None:
    """A text that is too long, not ASCII, or holds NUL is refused before it is sent."""
    with pytest.raises(OutOfRange, match="at most 4 bytes"):
        encode(word("4s"), "abcde")
    for text in ("grün", "a\0b"):
        with pytest.raises(BadValue, match="ASCII"):
            encode(word("8s"), text)


def test_text_is_read_without_its_padding() -> None:
    """NUL and spaces at the end are padding, in front they are not."""
    assert decode(word("8s"), b" ab c \0\0") == " ab c"
    assert decode(word("8s"), bytes(8)) == ""


def test_text_that_can_not_be_told_is_an_error() -> None:
    """Bytes that are not ASCII, or NUL amid a text, are that point's error, with the bytes in it."""
    for data in (b"gr\xfcn\0\0\0\0", b"ab\0cd\0\0\0"):
        error = decode(word("8s"), data)
        assert isinstance(error, PointError)
        assert error.code == "bad_value"
        assert data.hex(" ")[:8] in error.message


@given(TABLES, st.integers(0, 65535), st.integers(1, 125))
def test_read_requests_are_those_of_another_library(table: Table, address: int, count: int) -> None:
    """A read is byte for byte what pymodbus would send."""
    kinds = {
        Table.COIL: bit_message.ReadCoilsRequest,
        Table.DISCRETE_INPUT: bit_message.ReadDiscreteInputsRequest,
        Table.HOLDING: register_message.ReadHoldingRegistersRequest,
        Table.INPUT: register_message.ReadInputRegistersRequest,
    }
    other = kinds[table](address=address, count=count)
    assert read_query(table, address, count).pdu == bytes([other.function_code]) + other.encode()


@given(st.integers(0, 65535), st.booleans())
def test_coil_writes_are_those_of_another_library(address: int, on: bool) -> None:
    """A coil is written byte for byte as pymodbus would."""
    other = bit_message.WriteSingleCoilRequest(address=address, bits=[on])
    assert write_query(coil(address), on).pdu == b"\x05" + other.encode()


@given(st.integers(0, 65535), st.integers(-(1 << 31), (1 << 31) - 1))
def test_register_writes_are_those_of_another_library(address: int, value: int) -> None:
    """Registers are written byte for byte as pymodbus would."""
    words = list(struct.unpack(">HH", struct.pack(">i", value)))
    other = register_message.WriteMultipleRegistersRequest(address=address, registers=words)
    assert write_query(word(">i", address), value).pdu == b"\x10" + other.encode()


QUERIES = [
    read_query(Table.HOLDING, 7, 3),
    read_query(Table.COIL, 0, 9),
    write_query(coil(5), True),
    write_query(word(">H", 5), 0),
]


@pytest.mark.parametrize("query", QUERIES)
@given(reply=st.binary(min_size=2, max_size=12))
def test_only_a_right_reply_is_taken(query: Query, reply: bytes) -> None:
    """Random replies are refused, but for those with the function, size and echo that the request demands."""
    right = reply[: len(query.head)] == query.head and len(reply) == query.length
    refusal = len(reply) == 2 and reply[0] == 0x80 + query.pdu[0]
    if right:
        assert query.data(reply) == reply[len(query.head) :]
    else:
        with pytest.raises(Refusal if refusal else Transient):
            query.data(reply)


@pytest.mark.parametrize("query", QUERIES)
def test_a_nearly_right_reply_is_refused(query: Query) -> None:
    """Another function, one byte more or less, or any changed byte of the head is refused in words."""
    good = query.head + bytes(query.length - len(query.head))
    wrong = [bytes([good[0] ^ 1]) + good[1:], good + b"\0", good[:-1]]
    wrong += [good[:at] + bytes([good[at] ^ 1]) + good[at + 1 :] for at in range(1, len(query.head))]
    for reply in wrong:
        with pytest.raises(Transient, match="the device answered"):
            query.data(reply)
    assert query.data(good) == bytes(query.length - len(query.head))


@pytest.mark.parametrize("code", range(256))
def test_every_exception_code_is_named(code: int) -> None:
    """An exception code is raised with the words of the specification, or its number."""
    with pytest.raises(Refusal, match=EXCEPTIONS.get(code, f"exception code {code}")) as raised:
        QUERIES[0].data(bytes([0x83, code]))
    assert raised.value.code == code
