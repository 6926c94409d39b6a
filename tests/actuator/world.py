"""A gateway's whole actuator without threads: dispatcher, rules, journal on disk, devices; and a clock that a test moves.

What is checked here is checked at the moment at which a frame leaves for a device: nothing is a matter of when one looks.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from gateway.actuator.audit import AuditEvent
from gateway.actuator.journal import JournalError
from gateway.actuator.mender import EVERY
from gateway.actuator.notices import Notices
from gateway.actuator.office import Office
from gateway.addressing import Addressing
from gateway.board import Board
from gateway.device import Device
from gateway.fleet import Fleet
from gateway.interfaces.base import Environment
from gateway.model import Message, Outgoing
from gateway.payloads import dump, parse
from gateway.rpc import Rpc
from gateway.rpc.calls import deadline
from gateway.rpc.duplicates import Duplicates
from gateway.rpc.rate import Rate
from gateway.settings import Actuator
from gateway.store.device_config import Spec
from gateway.topics import Topics
from tests.actuator.plants import PATHS, Plant, spec_of
from tests.actuator.watch import LONGEST, PATIENCE, Watch
from tests.fakes import FakeClock, RecordingOutlet

GRACE = 60.0
SILENT = ("timeout", "busy", "unavailable", "overridden", "leased_by_other", "lease_lost", "device_offline", "bad_value")
"""Answers that say that nothing has reached the device."""


class Crash(BaseException):
    """The process is gone."""


@dataclass
class Sent:
    """A request, each time that it is sent: ``frames`` it caused by point, ``answers`` it had."""

    message: Message
    deadline: float
    path: str
    taken: float | None = None
    crashed: bool = False
    jumped: bool = False
    foreign: bool = False
    frames: Counter[str] = field(default_factory=Counter)


class Ears(Notices):
    """Hears the events of the audit log, and who is told to hold what."""

    world: World

    def event(self, event: AuditEvent, payload: bytes) -> None:
        """Keep it."""
        self.world.events.append(event)


class World:
    """Two devices, their plants, and one gateway process after another on the same state directory."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.clock = FakeClock(now=5_000.0)
        self.plants: dict[str, Plant] = {}
        self.watch = Watch(self)
        self.configured: dict[str, Spec] = {}
        self.foreign: set[str] = set()
        self.sent: dict[bytes, list[Sent]] = {}
        self.answers: dict[bytes, list[Outgoing]] = {}
        self.events: list[AuditEvent] = []
        self.told: dict[str, bytes] = {}
        self.ambush: tuple[str, Callable[[], None]] | None = None
        self.disturbed = False
        self.refusals = 0
        self.has_refused = False
        self.start()

    # ---- processes

    def start(self) -> None:
        """A new process takes over what the one before has left."""
        clock, topics = self.clock, Topics("edge-1")
        env = Environment(clock)
        self.fleet = Fleet(env, RecordingOutlet(), lambda path: self.fleet.has_ended(path))
        self.board = Board(topics, clock, lambda _: None, "i", ("#",))
        notices = Ears(topics, self.heard, self.heard)
        notices.world = self
        names = Addressing("edge-1", self.fleet, lambda path: True)
        rules = Actuator(preempt_grace=GRACE, max_lease=LONGEST)
        self.office = Office(rules, "edge-1", env, self.directory, None, self.fleet, self.board, notices, names, self.at)
        self.desk = self.office.desk
        self.office.journal._file.transaction = self._unless_full(self.office.journal._file.transaction)
        self.desk.reverts._compiled = lambda path, payload, documents: self.spec(*payload.decode().rsplit(maxsplit=1))
        duplicates = Duplicates(clock, self.office.journal, lambda _: None)
        methods = self.office.table()
        rate = Rate(1e9, 10**9)
        self.office.refusals._each = self.office.refusals._all = rate
        refusals = self.office.refusals
        self.rpc = Rpc(
            topics, clock, self.heard, methods, False, duplicates, rate, refusals, names.concerns, fault_point=self.at
        )
        self.desk.open()
        duplicates.load()
        self.fleet.foreign(self.foreign)
        for spec in self.configured.values():
            if spec.path not in self.foreign:
                self.fleet.run(spec, 0.0, clock.now())
        self.office.places.known()
        self.told = {
            path: told for path, told in self.told.items() if path in self.office.leased()
        }  # as the coordinator does
        self.rpc.serve()

    def crash(self, away: float = 0.0, boots: bool = False) -> None:
        """The process is gone without a word, and another begins; ``boots``: on a machine that has booted anew."""
        self.ambush = None
        self.find_room()
        self.office.journal.close()
        before = self.clock.now()
        self.clock.advance(away)
        if boots:
            self.clock._now = 10.0
        for sent in self.requests():
            sent.crashed = True
            sent.deadline += self.clock.now() - (before + away)
        self.watch.in_force.clear()
        self.start()

    def _unless_full(self, transaction: Callable[[], Any]) -> Callable[[], Any]:
        def checked() -> Any:
            if self.refusals:
                self.refusals, self.has_refused = self.refusals - 1, True
                raise JournalError("no room")
            return transaction()

        return checked

    def find_room(self) -> None:
        """The disk takes all again, and knows what it has refused: what it never knew, no later process can know."""
        self.refusals = 0
        if self.has_refused:
            self.has_refused = False
            self.clock.advance(EVERY)
            self.office.clerk._mender.work()
            self.rpc._duplicates.commit()

    def live(self, act: Callable[[], object]) -> None:
        """Let something happen; where it ends in a crash, the next process begins."""
        try:
            act()
        except Crash:
            self.crash()

    def at(self, place: str) -> None:
        """Something has come this far: whatever waits for it there happens now."""
        if self.ambush is not None and self.ambush[0] == place:
            (_, act), self.ambush, self.disturbed = self.ambush, None, True
            act()

    # ---- requests

    def requests(self) -> Iterator[Sent]:
        """All that were sent."""
        return (each for found in self.sent.values() for each in found)

    def send(self, who: str, method: str, target: str = "", expiry: int = 10, **arguments: Any) -> bytes:
        """A new request; its id."""
        key = b"%d" % len(self.sent)
        topic = "/".join(filter(None, ("rpc", who, method, target)))
        path = next((path for path in PATHS if target.startswith(path)), "")
        self._offer(key, Message(topic, dump(arguments), received=self.clock.now(), correlation=key, expiry=expiry), path)
        return key

    def again(self, key: bytes) -> None:
        """The same request once more."""
        first = self.sent[key][0]
        self._offer(key, replace(first.message, received=self.clock.now()), first.path)

    def _offer(self, key: bytes, message: Message, path: str) -> None:
        sent = Sent(message, deadline(message), path, foreign=path in self.foreign)
        self.sent.setdefault(key, []).append(sent)
        self.rpc.offer(message)

    def serve(self) -> None:
        """The dispatcher takes what waits."""
        for sent in self.requests():
            if sent.taken is None and not sent.crashed:
                sent.taken = self.clock.now()
        self.rpc._take(*self.rpc._inbox.take(0.0))
        self.rpc._expire()
        self.office.refusals.flush()

    def heard(self, message: Outgoing) -> None:
        """Something goes out to clients."""
        if message.correlation is not None:
            self._answered(message.correlation, message)
        elif message.topic.startswith("actuator" + "/leases/"):
            self.told[message.topic.split("/", 2)[2]] = message.payload

    def _answered(self, key: bytes, answer: Outgoing) -> None:
        before = self.answers.setdefault(key, [])
        before.append(answer)
        code, frames = dict(answer.user)["status"], sum(sum(sent.frames.values()) for sent in self.sent[key])
        if code == "ok" and "duplicate" not in dict(answer.user):
            self.watch.let_go(self.sent[key][0].message, parse(answer.payload.decode())["result"])
        if code == "unavailable":
            self.watch.let_go_perhaps(self.sent[key][0].message)
        if "duplicate" in dict(answer.user):
            crashed = any(sent.crashed for sent in self.sent[key])
            firsts = [old.payload for old in before[:-1]]
            assert crashed or answer.payload in firsts or code == "outcome_unknown"
        elif "/set_point/" in self.sent[key][0].message.topic and code in SILENT:
            assert not self.sent[key][-1].frames, f"{code} although it was sent"
        elif "/set_point/" in self.sent[key][0].message.topic and code == "ok":
            assert frames, "ok although nothing was sent"

    # ---- devices

    def spec(self, path: str, variant: str) -> Spec:
        """One of the configurations of a device."""
        name = f"{path} {'b' if variant == 'other' else 'a'}"
        plant = self.plants.setdefault(name, Plant(name, self.at, self.watch.frame))
        return spec_of(plant, path, variant)

    # ---- threads

    def turn(self) -> float:
        """Each thread has one turn; the boot clock time when one of them has something to do again."""
        self.serve()
        due = self.office.clerk._advance()
        self.office.clerk._mender.work()
        if self.desk.records.troubled or self.desk.reverts.behind:
            due = min(due, self.clock.now() + EVERY)
        self.office.collectors.sweep()
        for thread in [*self.fleet._threads.values(), *(thread for _, thread in self.office.collectors._running)]:
            due = min(due, self.step(thread))
        self.office.clerk._advance()
        self.watch.all_due()
        return due

    def step(self, thread: Any) -> float:
        """One turn of a device's thread."""
        device: Device = thread.device
        if not device.over:
            return min(device.step(), device._wake())
        device.finish()
        thread.end()
        return self.clock.now()

    def run(self, seconds: float) -> None:
        """Time passes, and every thread does what is due when it is due."""
        until, payable, self.disturbed = self.clock.now() + seconds, self.watch.payable(), False
        while True:
            due = self.turn()
            now = self.clock.now()
            if due > now:
                if now >= until:
                    break
                self.clock.advance(max(0.001, min(due, until) - now))
        still = payable.items() & self.watch.payable().items()
        assert seconds < PATIENCE or self.disturbed or not still, f"not given back: {still}"

    # ---- what happens from outside

    def jump(self, seconds: float) -> None:
        """Somebody sets the wall clock."""
        if abs(self.clock.wall() + seconds - FakeClock().wall()) > 5 * 3650 * 86400:
            return
        before = {lease.device: (lease.fence, lease.ends) for lease in self.desk.leases()}
        self.clock.set_wall(self.clock.wall() + seconds)
        after = {lease.device: (lease.fence, lease.ends) for lease in self.desk.leases()}
        assert before.items() <= after.items(), "a lease was changed by setting the clock"
        for sent in self.requests():
            sent.jumped = True

    def configure(self, spec: Spec, delay: float) -> None:
        """A configuration is accepted, and in force after the delay."""
        self.configured[spec.path] = spec
        if spec.path not in self.foreign:
            self.fleet.run(spec, 0.0, self.clock.now() + delay)

    def remove(self, path: str) -> None:
        """A device is removed."""
        if self.configured.pop(path, None):
            self.foreign.discard(path)
            self.fleet.foreign(self.foreign)
            self.fleet.stop(path)
            assert not any(slot["device"] == path for task in self.desk.tasks() for slot in task["slots"]), (
                "a slot without device"
            )

    def move(self, path: str) -> None:
        """A device goes to another gateway, or comes back."""
        if path in self.foreign:
            self.foreign.discard(path)
            self.fleet.foreign(self.foreign)
            if path in self.configured:
                self.fleet.run(self.configured[path], 0.0, self.clock.now())
        elif path in self.configured:
            for sent in self.requests():
                sent.foreign = sent.foreign or path in sent.path or not sent.path
            self.foreign.add(path)
            self.fleet.give_up(path, abandon=False)

    def stop(self) -> None:
        """The gateway stops, with a second for what is to be given back."""
        self.ambush = None
        self.rpc.refuse_all()
        self.office.close()
        for thread in list(self.fleet._threads.values()):
            thread.stop(drain_until=self.clock.now() + 1.0)
        self.fleet._stopped = True
        self.run(1.5)
        self.serve()

    # ---- what must hold

    def settle(self) -> None:
        """All is well, and after a while nothing is left: each request has its answer and its event."""
        self.ambush = None
        self.find_room()
        for plant in self.plants.values():
            plant.way, plant.next = "well", ""
        for path in list(self.foreign):
            self.move(path)
        self.clock.set_wall(FakeClock().wall() + 20 * 3650 * 86400)
        self.send("chief", "clear_overrides")
        self.turn()
        self.clock.advance(2 * LONGEST)
        self.run(30.0)
        self.serve()
        assert self.watch.debts == {}, self.watch.debts
        assert self.office.journal.open_writes() == []
        assert self.desk.leases() == self.desk.tasks() == []
        assert not any(self.told.values())
        for key, found in self.sent.items():
            self._settled(key, found)

    def _settled(self, key: bytes, found: list[Sent]) -> None:
        answers, events = self.answers.get(key, []), [event for event in self.events if event.id == key.decode()]
        lost = any(sent.crashed or sent.foreign for sent in found)
        assert len(answers) == len(found) or (lost and len(answers) < len(found)), "an answer too few, or too many"
        method, firsts = found[0].message.topic.split("/")[2], [a for a in answers if "duplicate" not in dict(a.user)]
        wanted = len(firsts) if method == "set_point" else sum(map(_is_refusal, firsts))
        if method not in ("revert_point", "revert_device"):
            assert len(events) == wanted or (lost and len(events) <= wanted), (
                f"{found[0].message}: {wanted} events expected, not {events}"
            )


def _is_refusal(answer: Outgoing) -> bool:
    return dict(answer.user)["status"] != "ok" or b'"result":"FAILURE"' in answer.payload
