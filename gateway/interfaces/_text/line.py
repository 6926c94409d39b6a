"""What lines of text go over: a stream, one request at a time, or a listener for instruments that talk unasked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from gateway.clock import Clock
from gateway.errors import Rejected, Transient, Unreachable
from gateway.interfaces._streams import Stream, words
from gateway.interfaces._text.escapes import readable
from gateway.interfaces._text.framing import Framing, Splitter
from gateway.interfaces._text.listener import QUIET, Listener
from gateway.interfaces._text.register import MOST_LINES, Lines
from gateway.interfaces.base import MaySend
from gateway.vitals import Vitals

_NEVER_QUIET = 1.0
_MOST_SHOWN = 3

Groups = list[str | None]


class Unfit(Exception):
    """Lines came after a request, and none of them was an answer to it."""


@dataclass(frozen=True, slots=True)
class Question:
    """What is sent, which answers are taken, and what refuses; with no answer nothing is waited for."""

    frame: bytes
    answers: tuple[Lines, ...]
    error: Lines | None = None
    body: bytes = b""
    """The request without what is around it, to know an echo by; b"" if an answer may look like it."""


class TextLine:
    """One stream. ``character`` is the time that a character takes (seconds), 0 where that does not count.

    With ``vitals`` it is listened to, by a thread that checks in there.
    """

    def __init__(
        self,
        stream: Stream,
        framing: Framing,
        clock: Clock,
        character: float = 0.0,
        echo: bool = False,
        vitals: Vitals | None = None,
    ) -> None:
        self.name = stream.name
        self.stream = stream
        self._framing = framing
        self._clock = clock
        self._character = character
        self._echo = echo
        self._splitter = Splitter(framing)
        self._vitals = vitals
        self.listener: Listener | None = None

    @property
    def connected(self) -> bool:
        """Whether it is open, as far as is known without asking."""
        return self.stream.connected and (self.listener is None or self.listener.alive)

    def ready(self) -> bool:
        """Whether a request can go; what came unasked or too late is read away until the line is silent."""
        if not self.connected:
            self.close()
            return False
        try:
            if self.listener is None:
                self._read_away()
        except OSError:
            self.close()
        return self.stream.connected

    def open(self) -> None:
        """Connect. Raises Unreachable, also if the instrument talks all the time and is not listened to."""
        self.stream.open()
        if self._vitals is not None:
            self.listener = Listener(self.stream, self._framing, self._clock, self._vitals)
            self.listener.start()
            return
        try:
            self._read_away()
        except OSError as error:
            self.close()
            raise Unreachable(f"{self.name}: {words(error)}") from error

    def close(self) -> None:
        """Disconnect."""
        if self.listener is not None:
            self.listener.stop()
            self.listener = None
        self.stream.close()

    def exchange(self, question: Question, timeout: float, may_send: MaySend | None = None) -> tuple[list[bytes], Groups]:
        """Send a request; the lines that came, and what matched in the last of them (nothing, if nothing was waited for).

        ``may_send`` is called immediately before the bytes go. Raises Rejected (it refuses), Unfit, Transient (no answer),
        Unreachable (no connection), or what ``may_send`` raises. After Unfit and Transient see ``await_late``.
        """
        if may_send is not None:
            may_send()
        try:
            return self._exchange(question, timeout)
        except OSError as error:
            self.close()
            raise Unreachable(f"the connection to {self.name} broke: {words(error)}") from error

    def await_late(self, question: Question, seconds: float) -> None:
        """Listen for an answer that is late, so that nobody's next request has it for its own."""
        lines: list[bytes] = []
        until = self._clock.now() + seconds
        try:
            while (line := self._next(until)) is not None:
                lines = [*lines[1 - MOST_LINES :], line]
                if _matched(question.answers, lines) is not None:
                    return
        except OSError:
            self.close()

    def _exchange(self, question: Question, timeout: float) -> tuple[list[bytes], Groups]:
        self._begin(question.frame)
        self.stream.send(question.frame)
        if not question.answers:
            return [], []
        lines: list[bytes] = []
        until = self._clock.now() + timeout + self._character * len(question.frame)
        while (line := self._next(until)) is not None:
            lines = [*lines[1 - MOST_LINES :], line]
            if question.error is not None and question.error.match([line]):
                raise Rejected(f"the device answered {readable(line)}")
            groups = None if line == question.body else _matched(question.answers, lines)
            if groups is not None:
                return lines, groups
        raise self._nothing(question, lines, timeout)

    def _nothing(self, question: Question, lines: Sequence[bytes], timeout: float) -> Exception:
        if question.body and question.body in lines and len(set(lines)) == 1:
            return Transient(f"no answer within {timeout:g} s, but the request came back: set echo to true")
        if not lines:
            trouble = self._trouble()
            bad = f", but a line that is not taken: {trouble}" if trouble else ""
            return Transient(f"no answer within {timeout:g} s{bad}")
        shown = ", ".join(readable(line) for line in lines[:_MOST_SHOWN])
        return Unfit(f"the device answered {shown}, which fits no Pattern")

    def _begin(self, frame: bytes) -> None:
        echo = frame if self._echo else b""
        if self.listener is not None:
            self.listener.begin(echo)
        else:
            self._splitter = Splitter(self._framing)
            self._splitter.expect_echo(echo)

    def _next(self, until: float) -> bytes | None:
        if self.listener is not None:
            return self.listener.next(until)
        while (left := until - self._clock.now()) > 0:
            if (line := self._splitter.next()) is not None:
                return line
            self._splitter.feed(self.stream.receive(left))
        return None

    def _trouble(self) -> str:
        return self.listener.trouble if self.listener is not None else self._splitter.trouble

    def _read_away(self) -> None:
        """Read until the line is silent, if there is anything to read. Raises OSError if it never is."""
        if not self.stream.pending():
            return
        until = self._clock.now() + _NEVER_QUIET
        while self.stream.receive(max(QUIET, 10 * self._character)):
            if self._clock.now() >= until:
                raise TimeoutError("it talks without being asked and never stops: set listen to true")


def _matched(wanted: Sequence[Lines], lines: list[bytes]) -> Groups | None:
    """What the first of the patterns that fit has found."""
    found = (one.match(lines) for one in wanted)
    return next((groups for groups in found if groups is not None), None)
