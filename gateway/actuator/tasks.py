"""Tasks and their slots to come, and what may push aside what; pure."""

from __future__ import annotations

import bisect
import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import takewhile
from typing import Any

from gateway.actuator.model import Lease, Priority, Slot
from gateway.values import shown


@dataclass(eq=False)
class Task:
    """What one holder has reserved under one id: slots to come, and leases in force by device.

    ``begins`` is the start of its earliest slot, for good. ``preempted``: by whom and by which task, once it was.
    """

    id: str
    holder: str
    priority: Priority
    begins: float
    started: bool = False
    slots: list[Slot] = field(default_factory=list)
    leases: dict[str, Lease] = field(default_factory=dict)
    preempted: tuple[str, str] | None = None
    shortened: set[str] = field(default_factory=set)
    """The devices whose leases end earlier than they would have, because of that."""

    def yields_to(self, priority: Priority, wall: float) -> bool:
        """Whether a task of that priority pre-empts it now: only HIGH does, and LOW counts as started in its gaps too."""
        running = self.started or wall >= self.begins
        mine = self.priority
        return priority is Priority.HIGH and (mine is Priority.LOW_PREEMPT or (mine is Priority.LOW and not running))

    def kept(self) -> dict[str, Any]:
        """The slots that have not begun, as JSON. A promised fence is left out: after a restart it would be an old one."""
        slots = [[slot.device, slot.start, slot.end] for slot in self.slots]
        head = {"task_id": self.id, "holder": self.holder, "priority": self.priority.value}
        return {**head, "begins": self.begins, "started": self.started, "slots": slots}


def task_from(kept: dict[str, Any]) -> Task:
    """The task of which ``kept`` gave this. Raises ValueError if it is nothing of the kind."""
    try:
        slots = [Slot(str(device), float(start), float(end)) for device, start, end in kept["slots"]]
        ids, priority = (str(kept["task_id"]), str(kept["holder"])), Priority(kept["priority"])
        return Task(*ids, priority, float(kept["begins"]), bool(kept["started"]), slots)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise ValueError(f"{shown(kept)} is no task that was kept") from error


class Plan:
    """The slots to come of all tasks, per device in the order of their starts. No two on one device overlap."""

    def __init__(self) -> None:
        self._by_device: dict[str, list[tuple[Slot, Task]]] = {}
        self._soonest: float | None = None

    def add(self, task: Task) -> None:
        """Take in a task's slots."""
        self._soonest = min([self._first_start(), *(slot.start for slot in task.slots)])
        for slot in task.slots:
            bisect.insort(self._by_device.setdefault(slot.device, []), (slot, task), key=lambda entry: entry[0].start)

    def remove(self, task: Task, slots: Iterable[Slot]) -> None:
        """Take out some slots of a task, which loses them."""
        self._soonest = None
        for slot in tuple(slots):
            entries = self._by_device[slot.device]
            entries.remove((slot, task))
            task.slots.remove(slot)
            if not entries:
                del self._by_device[slot.device]

    def due(self, wall: float) -> list[tuple[Slot, Task]]:
        """The slots whose time has come, or gone, in the order of their starts."""
        if wall < self._first_start():
            return []
        found = (e for entries in self._by_device.values() for e in takewhile(lambda e: e[0].start <= wall, entries))
        return sorted(found, key=lambda entry: entry[0].start)

    def firsts(self) -> Iterator[Slot]:
        """The first slot of each device."""
        return (entries[0][0] for entries in self._by_device.values())

    def meeting(self, device: str, start: float, end: float) -> list[tuple[Slot, Task]]:
        """The slots of a device that overlap [start, end)."""
        return [e for e in self._by_device.get(device, ()) if e[0].start < end and start < e[0].end]

    def _first_start(self) -> float:
        """When the first slot of all begins, remembered: every check of a write asks for it."""
        if self._soonest is None:
            self._soonest = min((slot.start for slot in self.firsts()), default=math.inf)
        return self._soonest
