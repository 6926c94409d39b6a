"""Whose the devices are: their retained statuses, read on each connection and heard from then on."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from gateway.broker import Link, Subscription
from gateway.catalog import Catalog
from gateway.claims import Claims
from gateway.clock import Clock
from gateway.manager import Manager
from gateway.model import Message
from gateway.ownership import RELEASED
from gateway.sync.replayer import Replayer
from gateway.topics import Topics

NEVER = float("inf")


class Owners:
    """Reads and hears statuses of devices in our scope, and has the manager act on them."""

    def __init__(
        self,
        topics: Topics,
        clock: Clock,
        scope: tuple[str, ...],
        link: Link,
        replay: Replayer,
        manager: Manager,
        catalog: Catalog,
        claims: Claims,
    ) -> None:
        self._topics = topics
        self._clock = clock
        self._scope = scope
        self._link = link
        self._replay = replay
        self._manager = manager
        self._catalog = catalog
        self._claims = claims
        self._confirmed: set[str] = set()

    def read(self, paths: Sequence[str]) -> None:
        """Read the statuses in our scope, each of these devices' at least, and hear of them from now on. Raises LinkLost."""
        self._claims.forget_all()
        filters = self._topics.status_filters(self._scope)
        self._replay.run(Subscription(f, qos=0) for f in filters)
        # A device would be taken for free whose status a broker has dropped in the middle: each of these is asked for.
        unnamed = [self._topics.status(path) for path in paths if self._claims.named(path) is None]
        self._replay.each(unnamed, qos=0)
        self._link.unsubscribe(unnamed)
        self._link.subscribe(Subscription(f, replay=False, no_local=True) for f in filters)

    def settle(self, claims: Collection[str]) -> None:
        """Read the statuses of newly claimed devices again: those that name us still are ours to write. Raises LinkLost."""
        self._confirmed.clear()
        if self._replay.reads_back:
            filters = [self._topics.status(path) for path in claims]
            self._replay.each(filters, qos=0)
            self._link.unsubscribe(filters)
        self._manager.settled(claims, self._confirmed if self._replay.reads_back else claims)

    def heard(self, path: str, message: Message, synced: bool) -> None:
        """A status has come; before all is ``synced`` nobody has to act on it yet."""
        if RELEASED in dict(message.user):
            self._claims.released(path)
            self._manager.released(path)
            return
        named = self._claims.heard(path, message)
        entry = self._catalog.entries.get(path)
        if not synced or entry is None:
            return
        if named is None:
            self._manager.free_status(path)
        elif named == self._topics.gateway_id:
            if message.retain:
                self._confirmed.add(path)
        elif entry.ours and self._still_ours(path):
            configured = entry.verdict.gateway if entry.verdict else None
            new = path in self._manager.new_claims
            yields = self._claims.yields(named, configured, entry.adopted_from, message, new)
            self._manager.foreign_status(path, yields, live=not message.retain)
        elif entry.ours is not True:
            self._catalog.mark(entry, self._clock.now())

    def _still_ours(self, path: str) -> bool:
        """Whether a device is ours by its newest config: who stands by an older one is answered for ever."""
        if self._catalog.due.get(path, NEVER) <= self._clock.now():
            self._manager.judge([path])
        return self._catalog.entries[path].ours is True
