"""Values between a client (engineering units, JSON) and a driver (raw); pure.

A point's value is ``raw * Scale / divisor + Offset``, or the text that ``Enum`` gives a raw integer. Everything that
does not fit is refused, never bent: a value in a reading that can not be told becomes an error of that point.
"""

from __future__ import annotations

import math
import re
from decimal import Decimal
from fractions import Fraction
from typing import Any

from gateway.errors import BadValue, OutOfRange
from gateway.model import Register, Scalar

_WHOLE = re.compile(r"\s*(-?[0-9]{1,20})(?:\.0*)?\s*")

EXACT = 2**53
"""The greatest number up to which a float holds every integer, and so the greatest that every JSON reader keeps."""


def coerce(point: Register, value: Any) -> Scalar:
    """The value as the point's type, within its limits.

    A boolean takes true, false, 1 and 0; an integer point takes 5.0, not 5.5; an enum point takes a text of its map, or
    that text's number. Raises BadValue or OutOfRange.
    """
    if point.enum is not None:
        return _enum_text(point, value)
    taken = _COERCE[point.type](value)
    if taken is None:
        raise BadValue(f'"{point.name}" takes {_WANTS[point.type]}, not {shown(value)}')
    if isinstance(taken, (int, float)) and not isinstance(taken, bool):
        _check_limits(point, taken)
    return taken


def from_raw(point: Register, raw: Scalar) -> Scalar:
    """The engineering value of what the device holds; BadValue if it has none (not a number, not in the enum, no value)."""
    if point.no_value and raw in point.no_value:
        raise BadValue(f"the device holds {shown(raw)}, which stands for no value")
    if point.enum is not None:
        text = point.enum.get(int(raw)) if isinstance(raw, (int, float)) else None
        if text is None:
            raise BadValue(f"the device holds {shown(raw)}, which is not in the Enum of this point")
        return text
    if isinstance(raw, float) and not math.isfinite(raw):
        raise BadValue(f"the device holds {raw}, which is not a number that JSON can carry")
    if isinstance(raw, (bool, str)):
        return raw
    if isinstance(raw, float) and point.precision is None and not point.scaled:
        return raw  # as most floats are
    return _engineering(point, raw)


def _engineering(point: Register, raw: float) -> float:
    value = _scaled(point, raw) if point.scaled else raw
    if isinstance(value, float) and not math.isfinite(value):
        raise BadValue(f"the device holds {raw}, which Scale and Offset bring out of range")
    if isinstance(value, float) and point.precision is not None:
        value = round(value, point.precision)
    if point.type == "integer":
        value = round(value)
    elif isinstance(value, int) and abs(value) <= EXACT:
        value = float(value)  # a scale in the device may be whole today and not tomorrow
    if isinstance(value, int) and not _fits(value):
        raise BadValue(f"the device holds {raw}, which Scale and Offset bring beyond 64 bits")
    return value


def _scaled(point: Register, raw: float) -> float:
    whole = isinstance(point.scale, int) and isinstance(point.offset, int) and point.divisor == 1
    if isinstance(raw, int) and abs(raw) > EXACT and not whole:
        # A float has no room for it: the whole is reckoned exactly, and rounded once.
        exact = Fraction(raw) * Fraction(str(point.scale)) / Fraction(str(point.divisor)) + Fraction(str(point.offset))
        return round(exact) if point.type == "integer" else float(exact)
    if point.divisor != 1:
        return raw * point.scale / point.divisor + point.offset
    value = raw * point.scale + point.offset
    return round(value, decimals(point.scale, point.offset)) if isinstance(raw, int) else value


def to_raw(point: Register, value: Scalar) -> Scalar:
    """What to hand to the driver for a value that ``coerce`` gave; an integer register takes the nearest step.

    Raises OutOfRange when Scale and Offset bring it beyond what a register can hold, or to what stands for no value.
    """
    if point.enum is not None:
        return next(raw for raw, text in point.enum.items() if text == value)
    if isinstance(value, (bool, str)):
        return value
    exact = (Decimal(str(value)) - Decimal(str(point.offset))) * Decimal(str(point.divisor)) / Decimal(str(point.scale))
    raw = round(exact) if point.raw_type == "integer" else float(exact)
    if not (_fits(raw) if isinstance(raw, int) else math.isfinite(raw)):
        raise OutOfRange(f'{shown(value)} is more than "{point.name}" can hold with its Scale and Offset')
    if raw in point.no_value:
        raise OutOfRange(f'{shown(value)} would be {raw} in the device, which stands for no value of "{point.name}"')
    return raw


def is_whole(number: float) -> bool:
    """Whether a finite number has no fraction."""
    return number == int(number)


def decimals(*factors: float) -> int:
    """How many decimals the sum of multiples of these numbers can have: 0.1 and 5 give 1."""
    return max(max(0, -int(Decimal(str(factor)).normalize().as_tuple().exponent)) for factor in factors)


def cut(message: str, most: int = 500) -> str:
    """A message for people, cut short if a hostile name or value has made it long."""
    return message if len(message) <= most else message[: most - 3] + "..."


def shown(value: object) -> str:
    """A value for an error message: short, and told apart from its neighbours."""
    if isinstance(value, bool) or value is None:
        return {True: "true", False: "false", None: "null"}[value]
    text = f'"{value}"' if isinstance(value, str) else str(value)
    return text if len(text) <= 60 else text[:57] + "..."


def _enum_text(point: Register, value: Any) -> str:
    assert point.enum is not None
    if isinstance(value, str) and value in point.enum.values():
        return value
    if isinstance(value, str):
        value = _whole_number(value)
    if isinstance(value, (int, float)) and not isinstance(value, bool) and value in point.enum:
        return point.enum[int(value)]
    raise BadValue(f'"{point.name}" takes one of {", ".join(point.enum.values())}', enum=list(point.enum.values()))


def _whole_number(text: str) -> int | None:
    match = _WHOLE.fullmatch(text)
    return int(match[1]) if match else None


def _check_limits(point: Register, value: float) -> None:
    limits = {"min": point.minimum, "max": point.maximum}
    if (point.minimum is not None and value < point.minimum) or (point.maximum is not None and value > point.maximum):
        known = ", ".join(f"{name} {limit:.15g}" for name, limit in limits.items() if limit is not None)
        raise OutOfRange(f'{value:.15g} is outside the limits of "{point.name}" ({known})', **limits)


def _boolean(value: Any) -> bool | None:
    return bool(value) if isinstance(value, (bool, int, float)) and value in (0, 1) else None


def _integer(value: Any) -> int | None:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    if isinstance(value, float) and not (math.isfinite(value) and is_whole(value)):
        return None
    return int(value) if _fits(value) else None


def _fits(value: float) -> bool:
    """Whether a whole number is one that JSON readers and our own writer can carry: 64 bits, signed or not."""
    return -(2**63) <= value < 2**64


def _float(value: Any) -> float | None:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    try:
        number = float(value)
    except OverflowError:
        return None
    return number if math.isfinite(number) else None


def _string(value: Any) -> str | None:
    return value if isinstance(value, str) else None


_COERCE = {"boolean": _boolean, "integer": _integer, "float": _float, "string": _string}
_WANTS = {"boolean": "true or false", "integer": "a whole number of at most 64 bits", "float": "a number", "string": "text"}
