"""A lease book in hands that do anything: what must hold whatever is asked, and however the clocks go."""

from __future__ import annotations

import json
from itertools import pairwise
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from gateway.actuator.leases import LeaseBook
from gateway.actuator.model import Change, Kind, Lease, Now, Priority, Reason
from gateway.clock import rfc3339
from gateway.errors import Busy, GatewayError, LeasedByOther, LeaseLost
from tests.actuator.book import BASE

GRACE, LONGEST = 60.0, 3600.0
YEARS = 10 * 365 * 86400.0
DEVICES = ("C/B/d0", "C/B/d1")
OFFSETS = (-30.0, 0.0, 0.5, 30.0, 60.0, 60.5, 600.0, 1800.0)
"""Starts and ends of slots from now: close together, so that many touch or just overlap."""

holders = st.sampled_from(["A", "B"])
devices = st.sampled_from(DEVICES)
task_ids = st.sampled_from([f"Task{n}" for n in range(8)])
priorities = st.sampled_from(["LOW_PREEMPT", "HIGH", "LOW"])
spans = st.tuples(devices, st.integers(0, len(OFFSETS) - 2), st.integers(0, 3))
durations = st.sampled_from([600, 60, 30, 3600, 61, 3601])
steps = st.sampled_from([0.5, 30.0, 60.0, 600.0, 1.0, 3600.0, 0.0])
jumps = st.sampled_from([3600.0, -3600.0, 600.0, -600.0, YEARS, -YEARS])


