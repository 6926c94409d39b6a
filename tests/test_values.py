from __future__ import annotations

import math
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from gateway.errors import BadValue, OutOfRange
from gateway.model import Register
from gateway.values import coerce, decimals, from_raw, is_whole, shown, to_raw


def point(kind: str = "integer", raw: str | None = None, **fields: Any) -> Register:
    """A register of this type; its raw type is the same unless told."""
    return Register(name="P", type=kind, raw_type=raw or kind, **fields)


def enum(**texts: int) -> Register:
    """A register with an Enum."""
    return point("string", "integer", enum={raw: text for text, raw in texts.items()})


SCALES = st.sampled_from([0.001, 0.01, 0.1, 0.25, 0.5, -0.1, 2.5, 3, 10, 1000])
OFFSETS = st.sampled_from([0, 0.5, -40, 273.15, 1])
RAW64 = st.integers(-(2**63), 2**64 - 1)


@pytest.mark.parametrize(
    ("kind", "value", "taken"),
    [
        ("boolean", True, True),
        ("boolean", 0, False),
        ("boolean", 1.0, True),
        ("integer", 0, 0),
        ("integer", 5.0, 5),
        ("integer", 2**64 - 1, 2**64 - 1),
        ("integer", -(2**63), -(2**63)),
        ("float", 0, 0.0),
        ("float", -2.5, -2.5),
        ("string", "", ""),
        ("string", "5", "5"),
    ],
)
def test_coerce_takes_what_fits(kind: str, value: Any, taken: Any) -> None:
    """A value that means one of the point's type is taken as that type, 0, false and "" too."""
    got = coerce(point(kind), value)
    assert (type(got), got) == (type(taken), taken)


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        ("boolean", 2),
        ("boolean", "true"),
        ("boolean", math.nan),
        ("integer", 5.5),
        ("integer", True),
        ("integer", "5"),
        ("integer", math.inf),
        ("integer", math.nan),
        ("integer", 2**64),
        ("integer", -(2**63) - 1),
        ("integer", 10**400),
        ("integer", 1e30),
        ("float", True),
        ("float", "1"),
        ("float", math.nan),
        ("float", 10**400),
        ("string", 5),
        ("string", True),
        *((kind, other) for kind in ("boolean", "integer", "float", "string") for other in (None, [], {}, [1])),
    ],
)
def test_coerce_refuses_what_does_not_fit(kind: str, value: Any) -> None:
    """A value of another type, without a fraction's place or beyond 64 bits is refused, with the point's name."""
    with pytest.raises(BadValue, match='"P" takes'):
        coerce(point(kind), value)


@given(
    kind=st.sampled_from(["boolean", "integer", "float", "string"]),
    value=st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
)
def test_coerce_gives_the_type_or_refuses(kind: str, value: Any) -> None:
    """Whatever comes, the outcome is a value equal to it and of the point's type, or BadValue; twice is as once."""
    try:
        taken = coerce(point(kind), value)
    except BadValue:
        return
    assert type(taken) is {"boolean": bool, "integer": int, "float": float, "string": str}[kind]
    assert taken == value or kind == "float"
    assert coerce(point(kind), taken) == taken


@pytest.mark.parametrize(("low", "high", "value"), [(0, None, -1), (None, 10, 11), (0, 10, 10.5), (5, 5, 4)])
def test_limits_refuse_what_lies_outside(low: float | None, high: float | None, value: float) -> None:
    """A number outside Min or Max is out of range, and the error carries both limits."""
    with pytest.raises(OutOfRange) as raised:
        coerce(point("float", minimum=low, maximum=high), value)
    assert raised.value.data == {"min": low, "max": high}


@given(value=st.integers(-5, 15), low=st.none() | st.integers(-5, 5), high=st.none() | st.integers(5, 15))
def test_limits_belong_to_the_range(value: int, low: int | None, high: int | None) -> None:
    """A number passes exactly if it is not below Min and not above Max."""
    inside = (low is None or value >= low) and (high is None or value <= high)
    try:
        assert coerce(point(minimum=low, maximum=high), value) == value
        assert inside
    except OutOfRange:
        assert not inside


def test_limits_are_not_for_booleans() -> None:
    """A boolean is no number: limits on it say nothing."""
    assert coerce(point("boolean", minimum=2), False) is False


