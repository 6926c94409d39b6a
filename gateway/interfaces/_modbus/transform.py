"""The transforms of VOLTTRON's ``modbus_tk``, as columns of ours; pure."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Any

from gateway.errors import ConfigFault
from gateway.interfaces._modbus.kinds import Mod10k, SignMagnitude
from gateway.interfaces._modbus.types import TypeOf

COLUMN = "Transform"
_CALL = re.compile(r"(\w+)\s*\(\s*(.*?)\s*\)")
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d{1,2})?")
_SCALES = ("scale", "scale_int", "scale_decimal_int_signed")
_MOD10K: dict[tuple[str, bool], tuple[int, tuple[int, ...]]] = {
    ("mod10k", False): (2, (0, 1)),
    ("mod10k", True): (2, (1, 0)),
    ("mod10k48", False): (4, (2, 1, 0)),
    ("mod10k48", True): (4, (3, 2, 1)),
    ("mod10k64", False): (4, (3, 2, 1, 0)),
    ("mod10k64", True): (4, (0, 1, 2, 3)),
}
"""How many registers, and which of them count, the most significant first, as VOLTTRON reckons."""

_TRUTHS = {"": False, "false": False, "f": False, "0": False, "no": False, "n": False}
_TRUTHS |= {"true": True, "t": True, "1": True, "yes": True, "y": True, "reverse": True}


@dataclass(frozen=True, slots=True)
class Transform:
    """What a transform comes to: other values of some columns, and another type."""

    columns: dict[str, Any]
    type: TypeOf


def transform(text: str, given: TypeOf) -> Transform:
    """What a Transform cell makes of a type. Raises ConfigFault."""
    match = _CALL.fullmatch(text.strip())
    name, argument = (match[1], match[2].strip("\"'")) if match else (text.strip(), "")
    if name.startswith("mod10k") and (name, False) in _MOD10K:
        return _mod10k(name, argument, given)
    if name in ("scale_reg", "scale_reg_pow_10") and argument:
        kind = "divisor" if name == "scale_reg" else "power"
        return Transform({"scale_register": argument, "scale_register_kind": kind}, given)
    if name in _SCALES and argument:
        return _scale(name, argument, given)
    known = "scale(0.1), scale_int(10), scale_decimal_int_signed(0.001), scale_reg(name), scale_reg_pow_10(name), mod10k()"
    raise ConfigFault(f'"{text}" is not a transform', COLUMN, known)


def _scale(name: str, argument: str, given: TypeOf) -> Transform:
    if not _NUMBER.fullmatch(argument):
        raise ConfigFault(f'"{argument}" is not a number', COLUMN, f"{name}(0.1)")
    columns: dict[str, Any] = {"scale": float(argument)}
    if name == "scale_int":
        columns["precision"] = 0
    if name == "scale_decimal_int_signed":
        if given.code != "h":
            raise ConfigFault("scale_decimal_int_signed is for int16", "Type", "int16")
        given = replace(given, code="", kind=SignMagnitude())
    return Transform(columns, given)


def _mod10k(name: str, argument: str, given: TypeOf) -> Transform:
    reverse = _TRUTHS.get(argument.lower())
    if reverse is None:
        raise ConfigFault(f'"{argument}" is neither true nor false', COLUMN, f"{name}(true)")
    count, places = _MOD10K[name, reverse]
    if given.count != count or given.raw_type != "integer" or not given.code:
        raise ConfigFault(f"{name} is for whole numbers of {count} registers", "Type", f"uint{16 * count}")
    return Transform({}, replace(given, code="", kind=Mod10k(places)))
