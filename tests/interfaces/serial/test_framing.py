"""How lines are told apart, whatever comes between, before and within them."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from gateway.interfaces._text.checksums import KINDS, checksum
from gateway.interfaces._text.escapes import readable, unescaped
from gateway.interfaces._text.framing import Check, Framing, Splitter

CRLF = Framing(b"", b"\r\n")
BODY = st.binary(max_size=40).filter(lambda b: not set(b) & set(b"\r\n\x02\x03$*"))


def split(framing: Framing, *chunks: bytes) -> list[bytes]:
    """The lines in bytes that come in chunks."""
    splitter, found = Splitter(framing), []
    for chunk in chunks:
        splitter.feed(chunk)
        while (line := splitter.next()) is not None:
            found.append(line)
    return found


def cut(data: bytes, places: list[int]) -> list[bytes]:
    """Bytes in chunks that end at these places."""
    ends = sorted({place % (len(data) + 1) for place in places} | {0, len(data)})
    return [data[a:b] for a, b in pairwise(ends)]


@pytest.mark.parametrize(
    ("kind", "as_hex", "data", "wanted"),
    [
        ("xor", True, b"GPGLL,5057.970,N,00146.110,E,142451,A", b"27"),  # NMEA 0183, a sentence that many manuals show
        ("sum8", True, b"#01", b"84"),
        ("lrc", True, bytes.fromhex("010300000001"), b"FB"),  # Modbus ASCII
        ("crc16_modbus", False, bytes.fromhex("010300000001"), bytes.fromhex("840A")),  # Modbus RTU
        ("crc16_modbus", True, bytes.fromhex("010300000001"), b"0A84"),
        ("crc16_modbus", True, b"123456789", b"4B37"),  # the check value of catalogues of CRCs
        ("xor", False, b"", b"\0"),
    ],
)
def test_checksums_are_those_of_the_field(kind: str, as_hex: bool, data: bytes, wanted: bytes) -> None:
    """Each kind gives what is known of it."""
    assert checksum(kind, as_hex, data) == wanted


CHECKS = st.builds(
    Check,
    kind=st.sampled_from(sorted(KINDS)),
    as_hex=st.booleans(),
    after=st.booleans(),
    separator=st.sampled_from([b"", b"*"]),
    covers_start=st.booleans(),
    covers_terminator=st.booleans(),
)
FRAMINGS = st.builds(
    Framing, st.sampled_from([b"", b"\x02", b"$$"]), st.sampled_from([b"\r\n", b"\x03", b"\r"]), st.none() | CHECKS
)


@given(FRAMINGS, st.lists(BODY, max_size=6), st.lists(st.integers(0, 400), max_size=12))
def test_what_is_framed_is_found_again(framing: Framing, bodies: list[bytes], places: list[int]) -> None:
    """Lines in a row are told apart however their bytes come, with every kind of checksum, bytes like terminators too."""
    assert split(framing, *cut(b"".join(map(framing.framed, bodies)), places)) == bodies


@given(FRAMINGS, BODY, st.lists(st.integers(0, 100), max_size=5))
def test_noise_costs_no_more_than_two_lines(framing: Framing, body: bytes, places: list[int]) -> None:
    """After bytes that are no line, the third whole line is taken again at the latest."""
    line = framing.framed(body)
    found = split(framing, *cut(b"\xff\x00\x02noise" + line * 4, places))
    assert found[-2:] == [body, body]


@given(FRAMINGS.filter(lambda f: f.check is not None), BODY.filter(bool), st.integers(0, 400), st.integers(0, 7))
@example(Framing(b"", b"\x03", Check("xor", as_hex=False)), b"a\x02", 0, 0)
def test_one_wrong_bit_is_never_taken(framing: Framing, body: bytes, place: int, bit: int) -> None:
    """With a checksum, a line with one bit turned in its body is not taken for another."""
    line = bytearray(framing.framed(body))
    at = len(framing.start) + place % len(body)
    line[at] ^= 1 << bit
    if bytes([line[at]]) in framing.terminator + framing.start + b"*":
        return  # it looks like the end of a line now, and a shorter line may have that checksum
    assert split(framing, bytes(line)) == []


@given(st.binary(max_size=600), st.lists(st.integers(0, 600), max_size=8), FRAMINGS)
def test_any_bytes_are_survived(data: bytes, places: list[int], framing: Framing) -> None:
    """Whatever comes, no line is longer than allowed, and little is held."""
    splitter = Splitter(framing)
    for chunk in cut(data, places):
        splitter.feed(chunk)
        while (line := splitter.next()) is not None:
            assert len(line) <= framing.longest
    assert len(splitter._data) < framing.longest + 40


def test_what_came_before_the_start_is_no_part_of_a_line() -> None:
    """Noise and half a line before a start are thrown away, and a line without one is not taken."""
    framing = Framing(b"\x02", b"\x03")
    assert split(framing, b"xx\x02ha\x02whole\x03no start\x03\x02b\x03") == [b"whole", b"b"]


def test_a_line_that_is_too_long_is_thrown_away_to_its_end() -> None:
    """Nothing of it is taken for a line, and the next line is good."""
    framing = Framing(b"", b"\r\n", longest=8)
    assert split(framing, b"12345678\r\n", b"123456789\r\n", *[b"x" * 50] * 9, b"12.5\r", b"\n12.5\r\n") == [
        b"12345678",
        b"12.5",
    ]


def test_one_who_joins_in_the_middle_waits_for_the_next_line() -> None:
    """What comes first may be half a line and is not taken."""
    splitter = Splitter(CRLF, joined=True)
    splitter.feed(b"2.50\r\n112.50\r\n")
    assert splitter.next() == b"112.50"


@given(st.lists(st.integers(0, 40), max_size=6))
def test_an_echo_is_thrown_away_once(places: list[int]) -> None:
    """What was sent comes back first, noise before it or not; the answer may be the same text again."""
    splitter, found = Splitter(CRLF), []
    splitter.expect_echo(b"SP=5\r")
    for chunk in cut(b"\xffSP=5\rSP=5\r\n", places):
        splitter.feed(chunk)
        if (line := splitter.next()) is not None:
            found.append(line)
    assert found == [b"SP=5"]


def test_an_echo_that_does_not_come_holds_little() -> None:
    """Bytes without the echo in them are not gathered for ever."""
    splitter = Splitter(CRLF)
    splitter.expect_echo(b"Q\r\n")
    for _ in range(100):
        splitter.feed(b"x" * 100)
        assert splitter.next() is None
    assert len(splitter._data) < 300


@pytest.mark.parametrize(
    ("text", "meant"),
    [(r"\x02A\r\n", b"\x02A\r\n"), (r"a\\b\t\0", b"a\\b\t\0"), ("\r\n", b"\r\n"), ("", b""), (r"\xfF", b"\xff")],
)
def test_escapes(text: str, meant: bytes) -> None:
    """Escapes are single bytes, and control characters may stand as they are."""
    assert unescaped(text, "ascii") == meant


@pytest.mark.parametrize("text", [r"\q", r"\x2", "\\", "°", r"\u0041"])
def test_a_bad_escape_is_told(text: str) -> None:
    """An unknown escape, half of one, or a character that the encoding lacks."""
    with pytest.raises(ValueError, match=r"escape|encoding"):
        unescaped(text, "ascii")


@given(st.binary(max_size=60))
def test_what_came_is_shown_so_that_a_person_can_read_it(data: bytes) -> None:
    """Every byte shows, control characters as escapes."""
    shown = readable(data)
    assert shown.isascii()
    assert shown.isprintable()
