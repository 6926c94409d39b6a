"""The documents that configs link to: asked for one by one, as they are needed."""

from __future__ import annotations

from collections.abc import Iterable

from gateway.board import Board
from gateway.broker import Link, Subscription
from gateway.catalog import Catalog
from gateway.clock import Clock
from gateway.manager import Manager
from gateway.sync.configs import CURE
from gateway.sync.replayer import Replayer
from gateway.topics import Topics


class Linked:
    """Which documents are subscribed; what has come of them is in the catalog."""

    def __init__(
        self, topics: Topics, clock: Clock, link: Link, replay: Replayer, manager: Manager, catalog: Catalog, board: Board
    ) -> None:
        self._topics = topics
        self._clock = clock
        self._link = link
        self._replay = replay
        self._manager = manager
        self._catalog = catalog
        self._board = board
        self._asked: set[str] = set()
        self._came: set[str] = set()

    def begin(self) -> None:
        """A new connection: ask for what is linked to. Raises LinkLost."""
        self._manager.settled_links.clear()
        self._asked.clear()
        self._ask(self._catalog.linked())

    def fetch(self, paths: list[str]) -> None:
        """Ask for what the configs of these devices link to, also by way of other documents. Raises LinkLost."""
        links = self._catalog.links(paths) - self._manager.settled_links
        while links and self._link.connected:
            self._ask(links)
            links = self._catalog.links(paths) - self._manager.settled_links

    def heard(self, path: str, payload: bytes) -> None:
        """A document has come, or is gone."""
        if path in self._asked:
            self._came.add(path)
            self._manager.document(path, payload)
        elif payload:
            self._catalog.variants.add(path)

    def tidy(self, paths: Iterable[str]) -> None:
        """These devices are judged: let go of what nobody links to, and look for what is missing. Raises LinkLost."""
        missing = {
            link for path in paths if (e := self._catalog.entries.get(path)) and e.verdict for link in e.verdict.missing
        }
        self._drop_unused()
        self._look_for_variants(missing)

    def _ask(self, links: set[str]) -> None:
        """Ask for documents; when the replay is over, what did not come is not on the broker."""
        if not links:
            return
        self._asked |= links
        came_before = self._catalog.documents.keys() & links
        self._came = set()
        whole = self._replay.each([self._topics.document(link) for link in sorted(links)], qos=1)
        self._manager.settled_links.update(links)
        if whole:
            for link in came_before - self._came:
                self._manager.document(link, b"")
        elif self._replay.reads_back:
            self._board.problem("replay_cut", f"the broker cut the replay of linked documents; {CURE}")

    def _drop_unused(self) -> None:
        unused = self._asked - self._catalog.linked()
        if unused:
            self._asked -= unused
            self._manager.settled_links.difference_update(unused)
            self._catalog.drop(unused)
            self._link.unsubscribe(self._topics.document(link) for link in unused)

    def _look_for_variants(self, missing: set[str]) -> None:
        """For links that lead nowhere, look for a document whose path differs only in case: the fault names it."""
        levels = {link.count("/") + 1 for link in missing} & {1, 2, 3}
        wanted = [self._topics.document("/".join("+" * n)) for n in sorted(levels)]
        if not wanted or not self._link.connected:
            return
        before = set(self._catalog.variants)
        self._replay.run((Subscription(f, qos=0) for f in wanted), quiet=0)
        self._link.unsubscribe(wanted)
        folded = {path.casefold() for path in self._catalog.variants - before}
        for entry in self._catalog.entries.values():
            if entry.verdict and any(link.casefold() in folded for link in entry.verdict.missing):
                entry.stale = True
                self._catalog.mark(entry, self._clock.now())
