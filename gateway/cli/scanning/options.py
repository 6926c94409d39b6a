"""What the scans take from the command line: which units and addresses, and how the link is reached."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from gateway.allow import Allow
from gateway.cli.scanning.line import Wire
from gateway.clock import SystemClock
from gateway.errors import ConfigFault, Transient
from gateway.interfaces._modbus.client import line_of
from gateway.interfaces._modbus.config import ModbusConfig
from gateway.interfaces._modbus.pdu import Query
from gateway.interfaces.base import Environment
from gateway.interfaces.modbus import Interface
from gateway.settings import SettingsError, load

_PART = re.compile(r"(\d+)(?:-(\d+))?")


class BadOption(Exception):
    """An option that can not be used; says which and why."""


@dataclass(frozen=True, slots=True)
class Output:
    """Where documents go: the folder (None: nowhere), the levels before a device's name, whether to overwrite."""

    folder: Path | None
    under: str
    force: bool


def numbers(text: str, option: str, last: int) -> list[int]:
    """The numbers of a text such as ``1,5,10-20``, each once and sorted. Raises BadOption."""
    found: set[int] = set()
    for part in text.split(","):
        match = _PART.fullmatch(part.strip())
        first, end = (int(match[1]), int(match[2] or match[1])) if match else (1, 0)
        if first > end or end > last:
            raise BadOption(f'{option} "{text}": write numbers from 0 to {last}, as in 1,5,10-20')
        found.update(range(first, end + 1))
    return sorted(found)


def shortened(values: list[int]) -> str:
    """Numbers as ``numbers`` reads them."""
    return ",".join(str(first) if first == last else f"{first}-{last}" for first, last in _runs(values))


def _runs(values: list[int]) -> Iterator[tuple[int, int]]:
    start = 0
    for index in range(1, len(values) + 1):
        if index == len(values) or values[index] != values[index - 1] + 1:
            yield values[start], values[index - 1]
            start = index


def allowed(settings: Path | None) -> Allow:
    """The allow-lists of a settings file, or the usual ones. Raises BadOption."""
    if settings is None:
        return Allow()
    try:
        return load(settings, environ=os.environ).allow
    except SettingsError as error:
        raise BadOption(str(error)) from None


class Link:
    """A link as a device config describes it; the units behind it are asked through ``client``."""

    def __init__(self, driver_config: dict[str, Any], allow: Allow) -> None:
        self.driver_config = {key: value for key, value in driver_config.items() if value is not None}
        self.env = Environment(SystemClock(), allow)

    @property
    def name(self) -> str:
        """What the devices behind it are called by."""
        return str(self.driver_config["device_address"]).rpartition("/")[2]

    def check(self) -> None:
        """BadOption for whatever can be said against it without a network."""
        try:
            Interface(self._config(1), self.env).check()
        except ValidationError as error:
            faults = (f"{'.'.join(map(str, fault['loc']))}: {fault['msg']}" for fault in error.errors())
            raise BadOption("; ".join(faults)) from None
        except ConfigFault as fault:
            raise BadOption(f"{fault.where}: {fault.message}") from None

    def wire(self) -> Wire:
        """What carries requests there; it is not open yet."""
        return _Wire(self._config(1), self.env)

    def _config(self, unit: int) -> ModbusConfig:
        return ModbusConfig(**self.driver_config, slave_id=unit)


class _Wire:
    """A line of our own, with the gaps that it needs."""

    def __init__(self, config: ModbusConfig, env: Environment) -> None:
        self._config = config
        self._now = env.clock.now
        self._line = line_of(config, env)
        self._rest: dict[int, float] = {}

    def open(self) -> None:
        if not self._line.ready():
            self._line.open()

    def exchange(self, unit: int, query: Query) -> bytes:
        """Ask; a unit that was silent is left alone until a late reply can not be taken for another."""
        time.sleep(max(self._config.frame_gap, self._rest.pop(unit, 0) - self._now()))
        try:
            return self._line.exchange(unit, query, self._config.timeout)
        except Transient:
            self._rest[unit] = self._now() + self._line.rest(self._config.timeout)
            raise

    def close(self) -> None:
        self._line.close()
