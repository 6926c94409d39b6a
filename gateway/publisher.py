"""From the device threads to the links: readings to the data queue, states to the board."""

from __future__ import annotations

from collections.abc import Callable

from gateway.board import Board
from gateway.dataqueue import DataQueue
from gateway.model import DeviceStatus, Learned, Outgoing, Reading
from gateway.readings import Shaper, retained_topics
from gateway.store.device_config import Spec
from gateway.topics import Topics


class Publisher:
    """Called on device threads, each for its own device; never waits."""

    def __init__(self, topics: Topics, data: DataQueue, board: Board, learned: Callable[[Learned], None]) -> None:
        self._topics = topics
        self._data = data
        self._board = board
        self._learned = learned
        self._shapers: dict[str, tuple[Spec, Shaper]] = {}
        self.readings = 0

    def reading(self, spec: Spec, reading: Reading) -> None:
        """A poll brought this: publish it as the device's options say."""
        self._board.reading(spec.path, reading.wall)
        known = self._shapers.get(spec.path)
        if known is None or known[0] is not spec:
            self._clear(known[0] if known else spec, spec)
            known = self._shapers[spec.path] = (spec, Shaper(spec, self._topics))
        messages = known[1].messages(reading)
        if messages:
            self.readings += 1
            self._data.put(messages)

    def _clear(self, before: Spec, now: Spec) -> None:
        """Clear what an earlier specification retained and this one does not: nobody would ever renew it."""
        kept = set(retained_topics(now, self._topics))
        gone = [topic for topic in retained_topics(before, self._topics) if topic not in kept]
        self._data.put(Outgoing(topic, b"", retain=True) for topic in gone)

    def learned(self, spec: Spec, facts: tuple[str, ...]) -> None:
        """The driver knows something new about the device: the manager keeps it."""
        self._learned(Learned(spec.path, spec.fingerprint, facts))

    def ended(self, path: str) -> None:
        """The device is no more."""
        self._shapers.pop(path, None)

    def status(self, path: str, status: DeviceStatus) -> None:
        """The device's state has changed."""
        self._board.status(path, status)
