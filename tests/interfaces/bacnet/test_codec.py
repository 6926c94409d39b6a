"""Values of BACnet properties to raw values and back."""

from __future__ import annotations

import struct
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import BadValue, OutOfRange
from gateway.interfaces._bacnet.codec import item_of, quality_of, raw_of, text_of
from gateway.interfaces._bacnet.rows import RAW_TYPES, BacnetRegister
from gateway.interfaces._bacnet.values import Item, Ref
from gateway.model import PointError, Quality, Scalar


def register(kind: str, raw: str = "", **fields: Any) -> BacnetRegister:
    """A register of that datatype."""
    raw = raw or RAW_TYPES.get(kind, "string")
    return BacnetRegister(name="p", type=raw, raw_type=raw, ref=Ref(0, 1), datatype=kind, **fields)


def single(value: float) -> float:
    """The nearest number of single precision."""
    return float(struct.unpack(">f", struct.pack(">f", value))[0])


SINGLE = st.floats(width=32, allow_nan=False, allow_infinity=False)


@pytest.mark.parametrize(
    ("kind", "values"),
    [
        ("real", SINGLE),
        ("double", st.floats(allow_nan=False, allow_infinity=False)),
        ("unsigned", st.integers(0, 2**32 - 1)),
        ("enumerated", st.integers(0, 2**32 - 1)),
        ("integer", st.integers(-(2**31), 2**31 - 1)),
        ("boolean", st.booleans()),
        ("character-string", st.text()),
        ("octet-string", st.binary().map(bytes.hex)),
        ("bit-string", st.text("01", max_size=20)),
        ("date", st.dates().map(lambda day: day.isoformat())),
        ("time", st.times().map(lambda time: time.strftime("%H:%M:%S.25"))),
        ("object-identifier", st.integers(0, 4194303).map(lambda n: f"analog-value,{n}")),
    ],
)
@given(data=st.data())
def test_what_is_written_is_what_is_read(kind: str, values: st.SearchStrategy[Scalar], data: st.DataObject) -> None:
    """Every value of a datatype comes back as it was, with its type."""
    raw = data.draw(values)
    own = register(kind)
    datatype, value = item_of(own, raw, ())
    assert datatype == kind
    back = raw_of(own, Item(datatype, value), ())
    assert (type(back), back) == (type(raw), raw)


@given(st.integers())
def test_whole_numbers_fit_or_are_refused(raw: int) -> None:
    """Nothing wraps around."""
    for kind, (least, most) in {"unsigned": (0, 2**32 - 1), "integer": (-(2**31), 2**31 - 1)}.items():
        if least <= raw <= most:
            assert item_of(register(kind), raw, ()) == (kind, raw)
        else:
            with pytest.raises(OutOfRange):
                item_of(register(kind), raw, ())


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_single_precision_holds_a_number_or_refuses_it(raw: float) -> None:
    """What is beyond it is refused; the rest is rounded by the wire."""
    try:
        assert item_of(register("real"), raw, ()) == ("real", raw)
        single(raw)
    except OutOfRange:
        with pytest.raises(OverflowError):
            single(raw)


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        ("date", "26.11.2026"),
        ("time", "10 o'clock"),
        ("bit-string", "0121"),
        ("octet-string", "0g"),
        ("object-identifier", "analog-valeu,1"),
        ("object-identifier", "analog-value"),
        ("object-identifier", "analog-value,4194304"),
        ("other", "anything"),
    ],
)
def test_texts_that_are_none_of_the_datatype_are_refused(kind: str, text: str) -> None:
    """With an example of what would do."""
    with pytest.raises(BadValue, match="takes"):
        item_of(register(kind), text, ())


ANY = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(),
    st.just({"bits": [True, False]}),
    st.just({"hex": "0a"}),
    st.just({"date": "2026-11-26"}),
    st.just({"time": "10:00:00.00"}),
    st.just({"object": [2, 1]}),
    st.just({"other": "0c00"}),
    st.lists(st.builds(Item, st.just("real"), st.floats(0, 1)), max_size=3),
)
TYPES = {"boolean": bool, "integer": int, "float": float, "string": str}


@given(st.sampled_from(sorted(TYPES)), ANY, st.sampled_from(["real", "null", "list", "enumerated"]), st.booleans())
def test_whatever_comes_is_a_value_of_the_type_or_an_error(raw: str, value: Any, datatype: str, textual: bool) -> None:
    """A device may answer anything."""
    own = register("real", raw, textual=textual and raw == "string")
    found = raw_of(own, Item(datatype, value), ("Off", "On"))
    assert isinstance(found, PointError) or type(found) is TYPES[raw]


LIST = Item("list", [Item("null", None), Item("real", 1.5), Item("object-identifier", {"object": [2, 1]})])


@pytest.mark.parametrize(
    ("item", "text"),
    [
        (Item("bit-string", {"bits": [False, True]}), "01"),
        (Item("object-identifier", {"object": [8, 99]}), "device,99"),
        (Item("object-identifier", {"object": [300, 1]}), "300,1"),
        (Item("date", {"date": "*-11-26"}), "*-11-26"),
        (LIST, '[null, 1.5, "analog-value,1"]'),
        (Item("other", {"other": "a47e0b1a04b40a000000"}), "2026-11-26 10:00:00.00"),
        (Item("other", {"other": "a4ffffffffb4ffffffff"}), "*-*-* *:*:*.*"),
        (Item("other", {"other": "0c00000001"}), "0c00000001"),
        (Item("real", 1.5), "1.5"),
    ],
)
def test_values_without_a_simple_form_are_told_as_text(item: Item, text: str) -> None:
    """A date and a time together are a BACnetDateTime."""
    assert text_of(item) == text


def test_states_with_the_same_text_are_written_by_number() -> None:
    """Which of them is meant can not be known from the text."""
    own = register("unsigned", "string", textual=True)
    assert item_of(own, "3", ("On", "On", "Off")) == ("unsigned", 3)
    assert item_of(own, "Off", ("On", "On", "Off")) == ("unsigned", 3)
    with pytest.raises(BadValue):
        item_of(own, "On", ("On", "On", "Off"))


@given(st.lists(st.booleans(), max_size=6), st.one_of(st.none(), st.integers(0, 70)))
def test_quality_is_what_is_set(bits: list[bool], why: int | None) -> None:
    """Flags by name in their order, and the reliability by name or number; nothing set is no quality."""
    told = quality_of(Item("bit-string", {"bits": bits}), None if why is None else Item("enumerated", why))
    names = [name for name, bit in zip(("in_alarm", "fault", "overridden", "out_of_service"), bits, strict=False) if bit]
    if not names and not why:
        assert told is None
    else:
        assert told is not None
        assert list(told.flags) == names
        assert bool(told.reliability) is bool(why)


def test_a_reliability_of_a_manufacturer_is_told_by_number() -> None:
    """Numbers from 64 on are his."""
    assert quality_of(None, Item("enumerated", 70)) == Quality((), "70")
    assert quality_of(None, Item("enumerated", 4)) == Quality((), "open-loop")
