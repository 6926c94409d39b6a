"""A value between the text of an instrument and the raw value of its point; pure.

Nothing is guessed: a text that is not wholly a value of the type is BadValue.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from decimal import Decimal

from gateway.errors import BadValue
from gateway.model import Scalar
from gateway.values import shown

TYPES = {
    "float": "float",
    "int": "integer",
    "integer": "integer",
    "hex": "integer",
    "bool": "boolean",
    "boolean": "boolean",
    "string": "string",
}
"""What the column Type may say, and the type of the raw value."""

_FLOAT = re.compile(r"([+-]?) *([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]{1,3})?")
_WHOLE = re.compile(r"([+-]?) *([0-9]{1,30})")
_HEX = re.compile(r"(?:0[xX])?([0-9A-Fa-f]{1,16})")
_TRUTHS = {"1": True, "true": True, "on": True, "yes": True, "0": False, "false": False, "off": False, "no": False}


@dataclass(frozen=True, slots=True)
class Form:
    """How a value is written: the Type, the instrument's own ``words`` for raw values, and its decimal sign."""

    kind: str
    words: tuple[tuple[str, Scalar], ...] = ()
    comma: bool = False

    @property
    def raw_type(self) -> str:
        """The type of the raw value."""
        return TYPES[self.kind]

    def read(self, text: str) -> Scalar:
        """The raw value of a text; blanks around it do not matter. Raises BadValue."""
        text = text.strip(" ")
        if self.words:
            for word, raw in self.words:
                if word == text:
                    return raw
            raise BadValue(f"the device says {shown(text)}, which is not in Words")
        value = self._parsed(text)
        if value is None:
            raise BadValue(f"the device says {shown(text)}, which is no {self.kind}")
        return value

    def written(self, raw: Scalar, spec: str = "") -> str:
        """A raw value as text, by a format as in ``template``. Raises BadValue if there is no word for it."""
        if self.words:
            text = next((word for word, value in self.words if value == raw), None)
            if text is None:
                raise BadValue(f"there is no word for {shown(raw)} in Words")
            return text
        if self.raw_type == "boolean":
            raw = int(raw)
        text = format(raw, spec) if spec else _plain(raw)
        return text.replace(".", ",") if self.comma and self.raw_type == "float" else text

    def _parsed(self, text: str) -> Scalar | None:
        if self.raw_type == "string":
            return text
        if self.raw_type == "boolean":
            return _TRUTHS.get(text.lower())
        if self.kind == "float":
            return _float(text.replace(",", ".") if self.comma and "." not in text else text)
        return _hex(text) if self.kind == "hex" else _whole(text)


def _plain(raw: Scalar) -> str:
    """As short as it can be, without an exponent."""
    return format(Decimal(repr(raw)), "f") if isinstance(raw, float) else str(raw)


def _float(text: str) -> float | None:
    match = _FLOAT.fullmatch(text)
    return float(match[1] + match[2] + (match[3] or "")) if match else None


def _whole(text: str) -> int | None:
    match = _WHOLE.fullmatch(text)
    number = int(match[1] + match[2]) if match else 2**64
    return number if -(2**63) <= number < 2**64 else None


def _hex(text: str) -> int | None:
    match = _HEX.fullmatch(text)
    return int(match[1], 16) if match else None
