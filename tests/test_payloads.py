from __future__ import annotations

import json
import time
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from gateway.payloads import MAX_BYTES, MAX_DEPTH, BadPayload, dump, parse, text, without_comments

SCALARS = st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False, allow_infinity=False)
TEXTS = st.text(st.characters(exclude_categories=["Cs"])) | st.sampled_from(
    ["//", "#", "/* */", "http://x#y", '\\"', "[{", "}]"]
)
JSON = st.recursive(SCALARS | TEXTS, lambda inner: st.lists(inner) | st.dictionaries(TEXTS, inner), max_leaves=20)
COMMENTS = ["// one line", "# one line", "/* two\nlines */", "/**/", '// with "quote', "/* // # */", "# [{", "// }]"]


def test_text_loses_its_byte_order_mark() -> None:
    """A BOM, as Windows editors write it, is no part of the text."""
    assert text(b"\xef\xbb\xbf{}") == "{}"


def test_text_refuses_what_is_too_big() -> None:
    """256 KiB pass, one byte more is refused with the limit."""
    assert len(text(b" " * MAX_BYTES)) == MAX_BYTES
    with pytest.raises(BadPayload, match=f"longer than the {MAX_BYTES} bytes"):
        text(b" " * (MAX_BYTES + 1))


@pytest.mark.parametrize(("payload", "offset"), [(b"\xff", 0), (b"ab\xc3", 2), (b"\xed\xa0\x80", 0), (b"a\xc0\x80", 1)])
def test_text_refuses_what_is_not_utf8(payload: bytes, offset: int) -> None:
    """Bytes that are not UTF-8 are refused with their place, surrogates and long forms too."""
    with pytest.raises(BadPayload, match=f"0x{payload[offset]:02x} at offset {offset}"):
        text(payload)


@given(payload=st.binary())
def test_text_gives_text_or_refuses(payload: bytes) -> None:
    """Whatever the bytes, the outcome is their text or BadPayload."""
    try:
        assert text(payload).encode() == payload.removeprefix(b"\xef\xbb\xbf")
    except BadPayload:
        pass


@given(value=JSON)
def test_dump_and_parse_are_each_others_reverse(value: Any) -> None:
    """What is written is read as the same value."""
    assert parse(dump(value).decode()) == value


@given(value=JSON, indent=st.sampled_from([None, 2]))
def test_json_without_comments_stays_as_it_is(value: Any, indent: int | None) -> None:
    """Texts that look like comments inside of strings are left alone."""
    source = json.dumps(value, indent=indent)
    assert without_comments(source) == source


@given(value=st.dictionaries(TEXTS, SCALARS | TEXTS, min_size=1), comment=st.sampled_from(COMMENTS))
def test_comments_do_not_change_the_value(value: Any, comment: str) -> None:
    """A comment on each line changes nothing, and keeps every line and column in place."""
    source = json.dumps(value, indent=1).replace("\n", f" {comment}\n")
    blanked = without_comments(source)
    assert parse(blanked) == value
    assert [len(line) for line in blanked.split("\n")] == [len(line) for line in source.split("\n")]


def test_fault_after_a_comment_keeps_its_line_and_column() -> None:
    """A fault is told where it stands in the document as sent."""
    with pytest.raises(BadPayload, match="line 3 column 6"):
        parse(without_comments('{ // first\n/* second */\n"a": x}'))


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("", "line 1 column 1"),
        ("{", "not JSON"),
        ("[1,]", "not JSON"),
        ("{'a': 1}", "not JSON"),
        ("1 2", "not JSON"),
        ('"a\nb"', "not JSON"),
        ('"open', "not JSON"),
        ("NaN", "NaN is not a JSON number"),
        ('{"a": [Infinity]}', "Infinity is not"),
        ("-Infinity", "-Infinity is not"),
        ("1e400", "too big"),
        ("-1e400", "too big"),
        ("9" * 5000, "too many digits"),
        ('{"a": 1, "b": 2, "a": 3}', '"a" stands twice'),
        ('[{"x": {"k": 1, "k": 1}}]', '"k" stands twice'),
        (r'"\ud800"', "surrogate"),
        (r'{"\udc00": 1}', "surrogate"),
        (r'["\ude00\ud83d"]', "surrogate"),
    ],
)
def test_parse_refuses_and_says_why(source: str, words: str) -> None:
    """What is not JSON, or JSON that two readers would take differently, is refused with the reason."""
    with pytest.raises(BadPayload, match=words):
        parse(source)


def test_parse_takes_a_surrogate_pair() -> None:
    """A pair of escaped surrogates is one character."""
    assert parse(r'"\ud83d\ude00"') == "\N{GRINNING FACE}"


@pytest.mark.parametrize("brackets", [("[", "]"), ('{"a":', "}")])
def test_depth_is_bounded(brackets: tuple[str, str]) -> None:
    """32 levels pass, 33 are refused."""
    left, right = brackets
    parse(left * MAX_DEPTH + "1" + right * MAX_DEPTH)
    with pytest.raises(BadPayload, match="deeper than 32"):
        parse(left * (MAX_DEPTH + 1) + "1" + right * (MAX_DEPTH + 1))


def test_brackets_in_texts_are_no_depth() -> None:
    """Brackets inside of a string are text, behind escaped quotes too."""
    assert parse('["' + "[" * 100 + '", "\\"' + "{" * 100 + '"]') == ["[" * 100, '"' + "{" * 100]


@pytest.mark.parametrize(
    "source",
    [
        "[" * 100_000,
        '{"a":' * 50_000,
        "[" * 100_000 + "]" * 100_000,
        '"' * 200_000,
        '"\\' * 100_000,
        "/*" * 100_000,
        '"a' * 90_000,
        "1" * 200_000,
    ],
    ids=["lists", "objects", "closed", "quotes", "escapes", "comments", "strings", "digits"],
)
def test_hostile_texts_are_refused_in_no_time(source: str) -> None:
    """No text of permitted size costs more than a moment."""
    began = time.perf_counter()
    with pytest.raises(BadPayload):
        parse(without_comments(source))
    assert time.perf_counter() - began < 0.5  # measured: below 0.05


@pytest.mark.parametrize("digits", ["18446744073709551615", "-9223372036854775808"])
def test_integers_of_64_bits_stay_what_they_are(digits: str) -> None:
    """Signed or not: none of their digits is lost."""
    assert dump(parse(digits)) == digits.encode()


def test_an_integer_of_more_than_64_bits_is_a_float() -> None:
    """As readers have it that know no longer integers; it can be told again."""
    assert parse("20000000000000000000") == 2e19
    assert dump(parse("-20000000000000000000")) == b"-2e+19"


@given(source=st.text())
@example(source="20000000000000000000")
def test_parse_gives_a_value_or_refuses(source: str) -> None:
    """Whatever the text, the outcome is a value or BadPayload."""
    try:
        dump(parse(without_comments(source)))
    except BadPayload:
        pass


def test_dump_keeps_the_order_and_writes_utf8() -> None:
    """Keys come in the order given, texts as UTF-8, without spaces."""
    assert dump({"b": 1, "a": "°C", "c": True}) == '{"b":1,"a":"°C","c":true}'.encode()


@pytest.mark.parametrize("value", [object(), {1, 2}, 2**64, "\ud800"])
def test_dump_refuses_what_json_can_not_carry(value: Any) -> None:
    """A value that JSON can not carry raises TypeError."""
    with pytest.raises(TypeError):
        dump(value)
