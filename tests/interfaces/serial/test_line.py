"""Requests and answers on a line of paper: a stream that a script answers, and a clock that it moves."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import pytest

from gateway.errors import DeadlinePassed, Rejected, Transient, Unreachable
from gateway.interfaces._text.framing import Framing
from gateway.interfaces._text.line import Question, TextLine, Unfit
from gateway.interfaces._text.register import Lines
from tests.fakes import FakeClock, Gate

CRLF = Framing(b"", b"\r\n")
NUMBER, OK, ERROR = Lines(r"([0-9.]+) kg", "ascii"), Lines("OK", "ascii"), Lines("E[0-9]", "ascii")
Answer = Callable[[bytes], Iterable[tuple[float, bytes]]]
"""What comes for a request: seconds after it, and bytes."""


class PaperStream:
    """Bytes that come at their time; reading them moves the clock. ``gone`` is raised by what comes after."""

    name = "paper"
    fresh = False

    def __init__(self, clock: FakeClock, answer: Answer) -> None:
        self.sent: list[bytes] = []
        self.connected = False
        self.gone: OSError | None = None
        self._clock = clock
        self._answer = answer
        self._coming: list[tuple[float, bytes]] = []

    def open(self) -> None:
        """Nothing to do."""
        self.connected = True

    def close(self) -> None:
        """What has not come is lost."""
        self.connected = False
        self._coming.clear()

    def fileno(self) -> int:
        """There is none."""
        return -1

    def say(self, *coming: tuple[float, bytes]) -> None:
        """Bytes that nobody asked for."""
        self._coming += [(self._clock.now() + after, data) for after, data in coming]

    def pending(self) -> bool:
        """Whether something has come."""
        return any(at <= self._clock.now() for at, _ in self._coming)

    def send(self, data: bytes) -> None:
        """Hand it to the script."""
        if self.gone:
            raise self.gone
        self.sent.append(data)
        self.say(*self._answer(data))

    def receive(self, seconds: float) -> bytes:
        """The next bytes that come within that time."""
        if self.gone:
            raise self.gone
        due = min(self._coming, default=None)
        if due is None or due[0] > self._clock.now() + seconds:
            self._clock.advance(seconds)
            return b""
        self._coming.remove(due)
        self._clock.advance(max(0.0, due[0] - self._clock.now()))
        return due[1]


def line_of(clock: FakeClock, answer: Answer, echo: bool = False) -> tuple[TextLine, PaperStream]:
    """An open line and the stream below it."""
    stream = PaperStream(clock, answer)
    line = TextLine(stream, CRLF, clock, echo=echo)
    line.open()
    return line, stream


def ask(
    line: TextLine, *answers: Lines, error: Lines | None = None, request: bytes = b"Q", reads: bool = True
) -> list[bytes]:
    """The lines that came for a request, if the line was ready for it."""
    assert line.ready()
    return line.exchange(Question(request + b"\r\n", answers or (NUMBER,), error, request if reads else b""), 1.0)[0]


def test_a_line_that_fits_is_the_answer(clock: FakeClock) -> None:
    """It comes in pieces, with other lines before it, and the time of the answer is all that it takes."""
    pieces = [(0.1, b"READY\r"), (0.2, b"\n12."), (0.3, b"5 k"), (0.4, b"g\r\nmore")]
    line, stream = line_of(clock, lambda _: pieces)
    begin = clock.now()
    assert ask(line) == [b"READY", b"12.5 kg"]
    assert (stream.sent, clock.now() - begin) == ([b"Q\r\n"], pytest.approx(0.4))


def test_no_answer(clock: FakeClock) -> None:
    """After the timeout, not before."""
    line, _ = line_of(clock, lambda _: [])
    begin = clock.now()
    with pytest.raises(Transient, match=r"no answer within 1 s$"):
        ask(line)
    assert clock.now() - begin == pytest.approx(1)


def test_lines_that_fit_nothing_are_cited(clock: FakeClock) -> None:
    """At the end of the timeout, since the answer could still have come."""
    line, _ = line_of(clock, lambda _: [(0.1, b"O.L. kg\r\n"), (0.2, b"\x0012.5 kg\r\n")])
    with pytest.raises(Unfit, match=r'answered "O\.L\. kg", "\\x0012\.5 kg", which fits no Pattern'):
        ask(line)


def test_a_line_that_is_not_taken_is_told(clock: FakeClock) -> None:
    """Why a line was thrown away stands in the error."""
    line, _ = line_of(clock, lambda _: [(0.1, b"x" * 400 + b"\r\n")])
    with pytest.raises(Transient, match="more than 256 bytes"):
        ask(line)


def test_a_flood_of_lines_ends_with_the_timeout(clock: FakeClock) -> None:
    """Also where there is always more to read, and little of it is held."""
    line, _ = line_of(clock, lambda _: [(n / 1000, b"x\r\n" * 10) for n in range(3000)])
    begin = clock.now()
    with pytest.raises(Unfit, match='answered "x", "x", "x", which'):
        ask(line)
    assert clock.now() - begin == pytest.approx(1, abs=0.01)


def test_a_refusal_is_known_at_once(clock: FakeClock) -> None:
    """A line of the error pattern ends the waiting."""
    line, _ = line_of(clock, lambda _: [(0.1, b"E7\r\n"), (0.5, b"1 kg\r\n")])
    begin = clock.now()
    with pytest.raises(Rejected, match='answered "E7"'):
        ask(line, error=ERROR)
    assert clock.now() - begin == pytest.approx(0.1)


def test_a_late_answer_is_not_the_answer_to_the_next_request(clock: FakeClock) -> None:
    """What has come before a request is read away, until the line is silent."""
    waits = iter([1.2, 0.1])
    weights = iter([b"1 kg\r\n", b"2 kg\r\n"])
    line, _ = line_of(clock, lambda _: [(next(waits), next(weights))])
    with pytest.raises(Transient):
        ask(line)
    clock.advance(0.5)
    assert ask(line) == [b"2 kg"]


def test_half_an_answer_is_not_the_beginning_of_the_next(clock: FakeClock) -> None:
    """What was read of a line that did not end is forgotten."""
    answers = iter([[(0.1, b"1"), (1.3, b"2 kg\r\n")], [(0.1, b"7 kg\r\n")]])
    line, _ = line_of(clock, lambda _: next(answers))
    with pytest.raises(Transient):
        ask(line)
    clock.advance(0.5)
    assert ask(line) == [b"7 kg"]


def test_the_line_is_held_for_a_late_answer(clock: FakeClock) -> None:
    """Until it comes, or the time is over."""
    line, stream = line_of(clock, lambda _: [])
    question = Question(b"Q\r\n", (NUMBER,))
    begin = clock.now()
    stream.say((0.2, b"noise\r\n"), (0.3, b"1 kg\r\n"))
    line.await_late(question, 1.0)
    assert clock.now() - begin == pytest.approx(0.3)
    line.await_late(question, 1.0)
    assert clock.now() - begin == pytest.approx(1.3)


def test_an_answer_of_several_lines(clock: FakeClock) -> None:
    """It is there when all of them are."""
    line, _ = line_of(clock, lambda _: [(0.1, b"V=5\r\nI=7\r\n")])
    assert ask(line, Lines(r"V=(\d)\nI=(\d)", "ascii", 2)) == [b"V=5", b"I=7"]


def test_an_echo_is_expected_if_it_is_said(clock: FakeClock) -> None:
    """With echo the request comes back first, and an answer that is the same text is the second."""
    line, _ = line_of(clock, lambda data: [(0.1, data), (0.2, b"1 kg\r\n")], echo=True)
    assert ask(line) == [b"1 kg"]
    line, _ = line_of(clock, lambda data: [(0.1, data + data)], echo=True)
    assert ask(line, OK, request=b"OK", reads=False) == [b"OK"]


def test_an_echo_that_nobody_expects_is_no_value(clock: FakeClock) -> None:
    """The request that comes back is never the answer to a read, whatever the pattern, and the error says what to set."""
    anything = Lines(".*", "ascii")
    line, _ = line_of(clock, lambda data: [(0.1, data), (0.2, b"1 kg\r\n")])
    assert ask(line, anything) == [b"Q", b"1 kg"]
    line, _ = line_of(clock, lambda data: [(0.1, data)])
    with pytest.raises(Transient, match="set echo to true"):
        ask(line, anything)


def test_a_write_may_be_confirmed_by_its_own_text(clock: FakeClock) -> None:
    """Many instruments answer what they were told."""
    line, _ = line_of(clock, lambda data: [(0.1, data)])
    assert ask(line, Lines("SP=5", "ascii"), request=b"SP=5", reads=False) == [b"SP=5"]


def test_nothing_is_waited_for_without_an_answer(clock: FakeClock) -> None:
    """A write that the instrument does not confirm takes no time."""
    line, stream = line_of(clock, lambda _: [])
    begin = clock.now()
    assert line.exchange(Question(b"T\r\n", ()), 1.0) == ([], [])
    assert (stream.sent, clock.now()) == ([b"T\r\n"], begin)


def test_what_may_not_be_sent_is_not(clock: FakeClock) -> None:
    """Whether it may is asked right before."""
    line, stream = line_of(clock, lambda _: [])
    with pytest.raises(DeadlinePassed):
        line.exchange(Question(b"T\r\n", ()), 1.0, Gate(DeadlinePassed("late")))
    assert stream.sent == []


def test_an_instrument_that_never_stops_is_told(clock: FakeClock) -> None:
    """Without listen it can not be asked, and the error says what to set."""
    stream = PaperStream(clock, lambda _: [])
    stream.say(*((n / 100, b"1 kg\r\n") for n in range(500)))
    with pytest.raises(Unreachable, match="set listen to true"):
        TextLine(stream, CRLF, clock).open()
    assert not stream.connected


@pytest.mark.parametrize("error", [ConnectionResetError("the serial port is gone"), OSError(5, "Input/output error")])
def test_a_broken_line_is_unreachable(clock: FakeClock, error: OSError) -> None:
    """In words, and closed, so that it is opened again."""
    line, stream = line_of(clock, lambda _: [])
    stream.gone = error
    with pytest.raises(Unreachable, match=r"the connection to paper broke: (the serial port is gone|Input/output error)"):
        line.exchange(Question(b"Q\r\n", (NUMBER,)), 1.0)
    assert not line.connected
    assert not line.ready()
