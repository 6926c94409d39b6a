"""One instrument on a line: a seat at the link that carries it."""

from __future__ import annotations

from collections.abc import Sequence

from gateway.errors import Rejected, Transient, Unreachable
from gateway.interfaces._links import GiveWay, Pace, Seat, Share
from gateway.interfaces._serial import LineSettings, SerialStream
from gateway.interfaces._streams import Stream, TcpStream
from gateway.interfaces._text.config import SerialConfig
from gateway.interfaces._text.line import Groups, Question, TextLine, Unfit
from gateway.interfaces._text.listener import Heard
from gateway.interfaces._text.register import Lines
from gateway.interfaces.base import Environment, MaySend

_LEAST_REST = 1.0
"""Seconds that an instrument which did not answer is left alone at least: a late answer does not say what it answers."""


class Client(Share[TextLine]):
    """The instrument of a ``driver_config``; a seat at its link from ``open`` to ``close``."""

    def __init__(self, config: SerialConfig, env: Environment) -> None:
        super().__init__(env.links, self._joined)
        self._config = config
        self._env = env

    @property
    def connected(self) -> bool:
        """Whether there is a connection, as far as is known without asking."""
        return self.line is not None and self.line.connected

    def nudge(self) -> None:
        """From any thread: let a poll that waits, for its turn or for a line, give way."""
        super().nudge()
        line = self.line
        listener = line.listener if line is not None else None
        if listener is not None:
            listener.nudge()

    def exchange(
        self, question: Question, may_send: MaySend | None = None, urgent: bool = False
    ) -> tuple[list[bytes], Groups]:
        """Ask when it is its turn.

        Raises what ``TextLine.exchange`` and ``Seat.take`` raise.
        """
        seat = self.seat()
        seat.take(urgent)
        answered: bool | None = None
        rest = 0.0
        try:
            taken = seat.line.exchange(question, self._config.timeout, may_send)
            answered = True if question.answers else None
            return taken
        except Rejected:
            answered = True
            raise
        except (Transient, Unfit) as error:
            answered = isinstance(error, Unfit)
            rest = self._let_pass(seat, question)
            raise
        finally:
            seat.give(answered, rest)

    def heard(self, wanted: Sequence[Lines], urgent: bool) -> list[Heard | None]:
        """The newest lines that an instrument has said unasked, None for those that are older than ``max_silence``.

        Waits for those that never came, until they do or ``max_silence`` has passed since the listening began; for a
        client no longer than ``timeout``. Raises Transient, Unreachable, GiveWay.
        """
        seat = self.seat()
        if not seat.line.connected:
            self.connect(urgent)
        listener, now = seat.line.listener, self._env.clock.now()
        if listener is None:
            raise Unreachable(f"the connection to {seat.line.name} broke")  # another device has just found that out
        until = listener.since + self._config.max_silence
        if urgent:
            found = listener.heard(wanted, min(until, now + self._config.timeout))
        else:
            found = listener.heard(wanted, until, lambda: seat.nudged)
        now = self._env.clock.now()
        if not listener.alive:
            raise Unreachable(f"the connection to {seat.line.name} broke: {listener.reason}")
        if None in found and now < until and not urgent:
            seat.nudged = False
            raise GiveWay
        return [one if one is not None and now - one[0] <= self._config.max_silence else None for one in found]

    def _let_pass(self, seat: Seat[TextLine], question: Question) -> float:
        """See that a late answer is nobody's: wait for it if others might take it, else ask nothing for that long."""
        seconds = max(self._config.timeout, _LEAST_REST)
        named = all(lines.named for lines in question.answers)
        if named or len(seat.link.seats) == 1:
            return seconds
        seat.line.await_late(question, seconds)
        return 0.0

    def _joined(self) -> Seat[TextLine]:
        config = self._config
        pace = Pace(config.frame_gap, config.connect_delay, config.requests_per_second)
        endpoint = ("lines", *config.endpoint)
        return self._env.links.seat(endpoint, config.address, self._made, config.line(), pace, self._env.clock)

    def _made(self) -> TextLine:
        config = self._config
        stream = _stream(config, self._env)
        vitals = self._env.vitals if config.listen else None
        return TextLine(stream, config.answers(), self._env.clock, config.character, config.echo, vitals)


def _stream(config: SerialConfig, env: Environment) -> Stream:
    if not config.on_port:
        return TcpStream(config.device_address, config.port, config.timeout, env)
    rs485 = config.rs485.model_dump() if config.rs485 else None
    line = LineSettings(config.baudrate, config.bytesize, config.parity, config.stopbits, config.xonxoff, rs485)
    return SerialStream(config.device_address, line)
