from __future__ import annotations

import struct
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from gateway.errors import BadValue, ConfigFault, OutOfRange
from gateway.interfaces._modbus.codec import decode, encode
from gateway.interfaces._modbus.kinds import Mod10k, Part, SignMagnitude, Text
from gateway.interfaces._modbus.pdu import ModbusRegister, Table
from gateway.interfaces._modbus.places import TABLES
from gateway.interfaces._modbus.plan import parts, plan
from gateway.model import Scalar
from gateway.values import from_raw, to_raw
from tests.interfaces.modbus.making import interface_of, made, one, several


def fault(**columns: Any) -> ConfigFault:
    """What is said against a row."""
    with pytest.raises(ConfigFault) as raised:
        one(columns.pop("type_name", "uint16"), **columns)
    return raised.value


def read(register: ModbusRegister, data: bytes) -> Scalar:
    """The value of a register that holds these bytes."""
    raw = decode(register, data)
    assert isinstance(raw, (bool, int, float, str))
    return from_raw(register, raw)


# --- tables and addresses


@pytest.mark.parametrize(("name", "table"), TABLES.items())
def test_tables_have_many_names(name: str, table: Table) -> None:
    """VOLTTRON's, pymodbus' and our names of a table mean the same, in any case, with blanks or dashes."""
    type_name = "bool" if table.bits else "uint16"
    assert one(type_name, Table=name.upper().replace("_", " ")).table is table


def test_a_read_only_holding_register_can_be_said() -> None:
    """With Table a point that is not writable is in the holding registers; without it in the input registers."""
    assert one(Table="holding").table is Table.HOLDING
    assert one(Table="").table is Table.INPUT
    assert one(Table="", Writable="TRUE").table is Table.HOLDING


@pytest.mark.parametrize("table", ["input", "discrete_input"])
def test_a_table_that_is_read_only_has_no_writable_point(table: str) -> None:
    """A writable row in an input table is a fault."""
    assert fault(type_name="bool" if "discrete" in table else "uint16", Table=table, Writable="TRUE").where == "Writable"


@pytest.mark.parametrize(
    ("addressing", "text", "address"),
    [
        *(("offset", "0x51A", 0x51A), ("exact", "40001", 40001), ("offset_plus", "1", 0), ("offset_plus", "65536", 65535)),
        *(("address", "40001", 0), ("address", "49999", 9998), ("address", "400001", 0), ("address", "465536", 65535)),
    ],
)
def test_addresses_are_counted_as_said(addressing: str, text: str, address: int) -> None:
    """Addressing says what the number of a manual is on the wire."""
    assert one(Address=text, addressing=addressing).address == address


@pytest.mark.parametrize(
    ("text", "table"),
    [
        *(("1", Table.COIL), ("9999", Table.COIL), ("000001", Table.COIL), ("010001", Table.COIL)),
        *(("10001", Table.DISCRETE_INPUT), ("100001", Table.DISCRETE_INPUT), ("30001", Table.INPUT)),
        *(("365536", Table.INPUT), ("40001", Table.HOLDING), ("400001", Table.HOLDING)),
    ],
)
def test_the_number_of_a_manual_says_the_table(text: str, table: Table) -> None:
    """With addressing address the first digit is the table, whatever Writable would imply."""
    made_one = one("bool" if table.bits else "uint16", Address=text, Table="", addressing="address")
    assert made_one.table is table


@pytest.mark.parametrize(
    ("addressing", "text"),
    [
        ("address", "0"),
        ("address", "20001"),
        ("address", "40000"),
        ("address", "30001"),
        ("offset_plus", "0"),
        ("offset", "65536"),
    ],
)
def test_a_number_that_is_no_address_is_a_fault(addressing: str, text: str) -> None:
    """A number that the way of counting does not have, or of another table than the row says, is a fault at its column."""
    assert fault(Address=text, addressing=addressing).where == "Address"


def test_one_thing_is_said_once() -> None:
    """Two columns that mean the same and say different things are a fault; the same twice is not."""
    assert one(Modbus_Register="uint16").count == 1
    assert fault(Modbus_Register=">H").where == "Type"
    assert fault(Point_Address="5").where == "Address"


# --- types


@pytest.mark.parametrize(
    ("word", "meant"),
    [
        ("UINT16", "uint16"),
        ("WORD", "uint16"),
        ("Float", "float32"),
        ("REAL", "float32"),
        ("DOUBLE", "float64"),
        ("INT8H", "int8h"),
    ],
)
def test_other_words_for_a_type(word: str, meant: str) -> None:
    """The words of other programs make the same register."""
    assert one(word) == one(meant)


