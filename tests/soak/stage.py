"""Everything that the soak runs: broker, taps, gateways, devices; and whose each device is at the moment."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from tests.integration.brokers import OwnBroker, sample_conf
from tests.integration.documents import csv, fake, modbus, point, register
from tests.integration.process import GatewayProcess
from tests.soak.plant import SETTABLE, TIMEOUT, Plant
from tests.soak.seen import Seen
from tests.soak.tap import Tap
from tests.soak.voice import Voice

INTERVAL = 0.2
GRACE = 0.5
SHARED = "config/soak.csv"


def rows(note: str = "") -> list[dict[str, Any]]:
    """The registry of each Modbus device: one request reads it all."""
    fixed = [register("n", 0, ">I", writable=False), register("d", 2, writable=False)]
    fixed += [register(f"c{address}", address, writable=False) for address in range(3, 10)]
    settable = [register(name, address) for name, (address, _) in SETTABLE.items()]
    defaults = {"t": SETTABLE["t"][1]}
    return [
        row | {"Table": "holding", "Default Value": defaults.get(row["Volttron Point Name"], ""), "Notes": note}
        for row in fixed + settable
    ]


def endpoints(count: int) -> list[list[int]]:
    """Units by endpoint: every third endpoint has four units behind it, the others one."""
    numbers, found = iter(range(1, count + 1)), []
    while taken := [n for _, n in zip(range(4 if len(found) % 3 == 2 else 1), numbers, strict=False)]:
        found.append(taken)
    return found


class Stage:
    """A context manager. ``owners`` is the gateway that each unit's config names."""

    def __init__(self, directory: Path, devices: int) -> None:
        self.fakes = max(1, devices // 8)
        self.units = range(1, devices - self.fakes + 1)
        self.owners: dict[int, GatewayProcess] = {}
        self.intervals = dict.fromkeys(self.units, INTERVAL)
        self.note = ""
        self.seen = Seen()
        self._directory = directory
        self._stack = ExitStack()

    def __enter__(self) -> Stage:
        with ExitStack() as stack:
            self.broker = OwnBroker(self._directory, sample_conf(self._directory), ["allow_anonymous true"]).start()
            stack.callback(self.broker.stop)
            self.plant = stack.enter_context(Plant(endpoints(len(self.units))))
            self.taps = [Tap(self.broker.port, *self.seen.ears(name)).open() for name in "ab"]
            self.gateways = [self._gateway(name, tap) for name, tap in zip("ab", self.taps, strict=True)]
            for tap, gateway in zip(self.taps, self.gateways, strict=True):
                stack.callback(tap.shut)
                stack.callback(gateway.stop)
            self.voice = Voice(self.broker.url)
            stack.callback(self.voice.close)
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def _gateway(self, name: str, tap: Tap) -> GatewayProcess:
        directory = self._directory / name
        (directory / "state").mkdir(parents=True)
        settings = {"gateway_id": f"soak-{name}", "broker": {"url": tap.url}, "actuator": {"preempt_grace": GRACE}}
        return GatewayProcess(directory, settings | {"requests": {"rate": 10_000, "burst": 10_000}})

    def start(self) -> None:
        """Start the gateways and give them their devices, which each have a home."""
        self.voice.connect()
        for unit in self.units:
            self.owners[unit] = self.home(unit)
        self.publish_all()
        for gateway in self.gateways:
            gateway.start()

    def home(self, unit: int) -> GatewayProcess:
        """Where a device belongs at the beginning and at the end."""
        return self.gateways[unit % 2]

    def path(self, unit: int) -> str:
        """The device path of a unit."""
        return f"C/B{unit % 3}/U{unit}"

    def config(self, unit: int) -> dict[str, Any]:
        """The config of a unit, as it stands now."""
        document = modbus(self.plant.port(unit), *rows(), timeout=TIMEOUT, interval=self.intervals[unit])
        document["driver_config"]["slave_id"] = unit
        if unit % 2:
            document["registry_config"] = f"config://{SHARED.removeprefix('config/')}"
        return document | {"gateway": self.owners[unit].id}

    def publish(self, unit: int) -> None:
        """Retain the config of a unit."""
        self.voice.publish(f"config/devices/{self.path(unit)}", self.config(unit))

    def remove(self, unit: int) -> None:
        """Take the config of a unit away."""
        self.voice.publish(f"config/devices/{self.path(unit)}", b"")

    def publish_registry(self) -> None:
        """Retain the shared registry."""
        self.voice.publish(SHARED, csv(*rows(self.note)))

    def publish_all(self) -> None:
        """Retain every document, as after a loss."""
        self.publish_registry()
        for unit in self.units:
            self.publish(unit)
        for number in range(self.fakes):
            config = fake(point("x"), interval=INTERVAL, gateway=self.gateways[number % 2].id)
            self.voice.publish(f"config/devices/C/F/F{number}", config)

    def usage(self) -> dict[str, tuple[int, int, float]]:
        """Of each gateway: threads, open files, resident MiB."""
        return {gateway.id: usage(gateway.pid) for gateway in self.gateways}


def usage(pid: int) -> tuple[int, int, float]:
    """Threads, open files and resident MiB of a process."""
    base = Path(f"/proc/{pid}")
    pages = int((base / "statm").read_text().split()[1])
    return len(entries(base / "task")), len(entries(base / "fd")), pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def entries(directory: Path) -> Sequence[Path]:
    """What is in a directory."""
    found: Iterator[Path] = directory.iterdir()
    return list(found)