@pytest.mark.parametrize(
    ("value", "text"), [("Off", "Off"), ("Auto", "Auto"), (0, "Off"), (7.0, "Auto"), ("7", "Auto"), ("7.0", "Auto")]
)
def test_enum_takes_a_text_or_its_number(value: Any, text: str) -> None:
    """An Enum point takes one of its texts, or the number of one."""
    assert coerce(enum(Off=0, Auto=7), value) == text


@pytest.mark.parametrize("value", ["off", "On", 1, 0.5, True, False, None, "", "7.5", "0_7", math.nan, [0]])
def test_enum_refuses_others_and_names_its_texts(value: Any) -> None:
    """Anything else is refused with the texts that there are, a boolean too."""
    with pytest.raises(BadValue, match="one of Off, Auto") as raised:
        coerce(enum(Off=0, Auto=7), value)
    assert raised.value.data == {"enum": ["Off", "Auto"]}


@given(numbers=st.lists(st.integers(-100, 100), unique=True, min_size=1), data=st.data())
def test_enum_goes_there_and_back(numbers: list[int], data: st.DataObject) -> None:
    """Each raw number gives its text, and the text gives that number again."""
    made = enum(**{f"text {number}": number for number in numbers})
    raw = data.draw(st.sampled_from(numbers))
    assert to_raw(made, coerce(made, from_raw(made, raw))) == raw


def test_enum_number_without_text_is_an_error() -> None:
    """A device that holds a number outside the Enum has no value."""
    with pytest.raises(BadValue, match="holds 3"):
        from_raw(enum(Off=0), 3)


