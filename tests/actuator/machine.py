"""The actuator in hands that do anything: what must hold whatever is asked, whatever fails, and however the clocks go."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from gateway.clock import rfc3339
from tests.actuator.plants import PATHS
from tests.actuator.world import Crash, World

YEARS = 10 * 365 * 86400.0
OFFSETS = (-30.0, 0.0, 0.5, 30.0, 60.0, 60.5, 600.0, 1800.0)
"""Starts and ends of slots from now: close together, so that many touch or just overlap."""
MEMORY = Path("/dev/shm")

holders = st.sampled_from(["A", "B"])
paths = st.sampled_from(PATHS)
task_ids = st.sampled_from([f"Task{n}" for n in range(4)])
priorities = st.sampled_from(["LOW_PREEMPT", "HIGH", "LOW"])
spans = st.tuples(paths, st.integers(0, len(OFFSETS) - 2), st.integers(0, 3))
durations = st.sampled_from([60, 600, 5, 30, 3600, 61, 3601])
jumps = st.sampled_from([3600.0, -3600.0, 600.0, -600.0, YEARS, -YEARS])
variants = st.sampled_from(["first", "moved", "other", "less", "strict"])
places = st.sampled_from(["read", "before_wire", "on_wire", "before_journal", "after_journal", "after_wire"])


class OfficeMachine(RuleBasedStateMachine):
    """Anything that may happen to the actuator, and after each of it: what must hold."""

    count = 0
    """The steps of all machines so far."""

    def __init__(self) -> None:
        super().__init__()
        self.directory = Path(tempfile.mkdtemp(dir=MEMORY if MEMORY.is_dir() else None))
        self.world = World(self.directory)
        for path in PATHS:
            self.configure(path, "first", 0.0)

    def ask(self, who: str, method: str, target: str = "", held: bool = False, **arguments: Any) -> None:
        """A request that comes now, and is served now or later."""
        self.world.send(who, method, target, **arguments)
        if not held:
            self.world.live(self.world.serve)

    # ---- what people ask for

    @rule(
        who=holders,
        path=paths,
        names=st.sampled_from(["p", "q", "pq"]),
        value=st.integers(1, 9),
        mended=st.booleans(),
        then=st.sampled_from([1.0, 0.0, -1.0]),
    )
    def work(self, who: str, path: str, names: str, value: int, mended: bool, then: float) -> None:
        """What most people do: a lease, and writes, on a device that is mostly well."""
        if mended:
            self.mend(path)
        self.ask(who, "acquire_lease", path, duration=60)
        for name in names:
            self.ask(who, "set_point", f"{path}/{name}", value=value)
        if then >= 0:
            self.world.live(lambda: self.world.run(then))

    @rule(who=holders, path=paths, variant=variants, delay=st.sampled_from([0.0, 0.5]), value=st.integers(1, 9))
    def update(self, who: str, path: str, variant: str, delay: float, value: int) -> None:
        """Somebody goes on writing while a configuration comes, and after it."""
        self.work(who, path, "p", value, True, 0.0)
        self.configure(path, variant, delay)
        for _ in range(2):
            self.ask(who, "set_point", f"{path}/p", value=value)
            self.world.live(lambda: self.world.run(1.0))

    def mend(self, path: str) -> None:
        """The device is here, answers, and may be written."""
        self.world.plants[f"{path} a"].way = "well"
        if path in self.world.foreign:
            self.world.move(path)
        if path not in self.world.configured:
            self.configure(path, "first", 0.0)
        if self.world.desk.overridden([path]):
            self.ask("chief", "clear_overrides")

    @rule(who=holders, wanted=st.sampled_from([PATHS[:1], PATHS[1:], PATHS]), duration=durations, priority=priorities)
    def acquire(self, who: str, wanted: tuple[str, ...], duration: float, priority: str) -> None:
        """A lease from now."""
        self.ask(who, "acquire_lease", devices=list(wanted), duration=duration, priority=priority)

    @precondition(lambda self: self.world.watch.in_force)
    @rule(who=holders, duration=durations, pick=st.integers(0, 1))
    def renew(self, who: str, duration: float, pick: int) -> None:
        """A later end, or an earlier one, perhaps of somebody else's lease."""
        self.ask(who, "renew_lease", task_id=self.lease(pick).task_id, duration=duration)

    @precondition(lambda self: self.world.watch.in_force)
    @rule(who=holders, pick=st.integers(0, 1), keep=st.booleans(), held=st.booleans())
    def release(self, who: str, pick: int, keep: bool, held: bool) -> None:
        """The end of a lease, perhaps of somebody else's."""
        self.ask(who, "release_lease", held=held, task_id=self.lease(pick).task_id, keep=keep)

    def lease(self, pick: int) -> Any:
        """One of the leases in force."""
        leases = self.world.desk.leases() or [None]
        return leases[pick % len(leases)]

    @rule(task_id=task_ids, who=holders, priority=priorities, rows=st.lists(spans, min_size=1, max_size=2))
    def schedule(self, task_id: str, who: str, priority: str, rows: list[tuple[str, int, int]]) -> None:
        """Slots around now."""
        moments = [rfc3339(self.world.clock.wall() + offset) for offset in OFFSETS]
        requests = [[path, moments[a], moments[min(a + 1 + b, len(OFFSETS) - 1)]] for path, a, b in rows]
        self.ask(who, "request_new_schedule", task_id=task_id, priority=priority, requests=requests)

    @rule(task_id=task_ids, who=holders, keep=st.booleans())
    def cancel(self, task_id: str, who: str, keep: bool) -> None:
        """The end of a task, perhaps of somebody else's."""
        self.ask(who, "request_cancel_schedule", task_id=task_id, keep=keep)

    @rule(
        who=st.sampled_from(["the holder", "A", "B"]),
        path=paths,
        name=st.sampled_from("pq"),
        value=st.integers(1, 9),
        named=st.sampled_from(["nothing", "fence", "old fence"]),
        expiry=st.sampled_from([10, 1, 60]),
        priority=st.sampled_from([None, 8]),
        held=st.booleans(),
    )
    def write(
        self, who: str, path: str, name: str, value: int, named: str, expiry: int, priority: int | None, held: bool
    ) -> None:
        """A write, by whoever it is; it may wait for the dispatcher."""
        if who == "the holder":
            who = next((lease.holder for lease in self.world.desk.leases() if lease.device == path), "A")
        fence = self.world.watch.fences[path] - (named == "old fence")
        arguments = {} if named == "nothing" else {"fence": fence}
        if priority is not None and path == PATHS[1]:
            arguments["priority"] = priority
        self.ask(who, "set_point", f"{path}/{name}", held, value=value, expiry=expiry, **arguments)

    @rule(who=holders, path=paths, name=st.sampled_from("pq"), whole=st.booleans(), abandon=st.booleans())
    def give_back(self, who: str, path: str, name: str, whole: bool, abandon: bool) -> None:
        """A revert by hand, or the end of trying."""
        if not whole:
            self.ask(who, "revert_point", f"{path}/{name}")
            return
        self.ask(who, "revert_device", path, abandon=abandon)

    @precondition(lambda self: self.world.sent)
    @rule(back=st.integers(0, 3))
    def again(self, back: int) -> None:
        """A message comes once more."""
        keys = list(self.world.sent)
        self.world.again(keys[max(0, len(keys) - 1 - back)])
        self.world.live(self.world.serve)

    @rule(pattern=st.sampled_from([*PATHS, "C/*"]), duration=st.sampled_from([5, 60, 0, None]), failsafe=st.booleans())
    def override(self, pattern: str, duration: float | None, failsafe: bool) -> None:
        """Devices are shut off, or open again."""
        if duration is None:
            self.ask("chief", "set_override_off", pattern=pattern)
        else:
            self.ask("chief", "set_override_on", pattern=pattern, duration=duration, failsafe_revert=failsafe)

    # ---- what happens

    @rule()
    def turn(self) -> None:
        """Each thread has a turn."""
        self.world.live(self.world.turn)

    @rule(seconds=st.sampled_from([12.0, 1.0, 0.0, 61.0]))
    def run(self, seconds: float) -> None:
        """Time passes, and all is well done in it."""
        self.world.live(lambda: self.world.run(seconds))

    @rule(seconds=st.sampled_from([0.5, 5.0, 30.0, 60.0, 600.0, 3600.0]))
    def stall(self, seconds: float) -> None:
        """Time passes, and no thread does anything."""
        self.world.clock.advance(seconds)

    @rule(seconds=jumps)
    def jump(self, seconds: float) -> None:
        """Somebody sets the wall clock, within the years of a calendar."""
        self.world.jump(seconds)

    @rule(path=paths, other=st.booleans(), way=st.sampled_from(["well", "dead", "mute"]))
    def fare(self, path: str, other: bool, way: str) -> None:
        """A plant goes away, or comes back."""
        name = f"{path} {'b' if other else 'a'}"
        if name in self.world.plants:
            self.world.plants[name].way = way

    @rule(path=paths, how=st.sampled_from(["reject", "bend", "forget"]))
    def next_write(self, path: str, how: str) -> None:
        """A plant will take the next write in its own way."""
        self.world.plants[f"{path} a"].next = how

    @rule(times=st.sampled_from([0, 1, 2, 5, 30]))
    def fill(self, times: int) -> None:
        """The disk of the journal has no room for what comes next; before a process ends it has found some."""
        self.world.refusals = times

    @rule(path=paths, variant=variants, delay=st.sampled_from([0.0, 1.0, 5.0]))
    def configure(self, path: str, variant: str, delay: float) -> None:
        """A configuration comes, which is in force a little later."""
        self.world.configure(self.world.spec(path, variant), delay)

    @rule(
        path=paths,
        what=st.sampled_from(["remove", "move", "crash", "boot", "restart"]),
        away=st.sampled_from([0.0, 5.0, 600.0]),
    )
    def disaster(self, path: str, what: str, away: float) -> None:
        """A device is removed, goes to another gateway or comes back; the process dies, the machine does, or all stops."""
        match what:
            case "remove":
                self.world.remove(path)
            case "move":
                self.world.move(path)
            case "restart":
                self.world.live(self.world.stop)
                self.world.crash(away)
            case _:
                self.world.crash(away, what == "boot")

    # ---- what happens in the middle of something else

    @rule(place=st.sampled_from(["before_journal", "after_journal", "on_wire", "after_wire", "after_answer"]))
    def crash_at(self, place: str) -> None:
        """The process dies when a thread comes there next."""

        def die() -> None:
            raise Crash

        self.world.ambush = (place, die)

    @rule(
        place=places,
        what=st.sampled_from(["wait", "release", "override", "acquire", "configure", "remove", "move", "other things"]),
        seconds=st.sampled_from([0.0, 1.0, 10.0, 60.0, 600.0]),
        path=paths,
    )
    def meanwhile_at(self, place: str, what: str, seconds: float, path: str) -> None:
        """A thread takes its time there; the others do something, or wait too."""

        def act() -> None:
            self.world.clock.advance(seconds)
            if what != "wait":
                self.meanwhile(what, path)
                self.world.serve()
                self.world.office.clerk._advance()

        self.world.ambush = (place, act)

    def meanwhile(self, what: str, path: str) -> None:
        """What others do."""
        match what:
            case "release":
                for lease in self.world.desk.leases():
                    self.world.send(lease.holder, "release_lease", task_id=lease.task_id)
            case "override":
                self.world.send("chief", "set_override_on", pattern=path, duration=5, failsafe_revert=True)
            case "acquire":
                self.world.send("B", "acquire_lease", devices=[path], duration=60, priority="HIGH")
            case "configure":
                self.configure(path, "moved", 0.0)
            case "remove":
                self.world.remove(path)
            case "move":
                self.world.move(path)

    # ---- what must hold

    @invariant()
    def holds(self) -> None:
        """Leases, fences and debts are as they should be."""
        OfficeMachine.count += 1
        self.world.watch.look()

    def teardown(self) -> None:
        """When all is well for long enough, everything is given back, answered and told."""
        try:
            self.world.settle()
        finally:
            self.world.office.journal.close()
            shutil.rmtree(self.directory)
