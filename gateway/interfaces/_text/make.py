"""Registers out of rows; no network."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from gateway.errors import BadValue, ConfigFault
from gateway.interfaces._text.config import SerialConfig
from gateway.interfaces._text.patterns import compiled, escaped, group_number
from gateway.interfaces._text.register import Lines, TextRegister
from gateway.interfaces._text.rows import SerialRow, words_of
from gateway.interfaces._text.template import Template, template
from gateway.interfaces._text.values import TYPES, Form
from gateway.interfaces.base import shared
from gateway.model import Scalar

_ADDRESS, _VALUE = "{address}", "{value}"
_TRIALS: dict[str, Scalar] = {"float": 1.5, "integer": 1, "boolean": True, "string": "a"}


@dataclass(frozen=True, slots=True)
class Maker:
    """Makes the registers of one device."""

    config: SerialConfig

    def register(self, row: SerialRow) -> TextRegister:
        """The register of a row. Raises ConfigFault with the column."""
        self._check(row)
        form = Form(row.type, words_of(row.words, TYPES[row.type]), self.config.decimal_comma)
        reply = self._lines(row.pattern, row.lines, "Pattern")
        write = self._template(row.write, "Write", takes_value=True) if row.write else None
        answer = self._lines(row.answer.replace(_VALUE, ""), 1, "Answer")
        register = TextRegister(
            **shared(row, form.raw_type, write_only=reply is None, tolerance=row.tolerance),
            request=self._request(row),
            reply=reply,
            group=group_number(reply.pattern, row.group) if reply else 0,
            form=form,
            template=write,
            answer=replace(answer, pattern=self._addressed(row.answer, "Answer")) if answer else None,
            answer_group=compiled(answer.pattern).groupindex.get("value") if answer else None,
            read_back=row.read_back,
        )
        if write is not None:
            _check_write(register, write)
        return register

    def error(self) -> Lines | None:
        """What says that the instrument refuses. Raises ConfigFault."""
        if not self.config.error_pattern:
            return None
        try:
            return self._lines(self.config.error_pattern, 1, "error_pattern")
        except ConfigFault as fault:
            raise ConfigFault(fault.message, "error_pattern") from None

    def _check(self, row: SerialRow) -> None:
        if not row.pattern and not row.write:
            raise ConfigFault("is missing: say what the instrument answers", "Pattern", r"([-+ ]*[\d.]+)")
        if row.pattern and not row.request and not self.config.listen:
            raise ConfigFault(
                "is missing; an instrument that talks without being asked needs listen: true in driver_config", "Request"
            )
        if row.request and not row.pattern:
            raise ConfigFault("is missing: say what the instrument answers to the Request", "Pattern")
        if row.writable and not row.write:
            raise ConfigFault("is missing: say what is sent to write the point", "Write", _VALUE)
        if row.write and not row.writable:
            raise ConfigFault("the row has a Write, so say TRUE", "Writable", "TRUE")
        if row.answer and not row.write:
            raise ConfigFault("is the answer to a Write, and there is none", "Answer")

    def _request(self, row: SerialRow) -> bytes:
        if not row.request:
            return b""
        return self._template(row.request, "Request", takes_value=False).filled()

    def _template(self, source: str, column: str, takes_value: bool) -> Template:
        try:
            return template(source, self.config.encoding, self.config.address, takes_value)
        except ValueError as error:
            raise ConfigFault(str(error), column) from None

    def _lines(self, pattern: str, count: int, column: str) -> Lines | None:
        if not pattern:
            return None
        lines = Lines(self._addressed(pattern, column), self.config.encoding, count, named=_ADDRESS in pattern)
        try:
            compiled(lines.pattern)
        except ConfigFault as fault:
            raise ConfigFault(fault.message, column) from None
        return lines

    def _addressed(self, pattern: str, column: str) -> str:
        if _ADDRESS in pattern and not self.config.address:
            raise ConfigFault("{address} stands for the key address of driver_config, which is not given", column)
        return pattern.replace(_ADDRESS, escaped(self.config.address))


def with_value(lines: Lines, text: str) -> Lines:
    """The answer that is due when this text was written."""
    if _VALUE not in lines.pattern:
        return lines
    return replace(lines, pattern=lines.pattern.replace(_VALUE, escaped(text)), passing=True)


def _check_write(register: TextRegister, write: Template) -> None:
    if not write.formats and register.raw_type not in ("boolean", "integer"):
        raise ConfigFault("without {value} it is a command: its Type is boolean", "Write", _VALUE)
    if len(write.formats) > 1:
        raise ConfigFault("{value} may stand once", "Write")
    trial: Any = register.form.words[0][1] if register.form.words else _TRIALS[register.raw_type]
    try:
        for spec in write.formats:
            register.form.written(trial, spec)
    except (ValueError, BadValue):
        raise ConfigFault(f"the format {write.formats[0]} does not fit the Type {register.form.kind}", "Write") from None