@pytest.mark.parametrize("raw", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("scale", [1, 0.1])
def test_number_that_is_none_is_an_error(raw: float, scale: float) -> None:
    """NaN and infinity never reach a client."""
    with pytest.raises(BadValue, match="JSON"):
        from_raw(point("float", scale=scale), raw)


def test_scaled_beyond_floats_is_an_error() -> None:
    """A value that Scale brings beyond the floats is an error, not infinity."""
    with pytest.raises(BadValue, match="out of range"):
        from_raw(point("float", scale=1e300), 1e300)


def test_scaled_beyond_64_bits_is_an_error() -> None:
    """A whole value that Scale brings beyond 64 bits is an error of the point: JSON of a reading could not carry it."""
    assert from_raw(point(scale=2), 2**63 - 1) == 2**64 - 2
    with pytest.raises(BadValue, match="64 bits"):
        from_raw(point(scale=10), 2**63)


@pytest.mark.parametrize(
    ("raw", "scale", "offset", "value"), [(3, 0.1, 0, 0.3), (2152, 0.01, -10, 11.52), (7, 3, -1, 20), (0, 0.5, 0, 0.0)]
)
def test_scaled_value_has_the_decimals_of_its_scale(raw: int, scale: float, offset: float, value: float) -> None:
    """An integer register scaled by 0.1 shows 0.3, not 0.30000000000000004."""
    kind = "integer" if isinstance(value, int) else "float"
    assert from_raw(point(kind, "integer", scale=scale, offset=offset), raw) == value


@given(raw=st.integers(-(2**31), 2**32), scale=SCALES, offset=OFFSETS)
def test_scaled_registers_go_there_and_back(raw: int, scale: float, offset: float) -> None:
    """What a 32-bit register shows, written again, is the same raw number."""
    whole = is_whole(scale) and is_whole(offset)
    made = point("integer" if whole else "float", "integer", scale=scale, offset=offset)
    assert to_raw(made, coerce(made, from_raw(made, raw))) == raw


@given(raw=RAW64, scale=st.sampled_from([1, 2, 10, -1]), offset=st.integers(-1000, 1000))
def test_whole_scales_lose_nothing_of_64_bits(raw: int, scale: int, offset: int) -> None:
    """With a whole Scale and Offset, 64-bit numbers go there and back to the last digit."""
    made = point(scale=scale, offset=offset)
    try:
        value = from_raw(made, raw)
    except BadValue:
        assume(False)
    assert to_raw(made, coerce(made, value)) == raw


@given(value=st.floats(-1e6, 1e6), scale=SCALES, offset=OFFSETS)
def test_to_raw_takes_the_nearest_step(value: float, scale: float, offset: float) -> None:
    """A value between two steps of an integer register becomes the nearer one."""
    made = point("float", "integer", scale=scale, offset=offset)
    raw = to_raw(made, value)
    assert isinstance(raw, int)
    assert abs(raw * scale + offset - value) <= abs(scale) / 2 * (1 + 1e-6) + 1e-9


@given(value=st.floats(allow_nan=False, allow_infinity=False))
def test_plain_floats_are_not_touched(value: float) -> None:
    """Without Scale and Offset a float goes to the device and comes back as it is."""
    raw = to_raw(point("float"), value)
    assert type(raw) is float
    assert from_raw(point("float"), raw) == value


@pytest.mark.parametrize("value", [True, False, "", "text"])
def test_booleans_and_texts_are_not_converted(value: bool | str) -> None:
    """A boolean or a text is the same for the client and the driver."""
    made = point("string" if isinstance(value, str) else "boolean")
    assert to_raw(made, value) is value
    assert from_raw(made, value) is value


@pytest.mark.parametrize("raw_type", ["integer", "float"])
def test_value_beyond_the_scale_is_out_of_range(raw_type: str) -> None:
    """A value that Scale brings beyond what a register can hold is refused, never sent as infinity."""
    with pytest.raises(OutOfRange, match="can hold"):
        to_raw(point("float", raw_type, scale=1e-300), 1e300)


@pytest.mark.parametrize(
    ("factors", "count"), [((1,), 0), ((0.1,), 1), ((0.25, 5), 2), ((10, 0.001), 3), ((1e22,), 0), ((1e-7,), 7), ((100,), 0)]
)
def test_decimals_counts_the_places_after_the_point(factors: tuple[float, ...], count: int) -> None:
    """The sum of multiples of 0.25 and 5 has two decimals at most."""
    assert decimals(*factors) == count


@pytest.mark.parametrize(
    ("value", "text"), [(True, "true"), (False, "false"), (None, "null"), ("a", '"a"'), (5, "5"), (1.5, "1.5"), ([1], "[1]")]
)
def test_shown_tells_values_apart(value: object, text: str) -> None:
    """A text is quoted, and the words are JSON's."""
    assert shown(value) == text


@given(value=st.text(min_size=59))
def test_shown_is_short(value: str) -> None:
    """A long value is cut, and says so."""
    assert len(shown(value)) == 60
    assert shown(value).endswith("...")


@pytest.mark.parametrize(
    ("fields", "raw", "value"),
    [
        ({"raw": "float", "precision": 2}, 21.399999618530273, 21.4),
        ({"raw": "float", "precision": 0, "kind": "integer"}, 21.5, 22),
        ({"raw": "integer", "scale": 0.001, "precision": 1}, 12345, 12.3),
        ({"raw": "integer", "divisor": 49}, 49, 1.0),
        ({"raw": "integer", "divisor": 100, "scale": 3, "offset": -1}, 50, 0.5),
        ({"raw": "integer", "divisor": 10, "precision": 0, "kind": "integer"}, 126, 13),
    ],
)
def test_precision_and_divisor(fields: dict[str, Any], raw: float, value: float) -> None:
    """A value is divided, and rounded to its decimals; with none of them it is a whole number."""
    got = from_raw(point(**({"kind": "float"} | fields)), raw)
    assert (type(got), got) == (type(value), value)


@given(st.integers(2**53 + 1, 2**64 - 1) | st.integers(-(2**63), -(2**53) - 1), SCALES, st.sampled_from([1, 10, 1000, 7]))
def test_great_numbers_are_scaled_exactly(raw: int, scale: float, divisor: float) -> None:
    """A scaled value is the float nearest to the true one, also where a float has no room for the raw number."""
    exact = Fraction(raw) * Fraction(str(scale)) / Fraction(divisor)
    try:
        got = from_raw(point("float", "integer", scale=scale, divisor=divisor), raw)
    except BadValue:
        assert not -(2**63) <= exact < 2**64
        return
    assert got == exact or got == float(exact)


@pytest.mark.parametrize("raw", [65535, -1])
def test_what_stands_for_no_value_is_none(raw: int) -> None:
    """A raw number that stands for no value is an error on the way out and is refused on the way in."""
    register = point("float", "integer", scale=0.5, no_value=frozenset({65535, -1}))
    with pytest.raises(BadValue, match="stands for no value"):
        from_raw(register, raw)
    with pytest.raises(OutOfRange, match="stands for no value"):
        to_raw(register, raw / 2)


def test_a_float_point_is_a_float_also_when_it_is_whole() -> None:
    """A whole value of a float point is a float, but for one that a float could not hold."""
    assert isinstance(from_raw(point("float", "integer", scale_register="x"), 7), float)
    assert from_raw(point("float", "integer", scale_register="x"), 2**53 + 1) == 2**53 + 1
