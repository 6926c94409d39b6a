"""The retained device configs of our scope: replayed, and known to be all or to be cut."""

from __future__ import annotations

import structlog

from gateway.badpaths import BadPaths
from gateway.board import Board
from gateway.broker import Link, Subscription
from gateway.catalog import Catalog
from gateway.sync.replayer import Replayer
from gateway.topics import Topics, path_fault

log = structlog.get_logger()

FEW, SMALL = 100, 64 << 10
"""Configs, and their bytes, that every broker and socket has room for; of more than that it is asked a second time, to be
sure that they are all."""
CURE = "raise the broker's limit of queued messages (mosquitto.conf: max_queued_messages 1000000) and restart it"


class Configs:
    """Which devices have a config on the broker, as far as it is known."""

    def __init__(
        self, topics: Topics, scope: tuple[str, ...], link: Link, replay: Replayer, catalog: Catalog, board: Board
    ) -> None:
        self._topics = topics
        self._scope = scope
        self._link = link
        self._replay = replay
        self._catalog = catalog
        self._board = board
        self._bad_paths = BadPaths(lambda message: board.problem("bad_paths", message))
        self._replayed: set[str] = set()
        self._bytes = 0

    @property
    def known(self) -> list[str]:
        """The devices that the last replay brought, and those that run."""
        return sorted(self._replayed | self._catalog.entries.keys())

    @property
    def lacking(self) -> set[str]:
        """The devices that run and that the last replay did not bring."""
        return self._catalog.entries.keys() - self._replayed

    def heard(self, device: str, payload: bytes) -> bool:
        """A config has come; whether its path can be a device's."""
        if fault := path_fault(device):
            self._bad_paths.heard(device, fault, payload)
            return False
        self._replayed.add(device)
        self._bytes += len(payload)
        return True

    def replay(self) -> bool:
        """Ask for all configs, and for updates from now on; whether all of them came. Raises LinkLost."""
        self._replayed.clear()
        self._bytes = 0
        self._bad_paths.forget()
        filters = self._topics.config_filters(self._scope)
        whole = self._replay.run(Subscription(f, qos=0) for f in filters)
        if whole and (len(self._replayed) > FEW or self._bytes > SMALL):
            whole = self._replay.run((Subscription(f, qos=0) for f in filters), hold=True)
        cut = not whole and self._replay.reads_back  # without its sentinel nothing is known of it, and that is told already
        if cut:
            self._fill()
        self._bad_paths.tell()
        self._link.subscribe(Subscription(f, qos=1, replay=False) for f in filters)
        self._tell(cut)
        return whole

    def _tell(self, cut: bool) -> None:
        known = len(self._replayed)
        told = f"the broker cut the replay of retained configs: {known} devices are known, some may be missing; {CURE}"
        self._board.problem("replay_cut", told if cut else None)
        if cut:
            log.error("the replay of configurations was cut", known=known, cure=CURE)

    def _fill(self) -> None:
        """The replay was cut: ask again by building, and where that is cut too, by device."""
        known = self.known
        buildings = sorted({"/".join(path.split("/")[:2]) for path in known})
        log.warning("the replay of configurations was cut; asking for each building", buildings=len(buildings))
        for building in buildings:
            [wide] = self._topics.config_filters([building + "/#"])
            if not self._replay.run([Subscription(wide, qos=0)], quiet=0):
                devices = sorted(p for p in self._replayed.union(known) if p.startswith(building + "/"))
                self._replay.each([self._topics.device_config(path) for path in devices], qos=0)
            self._link.unsubscribe([wide])
