"""The ``driver_config`` of a Modbus device: where it is, what carries the frames, and how long to wait."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AliasChoices, BeforeValidator, Field, ValidationInfo, field_validator

from gateway.interfaces._modbus.limits import ReadKeys
from gateway.interfaces._modbus.rows import RegisterKeys
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
    lower,
)

_FRAMINGS = {"tcp": ("socket", "rtu", "ascii"), "udp": ("socket",), "tls": ("socket",), "serial": ("rtu", "ascii")}
"""The framings that each transport may carry; the first one is the default."""
_TLS = ("ca", "cert", "key", "server_name")
_MOST_UNIT = 247
"""The highest address of a device on a serial line (MODBUS over Serial Line V1.02, 2.2)."""


def _endian(value: object) -> None:
    raise ValueError("with driver_type modbus, say word_order: little for CDAB, or byte_order: DCBA")


class ModbusConfig(ReadKeys, RegisterKeys):
    """The ``driver_config``. Times are in seconds; what depends on other keys stands below them."""

    device_address: Place
    transport: Annotated[Literal["tcp", "udp", "tls", "serial"], Word] = Field(
        default=None, validate_default=True, validation_alias=AliasChoices("transport", "transport_protocol")
    )
    framing: Annotated[Literal["socket", "rtu", "ascii"], Word] = Field(default=None, validate_default=True)
    port: int = Field(default=None, validate_default=True, ge=0, le=65535)
    slave_id: int = Field(
        0, ge=0, le=255, validate_default=True, validation_alias=AliasChoices("slave_id", "unit_id", "device_id")
    )
    timeout: float = Field(1, gt=0, le=60)
    retries: int = Field(0, ge=0, le=10)

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

    ca: str | None = None
    cert: str | None = None
    key: str | None = None
    server_name: str | None = Field(None, min_length=1)

    endian: Annotated[None, BeforeValidator(_endian)] = None

    @field_validator("transport", mode="before")
    @classmethod
    def _transport(cls, value: object, info: ValidationInfo) -> object:
        path = str(info.data.get("device_address", "")).startswith("/")
        if value is None:
            return "serial" if path else "tcp"
        if path != (lower(value) == "serial"):
            raise ValueError("a path is for the transport serial, and that one takes a path such as /dev/ttyUSB0")
        return value

    @field_validator("framing", mode="before")
    @classmethod
    def _framing(cls, value: object, info: ValidationInfo) -> object:
        choices = _FRAMINGS[info.data.get("transport", "tcp")]
        if value is None:
            return choices[0]
        if isinstance(value, str) and lower(value) in ("socket", "rtu", "ascii") and lower(value) not in choices:
            raise ValueError(f"the transport {info.data.get('transport')} carries {' or '.join(choices)}")
        return value

    @field_validator("port", mode="before")
    @classmethod
    def _port(cls, value: object, info: ValidationInfo) -> object:
        transport = info.data.get("transport")
        if value is None:
            return {"tls": 802, "serial": 0}.get(str(transport), 502)
        if transport == "serial":
            raise ValueError("a serial line has no port: remove it")
        if str(value).strip() == "0":
            raise ValueError("0 is no port")
        return value

    @field_validator("slave_id")
    @classmethod
    def _unit(cls, value: int, info: ValidationInfo) -> int:
        if info.data.get("framing", "socket") != "socket" and not 1 <= value <= _MOST_UNIT:
            raise ValueError(f"on a serial line a device's address is 1 to {_MOST_UNIT}; 0 is a broadcast, never answered")
        return value

    @field_validator(*LINE_KEYS)
    @classmethod
    def _of_serial(cls, value: Any, info: ValidationInfo) -> Any:
        if info.data.get("transport", "serial") != "serial":
            raise ValueError("is for the transport serial only: remove it")
        if info.data.get("framing") == "rtu" and info.field_name in ("bytesize", "xonxoff") and value not in (8, False):
            raise ValueError("RTU needs all 8 bits of a byte: only ASCII goes with this")
        return value

    @field_validator(*_TLS)
    @classmethod
    def _of_tls(cls, value: Any, info: ValidationInfo) -> Any:
        if info.data.get("transport", "tls") != "tls":
            raise ValueError("is for the transport tls only: remove it")
        return value

    @field_validator("echo")
    @classmethod
    def _of_rtu(cls, value: bool, info: ValidationInfo) -> bool:
        if value and info.data.get("framing") == "socket":
            raise ValueError("is for the framings rtu and ascii only: remove it")
        return value

    @property
    def serial(self) -> bool:
        """Whether the device is on a serial port of this machine."""
        return self.transport == "serial"

    @property
    def endpoint(self) -> tuple[str, str, int]:
        """What the frames go through: equal for two devices that share it, whatever names they give it."""
        return endpoint(self.transport, self.device_address, self.port)

    @property
    def frame_gap(self) -> float:
        """Seconds of silence before a request: on a serial line 3.5 characters, at least 1.75 ms (V1.02, 2.5.1.1)."""
        if self.gap is not None:
            return self.gap
        return max(0.00175, 3.5 * self.character) if self.serial else 0.0

    @property
    def character(self) -> float:
        """Seconds that a character takes on the line: start bit, data, parity and stop bits."""
        return character(self.baudrate, self.bytesize, self.parity, self.stopbits)

    def line(self) -> dict[str, object]:
        """The settings that all devices of an endpoint must have in common."""
        names = ("framing", "echo", *(LINE_KEYS if self.serial else ()), *(_TLS if self.transport == "tls" else ()))
        return {name: getattr(self, name) for name in names}
