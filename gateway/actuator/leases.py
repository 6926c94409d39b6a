"""The rules of leases: who holds which device, from when until when; pure, with ``now`` passed in everywhere.

The rules and failure strings are those of VOLTTRON's actuator (services/core/ActuatorAgent, 9.0.4);
docs/reference/leases.md tells them, and where they differ.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from fnmatch import fnmatchcase
from typing import Any

from gateway.actuator.ledger import Conflicts, Ledger, earliest, lease_slot, standing, until
from gateway.actuator.model import Change, Lease, Now, Outcome, Priority, Reason, Slot
from gateway.actuator.requests import (
    Info,
    Refused,
    check_slots,
    check_task_id,
    parse_devices,
    parse_duration,
    parse_priority,
    parse_requests,
)
from gateway.actuator.tasks import Task, task_from
from gateway.clock import rfc3339
from gateway.errors import BadRequest, Busy, LeasedByOther, LeaseLost
from gateway.values import shown

MAX_SLOTS = 2000
"""Slots that one requester may have, in force and to come: every change writes all of them down."""


class LeaseBook:
    """All tasks and leases of a gateway.

    ``grace`` and ``max_lease`` in seconds; ``high``: glob patterns over the requesters that may ask for HIGH; ``fence``
    gives the next fence, which only grows. Every method with ``now`` first lets pass what is due, so that no answer depends
    on when ``advance`` was called last. A refusal changes nothing, also when several devices are asked for.
    """

    def __init__(self, grace: float, max_lease: float, high: Sequence[str], fence: Callable[[], int]) -> None:
        self._max_lease = max_lease
        self._high = tuple(high)
        self._ledger = Ledger(grace, fence)

    # ---- schedules, as VOLTTRON has them

    def request(self, task_id: Any, holder: str, priority: Any, requests: Any, now: Now) -> Outcome:
        """VOLTTRON's ``request_new_schedule``, with its failure strings, and the arguments as they came."""
        self._ledger.settle(now)
        try:
            task = self._asked(task_id, holder, priority, requests, now)
            victims = self._victims(task, now)
        except Refused as refusal:
            return Outcome(False, refusal.info, refusal.data)
        names = [[victim.holder, victim.id] for victim in victims]
        self._ledger.book(task, victims, now)
        return Outcome(True, Info.TASK_WERE_PREEMPTED, names) if names else Outcome(True, "", {})

    def cancel(self, task_id: Any, holder: str, now: Now) -> Outcome:
        """VOLTTRON's ``request_cancel_schedule``: the task's leases end, its slots go."""
        self._ledger.settle(now)
        task = self._ledger.tasks.get(task_id) if isinstance(task_id, str) else None
        if task is None:
            return Outcome(False, Info.TASK_ID_DOES_NOT_EXIST, {})
        if task.holder != holder:
            return Outcome(False, Info.AGENT_ID_TASK_ID_MISMATCH, {})
        if task.leases:
            self._ledger.tell_lost(task, now.wall, Reason.CANCELLED, holder)
        self._ledger.end_task(task, Reason.CANCELLED, now)
        return Outcome(True, "", {})

    # ---- leases from now

    def acquire(self, holder: str, devices: Sequence[str], duration: Any, priority: Any, now: Now) -> dict[str, Any]:
        """A task of one slot from now on each device: ``{task_id, devices, from, until, fence}``.

        What it pre-empts keeps the devices for the grace; ``from`` is then later, and the duration counts from it. Raises
        LeasedByOther, Busy (reverts pending), BadRequest.
        """
        self._ledger.settle(now)
        paths, length = parse_devices(devices), parse_duration(duration, self._max_lease)
        rank = self._rank(holder, priority)
        start = self._free_from(paths, now)
        conflicts = self._ledger.conflicts([Slot(path, now.wall, start + length) for path in paths], now)
        for task, slots in standing(conflicts, rank, now).items():
            raise _leased(slots[0], task)
        self._refuse_held(paths)
        if full := self._full(holder, len(paths)):
            raise Busy(full, reason="too_many_slots", limit=MAX_SLOTS)
        task = self._new(holder, rank, [Slot(path, start, start + length) for path in paths])
        told = _told(task.id, paths, start, start + length, task.slots[0].fence)
        self._ledger.book(task, conflicts, now)
        return told

    def renew(self, task_id: str, holder: str, duration: Any, now: Now) -> dict[str, Any]:
        """Let the task's leases in force end ``duration`` from now; answers like ``acquire``.

        ``fence`` is None if the leases have different ones. Raises LeaseLost, LeasedByOther (the new end meets another
        slot), BadRequest.
        """
        self._ledger.settle(now)
        task, length = self._own(task_id, holder), parse_duration(duration, self._max_lease)
        self._refuse_renewal(task, now.wall, now.wall + length)
        for device, lease in task.leases.items():
            task.leases[device] = replace(lease, until=now.wall + length, ends=now.boot + length)
        fences = {lease.fence for lease in task.leases.values()}
        start = min(lease.start for lease in task.leases.values())
        return _told(task_id, list(task.leases), start, now.wall + length, fences.pop() if len(fences) == 1 else None)

    def release(self, task_id: str, holder: str, now: Now) -> None:
        """End the task: its leases and its slots. Raises LeaseLost if it is not this holder's."""
        self._ledger.settle(now)
        self._ledger.end_task(self._own(task_id, holder), Reason.RELEASED, now)

    # ---- questions

    def check(self, device: str, requester: str, task_id: str | None, fence: int | None, now: Now) -> Lease | None:
        """The lease under which the requester may write now; None: the device is free.

        Raises LeaseLost (the task or fence named is not in force), LeasedByOther, Busy (free, but reverts are pending).
        """
        lease = self.holder(device, now)
        in_force = (None, None) if lease is None else (lease.task_id, lease.fence)
        if task_id not in (None, in_force[0]) or fence not in (None, in_force[1]):
            raise LeaseLost(f"the lease or fence that the request names is not in force on {device}")
        if lease is not None and lease.holder != requester:
            raise _leased(lease_slot(lease, now), self._ledger.in_force[device])
        if lease is None:
            self._refuse_held([device])
        return lease

    def holder(self, device: str, now: Now) -> Lease | None:
        """The lease in force on a device."""
        self._ledger.settle(now)
        task = self._ledger.in_force.get(device)
        return None if task is None else _as_of(task.leases[device], now)

    def leases(self, now: Now) -> list[Lease]:
        """All leases in force."""
        self._ledger.settle(now)
        return [_as_of(task.leases[device], now) for device, task in self._ledger.in_force.items()]

    def devices(self) -> set[str]:
        """Those with a lease in force or a slot to come."""
        return {*self._ledger.in_force, *(slot.device for slot in self._ledger.plan.firsts())}

    def tasks(self, now: Now) -> list[dict[str, Any]]:
        """What ``list_leases`` answers: tasks with their slots, in force or to come."""
        self._ledger.settle(now)
        return [_shown(task, now) for task in self._ledger.tasks.values()]

    # ---- time

    def advance(self, now: Now) -> list[Change]:
        """What has happened up to now and was not told yet, in order, each once. Begins and ends leases that are due."""
        self._ledger.settle(now)
        changes, self._ledger.changes = self._ledger.changes, []
        return changes

    def next_change(self, now: Now) -> float:
        """When ``advance`` will have something to tell, on the boot clock if the wall clock does not jump; inf: never."""
        return self._ledger.next_change(now)

    def hold(self, device: str) -> None:
        """There is something to give back on the device: no further lease begins on it; the one in force runs on.

        Call it before the first leased write leaves, not at the end of the lease: the next slot may begin at that instant.
        """
        self._ledger.held.add(device)

    def unhold(self, device: str) -> None:
        """All is given back: a slot that waits may begin."""
        self._ledger.held.discard(device)

    def drop(self, device: str, by: str, now: Now) -> None:
        """The device is gone: the lease in force on it ends, and its slots to come go. Holders are told."""
        self._ledger.settle(now)
        self._ledger.drop_device(device, by, now)

    def end(self, devices: Iterable[str], reason: Reason, by: str, now: Now) -> None:
        """End the leases in force on these devices; slots to come stay. For a restart: and no slot begins any more."""
        self._ledger.settle(now)
        self._ledger.end_devices(devices, reason, by, now)

    # ---- restart

    def pending(self) -> list[dict[str, Any]]:
        """The tasks with the slots that have not begun, as JSON for the journal.

        Keep it after each change, and before a lease that has begun is told: a slot found there after a crash begins anew.
        """
        return [task.kept() for task in self._ledger.tasks.values() if task.slots]

    def restore(self, tasks: Sequence[dict[str, Any]]) -> None:
        """Take over what ``pending`` gave before a restart, into an empty book. Raises ValueError if it is not that."""
        found = {task.id: task for task in map(task_from, tasks)}
        if len(found) < len(tasks):
            raise ValueError("two of the tasks that were kept have the same id")
        self._ledger.tasks.update(found)
        for task in found.values():
            self._ledger.plan.add(task)

    # ---- inside

    def _asked(self, task_id: Any, holder: str, priority: Any, requests: Any, now: Now) -> Task:
        """The task of a schedule request, checked in the order that VOLTTRON checks in."""
        slots = parse_requests(requests)
        if isinstance(task_id, str) and task_id in self._ledger.tasks:
            raise Refused(Info.TASK_ID_ALREADY_EXISTS)
        for value, info in ((task_id, Info.MISSING_TASK_ID), (priority, Info.MISSING_PRIORITY)):
            if value is None:
                raise Refused(info)
        rank = parse_priority(priority)
        if rank is None:
            raise Refused(Info.INVALID_PRIORITY)
        if not self._may_ask(holder, rank):
            raise Refused(f"{Info.INVALID_PRIORITY}: {_not_high(holder)}")
        if not slots:
            raise Refused(Info.MALFORMED_REQUEST_EMPTY)
        name = check_task_id(task_id)
        check_slots(slots, self._max_lease, now.wall)
        if full := self._full(holder, len(slots)):
            raise Refused(f"{Info.TOO_MANY_SLOTS}: {full}")
        return Task(name, holder, rank, earliest(slots), slots=slots)

    def _victims(self, task: Task, now: Now) -> list[Task]:
        """Those that the new task pre-empts. Raises Refused if one in its way does not yield: then none is pre-empted."""
        conflicts = self._ledger.conflicts(task.slots, now)
        if firm := standing(conflicts, task.priority, now):
            raise Refused(Info.CONFLICTS_WITH_EXISTING_SCHEDULES, _conflict_data(firm))
        return list(conflicts)

    def _rank(self, holder: str, priority: Any) -> Priority:
        rank = parse_priority(priority)
        if rank is None:
            raise BadRequest(f"priority is one of {', '.join(Priority)}, not {shown(priority)}")
        if not self._may_ask(holder, rank):
            raise BadRequest(_not_high(holder))
        return rank

    def _full(self, holder: str, more: int) -> str | None:
        """What to say to a requester who would have too much; None if there is room."""
        have = sum(len(task.slots) + len(task.leases) for task in self._ledger.tasks.values() if task.holder == holder)
        return None if have + more <= MAX_SLOTS else f"{holder} has {have} of at most {MAX_SLOTS} slots, and asks for {more}"

    def _may_ask(self, holder: str, rank: Priority) -> bool:
        return rank is not Priority.HIGH or any(fnmatchcase(holder, pattern) for pattern in self._high)

    def _free_from(self, paths: Iterable[str], now: Now) -> float:
        """When those that would be pre-empted have left the devices (wall clock)."""
        leases = [self._ledger.in_force[path].leases[path] for path in paths if path in self._ledger.in_force]
        return now.wall + max((min(lease.ends - now.boot, self._ledger.grace) for lease in leases), default=0.0)

    def _new(self, holder: str, rank: Priority, slots: list[Slot]) -> Task:
        fence = self._ledger.fence()
        while f"lease-{fence}" in self._ledger.tasks:
            fence = self._ledger.fence()
        return Task(f"lease-{fence}", holder, rank, earliest(slots), slots=[replace(slot, fence=fence) for slot in slots])

    def _own(self, task_id: Any, holder: str) -> Task:
        task = self._ledger.tasks.get(task_id) if isinstance(task_id, str) else None
        if task is None:
            raise LeaseLost(f"there is no task {shown(task_id)}: it has ended, or never was")
        if task.holder != holder:
            raise LeaseLost(f"task {shown(task_id)} is held by {task.holder}, not by {holder}")
        return task

    def _refuse_renewal(self, task: Task, start: float, end: float) -> None:
        if task.preempted:
            raise LeaseLost(f"task {shown(task.id)} was pre-empted by {task.preempted[0]} and can not be renewed")
        if not task.leases:
            raise LeaseLost(f"task {shown(task.id)} has no lease in force: its next slot begins later")
        for device in task.leases:
            for slot, other in self._ledger.plan.meeting(device, start, end):
                raise _leased(slot, other)

    def _refuse_held(self, paths: Iterable[str]) -> None:
        for path in paths:
            if path in self._ledger.held and path not in self._ledger.in_force:
                raise Busy(f"what was written to {path} is being given back: try again", reason="revert_pending")


