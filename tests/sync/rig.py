"""A broker in memory, and a manager's thread without a thread."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterable
from typing import Any

from gateway.board import Board
from gateway.broker import Subscription
from gateway.catalog import Catalog
from gateway.claims import Claims
from gateway.coordinator import Coordinator
from gateway.dataqueue import DataQueue
from gateway.fleet import Fleet
from gateway.interfaces.base import Environment
from gateway.manager import Manager
from gateway.model import Connected, Disconnected, Message, Outgoing
from gateway.queues import ControlQueue
from gateway.sync.order import Doors
from gateway.topics import Topics, matches
from tests.fakes import FakeClock, RecordingOutlet
from tests.test_manager import Disk

OURS = ("2026-11-26T10:00:00.000000Z", "i-1")
NEWER = {"state": "online", "instance": "i-2", "started": "2099-11-26T11:00:00.000000Z"}


class FakeBroker:
    """Keeps retained messages, and sends them to who subscribes; ``cuts`` are the filters whose replay it cuts silently."""

    def __init__(self, **retained: Any) -> None:
        self.retained: dict[str, bytes] = {}
        self.cuts: set[str] = set()
        self.reads_back = True
        self.has_room = True
        """Whether it has room for all when nobody reads."""
        self.answer: Message | None = None
        """What another process with our id says live when it hears our sentinel."""

    def put(self, topic: str, payload: Any) -> None:
        """Retain a message; text, bytes or JSON."""
        self.retained[topic] = payload if isinstance(payload, bytes) else json.dumps(payload).encode()


class FakeLink:
    """A connection to it: what comes in goes to the coordinator."""

    def __init__(self, broker: FakeBroker, sender: str, sentinel: str) -> None:
        self.broker = broker
        self.sender = sender
        self.sentinel = sentinel
        self.connected = False
        self.refused_filters: tuple[str, ...] = ()
        self.coordinator: Coordinator
        self.filters: list[str] = []
        self.log: list[str] = []

    def subscribe(self, subscriptions: Iterable[Subscription], then: Outgoing | None = None, hold: bool = False) -> None:
        """Replay what is retained, and the message that is published to the sentinel."""
        wanted = list(subscriptions)
        self.filters += [s.filter for s in wanted if s.filter not in self.filters]
        names = [s.filter for s in wanted if s.replay]
        self.log += [name for name in names if name != self.sentinel]
        for topic, payload in self.broker.retained.items():
            if any(matches(name, topic) for name in names):
                self.hear(Message(topic, payload, retain=True))
        cut = self.broker.cuts.intersection(names) or (hold and not self.broker.has_room)
        if then is not None and self.broker.reads_back and not cut:
            self.hear(Message(then.topic, then.payload))
        if then is not None and self.broker.answer:
            self.hear(self.broker.answer)

    def unsubscribe(self, filters: Iterable[str]) -> None:
        """Hear no more of these."""
        gone = set(filters)
        self.filters = [name for name in self.filters if name not in gone]

    def hear(self, message: Message) -> None:
        """A message comes in."""
        self.coordinator.hear(self.sender, message)


class Rig:
    """The coordinator of gateway ``edge-1``; ``turn`` lets its loop go round until there is nothing to do."""

    def __init__(self, env: Environment, clock: FakeClock, broker: FakeBroker) -> None:
        topics = self.topics = Topics("edge-1")
        self.clock = clock
        self.broker = broker
        self.control = FakeLink(broker, "control", topics.sentinel())
        self.data = FakeLink(broker, "data", topics.sentinel())
        self.queue = ControlQueue(clock)
        self.board = Board(topics, clock, self.queue.put, OURS[1], ("#",))
        self.catalog, self.claims = Catalog(env, None), Claims("edge-1", [])
        self.fleet = Fleet(env, RecordingOutlet(), lambda path: None)
        self.disk = Disk()
        self.doors: list[str] = []
        self.broken: set[str] = set()
        """Doors that fail the next time."""
        self.leased: set[str] = set()
        parts = (
            self.catalog,
            self.claims,
            self.fleet,
            self.board,
            self.queue,
            DataQueue(clock),
            self.disk,
            threading.Event(),
        )
        self.manager = Manager(topics, clock, *parts)
        doors = Doors(*(self._door(name) for name in ("hold", "serve", "open_data", "online", "leave")))
        self.coordinator = Coordinator(
            topics,
            clock,
            ("#",),
            OURS,
            self.control,  # type: ignore[arg-type]
            self.data,  # type: ignore[arg-type]
            self.manager,
            self.catalog,
            self.claims,
            self.board,
            doors,
            lambda: self.leased,
            lambda: None,
            threading.Event(),
        )
        self.control.coordinator = self.data.coordinator = self.coordinator
        self.coordinator._boot_at = clock.now() + 2
        self.coordinator._inbox.take = self._take  # type: ignore[method-assign]
        self._really_take = type(self.coordinator._inbox).take

    def _door(self, name: str) -> Any:
        def act() -> None:
            if name in self.broken:
                self.broken.remove(name)
                raise RuntimeError(name)
            self.doors.append(name)

        return act

    def _take(self, timeout: float) -> list[Any]:
        """What has come; if nothing has, the time that it would be waited for passes."""
        events = self._really_take(self.coordinator._inbox, 0.0)
        if not events:
            self.clock.advance(timeout)
        return events

    def turn(self, times: int = 20) -> None:
        """Let the loop go round."""
        for _ in range(times):
            self.coordinator._turn()

    def connect(self) -> None:
        """Both links come up, the control link when it is let in."""
        self.data.connected = True
        self.coordinator.hear("data", Connected())
        self.turn(2)
        if self.coordinator.let_in():
            self.control.connected = True
            self.coordinator.hear("control", Connected())
            self.turn()

    def lose(self) -> None:
        """The control link goes down."""
        self.control.connected = False
        self.coordinator.hear("control", Disconnected("gone"))

    def sent(self) -> dict[str, Any]:
        """What was published on the control link: topic -> value, None where it was cleared."""
        return {m.topic: json.loads(m.payload) if m.payload else None for m in iter(self.queue.pop, None)}

    def problems(self) -> dict[str, str]:
        """What the operator is told."""
        return dict(self.board._problems)
