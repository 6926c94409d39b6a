"""Instruments that speak lines of text: scales, meters and sensors on RS-232, RS-485 or a terminal server."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

from gateway.errors import BadValue, ReadOnly, Rejected, Transient, Unreachable
from gateway.interfaces._ports import check_allowed
from gateway.interfaces._text.client import Client
from gateway.interfaces._text.config import SerialConfig
from gateway.interfaces._text.line import Groups, Question, Unfit
from gateway.interfaces._text.make import Maker, with_value
from gateway.interfaces._text.patterns import need_re2
from gateway.interfaces._text.register import Lines, TextRegister
from gateway.interfaces._text.rows import SerialRow
from gateway.interfaces._text.values import Form
from gateway.interfaces.base import Batch, Environment, MaySend, Use
from gateway.interfaces.base import Interface as Base
from gateway.model import PointError, Register, Scalar
from gateway.values import shown

_LONGEST_PAUSE = 4.0


@dataclass(frozen=True)
class TextBatch(Batch):
    """Points whose values stand in the answer to one request, or that are listened for."""

    request: bytes = b""


class Interface(Base):
    """One instrument."""

    Config = SerialConfig
    Row = SerialRow

    def __init__(self, config: SerialConfig, env: Environment) -> None:
        super().__init__(config, env)
        self._client = Client(config, env)
        self._maker = Maker(config)
        self._requests = config.requests()

    @property
    def longest_pause(self) -> float:
        """To look for a port of this machine costs nothing, so one that is plugged in again is soon found."""
        return _LONGEST_PAUSE if self.config.on_port else super().longest_pause

    def check(self) -> None:
        """ConfigFault if the gateway may not use that address or port, lacks what it takes, or for a bad error_pattern."""
        check_allowed(self.config.device_address, self.config.on_port, self.env.allow)
        need_re2()
        self._maker.error()

    def link(self) -> tuple[object, ...]:
        """The line, and the instrument on it."""
        return ("lines", *self.config.endpoint, self.config.address)

    def shares(self) -> tuple[object, Mapping[str, object]]:
        """The line, and what its devices must have in common."""
        return ("lines", *self.config.endpoint), self.config.line()

    def target(self, register: Register) -> object:
        """What a write sends."""
        return cast(TextRegister, register).template

    def use(self, registers: Sequence[Register]) -> Use:
        """How many requests; how long an instrument takes for its answers only it knows."""
        _, host, port = self.config.endpoint
        name = f"{host} at {self.config.baudrate} baud" if self.config.on_port else f"{host} port {port}"
        return Use(name, sum(1 for batch in self.batches(registers) if cast(TextBatch, batch).request), 0.0)

    def nudge(self) -> None:
        """Let a poll that waits give way."""
        self._client.nudge()

    def _register(self, row: SerialRow) -> TextRegister:
        return self._maker.register(row)

    def _open(self) -> None:
        if not self._client.connected:
            self._client.open(self.urgent)

    def _close(self) -> None:
        self._client.close()

    def _plan(self, registers: Sequence[Register]) -> list[Batch]:
        groups: dict[tuple[bytes, int], list[Register]] = {}
        for register in cast(Sequence[TextRegister], registers):
            lines = register.reply.count if register.reply and register.request else 0
            groups.setdefault((register.request, lines), []).append(register)
        return [TextBatch(tuple(group), request) for (request, _), group in groups.items()]

    def _read(self, batch: Batch) -> dict[str, Scalar | PointError]:
        assert isinstance(batch, TextBatch)
        points = cast(Sequence[TextRegister], batch.registers)
        if not batch.request:
            return self._listen(points)
        try:
            lines = self._ask(batch.request, [_reply(point) for point in points])
        except (Rejected, Unfit) as error:
            code = error.code if isinstance(error, Rejected) else BadValue.code
            return dict.fromkeys((point.name for point in points), PointError(code, str(error)))
        return {point.name: _value(point, _reply(point).match(lines)) for point in points}

    def _ask(self, request: bytes, answers: Sequence[Lines], urgent: bool = False) -> list[bytes]:
        frame = self._requests.framed(request)
        question = Question(frame, tuple(dict.fromkeys(answers)), self._maker.error(), request)
        for _ in range(self.config.retries):
            try:
                return self._client.exchange(question, urgent=urgent or self.urgent)[0]
            except (Transient, Unreachable):
                continue
        return self._client.exchange(question, urgent=urgent or self.urgent)[0]

    def _listen(self, points: Sequence[TextRegister]) -> dict[str, Scalar | PointError]:
        heard = self._client.heard([_reply(point) for point in points], self.urgent)
        silent = f"no line that fits the Pattern for {self.config.max_silence:g} s"
        if not any(heard):
            raise Transient(silent)
        missing = PointError(Transient.code, silent)
        pairs = zip(points, heard, strict=True)
        return {point.name: _value(point, one[1]) if one else missing for point, one in pairs}

    def _write(self, register: Register, raw: Scalar | None, options: Mapping[str, Any], may_send: MaySend) -> Scalar | None:
        point = cast(TextRegister, register)
        if point.template is None:
            raise ReadOnly(f'"{point.name}" is not writable')
        if raw is None:
            raise BadValue(f'"{point.name}" has no null')
        text = self._text(point, raw)
        answers = () if point.answer is None else (with_value(point.answer, text),)
        data = point.template.filled(*[text.encode(self.config.encoding)] * len(point.template.formats))
        question = Question(self._requests.framed(data), answers, self._maker.error())
        try:
            _, groups = self._client.exchange(question, may_send, urgent=True)
        except Unfit as error:
            raise Transient(str(error)) from error
        return self._taken(point, groups, point.form.read(text) if point.template.formats else raw)

    def _taken(self, point: TextRegister, groups: Groups, sent: Scalar) -> Scalar:
        """What the instrument holds: read back if it can be, else what its answer says, else what was sent.

        Raises Transient if neither an answer nor a read has confirmed a write that could be confirmed.
        """
        said = sent
        if point.answer_group is not None and (text := groups[point.answer_group]) is not None:
            said = _confirmed(point.form, text)
        if not point.read_back or not point.request:
            return said
        try:
            held = _value(point, _reply(point).match(self._ask(point.request, [_reply(point)], urgent=True)))
        except (Rejected, Unfit, Transient, Unreachable) as error:
            held = PointError(Transient.code, str(error))
        if not isinstance(held, PointError):
            return held
        if point.answer is None:
            raise Transient(f"it does not confirm writes, and reading it back failed: {held.message}")
        return said

    def _text(self, point: TextRegister, raw: Scalar) -> str:
        """The value as it is sent; nothing in it may end a line or begin another. Raises BadValue."""
        assert point.template is not None
        if not point.template.formats:
            if raw != 1:
                raise BadValue(f'"{point.name}" is a command: it takes true only')
            return ""
        text = point.form.written(raw, point.template.formats[0])
        reserved = (self._requests.start, self._requests.terminator)
        try:
            data = text.encode(self.config.encoding)
        except UnicodeEncodeError:
            raise BadValue(f"{shown(text)} has characters that {self.config.encoding} lacks") from None
        if not text.isprintable() or any(mark and mark in data for mark in reserved) or len(data) > self.config.max_line:
            raise BadValue(f"{shown(text)} can not stand in a line of this instrument")
        return text


def _reply(point: TextRegister) -> Lines:
    assert point.reply is not None
    return point.reply


def _value(point: TextRegister, groups: Groups | None) -> Scalar | PointError:
    if groups is None:
        return PointError(BadValue.code, "the answer does not fit the Pattern")
    return point.value(groups)


def _confirmed(form: Form, text: str) -> Scalar:
    try:
        return form.read(text)
    except BadValue as error:
        raise Transient(f"the write was answered, but {error.message}") from error
