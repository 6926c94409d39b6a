"""What the demo shows: the newest value of every point."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from rich.table import Column, Table
from rich.text import Text

from gateway.cli.mqttclient import Message
from gateway.payloads import BadPayload, parse, text
from gateway.topics import Topics


@dataclass(frozen=True, slots=True)
class Cell:
    """A point's newest value or error, and when it came (seconds on the clock of the board's user)."""

    text: str
    good: bool
    at: float


@dataclass
class Board:
    """Takes the messages of some devices and draws them."""

    topics: Topics
    devices: tuple[str, ...]
    cells: dict[tuple[str, str], Cell] = field(default_factory=dict)
    units: dict[tuple[str, str], str] = field(default_factory=dict)
    states: dict[str, str] = field(default_factory=dict)

    def filters(self) -> Iterable[str]:
        """What to subscribe."""
        for device in self.devices:
            yield from (self.topics.meta(device), self.topics.status(device), self.topics.all(device))

    def take(self, message: Message, now: float) -> bool:
        """Note what a message says; True if it was a reading."""
        device, _, leaf = (self.topics.device_path(message.topic) or "").rpartition("/")
        try:
            content = parse(text(message.payload))
        except BadPayload:
            content = None
        if device not in self.devices or not isinstance(content, dict):
            return False  # cleared, or somebody else tries things out on this broker
        match leaf:
            case "all":
                self._reading(device, content, now)
            case "meta":
                self._meta(device, content)
            case "status":
                self._status(device, content)
        return leaf == "all"

    def table(self, now: float) -> Table:
        """All points as they are now; without lines, so that 24 rows hold the demo's points and what stands above."""
        value, age = Column("Value", justify="right"), Column("Age", justify="right")
        table = Table("Device", "Point", value, "Units", age, box=None, padding=(0, 2, 0, 0))
        for device in self.devices:
            head = f"{device}  {self.states.get(device, 'waiting')}"
            for point in [name for path, name in self.cells if path == device] or [""]:
                table.add_row(Text(head), *self._row(device, point, now))
                head = ""
        return table

    def _row(self, device: str, point: str, now: float) -> tuple[Text, ...]:
        cell = self.cells.get((device, point))
        if cell is None:
            return ()
        value = Text(cell.text, style="" if cell.good else "red")
        return Text(point), value, Text(self.units.get((device, point), "")), Text(f"{now - cell.at:.1f} s")

    def _reading(self, device: str, reading: dict[str, Any], now: float) -> None:
        for point, value in reading.get("values", {}).items():
            self.cells[device, point] = Cell(_plain(value), True, now)
        for point, error in reading.get("errors", {}).items():
            self.cells[device, point] = Cell(f"{error['code']}: {error['message']}", False, now)

    def _meta(self, device: str, meta: dict[str, Any]) -> None:
        for point, about in meta.get("points", {}).items():
            self.units[device, point] = about.get("units", "")

    def _status(self, device: str, status: dict[str, Any]) -> None:
        reason = status.get("reason") or {}
        faults = (status.get("config") or {}).get("errors") or []
        told = [reason.get("message"), *(f"{fault['where']}: {fault['message']}" for fault in faults[:3])]
        self.states[device] = "\n".join(filter(None, [status.get("state"), *told]))


def _plain(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.3f}"
    return str(value).lower() if isinstance(value, bool) else str(value)
