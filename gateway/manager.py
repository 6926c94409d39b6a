"""Wanted configurations and running devices, kept together: one thread that hears of changes and acts on them.

``coordinator`` is its thread, and ``sync`` what is read on each connection; here is what is done with a configuration.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Collection, Iterable
from dataclasses import replace

import structlog

from gateway.board import Board
from gateway.catalog import Catalog, Entry
from gateway.claims import Claims
from gateway.clock import Clock
from gateway.dataqueue import DataQueue
from gateway.fleet import Fleet
from gateway.lastgood import Disk, LastGood
from gateway.model import Fault, Learned, Outgoing
from gateway.newclaims import NewClaims
from gateway.ownership import HANDED_OVER_WITHIN, SETTLING, Standing
from gateway.queues import ControlQueue
from gateway.readings import retained_topics
from gateway.store.compile import Verdict
from gateway.store.device_config import Spec
from gateway.store.documents import sha256
from gateway.store.state import StoredDevice
from gateway.topics import Topics
from gateway.verdicts import Verdicts

log = structlog.get_logger()

_OWNER = re.compile(rb'"gateway"\s*:\s*"([^"]*)"')


class Manager:
    """Judges configurations and makes the fleet follow them; every method runs on the manager's thread."""

    def __init__(
        self,
        topics: Topics,
        clock: Clock,
        catalog: Catalog,
        claims: Claims,
        fleet: Fleet,
        board: Board,
        control: ControlQueue,
        data: DataQueue,
        disk: Disk,
        stopping: threading.Event,
    ) -> None:
        self._topics = topics
        self._clock = clock
        self._catalog = catalog
        self._claims = claims
        self._fleet = fleet
        self._board = board
        self._control = control
        self._data = data
        self._stopping = stopping
        self._ending: dict[str, Spec] = {}
        self._last_good = LastGood(disk, clock, board.problem)
        self._verdicts = Verdicts(topics, catalog, fleet, board, self._last_good)
        self.new_claims = NewClaims(clock)
        self._concerned: set[str] = set()  # devices whose status says something because of others that were judged
        self.alive: Callable[[], None] = lambda: None
        """Called in long work: the thread lives."""

    # ---- what comes in

    def load(self, in_scope: Callable[[str], bool]) -> None:
        """Read the last good configs from disk; they are used by ``run_stored`` or when a new config is bad."""
        self._last_good.load(in_scope)

    def mend(self) -> None:
        """Try again what the disk has refused."""
        if self._last_good.retry():
            self.run_stored()

    def close(self) -> None:
        """The last thing: let go of the disk."""
        self._last_good.close()

    @property
    def settled_links(self) -> set[str]:
        """Links whose replay is over: what is missing of them is not on the broker. The caller may change it."""
        return self._verdicts.settled_links

    def run_stored(self) -> None:
        """Run what the disk knows and nobody has told us of."""
        now = self._clock.now()
        for path, device in self._last_good.devices.items():
            if path not in self._catalog.entries:
                self._catalog.config(path, device.payload, "disk", now)
                self._catalog.entries[path].documents = device.documents
                if self._claims.named(path) is None and device.owner:
                    self._claims.take(path)

    def orphaned(self, paths: Collection[str]) -> None:
        """The broker does not have the configs of these devices, and has those of all others."""
        for path in [path for path in paths if self._catalog.entries[path].ours is False]:
            self._catalog.remove(path)  # another gateway may run it on; to us it is no device any more
        for entry in self._catalog.entries.values():
            orphan = entry.path in paths
            if entry.orphan != orphan:
                entry.orphan = orphan
                if orphan and (stored := self._last_good.get(entry.path)):
                    entry.documents, entry.stale = stored.documents, True
                self._catalog.mark(entry, self._clock.now())

    def config(self, path: str, payload: bytes) -> None:
        """A device config has come from the broker; an empty one removes the device."""
        if payload:
            now = self._clock.now()
            self._catalog.config(path, payload, "broker", now)
            if path in self._catalog.due and self._names_other(payload):
                self._catalog.due[path] = now  # not taken together with later ones: the new owner begins at once
        elif path in self._catalog.entries:
            self._remove(path)

    def _names_other(self, payload: bytes) -> bool:
        """Whether a config may name another gateway as the owner; only a hint."""
        named = _OWNER.search(payload)
        return named is not None and named[1].decode("utf-8", "replace") != self._topics.gateway_id

    def document(self, link: str, payload: bytes) -> None:
        """A linked document has come from the broker, or is gone."""
        paths = self._catalog.document(link, payload, self._clock.now())
        if paths:
            log.info(
                "a linked document has changed" if payload else "a linked document is gone", link=link, devices=len(paths)
            )

    def ended(self, path: str) -> None:
        """The thread of a device is gone."""
        spec = self._ending.pop(path, None)
        self._fleet.has_ended(path)
        self._board.released(path)
        if spec is not None and path not in self._catalog.entries:
            self._clear(path, spec)

    # ---- judging

    def due(self) -> float:
        """Boot clock time of the next judgement, or infinity."""
        return min(self._catalog.due.values(), default=float("inf"))

    def ready(self) -> list[str]:
        """The devices to be judged now."""
        now = self._clock.now()
        return sorted(path for path, due in self._catalog.due.items() if due <= now)

    def judge(self, paths: Iterable[str]) -> None:
        """Judge these devices and let them run, go on or go."""
        judged = [self._catalog.entries[path] for path in paths if path in self._catalog.entries]
        changed = self._by_links(judged)
        for entry in judged:
            if self._stopping.is_set():
                return
            self.alive()
            self._judge(entry, changed.get(entry.path, 0.0))
        self._last_good.save()
        self._tell_concerned()
        self._tell_owners()
        self._verdicts.orphans()

    def _tell_concerned(self) -> None:
        """Each once, however many of those that were judged concern it: many devices may write the same registers."""
        concerned, self._concerned = self._concerned, set()
        for path in sorted(concerned):
            self.alive()
            self._verdicts.tell_again(path)

    def _by_links(self, entries: list[Entry]) -> dict[str, float]:
        """Running devices whose own document is the same: their reloads are spread over their interval (0 to 1)."""
        same = [
            entry
            for entry in entries
            if (spec := self._fleet.spec(entry.path)) and entry.stale and spec.hash == sha256(entry.payload)
        ]
        return {entry.path: index / len(same) for index, entry in enumerate(same)}

    def _judge(self, entry: Entry, spread: float) -> None:
        now = self._clock.now()
        if b'"gateway"' not in entry.payload and self._claims.standing(entry.path, None) is Standing.OTHER:
            self._catalog.due.pop(entry.path, None)
            self.give_up(entry)
            return
        verdict = self._catalog.judge(entry, now)
        whose = self._claims.standing(entry.path, verdict.gateway)
        if whose is Standing.OTHER:
            self.give_up(entry)
            return
        settle = self._claim(entry, whose, verdict)
        self._act(entry, verdict, settle, now, spread)

    def _claim(self, entry: Entry, whose: Standing, verdict: Verdict) -> float:
        """Make the device ours; the boot clock time before which it is not written.

        A claim is new if nobody had the device, or if another gateway had it, and may not have heard of us yet.
        """
        named = self._claims.named(entry.path)
        free = whose is Standing.FREE and verdict.gateway is None
        if free:
            entry.adopted_from = named
        others = entry.ours is False
        left = self._claims.has_left(entry.path)
        entry.ours = True
        self._board.expect(entry.path)
        self._claims.take(entry.path)
        if free or named not in (None, self._topics.gateway_id):
            taken_over = named is not None or others
            self.new_claims.add(entry.path, taken_over)
            within = SETTLING if named is None else HANDED_OVER_WITHIN  # who is not named has yet to say that it is there
            self._fleet.hold(entry.path, self._clock.now() + within if taken_over and not left else 0.0)
        new = entry.path in self.new_claims
        settle = float("inf") if new else 0.0
        self._board.claim(entry.path, new)
        self._fleet.settle(entry.path, settle)
        return settle

    def settled(self, paths: Iterable[str], still_ours: Collection[str]) -> None:
        """The statuses of these new claims were read again: those that name us still are new no more, and may be written."""
        for path in paths:
            if path not in self.new_claims:
                continue
            if path in still_ours:
                self.new_claims.forget(path)
                self._board.claim(path, False)
                self._fleet.settle(path, 0.0)
            else:
                self.new_claims.again(path)
        self._tell_owners()

    def released(self, path: str) -> None:
        """The gateway that had this device has let go of it: if it is ours, it may be asked now."""
        entry = self._catalog.entries.get(path)
        if entry is not None and entry.ours:
            self._fleet.hold(path, 0.0)

    def contested(self) -> list[str]:
        """Devices that we took for ours, and whose status has come to name another gateway since."""
        ours = (entry.path for entry in self._catalog.entries.values() if entry.ours)
        return [path for path in ours if self._claims.named(path) not in (None, self._topics.gateway_id)]

    def _act(self, entry: Entry, verdict: Verdict, settle: float, now: float, spread: float) -> None:
        spec, errors = verdict.spec, verdict.errors
        if spec is not None and (collision := self._fleet.collision(spec)):
            spec, errors = None, (Fault("path", collision, "another path or point name"),)
        if spec is None:
            if self._fleet.spec(entry.path) is None:
                self._fall_back(entry, errors, settle)
            self._verdicts.tell(entry, verdict, errors, self._fleet.spec(entry.path))
            return
        concerned = self._verdicts.concerned(self._fleet.spec(entry.path))
        spec = replace(spec, learned=self._accept(entry, verdict).learned)
        self._verdicts.tell(entry, verdict, errors, spec)  # first: what the device says is told together with this verdict
        self._fleet.run(spec, settle, now + spread * spec.device.interval)
        self._concerned |= concerned | self._verdicts.concerned(spec)

    def _fall_back(self, entry: Entry, errors: tuple[Fault, ...], settle: float) -> None:
        """The config is bad and nothing runs: run the last good one from disk, if there is one."""
        stored = self._last_good.get(entry.path)
        verdict = self._catalog.compile(entry.path, stored.payload, stored.documents) if stored else None
        if stored and verdict and verdict.spec and not self._fleet.collision(verdict.spec):
            self._fleet.run(replace(verdict.spec, learned=stored.learned), settle, self._clock.now())
            return
        self._fleet.misconfigured(entry.path)

    def _accept(self, entry: Entry, verdict: Verdict) -> StoredDevice:
        """Keep a config, with the documents that it was judged with."""
        at_hand = {**entry.documents, **self._catalog.documents}
        documents = {link: at_hand[link] for link in verdict.links}
        gateway_id, now = self._topics.gateway_id, self._clock.wall()
        return self._last_good.accept(StoredDevice(entry.path, entry.payload, gateway_id, documents, now))

    def learned(self, news: Learned) -> None:
        """A driver has found out something about its device: keep it with the config that it runs on, and tell it."""
        spec, stored = self._fleet.spec(news.path), self._last_good.get(news.path)
        if spec is None or stored is None or spec.fingerprint != news.fingerprint:
            return
        self._last_good.learned(news.path, news.facts)
        self._verdicts.tell_again(news.path)

    # ---- letting go

    def foreign_status(self, path: str, yields: bool, live: bool = True) -> None:
        """Another gateway's status for a device has come: give the device up, or stand by our claim.

        One that is not ``live`` was retained: its gateway may have let go of the device since.
        """
        entry = self._catalog.entries[path]
        if yields:
            log.warning("the device goes to another gateway", device=path, gateway=self._claims.named(path))
            self.give_up(entry)
            self._tell_owners()
        else:
            self._claims.take(path)
            self._board.retell(path)
            if path in self.new_claims:
                self.new_claims.again(path)
            if live and path in self.new_claims.taken_over:
                self._fleet.hold(path, self._clock.now() + HANDED_OVER_WITHIN)  # until the other has let go

    def free_status(self, path: str) -> None:
        """A device's status has been cleared: whoever claims it now has it."""
        entry = self._catalog.entries.get(path)
        if entry is not None:
            self._catalog.mark(entry, self._clock.now())
            self._board.claim(path, True)  # also if it was ours: everyone may claim it now
            self._board.retell(path)

    def give_up(self, entry: Entry) -> None:
        """The device is another gateway's: stop it and say nothing of it."""
        if entry.ours is False:
            return
        entry.ours = False
        self._board.leave(entry.path)
        self._fleet.give_up(entry.path, abandon=entry.path in self.new_claims)
        if self._fleet.running(entry.path) is None:
            self._board.released(entry.path)
        self.new_claims.forget(entry.path)
        self._last_good.forget(entry.path)

    def _remove(self, path: str) -> None:
        """The config is gone: stop the device and clear what is retained of it."""
        entry = self._catalog.remove(path)
        assert entry is not None
        spec = self._fleet.spec(path)
        ours = entry.ours
        log.info("device is removed", device=path)
        self.new_claims.forget(path)
        self._board.forget(path)
        self._tell_owners()  # first: what we once wrote to another gateway's device is ours to give back from now on
        if self._fleet.stop(path) and spec is not None and ours:
            self._ending[path] = spec
        elif ours:
            self._clear(path, None)
        self._last_good.forget(path)
        self._verdicts.orphans()

    def _clear(self, path: str, spec: Spec | None) -> None:
        """Clear every retained topic of a device that is gone."""
        self.clear([self._topics.status(path), self._topics.meta(path)])
        self._claims.forget(path)
        if spec is not None:
            self._data.put(Outgoing(topic, b"", retain=True) for topic in retained_topics(spec, self._topics))

    def clear(self, topics: Iterable[str]) -> None:
        """Clear retained topics on the broker."""
        for topic in topics:
            self._control.put(Outgoing(topic, b"", retain=True))

    def _tell_owners(self) -> None:
        foreign = sorted(path for path, entry in self._catalog.entries.items() if entry.ours is False)
        self._fleet.foreign([*foreign, *self.new_claims.taken_over])  # silent until those that had them must have heard
        self._board.owned_by_other(foreign)
