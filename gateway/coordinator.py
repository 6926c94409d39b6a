"""The manager's thread: it hears from the links and devices, and walks the order on each connection.

1. Before the control link may connect: read our own retained status by the data link. Another process that has our id and
   began later displaces us. (The control link has the Will: connecting it would end the other's.)
2. Ask for requests (they wait), say that we are online, replay the configurations, read whose the devices are.
3. Judge what has changed, start and stop devices.
4. Serve requests, publish all that is retained, clear what names us and is no more.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any, Protocol

import orjson
import structlog

from gateway.badpaths import BadPaths
from gateway.board import Board
from gateway.broker import Link, Subscription
from gateway.catalog import Catalog
from gateway.claims import Claims
from gateway.clock import Clock
from gateway.inbox import Inbox
from gateway.manager import Manager
from gateway.model import Connected, Disconnected, Event, Learned, Message
from gateway.ownership import displaced
from gateway.sync import LinkLost, Replayer
from gateway.topics import Topics, matches, path_fault

log = structlog.get_logger()

BOOT_WITHOUT_BROKER = 2.0
"""Seconds after which devices run from disk when no replay has come."""
RESYNC = 3600.0
"""Seconds between replays while the connection stands; after one that was cut, ``RESYNC_CUT``."""
RESYNC_CUT = 300.0
STATS_INTERVAL = 10.0
CURE = "raise the broker's limit of queued messages (mosquitto.conf: max_queued_messages 1000000) and restart it"


class Leases(Protocol):
    """What the actuator has to do with the broker."""

    def online(self) -> None:
        """It is known which devices are ours, and what is published goes out."""
        ...

    def leased(self) -> set[str]:
        """The devices that somebody holds."""
        ...


class Coordinator:
    """One thread; ``hear`` may be called from any other and never waits."""

    def __init__(
        self,
        topics: Topics,
        clock: Clock,
        scope: tuple[str, ...],
        identity: tuple[str, str],
        control: Link,
        data: Link,
        open_data: Callable[[], None],
        manager: Manager,
        catalog: Catalog,
        claims: Claims,
        board: Board,
        hold_requests: Callable[[], None],
        serve_requests: Callable[[], None],
        actuator: Leases,
        tell_stats: Callable[[], None],
        leave: Callable[[], None],
        stopping: threading.Event,
    ) -> None:
        self._topics = topics
        self._clock = clock
        self._scope = scope
        self._identity = identity
        self._control = control
        self._data = data
        self._manager = manager
        self._catalog = catalog
        self._claims = claims
        self._board = board
        self._bad_paths = BadPaths(lambda message: board.problem("bad_paths", message))
        self._open_data = open_data
        self._hold_requests = hold_requests
        self._serve_requests = serve_requests
        self._actuator = actuator
        self._tell_stats = tell_stats
        self._leave = leave
        self._stopping = stopping
        self._inbox: Inbox[Event | Learned | str] = Inbox()
        instance, sentinel = identity[1], topics.sentinel()
        self._control_replay = Replayer(control, sentinel, self._pump, clock, f"{instance}-c")
        self._data_replay = Replayer(data, sentinel, self._pump, clock, f"{instance}-d")
        self._thread = threading.Thread(target=self._run, name="manager", daemon=True)
        self.displaced = False
        self._gate = False
        self._checking = False
        self._check_due = False
        self._sync_due = False
        self._synced = False
        self._booted = False
        self._replayed: set[str] = set()
        self._asked: set[str] = set()
        self._came: set[str] = set()
        self._confirmed: set[str] = set()
        self._reads_back = False
        self._collected: list[str] | None = None
        self._leases_seen: dict[str, bool] = {}
        self._seen: dict[str, Any] = {}
        self._next_stats = 0.0
        self._next_sync = float("inf")

    # ---- from other threads

    @property
    def name(self) -> str:
        """The thread's name."""
        return self._thread.name

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def join(self, timeout: float) -> bool:
        """Wait for the end, after ``stopping`` is set and ``wake`` called; whether it came."""
        self._thread.join(timeout)
        return not self._thread.is_alive()

    def wake(self) -> None:
        """Look at ``stopping`` now."""
        self._inbox.put("wake", "")

    def hear(self, sender: str, event: Event | Learned | str) -> None:
        """An event of the ``control`` or ``data`` link, what a ``device`` learned, or the path of one that has ``ended``."""
        self._inbox.put(sender, event)

    def let_in(self) -> bool:
        """Whether the control link may make one attempt: we have just seen that nobody newer has our id."""
        allowed, self._gate = self._gate, False
        return allowed

    # ---- the loop

    def _run(self) -> None:
        self._boot_at = self._clock.now() + BOOT_WITHOUT_BROKER
        self._manager.load(self._in_scope)
        while not self._stopping.is_set():
            try:
                self._work()
                self._pump(self._pause())
            except LinkLost:
                log.info("the connection was lost while it was being set up")
            except Exception:
                log.exception("the manager failed; it goes on")
                self._board.problem("internal", "the manager failed; the gateway's log says more")
        self._manager.close()

    def _pause(self) -> float:
        settling = self._manager.next_settling() if self._synced else float("inf")
        soonest = min(
            self._manager.due(), settling, self._next_stats, self._next_sync, float("inf") if self._booted else self._boot_at
        )
        return max(0.0, min(soonest - self._clock.now(), 1.0))

    def _work(self) -> None:
        if self._check_due and self._data.connected and not self.displaced:
            self._check_due = False
            self._check_identity()
        if self._sync_due and self._control.connected and not self.displaced:
            self._sync_due = False
            self._sync()
        if self._clock.now() >= self._next_sync and self._synced:
            self._resync()
        if self._synced and (claims := self._manager.settling()):
            self._read_again(claims)
        if (self._booted or self._synced) and not self.displaced:
            self._judge(self._manager.ready())

    def _pump(self, timeout: float) -> bool:
        """Handle what has come in, waiting up to ``timeout`` seconds for it; whether a message was among it."""
        heard = False
        for sender, event in self._inbox.take(timeout):
            heard = self._handle(sender, event) or heard
        now = self._clock.now()
        if not self._booted and now >= self._boot_at and not self._control.connected:  # connected, the order below counts
            self._boot()
        if now >= self._next_stats:
            self._next_stats = now + STATS_INTERVAL
            self._tell_stats()
        return heard

    def _handle(self, sender: str, event: Event | Learned | str) -> bool:
        match sender, event:
            case "data", Connected():
                self._check_due = not self._control.connected
                if self._synced:
                    self._open_data()
            case "control", Connected():
                self._sync_due = True
            case "control", Disconnected():
                self._gone()
            case "data", Message():
                self._identity_message(event)
                return True
            case "control", Message():
                self._message(event)
                return True
            case "device", Learned():
                self._manager.learned(event)
            case "ended", str():
                self._manager.ended(event)
        return False

    def _gone(self) -> None:
        """The control link is down; before it may come back, we look who else is there."""
        self._gate = self._synced = self._sync_due = False
        self._check_due = True
        self._next_sync = float("inf")
        self._board.close()
        self._hold_requests()

    def _boot(self) -> None:
        self._booted = True
        if not self._synced and not self.displaced:
            self._manager.run_stored()
            self._judge(self._manager.ready())
            self._actuator.online()

    # ---- one process per id

    def _check_identity(self) -> None:
        """Read our own status on the broker, and go on only if nobody newer has our id."""
        status = Subscription(self._topics.gateway_status(), qos=0)
        self._seen, self._checking = {}, True
        whole = self._data_replay.run([status], quiet=0)
        self._checking = False
        self._reads_back = whole
        self._board.problem("no_sentinel", None if whole else _no_sentinel(self._topics.sentinel()))
        if displaced(self._identity, self._seen):
            self._displace()
        else:
            self._gate = True

    def _identity_message(self, message: Message) -> None:
        if message.topic == self._topics.sentinel():
            self._data_replay.heard(message)
        elif message.topic == self._topics.gateway_status():
            self._seen = _object(message.payload)
            if not self._checking and not self.displaced and displaced(self._identity, self._seen):
                self._displace()

    def _displace(self) -> None:
        log.error("displaced: another process with this gateway id began later; this one goes idle", other=self._seen)
        self._gate, self.displaced, self._synced = False, True, False
        self._board.displaced()
        self._hold_requests()
        self._leave()

    # ---- the order on a connection

    def _sync(self) -> None:
        self._control.subscribe(Subscription(f, qos=2, as_published=True) for f in self._topics.request_filters(self._scope))
        self._board.tell_gateway(early=True)
        whole = self._replay_configs()
        self._read_owners()
        self._manager.settled_links.clear()
        self._asked.clear()
        self._subscribe_links(self._catalog.linked())
        self._booted = True
        self._manager.run_stored()
        self._orphans(whole)
        now = self._clock.now()
        for entry in self._catalog.entries.values():
            self._catalog.due[entry.path] = now
        self._judge(self._manager.ready())
        while contested := self._manager.contested():
            self._judge(contested)
        self._synced = True
        self._board.open()
        self._manager.published()
        self._clear_leases()
        self._actuator.online()
        self._serve_requests()
        self._open_data()
        if whole:
            self._clear_strays()

    def _resync(self) -> None:
        """Replay the configurations again on a standing connection, in case a live update was lost."""
        self._next_sync = float("inf")
        self._orphans(self._replay_configs())

    def _judge(self, paths: list[str]) -> None:
        """Fetch what these devices link to, then judge them."""
        links = self._catalog.links(paths) - self._manager.settled_links
        while links and self._control.connected:
            self._subscribe_links(links)
            links = self._catalog.links(paths) - self._manager.settled_links
        if paths:
            self._manager.judge(paths)
        missing = {
            link for path in paths if (e := self._catalog.entries.get(path)) and e.verdict for link in e.verdict.missing
        }
        self._drop_unused_links()
        self._look_for_variants(missing)

    def _replay_configs(self) -> bool:
        """Replay the device configs in our scope; whether all of them came."""
        self._replayed.clear()
        self._bad_paths.forget()
        filters = self._topics.config_filters(self._scope)
        whole = self._control_replay.run(Subscription(f, qos=0) for f in filters)
        cut = not whole and self._reads_back  # without its sentinel nothing is known of a replay, and that is told already
        if cut:
            self._fill()
        self._bad_paths.tell()
        self._control.subscribe(Subscription(f, qos=1, replay=False) for f in filters)
        known = len(self._replayed)
        told = f"the broker cut the replay of retained configs: {known} devices are known, some may be missing; {CURE}"
        self._board.problem("replay_cut", told if cut else None)
        if cut:
            log.error("the replay of configurations was cut", known=known, cure=CURE)
        self._next_sync = self._clock.now() + (RESYNC if whole else RESYNC_CUT)
        return whole

    def _fill(self) -> None:
        """The replay was cut: ask again by building, and where that is cut too, by device."""
        known = self._replayed | self._catalog.entries.keys()
        buildings = sorted({"/".join(path.split("/")[:2]) for path in known})
        log.warning("the replay of configurations was cut; asking for each building", buildings=len(buildings))
        for building in buildings:
            [wide] = self._topics.config_filters([building + "/#"])
            if not self._control_replay.run([Subscription(wide, qos=0)], quiet=0):
                devices = sorted(p for p in self._replayed | known if p.startswith(building + "/"))
                self._control_replay.each([self._topics.device_config(path) for path in devices], qos=0)
            self._control.unsubscribe([wide])

    def _read_owners(self) -> None:
        """Read whose the devices are, from their retained statuses, and hear of it from now on."""
        self._claims.forget_all()
        filters = self._topics.status_filters(self._scope)
        self._control_replay.run(Subscription(f, qos=0) for f in filters)
        # A device would be taken for free whose status a broker has dropped in the middle: each of these is asked for.
        paths = sorted(self._replayed | self._catalog.entries.keys())
        unnamed = [self._topics.status(path) for path in paths if self._claims.named(path) is None]
        self._control_replay.each(unnamed, qos=0)
        self._control.unsubscribe(unnamed)
        self._control.subscribe(Subscription(f, replay=False, no_local=True) for f in filters)

    def _read_again(self, claims: list[str]) -> None:
        """Read the statuses of newly claimed devices again: those that name us still are ours to write."""
        self._confirmed.clear()
        filters = [self._topics.status(path) for path in claims]
        if self._reads_back:
            self._control_replay.each(filters, qos=0)
            self._control.unsubscribe(filters)
        self._manager.settled(claims, self._confirmed if self._reads_back else claims)

    def _orphans(self, whole: bool) -> None:
        """Devices that a whole replay lacks run on, told as orphans."""
        lacking = self._catalog.entries.keys() - self._replayed if whole else ()
        self._manager.orphaned(lacking)

    def _subscribe_links(self, links: set[str]) -> None:
        """Ask for linked documents; when the replay is over, what did not come is not on the broker."""
        if not links:
            return
        self._asked |= links
        came_before = self._catalog.documents.keys() & links
        self._came = set()
        whole = self._control_replay.each([self._topics.document(link) for link in sorted(links)], qos=1)
        self._manager.settled_links |= links
        if whole:
            for link in came_before - self._came:
                self._manager.document(link, b"")
        elif self._reads_back:
            self._board.problem("replay_cut", f"the broker cut the replay of linked documents; {CURE}")

    def _drop_unused_links(self) -> None:
        unused = self._asked - self._catalog.linked()
        if unused:
            self._asked -= unused
            self._manager.settled_links -= unused
            self._catalog.drop(unused)
            self._control.unsubscribe(self._topics.document(link) for link in unused)

    def _look_for_variants(self, missing: set[str]) -> None:
        """For links that lead nowhere, look for a document whose path differs only in case: the fault names it."""
        levels = {link.count("/") + 1 for link in missing} & {1, 2, 3}
        wanted = [self._topics.document("/".join("+" * n)) for n in sorted(levels)]
        if not wanted or not self._control.connected:
            return
        before = set(self._catalog.variants)
        self._control_replay.run((Subscription(f, qos=0) for f in wanted), quiet=0)
        self._control.unsubscribe(wanted)
        folded = {path.casefold() for path in self._catalog.variants - before}
        for entry in self._catalog.entries.values():
            if entry.verdict and any(link.casefold() in folded for link in entry.verdict.missing):
                entry.stale = True
                self._catalog.mark(entry, self._clock.now())

    def _clear_strays(self) -> None:
        """Clear what is retained under devices whose status names us and that we do not have."""
        strays = [path for path in self._claims.ours() if path not in self._catalog.entries]
        for path in strays:
            [wide] = self._topics.device_filters([path + "/#"])
            self._collected = []
            self._control_replay.run([Subscription(wide, qos=0)], quiet=0)
            self._control.unsubscribe([wide])
            self._manager.clear(self._left_of(path, self._collected))
            self._collected = None
            log.info("cleared what was left of a device that is no more", device=path)

    def _clear_leases(self) -> None:
        """Clear the retained leases that name us and are no more."""
        filters = self._topics.lease_filters(self._scope)
        self._leases_seen = {}
        self._control_replay.run((Subscription(f, qos=0) for f in filters), quiet=0)
        self._control.unsubscribe(filters)
        gone = self._leases_seen.keys() - self._actuator.leased()
        self._manager.clear(self._topics.lease(path) for path in gone)

    def _left_of(self, path: str, retained: list[str]) -> list[str]:
        """Of the topics retained below a device those that are its own: one below it keeps its status, and so its owner."""
        below = {topic: self._topics.device_path(topic) or "" for topic in retained}
        told = {place.removesuffix("/status") for place in below.values() if place.endswith("/status")}
        others = tuple(other + "/" for other in told | self._catalog.entries.keys() if other.startswith(path + "/"))
        return [topic for topic, place in below.items() if not place.startswith(others)]

    # ---- messages on the control link

    def _in_scope(self, path: str) -> bool:
        return any(matches(entry, path) for entry in self._scope)

    def _message(self, message: Message) -> None:
        if message.topic == self._topics.sentinel():
            self._control_replay.heard(message)
            return
        path = self._topics.config_path(message.topic)
        if path is not None:
            self._config_message(path, message)
            return
        leased = self._topics.leased_device(message.topic)
        if leased is not None:
            if message.retain and _object(message.payload).get("gateway") == self._topics.gateway_id:
                self._leases_seen[leased] = True
            return
        below = self._topics.device_path(message.topic)
        if below is not None:
            self._device_message(below, message)

    def _config_message(self, path: str, message: Message) -> None:
        device = self._topics.configured_device(path)
        if device is None:
            if path in self._asked:
                self._came.add(path)
                self._manager.document(path, message.payload)
            elif message.payload:
                self._catalog.variants.add(path)
        elif not self._in_scope(device):
            return
        elif fault := path_fault(device):
            self._bad_paths.heard(device, fault, message.payload)
        else:
            self._replayed.add(device)
            self._manager.config(device, message.payload)

    def _device_message(self, below: str, message: Message) -> None:
        if self._collected is not None and message.retain:
            self._collected.append(message.topic)
        path, _, leaf = below.rpartition("/")
        if leaf != "status" or path_fault(path) or not self._in_scope(path):
            return
        named = self._claims.heard(path, message)
        entry = self._catalog.entries.get(path)
        if not self._synced or entry is None:
            return
        if named is None:
            self._manager.free_status(path)
        elif named == self._topics.gateway_id:
            if message.retain:
                self._confirmed.add(path)
        elif entry.ours:
            configured = entry.verdict.gateway if entry.verdict else None
            new = self._manager.is_new(path)
            self._manager.foreign_status(path, self._claims.yields(named, configured, entry.adopted_from, message, new))
        else:
            self._catalog.mark(entry, self._clock.now())


def _object(payload: bytes) -> dict[str, Any]:
    try:
        value = orjson.loads(payload)
    except orjson.JSONDecodeError:
        return {}
    return value if isinstance(value, dict) else {}


def _no_sentinel(topic: str) -> str:
    return f'what we publish to "{topic}" does not come back: the broker must let us write and read it (see the ACL sample)'
