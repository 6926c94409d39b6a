"""What devices send, of hostile bytes: a value that was really in it, or an error; nothing else."""

from __future__ import annotations

import struct
from collections import deque
from functools import cache
from pathlib import Path

from gateway.errors import BadValue, DeviceError, OutOfRange
from gateway.interfaces._bacnet import services, wire
from gateway.interfaces._bacnet.codec import are_clear, item_of, quality_of, raw_of, text_of
from gateway.interfaces._bacnet.encoding import Malformed
from gateway.interfaces._bacnet.learned import Learned
from gateway.interfaces._bacnet.rows import BacnetRegister
from gateway.interfaces._bacnet.values import Item
from gateway.interfaces._modbus.frames import AsciiFraming, Framing, RtuFraming, SocketFraming
from gateway.interfaces._modbus.line import ModbusLine
from gateway.interfaces._modbus.pdu import Query, Refusal, Table, read_query
from gateway.interfaces._modbus.plan import ModbusBatch
from gateway.interfaces._text import framing as text
from gateway.interfaces._text.line import Question, TextLine, Unfit
from gateway.interfaces._text.register import TextRegister
from gateway.interfaces.base import Environment
from gateway.model import PointError, Register, Scalar
from gateway.payloads import dump
from gateway.store.compile import compile_device
from gateway.values import coerce, from_raw, to_raw
from tests.fakes import FakeClock

ROOT = Path(__file__).parents[2]
UNIT = 17


class Stream:
    """Brings bytes, in pieces as long as the first byte says, and nothing after; time passes by waiting."""

    def __init__(self, clock: FakeClock, data: bytes, fresh: bool) -> None:
        self.name = "a stream"
        self.fresh = fresh
        self.connected = True
        size = (data[0] if data else 0) or 256
        self._pieces = deque(data[at : at + size] for at in range(1, len(data), size))
        self._clock = clock

    def open(self) -> None:
        """It is open."""

    def close(self) -> None:
        """Nothing comes any more."""
        self._pieces.clear()

    def fileno(self) -> int:
        """It has no file."""
        return -1

    def pending(self) -> bool:
        """What comes is an answer."""
        return False

    def send(self, data: bytes) -> None:
        """Nobody reads it."""

    def receive(self, seconds: float) -> bytes:
        """The next piece; without one that time passes."""
        if self._pieces:
            return self._pieces.popleft()
        self._clock.advance(seconds)
        return b""


@cache
def registers(driver: str) -> tuple[Register, ...]:
    """The points of a sample of the documents."""
    place = ROOT / "docs" / "samples" / driver
    linked = {file.name: file.read_bytes() for file in place.iterdir()}
    verdict = compile_device("C/B/D", linked["device.json"], linked, Environment(FakeClock()), None)
    assert verdict.spec is not None, verdict.errors
    return verdict.spec.registers


def told(error: Exception) -> None:
    """Fails if an error has no words."""
    assert str(error)


def check(register: Register, raw: Scalar | PointError) -> None:
    """A raw value becomes a value that can be published and is what a client may write back, or an error in words."""
    if isinstance(raw, PointError):
        assert raw.message
        return
    try:
        value = from_raw(register, raw)
    except BadValue as error:
        told(error)
        return
    dump(value)
    if register.minimum is register.maximum is None:
        to_raw(register, coerce(register, value))


# ---- Modbus


@cache
def batches() -> tuple[ModbusBatch, ...]:
    """The requests that read the sample."""
    clock = FakeClock()
    place = ROOT / "docs" / "samples" / "modbus"
    linked = {file.name: file.read_bytes() for file in place.iterdir()}
    spec = compile_device("C/B/D", linked["device.json"], linked, Environment(clock), None).spec
    assert spec is not None
    return tuple(spec.interface(spec.config, Environment(clock)).batches(spec.registers))  # type: ignore[arg-type]


LONGEST = Query(read_query(Table.HOLDING, 0, 125).pdu, bytes((3, 250)), 252)


def socket(data: bytes) -> None:
    """How the bytes are cut, which request they answer, and what comes over TCP."""
    framing = SocketFraming()
    modbus(framing, data, fresh=True)


def rtu(data: bytes) -> None:
    """The same, on a serial line."""
    modbus(RtuFraming(), data, fresh=False)


def ascii_frames(data: bytes) -> None:
    """The same, in ASCII."""
    modbus(AsciiFraming(), data, fresh=False)


