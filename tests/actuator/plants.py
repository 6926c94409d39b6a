"""Devices on paper for random sequences: what a connection reaches, and the configurations that lead there."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from gateway.errors import NotTaken, Rejected, Transient, Unreachable
from gateway.interfaces.base import Batch, Interface, MaySend
from gateway.model import PointError, Register, Scalar
from gateway.store.device_config import DeviceConfig, Spec
from tests.fakes import point

PATHS = ("C/B/d0", "C/B/d1")
"""The second one has points with priorities."""


class Plant:
    """What is at the other end of a connection: ``way`` is well, dead (no connection) or mute (takes all, answers nothing).

    ``next`` is what it does once, with the next write: reject, bend (hold another value), forget (do it, and not answer).
    """

    def __init__(self, name: str, at: Callable[[str], None], frame: Callable[..., Any]) -> None:
        self.name = name
        self.at = at
        self.frame = frame
        self.way = "well"
        self.next = ""
        self.values: dict[str, Scalar | None] = defaultdict(lambda: 3.0)

    def ask(self) -> None:
        """Raises what comes of asking."""
        if self.way != "well":
            raise (Unreachable if self.way == "dead" else Transient)(f"the plant is {self.way}")

    def take(self, place: str, value: Scalar | None) -> Scalar | None:
        """A write; raises what comes of it."""
        how, self.next = self.next, ""
        if self.way == "dead":
            raise Unreachable("the plant is dead")
        if how == "reject":
            raise Rejected("no")
        self.values[place] = value
        if how == "bend" and value is not None:
            self.values[place] = float(value) + 1000
            raise NotTaken("it holds something else")
        if how == "forget" or self.way == "mute":
            raise Transient("no answer")
        return value


class PlantInterface(Interface):
    """A connection to a plant; the place of a register stands in its ``units``."""

    config: Plant

    def _open(self) -> None:
        if self.config.way == "dead":
            raise Unreachable("the plant is dead")

    def _close(self) -> None:
        pass

    def _plan(self, registers: Sequence[Register]) -> list[Batch]:
        return [Batch(tuple(registers))] if registers else []

    def _read(self, batch: Batch) -> dict[str, Scalar | PointError]:
        self.config.at("read")
        self.config.ask()
        return {register.name: self.config.values[register.units] or 0.0 for register in batch.registers}

    def _write(self, register: Register, raw: Scalar | None, options: Mapping[str, Any], may_send: MaySend) -> Any:
        self.config.at("before_wire")
        may_send()
        place = f"{register.units}@{options['priority']}" if "priority" in options else register.units
        return self.config.frame(self.config, place, register, raw, may_send.__self__)

    def _relinquishes(self, register: Register) -> bool:
        return True


def spec_of(plant: Plant, path: str, variant: str) -> Spec:
    """One of the configurations of a device: rows that have moved, another connection, a point less."""
    slots = {"priority": 16} if path == PATHS[1] else {}
    p = point("p", writable=True, units="z" if variant == "moved" else "x", **slots)
    q = point("q", writable=True, units="y", **(slots or {"default": 77.0}))
    config = DeviceConfig(driver_type="plant", interval=86400, lease_required=variant == "strict" or None)
    payload = f"{path} {variant}".encode()
    registers = (q,) if variant == "less" else (p, q)
    return Spec(path, "plant", PlantInterface, plant, registers, config, "", payload.decode(), payload=payload)
