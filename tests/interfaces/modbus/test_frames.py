from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import Transient
from gateway.interfaces._modbus.frames import AsciiFraming, Framing, RtuFraming, SocketFraming, crc16, lrc
from gateway.interfaces._modbus.pdu import Query, Table, read_query

UNIT = 17
QUERY = read_query(Table.HOLDING, 107, 3)
PDU = bytes.fromhex("0306 022b 0000 0064")
WRITE = Query(b"\x05\x00\xac\xff\x00", b"\x05\x00\xac\xff\x00", 5)
FRAMINGS = [SocketFraming, RtuFraming, AsciiFraming]
LINES = [RtuFraming, AsciiFraming]


def fed(framing: Framing, data: bytes, query: Query = QUERY, unit: int = UNIT) -> bytes | None:
    """The first reply when the data comes byte by byte."""
    for size in range(len(data) + 1):
        pdu = framing.reply(data[:size], unit, query)
        if pdu is not None:
            return pdu
    return None


def test_checksums_are_those_of_the_specification() -> None:
    """The CRC is that of a known frame, low byte first, and the LRC that of a known one."""
    assert crc16(bytes.fromhex("11 03 006b 0003")).hex() == "7687"
    assert lrc(bytes.fromhex("11 03 006b 0003")).hex() == "7e"


def test_requests() -> None:
    """A request in each framing."""
    assert SocketFraming().request(UNIT, QUERY.pdu).hex() == "000100000006" + "1103006b0003"
    assert RtuFraming().request(UNIT, QUERY.pdu).hex() == "1103006b00037687"
    assert AsciiFraming().request(UNIT, QUERY.pdu) == b":1103006B00037E\r\n"


@pytest.mark.parametrize("kind", FRAMINGS)
@given(unit=st.integers(1, 247), words=st.binary(min_size=6, max_size=6))
def test_a_good_reply_is_taken_byte_by_byte(kind: type[Framing], unit: int, words: bytes) -> None:
    """Each framing gives the PDU back when the last byte has come, and not before."""
    framing = kind()
    framing.request(unit, QUERY.pdu)
    frame = framing.request(unit, b"\x03\x06" + words)
    assert framing.reply(frame[:-1], unit, QUERY) is None
    assert fed(framing, frame, unit=unit) == b"\x03\x06" + words


@pytest.mark.parametrize("kind", LINES)
@given(noise=st.binary(max_size=30))
def test_noise_before_a_frame_is_skipped(kind: type[Framing], noise: bytes) -> None:
    """Whatever comes before a good frame, its value is given or none, never another."""
    framing = kind()
    data = noise + framing.request(UNIT, PDU)
    try:
        assert framing.reply(data, UNIT, QUERY) in (PDU, None)
    except Transient:
        pass  # the noise holds what looks like a frame: nobody knows which is which
    assert framing.reply(b"\xff\x00\x11\x03" + framing.request(UNIT, PDU), UNIT, QUERY) == PDU


@pytest.mark.parametrize("kind", LINES)
@given(data=st.data())
def test_a_damaged_frame_is_never_taken(kind: type[Framing], data: st.DataObject) -> None:
    """A frame with one byte changed, lost or doubled gives no value."""
    framing = kind()
    frame = bytearray(framing.request(UNIT, PDU))
    at = data.draw(st.integers(0, len(frame) - 1))
    change = data.draw(st.sampled_from(["flip", "lose", "double"]))
    if change == "flip":
        frame[at] ^= 1 << data.draw(st.integers(0, 7))
    frame[at : at + 1] = {"flip": frame[at : at + 1], "lose": b"", "double": frame[at : at + 1] * 2}[change]
    try:
        got = framing.reply(bytes(frame), UNIT, QUERY)
    except Transient:
        got = None
    assert got in (None, PDU)  # a doubled first byte, or a digit in the other case, is the same frame


