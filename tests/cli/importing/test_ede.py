"""EDE files as they are met: spellings, encodings, side files, and whatever else is in them."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.cli.importing.ede import beside, convert, read
from gateway.cli.importing.ede_table import whole
from gateway.cli.importing.model import ImportFault

HEAD = "keyname;device obj.-instance;object-name;object-type;object-instance;description;settable;unit-code\n"

cells = st.one_of(
    st.text(max_size=8), st.sampled_from(["1", "2", "8", "19", "17", "4711", "1,5", "Y", "7.0", "²", "9" * 5000, "-1", "#"])
)


@given(st.lists(st.lists(cells, max_size=10), max_size=5), st.sampled_from([";", ",", "\t"]))
def test_any_rows_become_points_or_remarks(rows: list[list[str]], sign: str) -> None:
    """Whatever stands in the cells, there is a result, or a fault that says what is wrong."""
    text = HEAD.replace(";", sign) + "\n".join(sign.join(row) for row in rows)
    try:
        result = convert(text, text, text)
    except ImportFault:
        return
    for device in result.devices:
        assert all(row["Volttron Point Name"] for row in device.rows)


def test_other_files_are_told() -> None:
    """A file without the columns of EDE is none."""
    with pytest.raises(ImportFault, match="is it an EDE file"):
        convert("a;b;c\n1;2;3\n")


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "latin-1"])
def test_encodings_of_spreadsheets_are_read(tmp_path: Path, encoding: str) -> None:
    """A name with an umlaut is read in each encoding that spreadsheets write."""
    path = tmp_path / "site.csv"
    path.write_bytes((HEAD + "k;5;Außenfühler;0;1;;N;62\n").encode(encoding))
    (device,) = convert(read(path)).devices
    assert device.rows[0]["Volttron Point Name"] == "Außenfühler"


@pytest.mark.parametrize(
    ("name", "side"),
    [
        ("Site_EDE.csv", "Site_StateTexts.csv"),
        ("Site-EDE.csv", "site-ede-state-texts.csv"),
        ("plant 1.csv", "plant1_StateText.csv"),
    ],
)
def test_side_files_are_found_by_their_names(tmp_path: Path, name: str, side: str) -> None:
    """The file of state texts is the one that is called like the EDE file; others are not taken."""
    for each in (name, side, "other_StateTexts.csv", "notes.txt"):
        (tmp_path / each).write_text("")
    assert beside(tmp_path / name, "states") == tmp_path / side
    assert beside(tmp_path / name, "units") is None


@pytest.mark.parametrize(
    ("text", "number"),
    [("7", 7), ("7.0", 7), ("7,00", 7), ("7.5", None), ("", None), ("-7", None), ("²", None), ("11", None)],
)
def test_whole_numbers(text: str, number: int | None) -> None:
    """Numbers are read as spreadsheets write them, up to the most that they may be."""
    assert whole(text, 10) == number
