"""Application data both ways, with the library as the judge."""

from __future__ import annotations

import math
import struct
from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.interfaces._bacnet.encoding import Malformed, read_value
from gateway.interfaces._bacnet.values import DATATYPES, Item
from gateway.interfaces._bacnet.writing import Unfit, closing, value_octets

LIBRARY = pytest.importorskip("bacpypes3.primitivedata", reason="bacpypes3 is not installed")

integers = st.integers(-(2**31), 2**31 - 1)
items = st.one_of(
    st.just(Item("null", None)),
    st.booleans().map(lambda v: Item("boolean", v)),
    st.integers(0, 2**32 - 1).map(lambda v: Item("unsigned", v)),
    st.integers(0, 2**32 - 1).map(lambda v: Item("enumerated", v)),
    integers.map(lambda v: Item("integer", v)),
    st.floats(width=32).map(lambda v: Item("real", v)),
    st.floats().map(lambda v: Item("double", v)),
    st.binary(max_size=300).map(lambda v: Item("octet-string", {"hex": v.hex()})),
    st.text(st.characters(codec="utf-8"), max_size=300).map(lambda v: Item("character-string", v)),
    st.lists(st.booleans(), max_size=40).map(lambda v: Item("bit-string", {"bits": v})),
    st.tuples(st.integers(0, 1023), st.integers(0, 2**22 - 1)).map(lambda v: Item("object-identifier", {"object": list(v)})),
    st.dates(min_value=date(1900, 1, 1), max_value=date(2154, 12, 31)).map(lambda v: Item("date", {"date": v.isoformat()})),
    st.tuples(*(st.integers(0, most) for most in (23, 59, 59, 99))).map(
        lambda v: Item("time", {"time": "{:02d}:{:02d}:{:02d}.{:02d}".format(*v)})
    ),
)


def same(one: Item, other: Item) -> bool:
    """Equal, also when not a number."""
    if isinstance(one.value, float) and math.isnan(one.value):
        return one.datatype == other.datatype and math.isnan(other.value)
    return one == other


def read(octets: bytes) -> Item:
    """The value in front of a closing tag 3."""
    item, end = read_value(octets + closing(3), 0, 3)
    assert end == len(octets) + 1
    return item


@given(items)
def test_what_is_written_is_read(item: Item) -> None:
    """Every value comes back as it was, with its datatype."""
    assert same(read(value_octets(item.datatype, item.value)), item)


@given(st.lists(items, min_size=2, max_size=20))
def test_lists_are_read(values: list[Item]) -> None:
    """Several values in a row are a list of them."""
    found = read(value_octets("list", values))
    assert found.datatype == "list"
    assert all(same(*pair) for pair in zip(found.value, values, strict=True))


LIBRARY_CLASSES = {
    "boolean": ("Boolean", True),
    "unsigned": ("Unsigned", 70000),
    "integer": ("Integer", -129),
    "real": ("Real", 72.5),
    "double": ("Double", -1e-300),
    "octet-string": ("OctetString", {"hex": "00ff10"}),
    "character-string": ("CharacterString", "Zähler 5 µ"),
    "bit-string": ("BitString", {"bits": [True, False, True, True, False]}),
    "enumerated": ("Enumerated", 300),
    "date": ("Date", {"date": "2026-11-26"}),
    "time": ("Time", {"time": "13:59:01.25"}),
    "object-identifier": ("ObjectIdentifier", {"object": [8, 4194302]}),
}


@pytest.mark.parametrize("datatype", LIBRARY_CLASSES)
def test_library_writes_the_same_octets(datatype: str) -> None:
    """For each datatype the octets are those that bacpypes3 makes of the same value."""
    name, value = LIBRARY_CLASSES[datatype]
    plain = {
        "octet-string": lambda v: bytes.fromhex(v["hex"]),
        "bit-string": lambda v: v["bits"],
        "date": lambda v: (126, 11, 26, 4),
        "time": lambda v: (13, 59, 1, 25),
        "object-identifier": lambda v: tuple(v["object"]),
    }.get(datatype, lambda v: v)(value)
    expected = bytes(LIBRARY.__dict__[name](plain).encode().encode().pduData)
    assert value_octets(datatype, value).hex() == expected.hex()


def test_datatypes_are_at_their_numbers() -> None:
    """The place of a name is its tag number: the first nibble of what is written."""
    assert [value_octets(d, v)[0] >> 4 for d, (_, v) in LIBRARY_CLASSES.items()] == [
        DATATYPES.index(d) for d in LIBRARY_CLASSES
    ]


@pytest.mark.parametrize(
    ("text", "octets"),
    [("*-*-*", "ffffffff"), ("*-11-* 4", "ff0bff04"), ("2026-13-32", "7e0d20ff"), ("2026-*-1", "7eff01ff")],
)
def test_date_patterns(text: str, octets: str) -> None:
    """Open parts of dates, odd months and last days go both ways."""
    assert value_octets("date", {"date": text}).hex() == "a4" + octets
    read_back = read(value_octets("date", {"date": text})).value["date"]
    assert value_octets("date", {"date": read_back}).hex() == "a4" + octets


@pytest.mark.parametrize(
    ("datatype", "value"),
    [
        ("unsigned", -1),
        ("unsigned", 5.5),
        ("unsigned", 2**64),
        ("integer", 2**63),
        ("real", "warm"),
        ("real", 1e39),
        ("enumerated", None),
        ("character-string", 5),
        ("octet-string", {"hex": "0"}),
        ("bit-string", [True]),
        ("date", {"date": "26.11.2026"}),
        ("time", {"time": "25:00"}),
        ("object-identifier", {"object": [8, 1 << 22]}),
        ("other", {"other": "00"}),
        ("list", [1]),
    ],
)
def test_unfit_values_are_refused(datatype: str, value: object) -> None:
    """A value that does not fit its datatype is refused in words, before anything is sent."""
    with pytest.raises(Unfit):
        value_octets(datatype, value)


def test_constructs_are_told_as_they_are() -> None:
    """A value that has constructs within is handed on as hexadecimal text, and what follows is found."""
    octets = bytes.fromhex("0c00800001 1e 2155 3e 44429100003f 1f".replace(" ", ""))
    assert read(octets) == Item("other", {"other": octets.hex()})


@pytest.mark.parametrize(
    "octets",
    [
        "",
        "44",
        "4342",
        "4442910000",
        "75ff",
        "65fe00",
        "750003",
        "8209ff",
        "a3000000",
        "3e",
        "0e4f",
        "06",
        "5500",
        "2500",
        "12",
    ],
)
def test_malformed_octets_are_told(octets: str) -> None:
    """Octets that are no value raise Malformed."""
    with pytest.raises(Malformed):
        read_value(bytes.fromhex(octets), 0, 3)


@given(st.binary(max_size=60))
def test_any_octets_end_in_a_value_or_malformed(octets: bytes) -> None:
    """Whatever a device sends, reading it ends, with a value or with Malformed."""
    try:
        read_value(octets, 0, 3)
    except Malformed:
        pass


def test_infinity_and_nan_are_values() -> None:
    """A device may hold a float that is not finite; the reader tells it as it is."""
    assert read(b"\x44" + struct.pack(">f", math.inf)) == Item("real", math.inf)
    assert math.isnan(read(b"\x44" + struct.pack(">f", math.nan)).value)