@pytest.mark.parametrize("kind", LINES)
def test_two_replies_are_none(kind: type[Framing]) -> None:
    """When a second frame has come with the first, nobody knows which is which."""
    framing = kind()
    good, refused = framing.request(UNIT, PDU), framing.request(UNIT, b"\x83\x02")
    for both in (good * 2, good + refused, refused + good, refused * 2):
        with pytest.raises(Transient):
            framing.reply(both, UNIT, QUERY)


def test_another_units_frame_is_noise_on_an_rtu_line() -> None:
    """A reply of another unit, function or length is not taken, and the right one behind it is."""
    framing = RtuFraming()
    for other in (framing.request(18, PDU), framing.request(UNIT, b"\x04" + PDU[1:]), framing.request(UNIT, PDU[:4])):
        assert framing.reply(other, UNIT, QUERY) is None
        assert framing.reply(other + framing.request(UNIT, PDU), UNIT, QUERY) == PDU


def test_another_unit_is_told_on_an_ascii_line() -> None:
    """A whole frame of another unit is refused with its number."""
    framing = AsciiFraming()
    with pytest.raises(Transient, match="unit 18 answered, not 17"):
        framing.reply(framing.request(18, PDU), UNIT, QUERY)


@pytest.mark.parametrize("kind", FRAMINGS)
@pytest.mark.parametrize("code", [1, 2, 11, 255])
def test_exceptions_pass(kind: type[Framing], code: int) -> None:
    """An exception to the request is its reply."""
    framing = kind()
    assert fed(framing, framing.request(UNIT, bytes((0x83, code)))) == bytes((0x83, code))


@pytest.mark.parametrize("kind", LINES)
def test_an_echo_is_named(kind: type[Framing]) -> None:
    """A line that gives back what is sent is told as such, but a write that its device echoes is confirmed by that."""
    framing = kind()
    with pytest.raises(Transient, match="set echo to true"):
        framing.reply(framing.request(UNIT, QUERY.pdu), UNIT, QUERY)
    assert framing.reply(framing.request(UNIT, WRITE.pdu), UNIT, WRITE) == WRITE.pdu


def framing_at(transaction: int) -> SocketFraming:
    """One whose newest request had this number."""
    framing = SocketFraming()
    framing.transaction = transaction
    return framing


def mbap(transaction: int, unit: int, pdu: bytes) -> bytes:
    """A Modbus TCP frame."""
    return framing_at(transaction - 1).request(unit, pdu)


@given(st.integers(1, 65535), st.integers(0, 255), st.binary(min_size=2, max_size=253))
def test_a_frame_is_whole_or_waits(transaction: int, unit: int, pdu: bytes) -> None:
    """Every beginning of a frame asks for more, the whole gives the PDU, and one byte more is refused."""
    frame, framing = mbap(transaction, unit, pdu), framing_at(transaction)
    assert all(framing.reply(frame[:size], unit, QUERY) is None for size in range(len(frame)))
    assert framing.reply(frame, unit, QUERY) == pdu
    with pytest.raises(Transient, match="1 bytes too many"):
        framing.reply(frame + b"\0", unit, QUERY)


@given(st.integers(1, 65535), st.integers(0, 65535), st.integers(0, 255), st.integers(0, 255))
def test_a_frame_of_somebody_else_is_refused(transaction: int, got: int, unit: int, replier: int) -> None:
    """Another transaction, 0 too, or another unit is never taken."""
    frame = got.to_bytes(2, "big") + mbap(1, replier, b"\x03\x02\0\0")[2:]
    if (got, replier) == (transaction, unit):
        assert framing_at(transaction).reply(frame, unit, QUERY) is not None
    else:
        with pytest.raises(Transient, match="answered"):
            framing_at(transaction).reply(frame, unit, QUERY)


@given(st.binary(min_size=7, max_size=300))
def test_garbage_is_no_frame(data: bytes) -> None:
    """Random bytes are refused, or a frame that waits or fits."""
    try:
        pdu = framing_at(int.from_bytes(data[:2], "big")).reply(data, data[6], QUERY)
    except Transient:
        return
    assert data[2:4] == b"\0\0"
    assert pdu is None or len(pdu) == int.from_bytes(data[4:6], "big") - 1
