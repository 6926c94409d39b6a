"""Replies that are broken in every way, thousands of them: none brings a value that was not sent for its request."""

from __future__ import annotations

import os
import random
from collections import deque

import pytest

from gateway.errors import Transient, Unreachable
from gateway.interfaces._modbus.frames import AsciiFraming, Framing, RtuFraming, SocketFraming
from gateway.interfaces._modbus.line import ModbusLine
from gateway.interfaces._modbus.pdu import Refusal, Table, read_query
from tests.fakes import FakeClock
from tests.integration.waiting import scaled

SEED = os.environ.get("GATEWAY_SEED", "1")
UNIT, OTHER = 17, 18
RESET = b""
Pieces = list[bytes]


class Paper:
    """A stream on which the answer to each request is written before it is sent; RESET breaks it.

    ``fresh`` as of a Stream: whether what was not read is gone with a connection.
    """

    name = "paper"

    def __init__(self, fresh: bool, clock: FakeClock) -> None:
        self.fresh = fresh
        self.connected = False
        self.answer: Pieces = []
        self.came = 0
        self._clock = clock
        self._waiting: deque[bytes] = deque()

    def open(self) -> None:
        """Connect."""
        self.connected = True

    def close(self) -> None:
        """Disconnect."""
        self.connected = False
        if self.fresh:
            self._waiting.clear()

    def fileno(self) -> int:
        """There is no file."""
        return -1

    def pending(self) -> bool:
        """Whether something waits."""
        return bool(self._waiting)

    def send(self, data: bytes) -> None:
        """The answer comes."""
        self._waiting.extend(self.answer)

    def receive(self, seconds: float) -> bytes:
        """The next piece; if there is none, the time passes."""
        if not self._waiting:
            self._clock.advance(seconds)
            return b""
        piece = self._waiting.popleft()
        if piece == RESET:
            raise ConnectionResetError("Connection reset by peer")
        self.came += len(piece)
        return piece


class Rig:
    """A client's line, asked for random registers one after another."""

    def __init__(self, kind: type[Framing], fresh: bool, source: random.Random, echo: bool = False) -> None:
        clock = FakeClock()
        self.framing, self.source = kind(), source
        self.stream = Paper(fresh, clock)
        self._line = ModbusLine(self.stream, self.framing, clock, 0.0 if fresh else 0.001, echo)

    def frame(self, data: bytes, unit: int = UNIT, function: int = 3, before: int = 0) -> bytes:
        """The reply to the next request, or one so many before, or one with something else in its place."""
        framing = type(self.framing)()
        if isinstance(framing, SocketFraming) and isinstance(self.framing, SocketFraming):
            framing.transaction = self.framing.transaction - before
        return framing.request(unit, bytes((function, len(data))) + data)

    def said(self, data: bytes, sent: bytes) -> bool:
        """Whether a whole reply with this data to the newest request is in what was sent."""
        frame = self.frame(data, before=1)
        return sent.startswith(frame) if self.framing.numbered else frame in sent or frame in sent.upper()

    def asked(self, count: int, sent: bytes) -> bytes | None:
        """What a request brings when this comes back, in random pieces; None for an error."""
        self.stream.answer = pieces(sent, self.source)
        try:
            return self.ask(count, self.source.randrange(9000))
        except (Transient, Unreachable, Refusal):
            return None

    def ask(self, count: int, at: int = 0) -> bytes:
        """The data of the registers from an address on."""
        if not self._line.ready():
            self._line.open()
        return self._line.exchange(UNIT, read_query(Table.HOLDING, at, count), 1.0)


