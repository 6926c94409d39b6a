"""Inputs of a target: those that are kept, and others made of them."""

from __future__ import annotations

import re
from pathlib import Path

from hypothesis import strategies as st

CORPUS = Path(__file__).parent / "corpus"
_TOKEN = re.compile(rb"\w+|\W", re.DOTALL)

WORDS = [
    b"", b"\0", b"\n", b"\r\n", b"{", b"}", b"[", b"]", b'"', b",", b":", b"/", b"//", b"+", b"#", b"$", b"..", b"\\",
    b"0", b"1", b"-1", b"9" * 400, b"18446744073709551616", b"1e400", b"NaN", b"null", b"true", b"[]", b"{}", b'""', b'"x"',
    b"\xff", b"\xed\xa0\x80", b"\xef\xbb\xbf", b"\xe2\x80\xae", b"\xf0\x9f\x92\xa9", b"\\ud800", b"[" * 40, b"x" * 300,
    b"config://a", b"config://b/c", b"config://devices/C/B/D", b'{"secret": "device.x"}', b"\n---\n", b"driver_type",
    b"Volttron Point Name", b"Type", b"Scale", b"Enum", b"Min", b"0=a;1=b", b"string[6]", b"(a+)+$", b"{value:.9f}", b"%s",
    b"device", b"points", b"value", b"values", b"lease", b"jsonrpc", b"C/B/D/t", b"set_point", b"acquire_lease",
]  # fmt: skip
"""What is put where something else was."""

EDITS = st.tuples(
    st.integers(0, 2**16),  # the token where
    st.integers(0, 4),  # how many go
    st.sampled_from(WORDS) | st.binary(max_size=6),  # what comes
    st.sampled_from((1, 1, 1, 2, 100)),  # how often
)
Edit = tuple[int, int, bytes, int]


def kept(target: str) -> list[bytes]:
    """The seeds of a target, and what was found once."""
    return [file.read_bytes() for file in sorted((CORPUS / target).iterdir())]


def edited(seed: bytes, edits: list[Edit], cut: int | None) -> bytes:
    """A seed after edits of its words, cut at a place or not."""
    words = _TOKEN.findall(seed)
    for where, gone, comes, times in edits:
        at = where % (len(words) + 1)
        words[at : at + gone] = [comes] * times
    return b"".join(words if cut is None else words[: cut % (len(words) + 1)])


def inputs(target: str) -> st.SearchStrategy[bytes]:
    """Inputs that look like the seeds of a target, and a few that look like nothing."""
    cuts = st.none() | st.none() | st.integers(0, 2**16)
    near = st.builds(edited, st.sampled_from(kept(target)), st.lists(EDITS, max_size=5), cuts)
    return st.one_of(near, near, near, st.binary(max_size=300))
