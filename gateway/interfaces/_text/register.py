"""A point of an instrument: what is asked, what is taken from the answer, and how it is written."""

from __future__ import annotations

from dataclasses import dataclass, field

from gateway.errors import BadValue
from gateway.interfaces._text.patterns import compiled, pattern_of
from gateway.interfaces._text.template import Template
from gateway.interfaces._text.values import Form
from gateway.model import PointError, Register, Scalar

MOST_LINES = 20
"""Lines that one answer may have."""


@dataclass(frozen=True, slots=True)
class Lines:
    """Lines of an answer by what they must be: a pattern over the last ``count`` lines, joined by line feeds.

    ``named`` says that they tell which instrument they are from, ``passing`` that the pattern is for one use.
    """

    pattern: str
    encoding: str
    count: int = 1
    named: bool = False
    passing: bool = False

    def match(self, lines: list[bytes]) -> list[str | None] | None:
        """All that matched, and each group; None if these lines are not it."""
        if len(lines) < self.count:
            return None
        try:
            text = b"\n".join(lines[-self.count :]).decode(self.encoding)
        except UnicodeDecodeError:
            return None
        found = (pattern_of if self.passing else compiled)(self.pattern).fullmatch(text)
        return None if found is None else [found.group(0), *found.groups()]


@dataclass(frozen=True, kw_only=True, slots=True)
class TextRegister(Register):
    """A point: ``request`` is asked (b"": listened for), ``reply`` the lines that hold it, ``group`` the place in them.

    ``template`` is what a write sends, ``answer`` what is to come back then, ``answer_group`` the place of the value there.
    """

    request: bytes = b""
    reply: Lines | None = None
    group: int = 0
    form: Form = field(default_factory=lambda: Form("float"))
    template: Template | None = None
    answer: Lines | None = None
    answer_group: int | None = None
    read_back: bool = True

    def value(self, groups: list[str | None]) -> Scalar | PointError:
        """The raw value in what matched."""
        text = groups[self.group]
        if text is None:
            return PointError("bad_value", "the part of the answer that holds the value is missing")
        try:
            return self.form.read(text)
        except BadValue as error:
            return PointError(error.code, error.message)
