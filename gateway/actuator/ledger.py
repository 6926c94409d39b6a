"""The tasks of a gateway as time passes: which slots begin, which leases end, what is told of it; pure."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

from gateway.actuator.model import Change, Kind, Lease, Now, Priority, Reason, Slot
from gateway.actuator.tasks import Plan, Task

JUMP = 1.0
"""Seconds by which the wall clock must be off what was expected to count as set anew."""

Conflicts = dict[Task, list[Slot]]


class Ledger:
    """The tasks, the leases in force by device, and the changes not told yet; ``LeaseBook`` decides what gets in."""

    def __init__(self, grace: float, fence: Callable[[], int]) -> None:
        self.grace = grace
        self.fence = fence
        self.tasks: dict[str, Task] = {}
        self.plan = Plan()
        self.in_force: dict[str, Task] = {}
        self.held: set[str] = set()
        self.changes: list[Change] = []
        self.closed = False
        self._fences: dict[str, int] = {}

    def settle(self, now: Now) -> None:
        """Let pass what is due: leases end by the boot clock, then slots begin by the wall clock on free devices."""
        over = [
            (task.leases[device], task) for device, task in self.in_force.items() if task.leases[device].ends <= now.boot
        ]
        for lease, task in sorted(over, key=lambda entry: entry[0].ends):
            self._run_out(task, lease, now)
        drawn: dict[Task, int] = {}
        for slot, task in self.plan.due(now.wall):
            if slot.end <= now.wall:
                self._miss(task, slot, now)
            elif not self.closed and slot.device not in self.in_force and slot.device not in self.held:
                self._begin(task, slot, drawn, now)

    def next_change(self, now: Now) -> float:
        """When ``settle`` will change something, on the boot clock, if the wall clock does not jump; inf: never."""
        if self.changes:
            return now.boot
        ends = (task.leases[device].ends for device, task in self.in_force.items())
        return min([*ends, *(self._wakes(slot, now) for slot in self.plan.firsts())], default=math.inf)

    def conflicts(self, slots: Iterable[Slot], now: Now) -> Conflicts:
        """The leases in force and slots to come that overlap these slots, by task."""
        found: Conflicts = {}
        for slot in slots:
            holder = self.in_force.get(slot.device)
            if holder is not None and slot.start < until(holder.leases[slot.device], now):
                found.setdefault(holder, []).append(lease_slot(holder.leases[slot.device], now))
            for other, task in self.plan.meeting(slot.device, slot.start, slot.end):
                found.setdefault(task, []).append(other)
        return found

    def book(self, task: Task, victims: Iterable[Task], now: Now) -> None:
        """Push the victims aside and take the task in; what is due begins."""
        for victim in victims:
            self._preempt(victim, task, now)
        self.tasks[task.id] = task
        self.plan.add(task)
        self.settle(now)

    def end_task(self, task: Task, reason: Reason, now: Now) -> None:
        """End all that a task has, by its holder's wish."""
        self.plan.remove(task, task.slots)
        for device in tuple(task.leases):
            self._finish(task, device, reason, task.holder, now.wall)
        self._tidy(task)
        self.settle(now)

    def end_devices(self, devices: Iterable[str], reason: Reason, by: str, now: Now) -> None:
        """End the leases in force on some devices, whoever holds them.

        Holders are told, unless it is for a restart: then no slot begins any more, so that those to come are still there
        after it.
        """
        self.closed = self.closed or reason is Reason.RESTART
        hit = {device: self.in_force[device] for device in devices if device in self.in_force}
        for task in dict.fromkeys(hit.values()) if reason is not Reason.RESTART else ():
            self.tell_lost(task, now.wall, reason, by)
        for device, task in hit.items():
            self._finish(task, device, reason, by, now.wall)
            self._tidy(task)
        self.settle(now)

    def drop_device(self, device: str, by: str, now: Now) -> None:
        """End the lease in force on a device and take out the slots to come; their holders are told, each task once."""
        lost: dict[Task, list[Slot]] = {self.in_force[device]: []} if device in self.in_force else {}
        for slot, task in self.plan.meeting(device, -math.inf, math.inf):
            lost.setdefault(task, []).append(slot)
        for task, slots in lost.items():
            self.tell_lost(task, now.wall, Reason.CANCELLED, by)
            if device in task.leases:
                self._finish(task, device, Reason.CANCELLED, by, now.wall)
            self.plan.remove(task, slots)
            for slot in slots:
                self.changes.append(Change(Kind.MISSED, task.id, task.holder, now.wall, Reason.CANCELLED, by, slot=slot))
            self._tidy(task)

    def tell_lost(self, task: Task, at: float, reason: Reason, by: str, by_task: str = "") -> None:
        """Have the holder told that it loses leases early."""
        self.changes.append(Change(Kind.LOST, task.id, task.holder, at, reason, by, by_task))

    def _preempt(self, victim: Task, by: Task, now: Now) -> None:
        """A task loses its slots to come at once, and its leases after the grace. Told once: a second time takes no more."""
        self.plan.remove(victim, victim.slots)
        for device, lease in victim.leases.items():
            if now.boot + self.grace < lease.ends:
                shorter = replace(lease, ends=now.boot + self.grace, until=now.wall + self.grace)
                victim.leases[device] = shorter
                victim.shortened.add(device)
        if victim.preempted is None:
            victim.preempted = (by.holder, by.id)
            at = max((until(lease, now) for lease in victim.leases.values()), default=now.wall)
            self.tell_lost(victim, at, Reason.PREEMPTED, by.holder, by.id)
        self._tidy(victim)

    def _run_out(self, task: Task, lease: Lease, now: Now) -> None:
        at = min(until(lease, now), now.wall)
        if task.preempted is not None and lease.device in task.shortened:
            self._finish(task, lease.device, Reason.PREEMPTED, task.preempted[0], at, task.preempted[1])
        else:
            self._finish(task, lease.device, Reason.TIME, "", at)
        self._tidy(task)

    def _begin(self, task: Task, slot: Slot, drawn: dict[Task, int], now: Now) -> None:
        """A slot becomes a lease. Slots of one task that begin together have one fence, and a promised one is kept."""
        fence = slot.fence
        if fence <= self._fences.get(slot.device, 0):
            fence = drawn[task] if task in drawn else self.fence()
            drawn[task] = fence
        self._fences[slot.device] = fence
        ends = now.boot + (slot.end - now.wall)
        lease = Lease(task.id, task.holder, task.priority, slot.device, slot.start, slot.end, ends, fence)
        self.plan.remove(task, [slot])
        task.started = True
        task.leases[slot.device] = lease
        self.in_force[slot.device] = task
        self.changes.append(Change(Kind.BEGUN, task.id, task.holder, now.wall, lease=lease))

    def _miss(self, task: Task, slot: Slot, now: Now) -> None:
        self.plan.remove(task, [slot])
        self.changes.append(Change(Kind.MISSED, task.id, task.holder, now.wall, slot=slot))
        self._tidy(task)

    def _finish(self, task: Task, device: str, reason: Reason, by: str, at: float, by_task: str = "") -> None:
        lease = task.leases.pop(device)
        del self.in_force[device]
        self.changes.append(Change(Kind.ENDED, task.id, task.holder, at, reason, by, by_task, lease))

    def _tidy(self, task: Task) -> None:
        """A task with nothing left is forgotten: its id may be used again."""
        if not task.slots and not task.leases:
            self.tasks.pop(task.id, None)

    def _wakes(self, slot: Slot, now: Now) -> float:
        """When something happens to the first slot of a device: it begins, or waits until it is over."""
        if slot.start > now.wall:
            return now.boot + (slot.start - now.wall)
        waits = slot.end > now.wall and (self.closed or slot.device in self.in_force or slot.device in self.held)
        return now.boot + (slot.end - now.wall if waits else 0.0)


def until(lease: Lease, now: Now) -> float:
    """When a lease ends by the wall clock as it goes now: another time than was told if the clock was set since."""
    expected = now.wall + (lease.ends - now.boot)
    return lease.until if abs(expected - lease.until) < JUMP else expected


def lease_slot(lease: Lease, now: Now) -> Slot:
    """A lease in force as a slot, for telling."""
    return Slot(lease.device, lease.start, until(lease, now))


def standing(conflicts: Conflicts, priority: Priority, now: Now) -> Conflicts:
    """Those of the conflicts that a task of that priority can not push aside."""
    return {task: slots for task, slots in conflicts.items() if not task.yields_to(priority, now.wall)}


def earliest(slots: Sequence[Slot]) -> float:
    """The start of the first of some slots."""
    return min(slot.start for slot in slots)
