"""The names of types in a registry, and what they stand for; pure.

One name may be written in many ways: as this gateway calls it (``uint16``), as a struct format (``>H``), and as other
programs that people bring their maps from call it. All of them mean the same everywhere.
"""

from __future__ import annotations

import re
import struct
from dataclasses import dataclass, replace

from gateway.errors import ConfigFault
from gateway.interfaces._modbus.kinds import Bcd, Kind, Mod10k, Part, SignMagnitude, Text, Whole
from gateway.interfaces._modbus.pdu import Table

MAX_TEXT = 2 * Table.HOLDING.most
EXAMPLES = "BOOL, >H, >i, >f, 8s, uint16, float32, string[8]"


@dataclass(frozen=True, slots=True)
class TypeOf:
    """What a type name stands for: a value of ``count`` registers, ``times`` of them.

    ``code`` is the letter of a number that ``struct`` knows, else "" with a ``kind``. ``order`` is the byte order that the
    name itself gives, > or <, if it does. ``text`` lacks its length if ``count`` is 0.
    """

    raw_type: str
    count: int = 1
    code: str = ""
    kind: Kind | None = None
    order: str = ""
    times: int = 1
    pad: bool = False

    @property
    def is_bit(self) -> bool:
        """Whether it is one bit: of a table of bits, or of a register."""
        return self.raw_type == "boolean"


_NUMBERS = {
    "int16": "h",
    "uint16": "H",
    "int32": "i",
    "uint32": "I",
    "int64": "q",
    "uint64": "Q",
    "float16": "e",
    "float32": "f",
    "float64": "d",
}
_KINDS = {
    "int8h": TypeOf("integer", 1, kind=Part(8, 8, signed=True)),
    "int8l": TypeOf("integer", 1, kind=Part(0, 8, signed=True)),
    "uint8h": TypeOf("integer", 1, kind=Part(8, 8)),
    "uint8l": TypeOf("integer", 1, kind=Part(0, 8)),
    "int48": TypeOf("integer", 3, kind=Whole(signed=True)),
    "uint48": TypeOf("integer", 3, kind=Whole(signed=False)),
    "sm16": TypeOf("integer", 1, kind=SignMagnitude()),
    "bcd16": TypeOf("integer", 1, kind=Bcd()),
    "bcd32": TypeOf("integer", 2, kind=Bcd()),
    "mod10k": TypeOf("integer", 2, kind=Mod10k((0, 1))),
    "mod10k48": TypeOf("integer", 3, kind=Mod10k((0, 1, 2))),
    "mod10k64": TypeOf("integer", 4, kind=Mod10k((0, 1, 2, 3))),
    "bool": TypeOf("boolean"),
    "string": TypeOf("string", 0, kind=Text()),
}
ALIASES = {
    "bit": "bool",
    "bits": "bool",
    "boolean": "bool",
    "coil": "bool",
    "short": "int16",
    "ushort": "uint16",
    "word": "uint16",
    "dword": "uint32",
    "real": "float32",
    "float": "float32",
    "double": "float64",
    "half": "float16",
    "bcd": "bcd16",
    "mod10k32": "mod10k",
    "str": "string",
    "ascii": "string",
}
"""Other words for our types."""

NAMES = sorted([*_NUMBERS, *_KINDS])

_STRUCT = re.compile(r"([<>!])([hHiIlLqQefd])")
_STRUCT_TEXT = re.compile(r"[<>!=@]?([1-9]\d{0,2})s")
_NO_ORDER = re.compile(r"[=@]?([hHiIlLqQefd])")
_SIZED_TEXT = re.compile(r"(?:string|str|ascii)\s*[\[(]\s*([1-9]\d{0,3})\s*[\])]", re.IGNORECASE)
_ARRAY = re.compile(r"array\s*\(\s*([\w<>!]+)\s*,\s*([1-9]\d{0,3})\s*\)", re.IGNORECASE)
_PAD = re.compile(r"pad(?:\s*[\[(]\s*([1-9]\d{0,3})\s*[\])])?", re.IGNORECASE)


def type_of(text: str, column: str) -> TypeOf:
    """What the cell of a column says. Raises ConfigFault."""
    if match := _STRUCT.fullmatch(text):
        return _number(match[2], match[1].replace("!", ">"))
    if match := _STRUCT_TEXT.fullmatch(text):
        return _text(int(match[1]), column)
    if match := _SIZED_TEXT.fullmatch(text):
        size = int(match[1])
        return _text(size + size % 2, column)
    if match := _ARRAY.fullmatch(text):
        return replace(type_of(match[1], column), times=int(match[2]))
    if match := _PAD.fullmatch(text):
        return TypeOf("integer", int(match[1] or 1), pad=True)
    if found := _named(text.lower()):
        return found
    raise _unknown(text, column)


def _named(name: str) -> TypeOf | None:
    name = ALIASES.get(name, name)
    return _number(_NUMBERS[name]) if name in _NUMBERS else _KINDS.get(name)


def _unknown(text: str, column: str) -> ConfigFault:
    if match := _NO_ORDER.fullmatch(text):
        return ConfigFault(f'"{text}" lacks the byte order: > high byte first, < low byte first', column, ">" + match[1])
    if text.lower() in ("int8", "uint8", "char", "byte"):
        return ConfigFault(
            f'"{text}" does not say which byte of the register: h is the high one, l the low one', column, "uint8l"
        )
    return ConfigFault(
        f'"{text}" is neither BOOL nor the struct format of one value, nor the name of a type', column, EXAMPLES
    )


def _number(code: str, order: str = "") -> TypeOf:
    count = struct.calcsize(">" + code) // 2
    return TypeOf("float" if code in "efd" else "integer", count, code, order=order)


def _text(size: int, column: str) -> TypeOf:
    if size % 2 or size > MAX_TEXT:
        best = min(size + size % 2, MAX_TEXT)
        raise ConfigFault(f"a text has an even number of bytes, at most {MAX_TEXT}", column, f"{best}s")
    return TypeOf("string", size // 2, kind=Text())
