"""What the gateways have told, judged as it comes: whether each value is the one that the register held."""

from __future__ import annotations

import json
import threading
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise
from typing import Any

from tests.soak.plant import SETTABLE, carried
from tests.soak.tap import Told


@dataclass(frozen=True)
class Reading:
    """A reading of a unit that a broker has acknowledged; ``wall`` is its timestamp."""

    unit: int
    number: int
    held: tuple[Any, ...]
    wall: float


class Seen:
    """Delivered readings, by unit and number; and the numbers in the order in which they were first sent, by topic."""

    def __init__(self) -> None:
        self.delivered: dict[int, dict[int, Reading]] = defaultdict(dict)
        self.wrong: list[str] = []
        self.replayed = 0
        self.errors = 0
        self._order: dict[tuple[str, str], dict[Any, None]] = defaultdict(dict)
        self._lock = threading.Lock()

    def ears(self, gateway: str) -> tuple[Callable[[Told], None], Callable[[Told], None]]:
        """What to call with all that a gateway sends, and with what is acknowledged."""
        return (lambda told: self._sent(gateway, told)), self._acknowledged

    @property
    def disorder(self) -> list[tuple[str, str]]:
        """Topics on which a gateway sent an older reading of a device behind a newer one, repetitions left out."""
        with self._lock:
            return [key for key, found in self._order.items() if any(a > b for a, b in pairwise(found))]

    def _sent(self, gateway: str, told: Told) -> None:
        if told.topic.startswith("devices/") and told.topic.rpartition("/")[2] in ("all", "replay"):
            reading = json.loads(told.payload)
            mark = reading["values"].get("n", reading["timestamp"])
            with self._lock:
                self._order[gateway, told.topic].setdefault(mark)

    def _acknowledged(self, told: Told) -> None:
        path, _, leaf = told.topic.removeprefix("devices/").rpartition("/")
        if not told.topic.startswith("devices/C/B") or leaf not in ("all", "replay"):
            return
        reading, unit = json.loads(told.payload), int(path.rpartition("U")[2])
        if reading.get("replayed") is not (True if leaf == "replay" else None):
            self.wrong.append(f"{told.topic}: {told.payload!r}")
        if not reading["values"]:
            self.errors += 1
            return
        self._keep(unit, reading, leaf)

    def _keep(self, unit: int, reading: dict[str, Any], leaf: str) -> None:
        values, number = reading["values"], reading["values"].get("n")
        expected = {"d": unit} | {f"c{address}": carried(unit, address, number or 0) for address in range(3, 10)}
        if number is None or any(values.get(name) != value for name, value in expected.items()):
            self.wrong.append(f"unit {unit}: {reading}")
            return
        held, wall = tuple(values.get(name) for name in SETTABLE), datetime.fromisoformat(reading["timestamp"]).timestamp()
        told = Reading(unit, number, held, wall)
        with self._lock:
            self.replayed += leaf == "replay"
            if self.delivered[unit].setdefault(number, told) != told:  # it may come twice, and is the same then
                self.wrong.append(f"{told} was {self.delivered[unit][number]}")
