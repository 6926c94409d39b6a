"""The ``driver_config`` of an instrument: where it is, how its lines look, and how long to wait."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, AliasChoices, BaseModel, ConfigDict, Field, ValidationInfo, field_validator

from gateway.interfaces._ports import (
    LINE_KEYS,
    Baudrate,
    Bytesize,
    Parity,
    Place,
    Rs485,
    Stopbits,
    Word,
    character,
    endpoint,
)
from gateway.interfaces._text.escapes import unescaped
from gateway.interfaces._text.framing import Check, Framing
from gateway.interfaces.base import DriverConfig

_GAP_CHARACTERS = 3.5


def _escaped(value: str) -> str:
    unescaped(value, "latin-1")
    return value


def _end(value: str) -> str:
    if not value:
        raise ValueError("a line needs an end")
    return value


def _printable(value: str) -> str:
    if not value.isascii() or not all("!" <= char <= "~" for char in value):
        raise ValueError("an address is printable ASCII without blanks")
    return value


Escaped = Annotated[str, Field(max_length=32), AfterValidator(_escaped)]
"""A few characters, with escapes."""


class Checksum(BaseModel):
    """The checksum of lines: what it is, how it is written, where it stands, and what it is reckoned over."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: Annotated[Literal["xor", "sum8", "lrc", "crc16_modbus"], Word]
    format: Annotated[Literal["hex", "binary"], Word] = "hex"
    position: Annotated[Literal["before_terminator", "after_terminator"], Word] = "before_terminator"
    separator: Escaped = ""
    covers_start: bool = False
    covers_terminator: bool | None = None
    of: Annotated[Literal["both", "requests", "answers"], Word] = "both"

    def check(self) -> Check:
        """What the framing needs; behind the terminator it covers that too, if nothing else is said."""
        after = self.position == "after_terminator"
        covers = after if self.covers_terminator is None else self.covers_terminator
        separator = unescaped(self.separator, "latin-1")
        return Check(self.kind, self.format == "hex", after, separator, self.covers_start, covers)


class SerialConfig(DriverConfig):
    """The ``driver_config``. Times are in seconds; what depends on other keys stands below them."""

    device_address: Place = Field(validation_alias=AliasChoices("device_address", "host"))
    port: int = Field(default=0, validate_default=True, ge=0, le=65535)
    address: Annotated[str, Field(max_length=32), AfterValidator(_printable)] = ""
    timeout: float = Field(1, gt=0, le=60)
    retries: int = Field(0, ge=0, le=10)
    listen: bool = False
    max_silence: float = Field(10, gt=0, le=86_400)
    encoding: Annotated[Literal["ascii", "latin-1", "utf-8"], Word] = "ascii"
    decimal_comma: bool = False
    error_pattern: str = ""

    start: Escaped = ""
    terminator: Annotated[Escaped, AfterValidator(_end)] = "\r\n"
    request_start: Escaped | None = None
    request_terminator: Escaped | None = None
    checksum: Checksum | None = None
    max_line: int = Field(256, ge=1, le=4096)

    connect_delay: float = Field(0, ge=0, le=60)
    gap: float | None = Field(None, ge=0, le=10)
    requests_per_second: float | None = Field(None, gt=0, le=10_000)

    baudrate: Baudrate = 9600
    bytesize: Bytesize = 8
    parity: Parity = "none"
    stopbits: Stopbits = 1
    xonxoff: bool = False
    rs485: Rs485 | None = None
    echo: bool = False

    @field_validator("port")
    @classmethod
    def _port(cls, value: int, info: ValidationInfo) -> int:
        path = str(info.data.get("device_address", "/")).startswith("/")
        if path and value:
            raise ValueError("a serial port has none: remove it")
        if not path and not value:
            raise ValueError("a host needs one, 1 to 65535")
        return value

    @field_validator(*LINE_KEYS)
    @classmethod
    def _of_serial(cls, value: Any, info: ValidationInfo) -> Any:
        if not str(info.data.get("device_address", "/")).startswith("/"):
            raise ValueError("is for a serial port of this machine only: remove it")
        return value

    @property
    def on_port(self) -> bool:
        """Whether the instrument is on a serial port of this machine."""
        return self.device_address.startswith("/")

    @property
    def endpoint(self) -> tuple[str, str, int]:
        """What the lines go through: equal for two devices that share it."""
        return endpoint("serial" if self.on_port else "tcp", self.device_address, self.port)

    @property
    def character(self) -> float:
        """Seconds that a character takes, 0 where that does not count."""
        return character(self.baudrate, self.bytesize, self.parity, self.stopbits) if self.on_port else 0.0

    @property
    def frame_gap(self) -> float:
        """Seconds of silence before a request."""
        return self.gap if self.gap is not None else _GAP_CHARACTERS * self.character

    def line(self) -> dict[str, object]:
        """The settings that all devices of a line must have in common."""
        framing = ("start", "terminator", "request_start", "request_terminator", "checksum", "max_line")
        names = ("listen", "echo", *framing, *(LINE_KEYS if self.on_port else ()))
        return {name: getattr(self, name) for name in names}

    def answers(self) -> Framing:
        """How the lines of the instrument look."""
        check = self.checksum.check() if self.checksum and self.checksum.of != "requests" else None
        return Framing(unescaped(self.start, "latin-1"), unescaped(self.terminator, "latin-1"), check, self.max_line)

    def requests(self) -> Framing:
        """How the lines to the instrument look."""
        check = self.checksum.check() if self.checksum and self.checksum.of != "answers" else None
        start = self.start if self.request_start is None else self.request_start
        terminator = self.terminator if self.request_terminator is None else self.request_terminator
        return Framing(unescaped(start, "latin-1"), unescaped(terminator, "latin-1"), check)
