"""Values of properties to raw values and back; pure.

What is not of the datatype that the point's type promises is an error of that point, never bent into one.
"""

from __future__ import annotations

import json
import re
import struct
from collections.abc import Mapping, Sequence
from typing import Any

from gateway.errors import BadValue, OutOfRange
from gateway.interfaces._bacnet import names
from gateway.interfaces._bacnet.rows import BacnetRegister
from gateway.interfaces._bacnet.values import Failure, Item, Value
from gateway.model import PointError, Quality, Scalar
from gateway.values import shown

FLAGS = ("in_alarm", "fault", "overridden", "out_of_service")
"""The status flags in their order (ASHRAE 135, BACnetStatusFlags)."""

CLEAR = {"bits": [False] * len(FLAGS)}

_LIMITS = {"unsigned": (0, 2**32 - 1), "enumerated": (0, 2**32 - 1), "integer": (-(2**31), 2**31 - 1)}
_DATE = re.compile(r"(\d{4}|\*)-(\d{1,2}|\*)-(\d{1,2}|\*)")
_TIME = re.compile(r"(\d{1,2}|\*):(\d{1,2}|\*)(?::(\d{1,2}|\*)(?:\.(\d{1,2}|\*))?)?")
_DATETIME = re.compile(r"a4([0-9a-f]{8})b4([0-9a-f]{8})")
_OBJECT = re.compile(r"(.+?)[,: ]\s*(\d+)")


def raw_of(register: BacnetRegister, item: Item, texts: Sequence[str]) -> Scalar | PointError:
    """The raw value of what the device holds; ``texts`` are those of its states, the first one of state 1."""
    value = item.value
    if item.datatype == "null":
        return PointError("bad_value", "the device holds null")
    if register.raw_type == "string":
        return _state(texts, value) if register.textual else text_of(item)
    if not isinstance(value, (int, float)) or (isinstance(value, float) and register.raw_type != "float"):
        return PointError("bad_value", f"the device holds {shown(text_of(item))}, which is no {register.raw_type}")
    if register.raw_type == "float":
        return float(value)
    if register.raw_type == "integer":
        return int(value)
    return bool(value) if value in (0, 1) else PointError("bad_value", f"the device holds {value}, which is no boolean")


def text_of(item: Item) -> str:
    """A value as text: a date, a time, bits as ``0101``, an object as ``analog-value,1``, a list as JSON."""
    value = item.value
    if isinstance(value, str):
        return value
    if isinstance(value, Mapping):
        return str(_TEXTS[next(iter(value))](next(iter(value.values()))))
    if isinstance(value, Sequence):
        return json.dumps([part.value if _is_plain(part.value) else text_of(part) for part in value], ensure_ascii=False)
    return json.dumps(value)


def item_of(register: BacnetRegister, raw: Scalar, texts: Sequence[str]) -> tuple[str, Value]:
    """The datatype and value to write for a raw value. Raises BadValue, OutOfRange."""
    if register.textual:
        return "unsigned", _state_number(register, raw, texts)
    kind = register.datatype
    if isinstance(raw, str):
        return kind, _from_text(register, kind, raw)
    if kind == "boolean":
        return kind, bool(raw)
    if kind in _LIMITS:
        return kind, _whole(register, kind, int(raw))
    if kind == "real" and not _is_real(float(raw)):
        raise OutOfRange(f'{shown(raw)} is more than "{register.name}" can hold: it is of single precision')
    return kind, float(raw)


def quality_of(flags: Item | None, reliability: Item | None) -> Quality | None:
    """What status flags and reliability say against a value; None if nothing."""
    bits = flags.value.get("bits", []) if flags is not None and isinstance(flags.value, Mapping) else []
    told = tuple(name for name, bit in zip(FLAGS, bits, strict=False) if bit)
    number = reliability.value if reliability is not None else 0
    why = names.RELIABILITIES.get(number, str(number)) if isinstance(number, int) and number else ""
    return Quality(told, why) if told or why else None