@pytest.mark.parametrize("word", ["string(7)", "STRING[7]", "str[8]", "8s", "<8s"])
def test_the_length_of_a_text_is_even(word: str) -> None:
    """A text fills whole registers: an odd length is rounded up, as in VOLTTRON."""
    assert (one(word).count, one(word).raw_type) == (4, "string")
    assert one("string", Count="4").count == 4


@pytest.mark.parametrize(
    ("columns", "where"),
    [
        ({"type_name": "int8"}, "Type"),
        ({"type_name": "string"}, "Type"),
        ({"type_name": "string[300]"}, "Type"),
        ({"type_name": "uint32", "Count": "3"}, "Count"),
        ({"type_name": "bool"}, "Bit"),
        ({"type_name": "float32", "Bit": "1"}, "Type"),
        ({"Bit": "16"}, "Bit"),
        ({"type_name": ">H", "Byte_Order": "DCBA"}, "Byte Order"),
        ({"type_name": "bool", "Table": "coil", "Bit": "1"}, "Bit"),
        ({"Table": "coil"}, "Table"),
        ({"type_name": "string[4]", "Scale": "2"}, "Scale"),
        ({"type_name": "string[4]", "String_Encoding": "klingon"}, "String Encoding"),
        ({"No_Value": "70000"}, "No Value"),
        ({"No_Value": "much"}, "No Value"),
        ({"type_name": "string[4]", "No_Value": "0"}, "No Value"),
        ({"type_name": "bool", "Table": "coil", "No_Value": "0"}, "No Value"),
        ({"type_name": "bcd16", "No_Value": "sunspec"}, "No Value"),
        ({"type_name": "uint32", "Writable": "TRUE", "Write_Function": "single"}, "Write Function"),
        ({"type_name": "uint32", "Writable": "TRUE", "write_multiple_registers": False}, "Write Function"),
        ({"Writable": "TRUE", "Write_Function": "mask"}, "Write Function"),
        ({"Write_Only": "TRUE"}, "Write Only"),
        ({"Writable": "TRUE", "Write_Only": "TRUE", "Tolerance": "1"}, "Tolerance"),
        ({"Writable": "TRUE", "Write_Only": "TRUE", "Bit": "1"}, "Write Function"),
        ({"Scale_Register": "P"}, "Scale Register"),
        ({"Transform": "scale(x)"}, "Transform"),
        ({"Transform": "scale()"}, "Transform"),
        ({"Transform": "square(2)"}, "Transform"),
        ({"Transform": "scale(2)", "Scale": "3"}, "Scale"),
        ({"Transform": "mod10k()"}, "Type"),
        ({"type_name": "uint32", "Transform": "mod10k(maybe)"}, "Transform"),
        ({"Transform": "scale_decimal_int_signed(0.1)"}, "Type"),
        ({"type_name": "uint64", "Transform": "mod10k48()", "Writable": "TRUE"}, "Writable"),
        ({"type_name": "string[248]", "Writable": "TRUE"}, "Writable"),
        ({"Writable": "TRUE", "Default_Value": "70000"}, "Default Value"),
    ],
    ids=str,
)
def test_a_row_that_can_not_work_is_a_fault(columns: dict[str, Any], where: str) -> None:
    """What does not go together is a fault at the column that has to be mended."""
    assert fault(**columns).where == where


@pytest.mark.parametrize(
    ("column", "cell"),
    [
        ("Byte Order", "ACBD"),
        ("Table", "output"),
        ("Bit", "x"),
        ("Count", "0"),
        ("Word Order", "middle"),
        ("Precision", "16"),
    ],
)
def test_a_cell_that_is_no_choice_is_a_fault(column: str, cell: str) -> None:
    """A word that a column does not know is a fault at that column."""
    with pytest.raises(ValidationError) as raised:
        made({"Type": "uint32", column: cell})
    assert raised.value.errors()[0]["loc"] == (column,)


# --- byte orders


@pytest.mark.parametrize(
    ("columns", "wire"),
    [
        ({}, "01020304"),
        ({"byte_order": "CDAB"}, "03040102"),
        ({"word_order": "little"}, "03040102"),
        ({"byte_order": "DCBA", "Byte_Order": "ABCD"}, "01020304"),
        ({"byte_order": "BADC", "Word_Order": "little"}, "04030201"),
        ({"byte_order": "BADC", "word_order": "big"}, "02010403"),
        ({"byte_order": "DCBA", "Mixed_Endian": "TRUE"}, "02010403"),
        ({"Mixed": "TRUE"}, "03040102"),
        ({"Byte_Order": "little-swap"}, "03040102"),
        ({"Byte_Order": "big-swap"}, "02010403"),
    ],
    ids=str,
)
def test_who_says_the_order(columns: dict[str, str], wire: str) -> None:
    """The row's order goes before the device's; a word order changes the words alone; mixed turns them round."""
    assert encode(one("uint32", **columns), 0x01020304).hex() == wire