def pieces(sent: bytes, source: random.Random) -> Pieces:
    """The same at once, in two or three pieces, or byte by byte; now and then the connection breaks behind it."""
    size = source.choice((len(sent), 1 + len(sent) // 2, 1 + len(sent) // 3, 1))
    cut = [sent[at : at + size] for at in range(0, len(sent), max(1, size))]
    return cut + [RESET] * (source.random() < 0.05)


def broken(rig: Rig, data: bytes) -> bytes:
    """A reply with something wrong, which may make a good one of other data of it; or bytes that are no reply at all."""
    source = rig.source
    good = rig.frame(data)
    at, noise = source.randrange(len(good)), source.randbytes(source.randrange(1, 30))
    flipped = bytearray(good)
    for _ in range(source.choice((1, 1, 2, 8))):
        flipped[source.randrange(len(good))] ^= 1 << source.randrange(8)
    return source.choice(
        (
            source.randbytes(source.randrange(300)),
            good[:at],
            good[at:],
            good[:at] + good[at + 1 :],
            good[:at] + noise + good[at:],
            good[:at] + good[at : at + 9] * 2 + good[at + 9 :],
            good + noise,
            good * 2,
            noise + good,
            bytes(flipped),
            rig.frame(data, unit=OTHER),
            rig.frame(data, function=4),
            rig.frame(data, before=1),
            rig.frame(data[:-2]),
            rig.frame(data + b"\0\0"),
            rig.frame(source.randbytes(254)),
        )
    )


@pytest.mark.long
@pytest.mark.parametrize(
    ("kind", "fresh"),
    [(SocketFraming, True), (RtuFraming, True), (RtuFraming, False), (AsciiFraming, False)],
    ids=["tcp", "rtu-over-tcp", "rtu", "ascii"],
)
def test_no_random_frame_brings_a_value_that_was_not_sent(kind: type[Framing], fresh: bool) -> None:
    """10,000 of them: a whole frame with that value was sent for the request, or it is an error; then all is well again."""
    rig = Rig(kind, fresh, random.Random(f"{SEED} {kind.__name__} {fresh}"))
    frames, taken = scaled(10_000), 0
    for _ in range(frames):
        count = rig.source.choice((1, 2, 10, 125))
        data = rig.source.randbytes(2 * count)
        sent = broken(rig, data)
        got = rig.asked(count, sent)
        if got is not None:
            taken += 1
            assert len(got) == 2 * count
            assert rig.said(got, sent), (sent.hex(" "), got.hex(" "))
        data = rig.source.randbytes(2 * count)
        assert data in [rig.asked(count, rig.frame(data)) for _ in range(2)]
    print(f"{frames} broken frames: {frames - taken} refused, {taken} brought what they said")
    assert 0 < taken < frames / 2


@pytest.mark.parametrize("kind", [RtuFraming, AsciiFraming])
def test_who_babbles_is_not_listened_to_for_long(kind: type[Framing], monkeypatch: pytest.MonkeyPatch) -> None:
    """Beginnings of frames without end: after 2 KiB it is an error, and at no time more is looked at than a frame has."""
    rig = Rig(kind, True, random.Random(1))
    head, looked, look = rig.frame(bytes(250))[:3], [], rig.framing.reply
    monkeypatch.setattr(rig.framing, "reply", lambda data, *rest: looked.append(len(data)) or look(data, *rest))
    rig.stream.answer = [head] * 10_000
    with pytest.raises(Transient, match=r"no answer of unit 17, but 20[45]\d other bytes"):
        rig.ask(125)
    assert rig.stream.came < 2048 + len(head)
    assert max(looked) == rig.framing.longest + len(head)


@pytest.mark.parametrize("kind", [RtuFraming, AsciiFraming])
@pytest.mark.parametrize("echo", [False, True])
def test_a_reply_behind_much_noise_is_taken(kind: type[Framing], echo: bool) -> None:
    """Byte by byte, also where what is sent comes back first, as long as that can be."""
    rig = Rig(kind, False, random.Random(2), echo)
    data = rig.source.randbytes(250)
    noise = bytes(1000)
    request = kind().request(UNIT, read_query(Table.HOLDING, 7, 125).pdu) if echo else b""
    rig.stream.answer = [bytes((byte,)) for byte in noise + request + rig.frame(data)]
    assert rig.ask(125, at=7) == data
