"""How a configuration says where a device is: a serial port of this machine and how it is set, or a host on the network."""

from __future__ import annotations

import ipaddress
import os.path
import re
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

from gateway.allow import Allow, is_ip_address
from gateway.errors import ConfigFault
from gateway.interfaces._serial import need_pyserial

LINE_KEYS = ("baudrate", "bytesize", "parity", "stopbits", "xonxoff", "rs485")
"""The keys that say how a serial port is set."""

_HOST = re.compile(r"(?![\d.]+$)[A-Za-z0-9]([A-Za-z0-9_.-]*[A-Za-z0-9])?\.?")
_PATH = re.compile(r"/[\x21-\x7e]+")


def _place(value: str) -> str:
    value = value.strip()
    if value.startswith("/"):
        if _PATH.fullmatch(value) and ".." not in value.split("/"):
            return value
        raise ValueError("not the path of a serial port")
    if is_ip_address(value) or _HOST.fullmatch(value):
        return value
    raise ValueError(
        "neither an IP address, a host name (a port goes into port), nor a serial port's path such as /dev/ttyUSB0"
    )


def _stopbits(value: float) -> float:
    if value in (1, 1.5, 2):
        return value
    raise ValueError("there are 1, 1.5 or 2 of them")


def lower(value: object) -> object:
    """A word in lower case without blanks around it; anything else as it is."""
    return value.strip().lower() if isinstance(value, str) else value


Word = BeforeValidator(lower)
Place = Annotated[str, AfterValidator(_place)]
"""An IP address, a host name, or the path of a serial port."""
Baudrate = Annotated[int, Field(ge=50, le=4_000_000)]
Bytesize = Annotated[int, Field(ge=7, le=8)]
Parity = Annotated[Literal["none", "even", "odd", "mark", "space"], Word]
Stopbits = Annotated[float, AfterValidator(_stopbits)]


class Rs485(BaseModel):
    """How the kernel switches an RS-485 transceiver by the RTS line (Linux, serial-rs485)."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    rts_level_for_tx: bool = True
    rts_level_for_rx: bool = False
    loopback: bool = False
    delay_before_tx: float = Field(0, ge=0, le=1)
    delay_before_rx: float = Field(0, ge=0, le=1)


def endpoint(transport: str, address: str, port: int) -> tuple[str, str, int]:
    """What bytes go through: equal for two devices that share it, whatever names they give it."""
    if transport == "serial":
        return ("serial", os.path.realpath(address), 0)
    host = address.lower().rstrip(".")
    plain = is_ip_address(host) and "%" not in host
    return (transport, str(ipaddress.ip_address(host)) if plain else host, port)


def character(baudrate: int, bytesize: int, parity: str, stopbits: float) -> float:
    """Seconds that a character takes on the line: start bit, data, parity and stop bits."""
    return (1 + bytesize + (parity != "none") + stopbits) / baudrate


def check_allowed(address: str, serial: bool, allow: Allow) -> None:
    """ConfigFault if the gateway may not use that address or port, or lacks what it takes; names are resolved later."""
    if serial:
        if not allow.serial_port(address):
            raise ConfigFault(f"{address} fits no pattern of the setting allow.serial_ports", "device_address")
        need_pyserial()
    elif is_ip_address(address) and not allow.address(address):
        raise ConfigFault(f"{address} is in no network of the setting allow.networks", "device_address")