def test_texts_keep_their_order() -> None:
    """The order of a device's numbers is not that of its texts, unless the row says so."""
    assert encode(one("string[4]", byte_order="CDAB"), "abcd") == b"abcd"
    assert encode(one("string[4]", Byte_Order="BADC"), "abcd") == b"badc"
    assert encode(one("string[4]", Mixed_Endian="TRUE"), "abcd") == b"cdab"


def test_a_struct_format_has_its_own_order() -> None:
    """A format with < or > keeps it, whatever the device's order is."""
    assert encode(one(">I", byte_order="DCBA"), 0x01020304).hex() == "01020304"
    assert encode(one("<I", byte_order="CDAB"), 0x01020304).hex() == "04030201"


# --- no value


@pytest.mark.parametrize(
    ("type_name", "words", "raw"),
    [
        *(
            ("int16", "0x8000", -32768),
            ("int16", "32767;0x8001", -32767),
            ("uint16", "0xFFFF", 65535),
            ("int32", "-9999", -9999),
        ),
        *(
            ("float32", "-999", -999.0),
            ("int16", "sunspec", -32768),
            ("uint32", "sunspec", 2**32 - 1),
            ("int64", "sunspec", -(2**63)),
        ),
        ("uint48", "sunspec", 2**48 - 1),
    ],
)
def test_a_number_that_stands_for_none_is_an_error(type_name: str, words: str, raw: float) -> None:
    """A raw number of No Value is never a value, whatever Scale makes of it, and is not written."""
    register = one(type_name, No_Value=words, Scale="2", Writable="TRUE")
    with pytest.raises(BadValue, match="stands for no value"):
        read(register, encode(register, raw))
    if type_name != "int64":
        with pytest.raises(OutOfRange, match="stands for no value"):
            to_raw(register, raw * 2)


def test_no_value_of_bits_and_texts() -> None:
    """Bits of a register that holds none have no value; nor has an empty text that sunspec says."""
    bit = one("bool", Bit="0", No_Value="0xFFFF").kind
    assert isinstance(bit, Part)
    assert not isinstance(bit.decode(b"\xff\xff"), bool)
    assert bit.decode(b"\xff\xfd") is True
    text = one("string[4]", No_Value="sunspec").kind
    assert isinstance(text, Text)
    assert not isinstance(text.decode(bytes(4)), str)


# --- arrays and pads


def test_an_array_is_a_point_for_each_element() -> None:
    """Elements follow each other, each with the columns of the row."""
    points = made({"Type": "array(int32, 3)", "Address": "10", "Scale": "0.1"})
    assert [(p.name, p.address, p.count, p.scale) for p in points] == [
        ("P[0]", 10, 2, 0.1),
        ("P[1]", 12, 2, 0.1),
        ("P[2]", 14, 2, 0.1),
    ]
    assert points == made({"Type": "int32", "Count": "6", "Address": "10", "Scale": "0.1"})
    coils = made({"Type": "bool", "Table": "coil", "Count": "3"})
    assert [p.address for p in coils] == [0, 1, 2]
    with pytest.raises(ConfigFault, match="end above"):
        made({"Type": "array(uint16, 3)", "Address": "65534"})


def test_pads_are_read_over_and_are_no_points() -> None:
    """Points with pads between them are one request; when the device refuses it, they are asked for apart."""
    rows: list[dict[str, Any]] = [
        {"Volttron Point Name": "a", "Type": "uint16", "Address": "0"},
        {"Type": "pad[3]", "Address": "1"},
        {"Pad": "TRUE", "Count": "2", "Address": "4"},
        {"Volttron Point Name": "b", "Type": "uint16", "Address": "6"},
        {"Volttron Point Name": "c", "Type": "uint16", "Address": "8"},
    ]
    points = several(interface_of(), rows)
    assert [(p.name, p.through) for p in points] == [("a", 5), ("b", 0), ("c", 0)]
    first, second = plan(points)
    assert (first.span.start, first.span.end, second.span.start) == (0, 7, 8)
    assert [part.span[1:] for part in parts(first)] == [(0, 1), (6, 7)]


# --- transforms


