"""What is retained in our name and is no more: found on the broker, and cleared."""

from __future__ import annotations

from collections.abc import Callable

import structlog

from gateway.broker import Link, Subscription
from gateway.catalog import Catalog
from gateway.claims import Claims, gateway_in
from gateway.manager import Manager
from gateway.model import Message
from gateway.sync.replayer import Replayer
from gateway.topics import Topics

log = structlog.get_logger()


class Leftovers:
    """``leased`` says which devices somebody holds now."""

    def __init__(
        self,
        topics: Topics,
        scope: tuple[str, ...],
        link: Link,
        replay: Replayer,
        manager: Manager,
        catalog: Catalog,
        claims: Claims,
        leased: Callable[[], set[str]],
    ) -> None:
        self._topics = topics
        self._scope = scope
        self._link = link
        self._replay = replay
        self._manager = manager
        self._catalog = catalog
        self._claims = claims
        self._leased = leased
        self._collected: list[str] | None = None
        self._leases: set[str] = set()

    def heard_below(self, message: Message) -> None:
        """A message below a device."""
        if self._collected is not None and message.retain:
            self._collected.append(message.topic)

    def heard_lease(self, device: str, message: Message) -> None:
        """A message on a lease topic."""
        if message.retain and gateway_in(message.payload) == self._topics.gateway_id:
            self._leases.add(device)

    def clear_devices(self) -> None:
        """Clear what is retained under devices whose status names us and that we do not have. Raises LinkLost."""
        strays = [path for path in self._claims.ours() if path not in self._catalog.entries]
        for path in strays:
            [wide] = self._topics.device_filters([path + "/#"])
            self._collected = []
            self._replay.run([Subscription(wide, qos=0)], quiet=0)
            self._link.unsubscribe([wide])
            self._manager.clear(self._left_of(path, self._collected))
            self._collected = None
            log.info("cleared what was left of a device that is no more", device=path)

    def clear_leases(self) -> None:
        """Clear the retained leases that name us and are no more. Raises LinkLost."""
        filters = self._topics.lease_filters(self._scope)
        self._leases = set()
        self._replay.run((Subscription(f, qos=0) for f in filters), quiet=0)
        self._link.unsubscribe(filters)
        self._manager.clear(self._topics.lease(path) for path in self._leases - self._leased())

    def _left_of(self, path: str, retained: list[str]) -> list[str]:
        """Of the topics retained below a device those that are its own: one below it keeps its status, and so its owner."""
        below = {topic: self._topics.device_path(topic) or "" for topic in retained}
        told = {place.removesuffix("/status") for place in below.values() if place.endswith("/status")}
        others = tuple(other + "/" for other in told | self._catalog.entries.keys() if other.startswith(path + "/"))
        return [topic for topic, place in below.items() if not place.startswith(others)]
