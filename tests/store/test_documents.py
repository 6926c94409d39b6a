"""Bytes to JSON values or tables."""

from __future__ import annotations

import csv
import io
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.payloads import MAX_BYTES, BadPayload
from gateway.store.documents import MAX_COLUMNS, MAX_ROWS, BadDocument, Table, may_link, parse_document, sha256

CELL = st.text(st.characters(blacklist_categories=("Cs", "Cc")), max_size=12).map(str.strip)


def table(text: str) -> Table:
    """The table of a CSV document."""
    document = parse_document(text.encode())
    assert isinstance(document, Table)
    return document


def refusal(payload: bytes) -> str:
    """Why a document is refused."""
    with pytest.raises(BadPayload) as caught:
        parse_document(payload)
    return str(caught.value)


@pytest.mark.parametrize("lead", ["", "\ufeff", " \r\n\t", "// a, b\n", "# a;b\n", "/* a\n, { */ ", "\ufeff// x\n\n# y\n"])
def test_json_is_told_by_its_first_bracket(lead: str):
    """A document whose first character after comments is a bracket is JSON, be there a byte order mark or not."""
    assert parse_document(f'{lead}{{"a": [1, 2]}} // end'.encode()) == {"a": [1, 2]}
    assert parse_document(f"{lead}[1] # end".encode()) == [1]


def test_csv_rows_carry_the_numbers_of_a_spreadsheet():
    """Blank rows and line breaks inside quotes do not shift the numbers of the rows after them."""
    found = table('A,B\n1,"x\ny"\n\n , \n2,z\n')

    assert found.columns == ("A", "B")
    assert found.rows == ((2, ["1", "x\ny"]), (5, ["2", "z"]))


def test_excels_empty_columns_are_accepted():
    """Columns without a title and without a value are nothing, at the end and in the middle."""
    assert table("A,,B,,\n1,,2,,\n").records() == [{"A": "1", "B": "2"}]


@pytest.mark.parametrize("row", ["1,2,3", "1,2,,3"])
def test_a_value_under_no_title_is_told(row: str):
    """A row with a value beyond the titles is left out and its number kept."""
    found = table(f"A,B\n1,2\n{row}\n")

    assert found.surplus == (3,)
    assert [number for number, _ in found.rows] == [2]


def test_short_rows_lack_their_last_cells():
    """A row may end early."""
    assert table("A,B\n1\n").records() == [{"A": "1"}]


@pytest.mark.parametrize(("separator", "other"), [(",", ";"), (";", ","), ("\t", ";")])
def test_the_header_tells_the_separator(separator: str, other: str):
    """Commas, semicolons and tabs separate columns; another of them inside quotes does no harm."""
    assert table(f'"A{other}x"{separator}B\n1{separator}2\n').columns == (f"A{other}x", "B")


def test_two_separators_in_a_header_are_not_guessed_between():
    """A header with commas and semicolons is refused."""
    assert "commas and semicolons" in refusal(b"A,B;C\n1,2;3\n")


@pytest.mark.parametrize(
    ("payload", "reason"),
    [
        (b"", "empty"),
        (b" \n", "empty"),
        (b"A,B\n1,\xb0C\n", "not UTF-8"),
        (b"A,B\n1,\x002\n", "not text: character 0"),
        (b"x" * (MAX_BYTES + 1), "longer than the"),
        (b'A,B\n1,2\n3,"4\n5,6\n', "row 3"),
        (b"Name,name\n1,2\n", "stands twice"),
        (b",;\n", "commas and semicolons"),
        (b",,\n,,\n", "0 columns"),
        (b"a," * (MAX_COLUMNS + 1), "columns"),
        (b"a\n" * (MAX_ROWS + 2), "rows"),
        (b'{"a": 1, "a": 2}', "twice"),
        (b'{"a": NaN}', "NaN"),
        (b"[" * 100_000, "nested deeper"),
    ],
)
def test_what_can_not_be_a_document_is_refused(payload: bytes, reason: str):
    """Each kind of bad document has a reason that says what it is."""
    assert reason in refusal(payload)


def test_a_wrong_encoding_says_how_to_save_the_file():
    """A CSV in another encoding is answered with Excel's name for the right one."""
    with pytest.raises(BadDocument) as caught:
        parse_document("A\n20 °C\n".encode("latin-1"))

    assert "CSV UTF-8" in caught.value.suggestion


def test_a_hash_is_sha256_in_hex():
    """The hash of the empty document is that of FIPS 180-4's empty message."""
    assert sha256(b"") == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"


@pytest.mark.parametrize("text", [b'"config://a"', rb'"config:\/\/a"', rb'"\u0063onfig://a"'])
def test_a_link_is_seen_however_it_is_escaped(text: bytes):
    """No way to write a link in JSON escapes the quick look."""
    assert may_link(text)
    assert parse_document(b"[" + text + b"]") == ["config://a"]
    assert not may_link(b'{"device_address": "10.0.0.1"}')


@given(st.lists(st.lists(CELL, min_size=3, max_size=3), max_size=8))
def test_what_a_spreadsheet_writes_is_read_back(rows: list[list[str]]):
    """Every table that the csv module writes is read with the same cells, blank rows aside."""
    written = io.StringIO()
    csv.writer(written).writerows([["A", "B", "C"], *rows])

    found = table(written.getvalue())

    assert [cells for _, cells in found.rows] == [row for row in rows if any(row)]


@given(st.binary(max_size=200) | st.text(max_size=200).map(str.encode))
def test_any_bytes_are_parsed_or_refused(payload: bytes):
    """No bytes raise anything but BadPayload."""
    with suppress(BadPayload):
        assert parse_document(payload) is not None