@pytest.mark.parametrize(
    ("type_name", "text", "raw", "value"),
    [
        *(("uint16", "scale(0.1)", 215, 21.5), ("uint16", "scale(10)", 1, 10), ("int16", "scale_int(0.01)", 1999, 20)),
        *(
            ("int16", "scale_decimal_int_signed(0.001)", -32768 + 950, -0.95),
            ("int16", "scale_decimal_int_signed(0.001)", 950, 0.95),
        ),
        *(("uint32", "mod10k()", (1 << 16) + 12, 10012), ("uint32", "mod10k(true)", (12 << 16) + 1, 10012)),
        ("uint64", "mod10k64()", (4 << 48) + (3 << 32) + (2 << 16) + 1, 1_0002_0003_0004),
        ("uint64", "mod10k64(True)", (1 << 48) + (2 << 32) + (3 << 16) + 4, 1_0002_0003_0004),
        ("uint64", "mod10k48()", (4 << 48) + (3 << 32) + (2 << 16) + 9, 2_0003_0004),
        ("uint64", "mod10k48(1)", (9 << 48) + (3 << 32) + (2 << 16) + 1, 1_0002_0003),
    ],
)
def test_transforms_are_volttrons(type_name: str, text: str, raw: int, value: float) -> None:
    """The value of a transform is the one of VOLTTRON's modbus_tk, and a write of it gives the same registers."""
    register = one(type_name, Transform=text)
    data = struct.pack({"uint16": ">H", "int16": ">h", "uint32": ">I", "uint64": ">Q"}[type_name], raw)
    assert read(register, data) == value
    whole = not isinstance(register.kind, Mod10k) or len(register.kind.places) == register.count
    if whole and "scale_int" not in text:
        assert encode(register, to_raw(register, value)) == data


@given(st.integers(-32767, 32767))
def test_the_decimal_sign_comes_back(raw: int) -> None:
    """Every power factor comes back from its register."""
    register = one("int16", Transform="scale_decimal_int_signed(0.001)")
    assert isinstance(register.kind, SignMagnitude)
    value = read(register, encode(register, raw))
    assert to_raw(register, value) == raw


# --- register maps

MAP = [
    {"Register Name": "# a comment", "Address": "x"},
    {"register name": "temp", "address": 10, "type": "int16", "units": "C", "transform": "scale(0.1)", "Vendor": "x"},
    {"Register Name": "sf", "Address": "0x14", "Type": "int16", "Table": "holding"},
    {"Register Name": "amps", "Address": "0x15", "Type": "uint16", "Table": "holding", "Transform": "scale_reg_pow_10(sf)"},
    {"Register Name": "broken", "Address": "x", "Type": "what"},
]


def test_a_row_takes_empty_cells_from_the_map() -> None:
    """What the registry's row leaves empty comes from the map's row; what it says goes before that."""
    interface = interface_of(register_map=MAP)
    plain, own = several(
        interface,
        [
            {"Volttron Point Name": "t", "Register Name": "temp"},
            {
                "Volttron Point Name": "u",
                "Register Name": "temp",
                "Units": "F",
                "Point Address": "11",
                "Modbus Register": ">H",
            },
        ],
    )
    assert (plain.address, plain.units, plain.scale, plain.raw_type) == (10, "C", 0.1, "integer")
    assert (own.address, own.units, own.format) == (11, "F", ">H")


def test_a_name_that_the_map_lacks_is_a_fault() -> None:
    """A Register Name without a row in the map is a fault with the nearest one; without a map it is only a name."""
    with pytest.raises(ConfigFault) as raised:
        interface_of(register_map=MAP).cells({"Register Name": "tmp"})
    assert (raised.value.where, raised.value.suggestion) == ("Register Name", "temp")
    assert one(Register_Name="tmp").reference == "tmp"


@pytest.mark.parametrize(
    ("rows", "words"),
    [([{"Register Name": "a"}, {"Register Name": "a"}], "stands there already"), ([{"Register Nam": "a"}], "is not known")],
)
def test_a_map_that_is_doubtful_is_a_fault(rows: list[dict[str, str]], words: str) -> None:
    """A name twice, or a column that is nearly a known one, is a fault of the whole map."""
    with pytest.raises(ConfigFault, match=words) as raised:
        interface_of(register_map=rows).check()
    assert raised.value.where == "register_map"


def test_a_scale_may_be_a_row_of_the_map() -> None:
    """The scale of a point is found in the map, although no row of the registry names it, and belongs to no point."""
    (amps,) = several(interface_of(register_map=MAP), [{"Volttron Point Name": "A", "Register Name": "amps"}])
    assert amps.scale_from is not None
    assert (amps.scale_from.address, amps.scale_from.hidden, amps.scale_kind) == (0x14, True, "power")


@pytest.mark.parametrize("name", ["nobody", "broken", "text", "other"])
def test_a_scale_that_is_none_is_a_fault(name: str) -> None:
    """A scale that is not there, can not be made, is no number or is scaled itself is a fault that names the point."""
    rows = [
        {"Volttron Point Name": "a", "Type": "uint16", "Address": "0", "Scale Register": name},
        {"Volttron Point Name": "text", "Type": "string[4]", "Address": "1"},
        {"Volttron Point Name": "other", "Type": "uint16", "Address": "3", "Scale Register": "sf"},
    ]
    with pytest.raises(ConfigFault, match='"a": ') as raised:
        several(interface_of(register_map=MAP), rows)
    assert raised.value.where == "Scale Register"
