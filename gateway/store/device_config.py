"""The device config without its driver's part, and what a whole one is compiled to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

from gateway.interfaces.base import MAX_INTERVAL, MIN_INTERVAL, DriverConfig, Interface
from gateway.model import Register
from gateway.store.volttron import ALIASES

MAX_EXPIRY = 0xFFFFFFFF
"""Message Expiry Interval is a four byte integer (MQTT 5.0, 3.3.2.3.3)."""


class OnChange(BaseModel):
    """Publish what changed alone; each point at least once in ``max_silence`` seconds."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    max_silence: float = Field(600, gt=0)


def _on_change(value: object) -> object:
    words: dict[str, object] = {"true": {}, "false": None}
    taken = words.get(str(value).lower(), value)
    if isinstance(taken, dict) and isinstance(taken.get("max_silence"), bool):
        raise ValueError("max_silence is a number of seconds")  # noqa: TRY004  # what pydantic takes for a fault
    if taken is not None and not isinstance(taken, dict):
        raise ValueError('write true, false or {"max_silence": seconds}')
    return taken


def _level(value: str | None) -> str | None:
    if value is not None and (not value.isprintable() or any(c in "/+#" for c in value)):
        raise ValueError("a gateway's id is one level of a topic")
    return value


class DeviceConfig(BaseModel):
    """Every key of a device config but ``driver_config`` and ``registry_config``.

    ``interval`` and ``expiry`` are seconds. ``expiry`` None is three intervals, 0 is never.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    driver_type: str = Field(min_length=1)
    interval: float = Field(60, ge=MIN_INTERVAL, le=MAX_INTERVAL)
    timezone: str = ""
    heart_beat_point: str | None = None
    publish_depth_first_all: bool = True
    publish_depth_first: bool = False
    publish_breadth_first_all: bool = False
    publish_breadth_first: bool = False
    gateway: Annotated[str | None, AfterValidator(_level)] = Field(None, min_length=1)
    payload: Literal["object", "volttron"] = "object"
    lease_required: bool | None = None
    retain: bool = False
    on_change: Annotated[OnChange | None, BeforeValidator(_on_change)] = None
    expiry: float | None = Field(None, ge=0, le=MAX_EXPIRY)
    point_payload: Literal["plain", "json"] = "plain"
    qos: int = Field(1, ge=0, le=1)
    durable: bool = True

    @property
    def max_silence(self) -> float:
        """Seconds after which an unchanged point is published all the same; 0 if every reading is published whole."""
        return self.on_change.max_silence if self.on_change else 0


@dataclass(frozen=True, slots=True)
class Spec:
    """A device that can be run.

    ``driver_type`` is the driver's own name, ``config`` an instance of ``interface.Config`` with its secrets in place.
    ``hash`` is the device config's (SHA-256, hex); ``fingerprint`` covers its links too: equal ones need no action.
    ``learned`` is what its driver had found out about the device in an earlier run.
    ``payload`` and ``documents`` are what all of it was compiled from.
    """

    path: str
    driver_type: str
    interface: type[Interface]
    config: DriverConfig
    registers: tuple[Register, ...]
    device: DeviceConfig
    hash: str
    fingerprint: str
    learned: tuple[str, ...] = ()
    payload: bytes = b""
    documents: Mapping[str, bytes] = field(default_factory=dict, compare=False)

    @property
    def intervals(self) -> tuple[float, ...]:
        """The intervals of its points, each once, the shortest first; the device's if it has no points."""
        return tuple(sorted({r.interval or self.device.interval for r in self.registers})) or (self.device.interval,)


def accepted_keys() -> dict[str, str]:
    """Every key that a device config may have, with the one that it means."""
    own = {key: key for key in (*DeviceConfig.model_fields, "driver_config", "registry_config")}
    return own | dict(ALIASES)
