"""What the tests of the compiler share: a driver, and a way to judge documents written as values."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from gateway.errors import ConfigFault
from gateway.interfaces import base
from gateway.model import Register
from gateway.store.compile import Verdict, compile_device
from gateway.store.faults import line
from tests.fakes import FakeClock

ENV = base.Environment(FakeClock())
ROWS = [{"Point Name": name, "Volttron Point Name": name, "Type": "float", "Writable": name == "b"} for name in "ab"]


class Config(base.DriverConfig):
    """The driver_config of the driver below."""

    address: str
    port: int = 502
    map: tuple[dict[str, str], ...] = ()


class Driver(base.Interface):
    """A driver that finds fault with some addresses."""

    Config = Config

    def check(self) -> None:
        """Refuse the address "bad" by its key, and one that begins "leaky" under another key."""
        if self.config.address == "bad":
            raise ConfigFault(f"{self.config.address} can not be asked", "address", "good")
        if self.config.address.startswith("leaky"):
            raise ConfigFault(f"{self.config.address} can not be asked", "port")

    def _register(self, row: Any) -> Register:
        return Register(**base.shared(row, "float"))


def judge(
    config: object, path: str = "C/B/D", known: tuple[str, ...] = (), directory: Path | None = None, **documents: Any
) -> Verdict:
    """The verdict on a config and documents, given as values, as text or as bytes."""
    return compile_device(
        path, as_bytes(config), {name: as_bytes(value) for name, value in documents.items()}, ENV, directory, known
    )


def as_bytes(value: object) -> bytes:
    """A document's bytes: those of a text, or a value's JSON."""
    if isinstance(value, bytes):
        return value
    return value.encode() if isinstance(value, str) else json.dumps(value).encode()


def fake(**keys: Any) -> dict[str, Any]:
    """A good config of a fake device, with these keys."""
    return {"driver_type": "fake", "registry_config": ROWS} | keys


def errors(verdict: Verdict) -> list[str]:
    """The errors as lines; there is a spec if and only if there are none."""
    assert (verdict.spec is None) == bool(verdict.errors)
    return [line(fault) for fault in verdict.errors]