class LeaseMachine(RuleBasedStateMachine):
    """Anything that may happen to a lease book, and after each of it: what must hold."""

    count = 0
    """The steps of all machines so far."""

    def __init__(self) -> None:
        super().__init__()
        self.wall, self.boot, self.epoch, self.drawn = BASE, 5_000.0, 0, 0
        self.held: set[str] = set()
        self.in_force: dict[str, Lease] = {}
        self.last_fence = dict.fromkeys(DEVICES, 0)
        self.limit: dict[str, float] = {}
        self.started: set[str] = set()
        self.preempted: set[str] = set()
        self.preemptable: set[str] = set()
        self.start_book([])

    def start_book(self, kept: list[dict[str, Any]]) -> None:
        """A new process."""
        self.epoch, self.drawn = self.epoch + 1, 0
        self.book = LeaseBook(GRACE, LONGEST, ("*",), self.next_fence)
        self.book.restore(kept)

    def next_fence(self) -> int:
        """The next of this epoch."""
        self.drawn += 1
        return self.epoch * 2**32 + self.drawn

    @property
    def now(self) -> Now:
        """The moment."""
        return Now(self.wall, self.boot)

    def state(self) -> Any:
        """All that can be seen of the book."""
        return self.book.tasks(self.now), self.book.pending(), [self.book.holder(device, self.now) for device in DEVICES]

    def refused(self, before: Any) -> None:
        """What was refused has changed nothing."""
        assert self.state() == before

    # ---- what people do

    @rule(task_id=task_ids, holder=holders, priority=priorities, rows=st.lists(spans, min_size=1, max_size=2))
    def schedule(self, task_id: str, holder: str, priority: str, rows: list[tuple[str, int, int]]) -> None:
        """Somebody asks for slots around now."""
        before = self.state()
        moments = [rfc3339(self.wall + offset) for offset in OFFSETS]
        requests = [[device, moments[a], moments[min(a + 1 + b, len(OFFSETS) - 1)]] for device, a, b in rows]
        outcome = self.book.request(task_id, holder, priority, requests, self.now)
        if not outcome.ok:
            self.refused(before)
        if outcome.info == "TASK_WERE_PREEMPTED":
            assert priority == "HIGH"

    @rule(task_id=task_ids, holder=holders)
    def cancel(self, task_id: str, holder: str) -> None:
        """Somebody cancels a task, perhaps one of somebody else."""
        before = self.state()
        if self.book.cancel(task_id, holder, self.now).ok:
            assert self.leases_of(task_id) == []
        else:
            self.refused(before)

    def leases_of(self, task_id: str) -> list[Lease]:
        """The leases in force of a task."""
        leases = (self.book.holder(device, self.now) for device in DEVICES)
        return [lease for lease in leases if lease and lease.task_id == task_id]

    @rule(
        holder=holders, wanted=st.sampled_from([DEVICES[:1], DEVICES[1:], DEVICES]), duration=durations, priority=priorities
    )
    def acquire(self, holder: str, wanted: tuple[str, ...], duration: float, priority: str) -> None:
        """Somebody asks for devices from now."""
        before = self.state()
        held_before = {device: self.book.holder(device, self.now) for device in wanted}
        try:
            told = self.book.acquire(holder, wanted, duration, priority, self.now)
        except GatewayError:
            self.refused(before)
            return
        taken = [lease for device in wanted if (lease := held_before[device])]
        assert not taken or priority == "HIGH"
        assert all(lease.priority is Priority.LOW_PREEMPT for lease in taken)
        if told["from"] == rfc3339(self.wall):
            leases = [self.book.holder(device, self.now) for device in wanted]
            assert all(lease and lease.fence == told["fence"] and lease.holder == holder for lease in leases)

    @precondition(lambda self: self.in_force)
    @rule(holder=holders, duration=durations, pick=st.integers(0, 2))
    def renew(self, holder: str, duration: float, pick: int) -> None:
        """Somebody renews a lease in force, perhaps one of somebody else."""
        before = self.state()
        lease = list(self.in_force.values())[pick % len(self.in_force)]
        try:
            self.book.renew(lease.task_id, holder, duration, self.now)
        except GatewayError:
            self.refused(before)
            return
        assert lease.holder == holder
        assert lease.task_id not in self.preempted
        to_come = [slot for task in self.book.pending() for slot in task["slots"]]
        for device, other in self.in_force.items():
            if other.task_id == lease.task_id:
                self.limit[device] = self.boot + duration
                assert all(slot[0] != device or slot[1] >= self.wall + duration for slot in to_come)

    @precondition(lambda self: self.in_force)
    @rule(holder=holders, pick=st.integers(0, 2))
    def release(self, holder: str, pick: int) -> None:
        """Somebody releases a lease in force, perhaps one of somebody else."""
        before = self.state()
        lease = list(self.in_force.values())[pick % len(self.in_force)]
        try:
            self.book.release(lease.task_id, holder, self.now)
        except LeaseLost:
            assert lease.holder != holder
            self.refused(before)
        else:
            assert self.leases_of(lease.task_id) == []

    @rule(device=devices)
    def override(self, device: str) -> None:
        """An override ends the lease of a device; a slot that has waited for that may begin."""
        before = self.fixed(device)
        self.book.end([device], Reason.OVERRIDE, "alice", self.now)
        assert before[0] is None or self.fixed(device)[0] != before[0]

    # ---- what happens

    @rule(seconds=steps)
    def pass_time(self, seconds: float) -> None:
        """Time passes on both clocks; until the time that was told, nothing changes."""
        due = self.book.next_change(self.now)
        self.wall, self.boot = self.wall + seconds, self.boot + seconds
        if self.boot < due - 0.001:
            assert self.book.advance(self.now) == []

    @rule(seconds=jumps)
    def jump(self, seconds: float) -> None:
        """Somebody sets the wall clock, within the years of a calendar: no lease in force ends or lasts by that."""
        if abs(self.wall + seconds - BASE) <= 5 * YEARS:
            before = [self.fixed(device) for device in DEVICES]
            self.wall += seconds
            for device, (fence, ends) in zip(DEVICES, before, strict=True):
                assert fence is None or self.fixed(device) == (fence, ends)

    def fixed(self, device: str) -> tuple[int | None, float]:
        """What no setting of the clock may change of a lease in force: that it is the same, and when it ends."""
        lease = self.book.holder(device, self.now)
        return (lease.fence, lease.ends) if lease else (None, 0.0)

    @rule(device=devices)
    def hold(self, device: str) -> None:
        """A device has something to give back."""
        self.book.hold(device)
        self.held.add(device)

    @rule(device=devices)
    def unhold(self, device: str) -> None:
        """All is given back."""
        self.book.unhold(device)
        self.held.discard(device)

    @rule(away=steps, boots=st.booleans())
    def crash(self, away: float, boots: bool) -> None:
        """The process dies and starts again, or the machine does: leases in force are over, slots to come are kept."""
        kept = json.loads(json.dumps(self.book.pending()))
        self.wall += away
        self.boot = 10.0 if boots else self.boot + away
        for known in (self.in_force, self.limit, self.held, self.started, self.preempted):
            known.clear()
        self.start_book(kept)
        assert self.book.pending() == kept

    # ---- what must hold

    def note(self, change: Change) -> None:
        """A change against what is known: leases of a device follow each other, each ends once, fences grow."""
        if change.kind is Kind.BEGUN:
            lease = change.lease
            assert lease is not None
            assert lease.device not in self.in_force
            assert lease.device not in self.held
            assert lease.fence > self.last_fence[lease.device]
            assert self.boot < lease.ends <= self.boot + LONGEST + 0.001
            assert abs((lease.ends - self.boot) - (lease.until - self.wall)) < 0.001
            self.started.add(lease.task_id)
            self.last_fence[lease.device] = lease.fence
            self.in_force[lease.device] = lease
            self.limit[lease.device] = lease.ends
        elif change.kind is Kind.ENDED:
            assert change.lease is not None
            assert self.in_force.pop(change.lease.device).fence == change.lease.fence
            self.limit.pop(change.lease.device)
        elif change.kind is Kind.LOST and change.reason is Reason.PREEMPTED:
            self.note_preempted(change)

    def note_preempted(self, change: Change) -> None:
        """Only what may be pre-empted is, once; it loses what has not begun, and keeps what it holds for the grace."""
        assert change.task_id not in self.preempted
        self.preempted.add(change.task_id)
        assert change.at <= self.wall + GRACE + 0.001
        assert all(task["task_id"] != change.task_id for task in self.book.pending())
        for device, lease in self.in_force.items():
            if lease.task_id == change.task_id:
                self.limit[device] = min(self.limit[device], self.boot + GRACE)
        assert change.task_id not in self.started or change.task_id in self.preemptable

    @invariant()
    def changes_fit(self) -> None:
        """What is told of leases is what is true of them, and none outlives its end."""
        LeaseMachine.count += 1
        for change in self.book.advance(self.now):
            self.note(change)
        assert self.book.advance(self.now) == []
        for device in DEVICES:
            lease = self.book.holder(device, self.now)
            assert (lease and lease.fence) == (self.in_force[device].fence if device in self.in_force else None)
            assert lease is None or self.boot < lease.ends <= self.limit[device]
        alive = {task["task_id"]: task["priority"] for task in self.book.tasks(self.now)}
        self.started &= alive.keys()
        self.preempted &= alive.keys()
        self.preemptable = {task_id for task_id, priority in alive.items() if priority == "LOW_PREEMPT"}

    @invariant()
    def only_the_holder_writes(self) -> None:
        """A write is let through for the holder, and on a free device where nothing is to be given back."""
        for device in DEVICES:
            lease = self.in_force.get(device)
            for requester in ("A", "B"):
                allowed = lease.holder == requester if lease else device not in self.held
                assert self.may(device, requester, None) == allowed
                if lease:
                    assert self.may(device, requester, lease.fence) == allowed
                    assert not self.may(device, requester, lease.fence - 1)

    def may(self, device: str, requester: str, fence: int | None) -> bool:
        """Whether a write would go out."""
        try:
            self.book.check(device, requester, None, fence, self.now)
        except (LeasedByOther, LeaseLost, Busy):
            return False
        return True

    @invariant()
    def slots_to_come_are_apart(self) -> None:
        """No two slots to come of one device overlap."""
        rows = sorted(row for task in self.book.pending() for row in task["slots"])
        for (device, _, end), (other, start, _) in pairwise(rows):
            assert device != other or end <= start

    def teardown(self) -> None:
        """When time goes on long enough, everything that began has ended, and nothing is left."""
        for device in DEVICES:
            self.book.unhold(device)
        self.held.clear()
        self.wall, self.boot = self.wall + 11 * YEARS, self.boot + 11 * YEARS
        for change in self.book.advance(self.now):
            self.note(change)
        assert self.in_force == {}
        assert self.book.tasks(self.now) == []
