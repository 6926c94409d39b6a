"""The order on each connection.

1. Ask for requests (they wait), say that we are online, replay the configurations, read whose the devices are.
2. Judge what has changed, start and stop devices.
3. Serve requests, publish all that is retained, clear what names us and is no more.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from gateway.board import Board
from gateway.broker import Link, Subscription
from gateway.catalog import Catalog
from gateway.clock import Clock
from gateway.manager import Manager
from gateway.sync.configs import Configs
from gateway.sync.leftovers import Leftovers
from gateway.sync.linked import Linked
from gateway.sync.owners import Owners
from gateway.topics import Topics

RESYNC = 3600.0
"""Seconds between replays while the connection stands; after one that was cut, ``RESYNC_CUT``."""
RESYNC_CUT = 300.0
NEVER = float("inf")


@dataclass(frozen=True, slots=True)
class Doors:
    """What is shut while it is not known which devices are ours.

    ``online`` tells the actuator that this is known now; ``leave`` is for a process that is displaced.
    """

    hold_requests: Callable[[], None]
    serve_requests: Callable[[], None]
    open_data: Callable[[], None]
    online: Callable[[], None]
    leave: Callable[[], None]


class Order:
    """Walks it, on the manager's thread.

    ``synced`` says that it is walked, ``booted`` that devices run at all, ``over`` that we are displaced and do nothing.
    """

    def __init__(
        self,
        topics: Topics,
        clock: Clock,
        scope: tuple[str, ...],
        link: Link,
        configs: Configs,
        owners: Owners,
        linked: Linked,
        leftovers: Leftovers,
        manager: Manager,
        catalog: Catalog,
        board: Board,
        doors: Doors,
    ) -> None:
        self._topics = topics
        self._clock = clock
        self._scope = scope
        self._link = link
        self._configs = configs
        self._owners = owners
        self._linked = linked
        self._leftovers = leftovers
        self._manager = manager
        self._catalog = catalog
        self._board = board
        self._doors = doors
        self._next_replay = NEVER
        self.synced = False
        self.booted = False
        self.over = False

    def due(self) -> float:
        """Boot clock time of the next thing to do, or infinity."""
        if self.over:
            return NEVER
        settling = self._manager.new_claims.next() if self.synced else NEVER
        return min(self._manager.due(), settling, self._next_replay)

    def work(self) -> None:
        """Do what is due. Raises LinkLost."""
        if self.synced and self._clock.now() >= self._next_replay:
            self._next_replay = self._clock.now() + RESYNC_CUT  # should this one fail in the middle
            self._orphans(self._replay())
        if self.synced and (claims := self._manager.new_claims.due()):
            self._owners.settle(claims)
        if self.booted and not self.over:
            self._manager.mend()
            self._judge(self._manager.ready())

    def boot(self) -> None:
        """No replay has come in time: run what the disk knows."""
        self.booted = True
        if not self.synced and not self.over:
            self._manager.run_stored()
            self._judge(self._manager.ready())
            self._doors.online()

    def lost(self) -> None:
        """The link is down."""
        self.synced, self._next_replay = False, NEVER
        self._board.close()
        self._doors.hold_requests()

    def end(self) -> None:
        """We are displaced: nothing is ours to do any more."""
        self.over = True
        self.lost()
        self._doors.leave()

    def walk(self) -> None:
        """The link is up. Raises LinkLost."""
        self._link.subscribe(Subscription(f, qos=2, as_published=True) for f in self._topics.request_filters(self._scope))
        self._board.tell_gateway(early=True)
        whole = self._replay()
        self._owners.read(self._configs.known)
        self._linked.begin()
        self.booted = True
        self._manager.run_stored()
        self._orphans(whole)
        self._judge_all()
        self.synced = True
        self._open(whole)

    def _judge_all(self) -> None:
        now = self._clock.now()
        for entry in self._catalog.entries.values():
            self._catalog.due[entry.path] = now
        self._judge(self._manager.ready())
        while contested := self._manager.contested():
            self._judge(contested)

    def _open(self, whole: bool) -> None:
        self._board.open()
        self._manager.new_claims.published()
        self._leftovers.clear_leases()
        self._doors.online()
        self._doors.serve_requests()
        self._doors.open_data()
        if whole:
            self._leftovers.clear_devices()

    def _replay(self) -> bool:
        """Replay the configs, and do so again later in case a live update is lost; whether all came."""
        whole = self._configs.replay()
        self._next_replay = self._clock.now() + (RESYNC if whole else RESYNC_CUT)
        return whole

    def _orphans(self, whole: bool) -> None:
        """Devices that a whole replay lacks run on, told as orphans."""
        self._manager.orphaned(self._configs.lacking if whole else ())

    def _judge(self, paths: list[str]) -> None:
        """Fetch what these devices link to, then judge them."""
        self._linked.fetch(paths)
        if paths:
            self._manager.judge(paths)
        self._linked.tidy(paths)
