"""The ``driver_config`` of a BACnet device: who it is, by which interface it is reached, and what it is asked at a time."""

from __future__ import annotations

import re
from math import inf
from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, Field, ValidationInfo, field_validator

from gateway.allow import is_ip_address
from gateway.interfaces._bacnet.values import Local, Target
from gateway.interfaces.base import DriverConfig

FIRST_PORT = 47808
"""The UDP port of BACnet/IP, 0xBAC0 (ASHRAE 135, J.1.2)."""
MOST_DEVICE = 4_194_302
"""The highest instance that a device may have (ASHRAE 135, 12.11)."""
LIFE_SAFETY = 2
"""The priorities 1 and 2 are manual and automatic life safety (ASHRAE 135, 19.2)."""

_ROUTED = re.compile(r"(\d{1,5}):(\d{1,3}|0x(?:[0-9A-Fa-f]{2}){1,7}|\d{1,3}(?:\.\d{1,3}){3}(?::\d{1,5})?)")
_IP = re.compile(r"(\d{1,3}(?:\.\d{1,3}){3})(?::(\d{1,5}))?")


def ip_of(address: str) -> str | None:
    """The IP address in a BACnet address; None for a device behind a router."""
    match = _IP.fullmatch(address)
    return match[1] if match and is_ip_address(match[1]) else None


def _device_address(value: str) -> str:
    value = value.strip()
    match = _IP.fullmatch(value)
    if match and is_ip_address(match[1]) and 0 < int(match[2] or FIRST_PORT) <= 65535:
        return value
    routed = _ROUTED.fullmatch(value)
    if routed and 0 < int(routed[1]) < 65535:
        return value
    raise ValueError("write an IP address, with :port if it is not 47808, or network:mac for a device behind a router")


def _bbmd(value: str) -> str:
    if ip_of(_device_address(value)) is None:
        raise ValueError("write the BBMD's IP address, with :port if it is not 47808")
    return value.strip()


def _local(value: str) -> str:
    value = value.strip()
    match = re.fullmatch(r"(\d{1,3}(?:\.\d{1,3}){3})(/\d{1,2})?", value)
    if match and is_ip_address(match[1]) and int((match[2] or "/32")[1:]) <= 32:
        return value
    raise ValueError("write this machine's address with its prefix, such as 192.168.1.10/24; the port goes into bacnet_port")


def _word(value: object) -> object:
    return value.strip().lower() if isinstance(value, str) else value


class BacnetConfig(DriverConfig):
    """The ``driver_config``. Times are in seconds; each key is described in docs/drivers/bacnet.md."""

    device_address: Annotated[str, AfterValidator(_device_address)] | None = None
    device_id: int | None = Field(None, ge=0, le=MOST_DEVICE, validate_default=True)

    local_interface: Annotated[str, AfterValidator(_local)] | None = None
    bacnet_port: int | None = Field(None, ge=0, le=65535)
    bbmd: Annotated[str, AfterValidator(_bbmd)] | None = None

    life_safety: bool = False
    min_priority: int = Field(8, ge=1, le=16)

    use_read_multiple: bool = True
    max_per_request: int = Field(24, ge=1)
    apdu_timeout: float = Field(3, gt=0, le=60)
    apdu_retries: int = Field(1, ge=0, le=10)
    timeout: float | None = Field(None, gt=0, le=120)

    cov_lifetime: int = Field(180, ge=10, le=86_400)
    cov_confirmed: bool = True

    enumerations: Annotated[Literal["number", "text"], BeforeValidator(_word)] = "number"
    status_flags: bool = True
    time_synchronization_interval: float = Field(0, ge=0)

    @field_validator("device_id")
    @classmethod
    def _somebody(cls, value: int | None, info: ValidationInfo) -> int | None:
        if value is None and info.data.get("device_address", "") is None:
            raise ValueError("name the device by device_id, device_address, or both")
        return value

    @field_validator("bacnet_port")
    @classmethod
    def _port(cls, value: int | None) -> int | None:
        """As VOLTTRON has it: a small number counts from 47808."""
        if value is None:
            return None
        port = value if value >= FIRST_PORT else FIRST_PORT + value
        if port > 65535:
            raise ValueError(f"write a port from {FIRST_PORT} on, or what is to be added to {FIRST_PORT}")
        return port

    @field_validator("min_priority")
    @classmethod
    def _kept(cls, value: int, info: ValidationInfo) -> int:
        if value <= LIFE_SAFETY and not info.data.get("life_safety", True):
            raise ValueError("1 and 2 are for life safety: say life_safety: true if this gateway is part of that")
        return value

    @property
    def target(self) -> Target:
        """The device."""
        return Target(self.device_id, self.device_address)

    @property
    def local(self) -> Local:
        """The interface by which it is reached."""
        return Local(self.local_interface, self.bacnet_port, self.bbmd)

    @property
    def patience(self) -> float:
        """Seconds for a request and its repetitions."""
        return min(self.timeout or inf, self.apdu_timeout * (1 + self.apdu_retries))