def _as_of(lease: Lease, now: Now) -> Lease:
    return replace(lease, until=until(lease, now))


def _not_high(holder: str) -> str:
    return f"{holder} may not ask for HIGH (setting actuator.high)"


def _leased(slot: Slot, task: Task) -> LeasedByOther:
    start, end = rfc3339(slot.start), rfc3339(slot.end)
    message = f"{slot.device} is held by {task.holder} with task {shown(task.id)} from {start} until {end}"
    return LeasedByOther(message, **{"task": task.id, "holder": task.holder, "from": start, "until": end})


def _conflict_data(conflicts: Conflicts) -> dict[str, dict[str, list[list[str]]]]:
    data: dict[str, dict[str, list[list[str]]]] = {}
    for task, slots in conflicts.items():
        rows = [[slot.device, rfc3339(slot.start), rfc3339(slot.end)] for slot in dict.fromkeys(slots)]
        data.setdefault(task.holder, {})[task.id] = rows
    return data


def _told(task_id: str, devices: list[str], start: float, end: float, fence: int | None) -> dict[str, Any]:
    return {"task_id": task_id, "devices": devices, "from": rfc3339(start), "until": rfc3339(end), "fence": fence}


def _shown(task: Task, now: Now) -> dict[str, Any]:
    running = [_slot_shown(lease_slot(lease, now), lease.fence) for lease in task.leases.values()]
    slots = [*running, *(_slot_shown(slot, None) for slot in task.slots)]
    return {"task_id": task.id, "holder": task.holder, "priority": task.priority.value, "slots": slots}


def _slot_shown(slot: Slot, fence: int | None) -> dict[str, Any]:
    """A slot for people; the fence, and thereby that it is in force, once it has begun."""
    span = {"device": slot.device, "from": rfc3339(slot.start), "until": rfc3339(slot.end)}
    return {**span, "in_force": fence is not None, "fence": fence}
