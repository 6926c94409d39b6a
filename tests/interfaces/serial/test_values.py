"""Values between texts and points: what fits exactly is taken, everything else refused."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import BadValue
from gateway.interfaces._text.template import template
from gateway.interfaces._text.values import TYPES, Form
from gateway.model import Scalar

STATES = (("ST", True), ("US", False))


@pytest.mark.parametrize(
    ("form", "text", "raw"),
    [
        (Form("float"), "12.5", 12.5),
        (Form("float"), "+   12.34", 12.34),
        (Form("float"), "- 0.5", -0.5),
        (Form("float"), ".5", 0.5),
        (Form("float"), "5.", 5.0),
        (Form("float"), "  1.25E+02 ", 125.0),
        (Form("float", comma=True), "12,5", 12.5),
        (Form("int"), "+0012", 12),
        (Form("int"), "-7", -7),
        (Form("hex"), "0x1f", 31),
        (Form("hex"), "FFFF", 65535),
        (Form("bool"), "On", True),
        (Form("boolean"), "0", False),
        (Form("boolean", STATES), "US", False),
        (Form("int", (("A", 1), ("B", 2))), "B", 2),
        (Form("string"), " Auto ", "Auto"),
        (Form("string"), "", ""),
    ],
)
def test_what_is_a_value(form: Form, text: str, raw: Scalar) -> None:
    """Each type as instruments write it."""
    assert (type(form.read(text)), form.read(text)) == (type(raw), raw)


@pytest.mark.parametrize(
    ("form", "text"),
    [
        *(
            (Form("float"), text)
            for text in ("", "nan", "inf", "1_0", "12.3.4", "12,5", "1e9999", "٣", "0x10", "1 2", "--1")
        ),
        (Form("float", comma=True), "1.234,5"),
        *((Form("int"), text) for text in ("12.0", "", "1_0", "18446744073709551616", "-9223372036854775809", "²")),
        *((Form("hex"), text) for text in ("", "0x", "xyz", "11112222333344445", "-1")),
        (Form("bool"), "2"),
        (Form("boolean", STATES), "st"),
    ],
)
def test_what_is_no_value(form: Form, text: str) -> None:
    """A text that is not wholly a value of the type is refused, and cited."""
    with pytest.raises(BadValue, match="the device says"):
        form.read(text)


@given(st.text(max_size=30), st.sampled_from(sorted(TYPES)), st.booleans())
def test_any_text_is_a_value_of_the_type_or_none(text: str, kind: str, comma: bool) -> None:
    """Nothing but BadValue comes out of a text, and a value is of the raw type."""
    try:
        raw = Form(kind, comma=comma).read(text)
    except BadValue:
        return
    assert type(raw).__name__ == {"integer": "int", "boolean": "bool", "string": "str"}.get(TYPES[kind], "float")


@given(st.floats(allow_nan=False, allow_infinity=False) | st.integers(-(2**63), 2**64 - 1), st.booleans())
def test_a_number_that_is_written_reads_the_same(number: float, comma: bool) -> None:
    """As short as it can be, without an exponent, and nothing is lost."""
    form = Form("float" if isinstance(number, float) else "int", comma=comma)
    text = form.written(number)
    assert "e" not in text.lower()
    assert form.read(text) == number
    assert not (isinstance(number, float) and math.isnan(form.read(text)))


@pytest.mark.parametrize(
    ("form", "raw", "spec", "text"),
    [
        (Form("float"), 1.5, "07.2f", "0001.50"),
        (Form("float", comma=True), 1.5, "07.2f", "0001,50"),
        (Form("float"), -1.25, "+.1f", "-1.2"),
        (Form("int"), 255, "04X", "00FF"),
        (Form("bool"), True, "", "1"),
        (Form("boolean", STATES), False, "", "US"),
        (Form("string"), "ab", "4s", "ab  "),
        (Form("float"), 1e22, "", "10000000000000000000000"),
    ],
)
def test_how_a_value_is_written(form: Form, raw: Scalar, spec: str, text: str) -> None:
    """By its format, or as short as it can be."""
    assert form.written(raw, spec) == text


def test_what_there_is_no_word_for_can_not_be_written() -> None:
    """With Words, other numbers are refused."""
    with pytest.raises(BadValue, match="no word for 3"):
        Form("int", (("A", 1),)).written(3)


def test_a_template() -> None:
    """Escapes, the address, a value with a format, and braces."""
    made = template(r"\x02{address}SP={value:05.1f}{{}}\r", "ascii", "07", takes_value=True)
    assert (made.formats, made.filled(b"1")) == (("05.1f",), b"\x0207SP=1{}\r")


@pytest.mark.parametrize(
    ("source", "takes_value"),
    [
        ("{", True),
        ("}", True),
        ("{valu}", True),
        ("{value}", False),
        ("{value:999999999f}", True),
        ("{value:{width}}", True),
        ("{value.__class__}", True),
        ("{value!r}", True),
        ("{value:%Y}", True),
        ("{address:5s}", True),
        ("{0}", True),
        (r"\q", True),
        ("°", True),
    ],
)
def test_what_is_no_template(source: str, takes_value: bool) -> None:
    """Other places, attributes, conversions, endless widths and bad escapes are refused in words."""
    with pytest.raises(ValueError, match=r"place|format|escape|encoding"):
        template(source, "ascii", "07", takes_value)


def test_an_address_that_is_not_given() -> None:
    """The key that is missing is named."""
    with pytest.raises(ValueError, match="key address"):
        template("{address}Q", "ascii", "", takes_value=False)
