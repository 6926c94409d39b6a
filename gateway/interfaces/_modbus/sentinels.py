"""Raw numbers that stand for no value; pure.

Source: [SunSpec] SunSpec Device Information Model Specification 1.1, 6.4: the number of each type for "not implemented".
"""

from __future__ import annotations

import re
from dataclasses import replace

from gateway.errors import ConfigFault
from gateway.interfaces._modbus.kinds import Kind, Part, Text, Whole, whole_range
from gateway.interfaces._modbus.types import TypeOf

COLUMN = "No Value"
_HEX = re.compile(r"0[xX][0-9a-fA-F]+")

_NONE: frozenset[int | float] = frozenset()  # one for all: each would take 216 bytes, of a hundred thousand registers


def numbers(text: str, of: TypeOf) -> tuple[Kind | None, frozenset[int | float]]:
    """What a No Value cell says of a type: its kind with that, and the raw numbers. Raises ConfigFault.

    The numbers of a part of a register are those of the whole register, and texts are empty ones: their kind knows these.
    """
    words = [word.strip() for word in text.split(";") if word.strip()]
    if not words:
        return of.kind, _NONE
    if isinstance(of.kind, Text):
        if words != ["sunspec"]:
            raise ConfigFault("a text has no value only if it is empty", COLUMN, "sunspec")
        return replace(of.kind, no_value=True), _NONE
    if of.raw_type == "boolean" and of.kind is None:
        raise ConfigFault("a bit is always a value", COLUMN)
    found = frozenset(number for word in words for number in _number(word, of))
    if isinstance(of.kind, Part):
        return replace(of.kind, no_value=frozenset(int(number) for number in found)), _NONE
    return of.kind, found


def _number(word: str, of: TypeOf) -> list[int | float]:
    bits, signed = 16 * of.count, _signed(of)
    if word.lower() == "sunspec":
        return _sunspec(of, bits, signed)
    try:
        if of.raw_type == "float":
            return [float(word)]
        number = int(word, 16) if _HEX.fullmatch(word) else int(word)
    except ValueError:
        raise ConfigFault(f'"{word}" is not a number of that type', COLUMN, "0x8000;-9999") from None
    least, most = whole_range(bits, signed)
    if _HEX.fullmatch(word) and signed and most < number < 1 << bits:
        number -= 1 << bits  # as the bits on the wire, which is how manuals write it
    if not least <= number <= most:
        raise ConfigFault(f"{word} is no value that it could hold ({least} to {most})", COLUMN)
    return [number]


def _sunspec(of: TypeOf, bits: int, signed: bool) -> list[int | float]:
    if of.raw_type == "float":
        return []  # not a number, which is an error anyway
    if not of.code and not isinstance(of.kind, (Part, Whole)):
        raise ConfigFault("SunSpec has no such type", COLUMN, "say the number")
    least, most = whole_range(bits, signed)
    return [least if signed else most]


def _signed(of: TypeOf) -> bool:
    """Whether the numbers of a type have a sign; those of a part are the bits of its whole."""
    if isinstance(of.kind, Part):
        return False
    return of.kind.signed if isinstance(of.kind, Whole) else of.code.islower() if of.code else True
