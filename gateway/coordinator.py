"""The manager's thread: it hears from the links and the devices, and has the order on each connection walked.

Before the control link may connect, our own retained status is read by the data link: another process that has our id and
began later displaces us. What follows is in ``sync.order``.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable

import structlog

from gateway.board import Board
from gateway.broker import Link
from gateway.catalog import Catalog
from gateway.claims import Claims
from gateway.clock import Clock
from gateway.inbox import Inbox
from gateway.manager import Manager
from gateway.model import Connected, Disconnected, Event, Learned, Message
from gateway.sync.configs import Configs
from gateway.sync.identity import Identity
from gateway.sync.leftovers import Leftovers
from gateway.sync.linked import Linked
from gateway.sync.order import NEVER, Doors, Order
from gateway.sync.owners import Owners
from gateway.sync.replayer import LinkLost, Replayer
from gateway.topics import Topics, matches, path_fault
from gateway.vitals import Vitals
from gateway.worker import Worker

log = structlog.get_logger()

BOOT_WITHOUT_BROKER = 2.0
"""Seconds after which devices run from disk when no replay has come."""
STATS_INTERVAL = 10.0
LONGEST_PAUSE = 1.0
LEAVE = 15.0
"""Seconds in which the devices and links of a process that is displaced end."""


class Coordinator:
    """One thread; ``hear`` may be called from any other and never waits. ``leased`` is for ``sync.leftovers``."""

    def __init__(
        self,
        topics: Topics,
        clock: Clock,
        scope: tuple[str, ...],
        ours: tuple[str, str],
        control: Link,
        data: Link,
        manager: Manager,
        catalog: Catalog,
        claims: Claims,
        board: Board,
        doors: Doors,
        leased: Callable[[], set[str]],
        tell_stats: Callable[[], None],
        stopping: threading.Event,
    ) -> None:
        self._topics = topics
        self._clock = clock
        self._scope = scope
        self._control = control
        self._data = data
        self._manager = manager
        self._board = board
        self._doors = doors
        self._tell_stats = tell_stats
        self._inbox: Inbox[Event | Learned | str] = Inbox()
        self._events: deque[tuple[str, Event | Learned | str]] = deque()
        instance, sentinel = ours[1], topics.sentinel()
        data_replay = Replayer(data, sentinel, self._pump, clock, f"{instance}-d")
        self._replay = replay = Replayer(control, sentinel, self._pump, clock, f"{instance}-c")
        self._identity = Identity(topics, clock, data_replay, ours, board, self._displace)
        self._configs = Configs(topics, scope, control, replay, catalog, board)
        self._owners = Owners(topics, clock, scope, control, replay, manager, catalog, claims)
        self._linked = Linked(topics, clock, control, replay, manager, catalog, board)
        self._leftovers = Leftovers(topics, scope, control, replay, manager, catalog, claims, leased)
        parts = self._configs, self._owners, self._linked, self._leftovers
        self._order = Order(topics, clock, scope, control, *parts, manager, catalog, board, doors)
        self._worker = Worker(
            "manager", self._turn, stopping.is_set, begin=self._begin, finish=manager.close, failed=self._failed
        )
        manager.alive = self._alive
        self._boot_at = NEVER
        self._refused: tuple[str, ...] = ()
        self._check_due = False
        self._walk_due = False
        self._next_stats = 0.0

    # ---- from other threads

    @property
    def name(self) -> str:
        """The thread's name."""
        return self._worker.name

    def start(self, vitals: Vitals) -> None:
        """Begin."""
        self._worker.start(vitals)

    def join(self, timeout: float) -> bool:
        """Wait for the end, after ``stopping`` is set and ``wake`` called; whether it came."""
        return self._worker.join(timeout)

    def wake(self) -> None:
        """Look at ``stopping`` now."""
        self._inbox.put("wake", "")

    def hear(self, sender: str, event: Event | Learned | str) -> None:
        """An event of the ``control`` or ``data`` link, what a ``device`` learned, or the path of one that has ``ended``."""
        self._inbox.put(sender, event)

    def let_in(self) -> bool:
        """Whether the control link may make one attempt."""
        return self._identity.let_in()

    # ---- the loop

    def _begin(self) -> None:
        self._boot_at = self._clock.now() + BOOT_WITHOUT_BROKER
        self._manager.load(self._in_scope)

    def _failed(self) -> None:
        self._board.problem("internal", "the manager failed; the gateway's log says more")

    def _alive(self, seconds: float = 0.0) -> None:
        """The thread lives, and will say so again after that time at the latest."""
        self._worker.pulse.due = self._clock.now() + seconds

    def _turn(self) -> None:
        try:
            self._work()
            self._pump(self._pause())
        except LinkLost:
            log.info("the connection was lost while it was being set up")

    def _pause(self) -> float:
        soonest = min(self._order.due(), self._next_stats, self._boot_due())
        return max(0.0, min(soonest - self._clock.now(), LONGEST_PAUSE))

    def _work(self) -> None:
        if self._check_due and self._data.connected and not self._order.over:
            self._check()
        if self._walk_due and self._control.connected and not self._order.over:
            self._walk()
        self._order.work()
        self._tell_refusals()

    def _check(self) -> None:
        """Who else has our id; after a failure it is still to be done."""
        self._check_due = False
        try:
            self._replay.reads_back = self._identity.check()
        except Exception:
            self._check_due = True
            raise

    def _walk(self) -> None:
        """The order on a connection; one that failed in the middle begins anew, or requests would be held for ever."""
        self._walk_due = False
        try:
            self._order.walk()
        except Exception:
            self._order.lost()
            self._walk_due = True
            raise

    def _tell_refusals(self) -> None:
        """Subscriptions that the broker refuses are told; what belongs to them does not come to us."""
        refused = (*self._data.refused_filters, *self._control.refused_filters)
        if refused != self._refused:
            self._refused = refused
            more = f" and {len(refused) - 5} more" if len(refused) > 5 else ""
            told = f"the broker refuses subscriptions, see its ACL: {', '.join(refused[:5])}{more}"
            self._board.problem("subscription_refused", told if refused else None)

    def _pump(self, timeout: float) -> bool:
        """Handle what has come in, waiting up to ``timeout`` seconds for it; whether a message was among it."""
        heard = False
        self._alive(timeout)
        self._events.extend(self._inbox.take(0.0 if self._events else timeout))
        while self._events:  # if one fails, the others are there for the next turn
            heard = self._handle(*self._events.popleft()) or heard
        now = self._clock.now()
        if now >= self._boot_due() and not self._control.connected:  # connected, the order counts
            self._order.boot()
        if now >= self._next_stats:
            self._next_stats = now + STATS_INTERVAL
            self._tell_stats()
        return heard

    def _boot_due(self) -> float:
        """When devices run without a broker's replay; not while it is open whether they are another process's."""
        return NEVER if self._order.booted else max(self._boot_at, self._identity.doubt_ends)

    def _handle(self, sender: str, event: Event | Learned | str) -> bool:
        match sender, event:
            case "data", Connected():
                self._check_due = not self._control.connected
                if self._order.synced:
                    self._doors.open_data()
            case "control", Connected():
                self._walk_due = True
            case "control", Disconnected():
                self._gone()
            case "data", Message():
                self._identity.heard(event)
                return True
            case "control", Message():
                self._message(event)
                return True
            case "device", Learned():
                self._manager.learned(event)
            case "ended", str():
                self._manager.ended(event)
        return False

    def _displace(self) -> None:
        """Another process has our id."""
        self._alive(LEAVE)
        self._order.end()

    def _gone(self) -> None:
        """The control link is down; before it may come back, we look who else is there."""
        self._identity.shut()
        self._walk_due, self._check_due = False, True
        self._order.lost()

    # ---- messages on the control link

    def _in_scope(self, path: str) -> bool:
        return any(matches(entry, path) for entry in self._scope)

    def _message(self, message: Message) -> None:
        if message.topic == self._topics.sentinel():
            self._replay.heard(message)
            self._identity.asked(message)
        elif (path := self._topics.config_path(message.topic)) is not None:
            self._config_message(path, message)
        elif (leased := self._topics.leased_device(message.topic)) is not None:
            self._leftovers.heard_lease(leased, message)
        elif (below := self._topics.device_path(message.topic)) is not None:
            self._leftovers.heard_below(message)
            path, _, leaf = below.rpartition("/")
            if leaf == "status" and not path_fault(path) and self._in_scope(path):
                self._owners.heard(path, message, self._order.synced)

    def _config_message(self, path: str, message: Message) -> None:
        device = self._topics.configured_device(path)
        if device is None:
            self._linked.heard(path, message.payload)
        elif self._in_scope(device) and self._configs.heard(device, message.payload):
            self._manager.config(device, message.payload)
