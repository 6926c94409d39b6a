"""What registers may hold besides plain numbers, each as bytes and back; pure.

Bytes are in the order ABCD here, the most significant first; codec.py brings them there.

Sources: [BCD] four bits for each decimal digit. [ION] Schneider Electric, PowerLogic ION Modbus: the INT32-M10K format, each
register a digit to the base of 10,000, all of one sign. [PM] PowerLogic PM800: the power factor registers, whose top bit
is a sign of its own.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from gateway.errors import BadValue, OutOfRange
from gateway.model import PointError, Scalar
from gateway.values import shown


class Kind(Protocol):
    """How a value lies in bytes; what ``encode`` raises lacks the name of the point."""

    def decode(self, data: bytes) -> Scalar | PointError:
        """The value, or why there is none."""
        ...

    def encode(self, raw: Scalar, size: int) -> bytes:
        """The bytes, ``size`` of them. Raises BadValue or OutOfRange."""
        ...


@dataclass(frozen=True, slots=True)
class Whole:
    """A whole number of any number of bytes, with a sign (two's complement) or without."""

    signed: bool

    def decode(self, data: bytes) -> int:
        """The number."""
        return int.from_bytes(data, "big", signed=self.signed)

    def encode(self, raw: Scalar, size: int) -> bytes:
        """The bytes of a number that they can hold."""
        least, most = whole_range(8 * size, self.signed)
        return _within(raw, least, most).to_bytes(size, "big", signed=self.signed)


@dataclass(frozen=True, slots=True)
class SignMagnitude:
    """A number whose top bit says that it is negative, the others how much ([PM])."""

    def decode(self, data: bytes) -> int:
        """The number."""
        sign = 1 << 8 * len(data) - 1
        number = int.from_bytes(data, "big")
        return sign - number if number & sign else number

    def encode(self, raw: Scalar, size: int) -> bytes:
        """The bytes of a number that they can hold."""
        most = (1 << 8 * size - 1) - 1
        number = _within(raw, -most, most)
        return (number if number >= 0 else (most + 1) - number).to_bytes(size, "big")


@dataclass(frozen=True, slots=True)
class Part:
    """Some bits of a register or more: ``width`` bits from bit ``low`` up, bit 0 the least significant.

    One bit without a sign is a boolean. ``no_value`` are numbers of the whole that stand for no value.
    """

    low: int
    width: int = 1
    signed: bool = False
    no_value: frozenset[int] = frozenset()

    @property
    def mask(self) -> int:
        """The bits of this part, in the whole."""
        return (1 << self.width) - 1 << self.low

    def decode(self, data: bytes) -> Scalar | PointError:
        """The part as a number, or as a boolean."""
        whole = int.from_bytes(data, "big")
        if whole in self.no_value:
            return PointError("bad_value", f"the device holds {whole}, which stands for no value")
        part = (whole & self.mask) >> self.low
        if self.signed and part >> self.width - 1:
            part -= 1 << self.width
        return bool(part) if self.width == 1 and not self.signed else part

    def encode(self, raw: Scalar, size: int) -> bytes:
        """The bytes with this part set and all other bits 0."""
        least, most = whole_range(self.width, self.signed)
        part = _within(raw, least, most) & (1 << self.width) - 1
        return (part << self.low).to_bytes(size, "big")

    def within(self, before: bytes, raw: Scalar) -> bytes:
        """The bytes ``before`` with this part changed and nothing else."""
        others = int.from_bytes(before, "big") & ~self.mask
        return (others | int.from_bytes(self.encode(raw, len(before)), "big")).to_bytes(len(before), "big")


@dataclass(frozen=True, slots=True)
class Bcd:
    """A decimal digit in each four bits ([BCD])."""

    def decode(self, data: bytes) -> int | PointError:
        """The number; an error if a digit is above 9."""
        digits = data.hex()
        if not digits.isdecimal():
            return PointError("bad_value", f"the device holds 0x{digits}, which is not a number in BCD")
        return int(digits)

    def encode(self, raw: Scalar, size: int) -> bytes:
        """The bytes of a number with so many digits."""
        number = _within(raw, 0, 10 ** (2 * size) - 1)
        return bytes.fromhex(f"{number:0{2 * size}d}")


@dataclass(frozen=True, slots=True)
class Mod10k:
    """Registers of -9,999 to 9,999, each a digit to the base of 10,000 and all of one sign ([ION]).

    ``places`` are the registers that count, the most significant digit first.
    """

    places: tuple[int, ...]

    def decode(self, data: bytes) -> int | PointError:
        """The number; an error if a register is out of its range, or the signs differ."""
        words = [int.from_bytes(data[2 * at : 2 * at + 2], "big", signed=True) for at in self.places]
        if not all(0 <= word <= 9999 for word in words) and not all(-9999 <= word <= 0 for word in words):
            return PointError("bad_value", f"the device holds {', '.join(map(str, words))}, which is not a number in mod10k")
        number = 0
        for word in words:
            number = number * 10_000 + word
        return number

    def encode(self, raw: Scalar, size: int) -> bytes:
        """The bytes of a number that they can hold."""
        most = 10_000 ** len(self.places) - 1
        number = _within(raw, -most, most)
        sign, rest = (-1 if number < 0 else 1), abs(number)
        data = bytearray(size)
        for at in reversed(self.places):
            rest, word = divmod(rest, 10_000)
            data[2 * at : 2 * at + 2] = (sign * word).to_bytes(2, "big", signed=True)
        return bytes(data)


@dataclass(frozen=True, slots=True)
class Text:
    """A text in some encoding, with NUL or blanks behind it; ``pad`` is what a shorter one is filled with.

    A NUL within a text is an error of it. ``no_value`` says that an empty one is an error too.
    """

    encoding: str = "ascii"
    pad: bytes = b"\0"
    no_value: bool = False

    def decode(self, data: bytes) -> str | PointError:
        """The text without its padding; an error if the bytes are none in this encoding."""
        try:
            text = data.decode(self.encoding).rstrip("\0 ")
        except UnicodeDecodeError:
            text = "\0"
        if "\0" in text:
            return PointError(
                "bad_value", f"the device holds {shown(data.hex(' '))}, which is not {self.encoding.upper()} text"
            )
        if self.no_value and not text:
            return PointError("bad_value", "the device holds an empty text, which stands for no value")
        return text

    def encode(self, raw: Scalar, size: int) -> bytes:
        """The bytes of a text, with padding."""
        text = str(raw)
        try:
            data = text.encode(self.encoding)
        except UnicodeEncodeError:
            data = b""
        if (text and not data) or "\0" in text:
            raise BadValue(f"takes {self.encoding.upper()} text, not {shown(text)}")
        if len(data) > size:
            raise OutOfRange(f"takes at most {size} bytes of text, not {len(data)}")
        unit = self.pad.decode("ascii").encode(self.encoding)
        return data + unit * ((size - len(data)) // len(unit))


def whole_range(bits: int, signed: bool) -> tuple[int, int]:
    """The least and the greatest whole number of so many bits."""
    return (-(1 << bits - 1), (1 << bits - 1) - 1) if signed else (0, (1 << bits) - 1)


def _within(raw: Scalar, least: int, most: int) -> int:
    number = int(raw)
    if not least <= number <= most:
        raise OutOfRange(f"can not hold {shown(number)} ({least} to {most})")
    return number