def modbus(framing: Framing, data: bytes, fresh: bool) -> None:
    """The promise: an error of the device, or the data of a frame that has come whole."""
    clock = FakeClock()
    choice = data[1] if len(data) > 1 else 0
    batch = batches()[choice % len(batches())]
    query = LONGEST if choice & 0x80 else batch.query
    came = data[:1] + data[2:]
    line = ModbusLine(Stream(clock, came, fresh), framing, clock, 0.001)
    try:
        got = line.exchange(UNIT, query, 1.0)
    except Refusal as refusal:
        really_came(framing, came, bytes((query.pdu[0] | 0x80, refusal.code)))
        return
    except DeviceError as error:
        told(error)
        return
    really_came(framing, came, query.head + got)
    if query is batch.query:
        values = batch.layout.decode(got)
        for register in batch.registers:
            check(register, values[register.name])


def really_came(framing: Framing, came: bytes, pdu: bytes) -> None:
    """Fails if that PDU has not come whole and with its checksum."""
    frame = (SocketFraming() if framing.numbered else framing).request(UNIT, pdu)
    if isinstance(framing, AsciiFraming):
        frame, came = frame.lower(), came.lower()
    assert frame in came


# ---- lines of text

FRAMINGS = (
    text.Framing(b"", b"\r\n"),
    text.Framing(b"\x02", b"\x03", text.Check("xor", as_hex=False, after=True)),
    text.Framing(b"$", b"\r\n", text.Check("xor", separator=b"*")),
    text.Framing(b"", b"\r", text.Check("crc16_modbus", as_hex=False, covers_terminator=True)),
    text.Framing(b"#", b"\n", text.Check("sum8"), longest=20),
)


def lines(data: bytes) -> None:
    """How the bytes are cut, the framing and the point, and what an instrument says."""
    clock = FakeClock()
    choice = data[1] if len(data) > 1 else 0
    framing = FRAMINGS[choice % len(FRAMINGS)]
    asked = [register for register in registers("serial") if isinstance(register, TextRegister) and register.reply]
    point = asked[choice // len(FRAMINGS) % len(asked)]
    assert point.reply is not None
    line = TextLine(Stream(clock, data[:1] + data[2:], False), framing, clock, echo=bool(choice & 0x80))
    question = Question(framing.framed(point.request), (point.reply,), None, point.request)
    try:
        _, groups = line.exchange(question, 1.0)
    except (Unfit, DeviceError) as error:
        told(error)
        return
    check(point, point.value(groups))


# ---- BACnet


def bacnet(data: bytes) -> None:
    """An acknowledgment as octets, the first of which says of which service: what it holds, over the pipe and as values."""
    decode = services.read_multiple_answer if data[:1] > b"\x7f" else services.read_answer
    try:
        answers = list(decode(data[1:]))
    except Malformed as error:
        told(error)
        return
    for _, answer in answers:
        if isinstance(answer, Item):
            (crossed,) = wire.Unframer().feed(wire.frame({"answer": wire.pack_answer(answer)}))
            item = wire.unpack_answer(crossed["answer"])
            assert isinstance(item, Item)
            assert same(item, answer), (item, answer)
            values_of(item)


def values_of(item: Item) -> None:
    """The promise: whatever a device holds is a value of each point, or an error of it."""
    dump(text_of(item))
    quality_of(item, item)
    are_clear(item)
    learned = Learned()
    learned.texts[14, 1] = learned.texts[0, 4194303] = (text_of(item), "x")
    learned.units[0, 1] = text_of(item) or "x"
    learned.changed()
    again = Learned(learned.facts())
    assert (again.texts, again.units) == (learned.texts, learned.units)
    for register in registers("bacnet"):
        assert isinstance(register, BacnetRegister)
        raw = raw_of(register, item, ("Off", "On"))
        check(register, raw)
        if not isinstance(raw, PointError):
            try:
                item_of(register, raw, ("Off", "On"))
            except (BadValue, OutOfRange):
                pass


def same(one: Item, other: Item) -> bool:
    """Whether two values are the same, also where they are no numbers."""
    if isinstance(one.value, float) and isinstance(other.value, float):
        return struct.pack(">d", one.value) == struct.pack(">d", other.value) or (one.value != one.value != other.value)
    if isinstance(one.value, list):
        return one.datatype == other.datatype and all(map(same, one.value, other.value))
    return one == other