def are_clear(flags: Item | Failure) -> bool:
    """Whether the device says that no flag is set, as it mostly does."""
    return flags.value == CLEAR if isinstance(flags, Item) else False


def _is_plain(value: Value) -> bool:
    return value is None or isinstance(value, (bool, int, float, str))


def _state(texts: Sequence[str], value: Value) -> Scalar | PointError:
    if not isinstance(value, int):
        return PointError("bad_value", f"the device holds {shown(value)}, which is no state")
    return texts[value - 1] if 0 < value <= len(texts) else str(value)


def _state_number(register: BacnetRegister, raw: Scalar, texts: Sequence[str]) -> int:
    if texts.count(str(raw)) == 1:
        return texts.index(str(raw)) + 1
    number = int(raw) if isinstance(raw, str) and raw.isascii() and raw.isdigit() else 0
    if number < 1 or (texts and number > len(texts)):
        known = ", ".join(texts) if texts else "a number, as the device has no texts"
        raise BadValue(f'"{register.name}" takes one of {known}', enum=list(texts))
    return number


def _whole(register: BacnetRegister, kind: str, raw: int) -> int:
    least, most = _LIMITS[kind]
    if not least <= raw <= most:
        raise OutOfRange(f'{raw} is outside of what "{register.name}" can hold: {least} to {most}')
    return raw


def _is_real(raw: float) -> bool:
    try:
        struct.pack(">f", raw)
    except OverflowError:
        return False
    return True


def _from_text(register: BacnetRegister, kind: str, text: str) -> Value:
    """The value of a text. Raises BadValue."""
    if kind == "character-string":
        return text
    try:
        return _PARSERS[kind](text.strip())
    except (KeyError, ValueError):
        raise BadValue(f'"{register.name}" takes {_EXAMPLES.get(kind, "no text")}, not {shown(text)}') from None


def _bits(text: str) -> Value:
    if set(text) - {"0", "1"}:
        raise ValueError(text)
    return {"bits": [bit == "1" for bit in text]}


def _octets(text: str) -> Value:
    return {"hex": bytes.fromhex(text).hex()}


def _object(text: str) -> Value:
    match = _OBJECT.fullmatch(text)
    if match is None or int(match[2]) > 4_194_303:
        raise ValueError(text)
    return {"object": [names.object_type(match[1]), int(match[2])]}


def _date(text: str) -> Value:
    return {"date": _matching(_DATE, text)}


def _time(text: str) -> Value:
    return {"time": _matching(_TIME, text)}


def _matching(pattern: re.Pattern[str], text: str) -> str:
    if not pattern.fullmatch(text):
        raise ValueError(text)
    return text


def _other(octets: str) -> str:
    """A date and a time become one text (BACnetDateTime); anything else is shown as it came."""
    match = _DATETIME.fullmatch(octets)
    if match is None:
        return octets
    year, month, day, _ = bytes.fromhex(match[1])
    clock = [_part(octet) for octet in bytes.fromhex(match[2])]
    return f"{_part(year, 1900, 4)}-{_part(month)}-{_part(day)} {':'.join(clock[:3])}.{clock[3]}"


def _part(octet: int, first: int = 0, width: int = 2) -> str:
    return "*" if octet == 0xFF else f"{octet + first:0{width}d}"


def _object_text(parts: Sequence[int]) -> str:
    return f"{names.type_name(parts[0])},{parts[1]}"


def _bits_text(bits: Sequence[bool]) -> str:
    return "".join("1" if bit else "0" for bit in bits)


_TEXTS: Mapping[str, Any] = {
    "bits": _bits_text,
    "hex": str,
    "date": str,
    "time": str,
    "object": _object_text,
    "other": _other,
}
_PARSERS: Mapping[str, Any] = {
    "bit-string": _bits,
    "octet-string": _octets,
    "object-identifier": _object,
    "date": _date,
    "time": _time,
}
_EXAMPLES = {
    "bit-string": "bits such as 0101",
    "octet-string": "octets such as 0a1b",
    "object-identifier": "an object such as analog-value,1",
    "date": "a date such as 2026-11-26",
    "time": "a time such as 10:00:00",
}
