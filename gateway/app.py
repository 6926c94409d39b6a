"""The composition root: builds the parts, starts them in order, stops them in reverse within one deadline."""

from __future__ import annotations

import ctypes
import faulthandler
import gc
import os
import resource
import signal
import threading
import zlib
from pathlib import Path
from typing import Any

import structlog

from gateway import __version__, healthfile
from gateway.actuator.notices import Notices
from gateway.actuator.office import Office
from gateway.addressing import Addressing
from gateway.board import Board, will_payload
from gateway.broker import Link
from gateway.catalog import Catalog
from gateway.claims import Claims
from gateway.clock import Clock, SystemClock, boot
from gateway.coordinator import Coordinator
from gateway.dataqueue import DataQueue
from gateway.exposure import in_the_clear, open_broker, open_secrets
from gateway.faultpoint import FaultPoint, from_environment, passing
from gateway.fleet import Fleet
from gateway.health import Health
from gateway.interfaces._bacnet.life import Options
from gateway.interfaces._bacnet.networks import BacnetNetworks
from gateway.interfaces.base import Environment
from gateway.manager import Manager
from gateway.methods import Methods
from gateway.model import Connected, Event, Message, Outgoing
from gateway.notify import Notifier
from gateway.outbox import Outbox
from gateway.payloads import dump
from gateway.publisher import Publisher
from gateway.queues import ControlQueue
from gateway.refused import RefusedTopics
from gateway.rpc import Rpc
from gateway.rpc.duplicates import Duplicates
from gateway.rpc.rate import Rate
from gateway.settings import Settings
from gateway.stats import Stats
from gateway.store.outbox import OutboxFile
from gateway.store.state import StateDb
from gateway.sync.order import Doors
from gateway.topics import Topics, matches
from gateway.vitals import Vitals, faults_from_environment

log = structlog.get_logger()

LINGER = 0.01
"""Seconds that a reading may wait for others to be sent with it."""
STOP_WITHIN = 9.0
"""Seconds for a whole stop."""
GIVE_UP = 3.0
"""Seconds over that after which the process ends all the same, if what it stops waits for something that hangs."""
STACK = 512 * 1024
"""Bytes of stack for each thread: address space, not memory, but a thousand threads of 8 MiB add up."""
M_ARENA_MAX = -8
"""How many heaps threads may have between them; mallopt(3), glibc's malloc.h."""


class Gateway:
    """Everything that runs for one set of settings."""

    def __init__(
        self, settings: Settings, clock: Clock, instance: str, vitals: Vitals, fault_point: FaultPoint = passing
    ) -> None:
        self.settings = settings
        self.clock = clock
        self.vitals = vitals
        self.stopping = threading.Event()
        self.topics = topics = Topics(settings.gateway_id, settings.topic_prefix, settings.json_rpc)
        self.control_queue = ControlQueue(clock)
        self.data_queue = DataQueue(clock)
        self.refused = RefusedTopics(clock, topics.kind)
        self.control_queue.tell_refused = self.data_queue.tell_refused = self.refused.note
        self.board = Board(topics, clock, self.control_queue.put, instance, settings.scope)
        outbox_file = OutboxFile(settings.state_dir / "outbox.db", clock, boot())
        self.outbox = Outbox(settings.outbox, outbox_file, self.data_queue, clock, self.board.problem)
        self.publisher = Publisher(
            topics, self.data_queue, self.board, lambda learned: self.coordinator.hear("device", learned)
        )
        self.networks = BacnetNetworks(
            bacnet_options(settings), clock, lambda words: self.board.problem("bacnet_down", words)
        )
        env = Environment(clock, settings.allow, networks=self.networks, vitals=vitals)
        self.fleet = Fleet(env, self.publisher, lambda path: self.coordinator.hear("ended", path))
        names = Addressing(settings.gateway_id, self.fleet, self._in_scope)
        self.office = Office(
            settings.actuator,
            settings.gateway_id,
            env,
            settings.state_dir,
            settings.credentials_dir,
            self.fleet,
            self.board,
            Notices(topics, self.control_queue.put, lambda event: self.data_queue.put([event])),
            names,
            fault_point,
        )
        methods = {**Methods(clock, self.fleet, self.board, names).table(), **self.office.table()}
        self.rpc = Rpc(
            topics,
            clock,
            self.control_queue.put,
            methods,
            settings.reply_topics == "any",
            Duplicates(clock, self.office.journal, self._journal_trouble),
            Rate(settings.requests.rate, settings.requests.burst),
            self.office.refusals,
            names.concerns,
            fault_point,
            names.in_scope,
        )
        will = Outgoing(topics.gateway_status(), will_payload(), retain=True)
        gateway_id, sentinel = settings.gateway_id, topics.sentinel()
        self.control = Link(
            settings.broker,
            gateway_id,
            self.control_queue,
            self._heard,
            clock,
            sentinel,
            will,
            lambda: self.coordinator.let_in(),
        )
        self.data = Link(
            settings.broker, f"{gateway_id}.data", self.data_queue, self._heard_data, clock, sentinel, linger=LINGER
        )
        self.state = StateDb(settings.state_dir / "state.db")
        self.stats = Stats(clock, self.board, self.fleet, self.publisher, self.rpc, self.control_queue, self.outbox)
        catalog, claims = Catalog(env, settings.credentials_dir), Claims(gateway_id, settings.adopt)
        self.manager = Manager(
            topics,
            clock,
            catalog,
            claims,
            self.fleet,
            self.board,
            self.control_queue,
            self.data_queue,
            self.state,
            self.stopping,
        )
        doors = Doors(self.rpc.hold, self.rpc.serve, self.data_queue.open, self.office.online, self._leave)
        self.coordinator = Coordinator(
            topics,
            clock,
            settings.scope,
            (self.board.started, instance),
            self.control,
            self.data,
            self.manager,
            catalog,
            claims,
            self.board,
            doors,
            self.office.leased,
            self._tell_stats,
            self.stopping,
        )
        self.control_queue.wake = self.control.wake
        self.data_queue.wake = self.data.wake
        self.data_queue.alarm = self.outbox.wake

    def start(self) -> None:
        """Start everything; returns at once."""
        log.info("the gateway starts", id=self.settings.gateway_id, broker=str(self.settings.broker.url))
        self._tell_exposure()
        self.vitals.others += [self.fleet.late, self.networks.late]
        self.outbox.start(self.vitals)
        self.office.start(self.vitals)
        self.rpc.start(self.vitals)
        self.control.start(self.vitals)
        self.data.start(self.vitals)
        self.coordinator.start(self.vitals)

    def stop(self) -> list[str]:
        """Stop everything in reverse order; the names of threads that did not end in time.

        Not those of devices: one that waits for its device longer than that ends with the process, and is no failure.
        """
        deadline = self.clock.now() + STOP_WITHIN
        self.stopping.set()
        self.coordinator.wake()
        self.rpc.refuse_all()
        self.office.close()
        for name in self.fleet.stop_all(deadline - 4.0):
            log.warning("a device has not answered in time and was left", thread=name)
        left = self.office.stop(deadline - 3.5)
        left += self.networks.stop(2.0)
        ended = [(self.coordinator.name, self.coordinator.join(self._until(deadline - 3.0)))]
        self.board.stopped()
        ended.append((self.rpc.name, self.rpc.stop(self._until(deadline - 2.5))))
        ended.append((self.data.name, self.data.stop(self._until(deadline - 1.5))))
        ended.append((self.outbox.name, self.outbox.stop(self._until(deadline - 1.0))))
        ended.append((self.control.name, self.control.stop(self._until(deadline))))
        left += [name for name, over in ended if not over]
        self.office.journal.close()
        for name in left:
            log.error("a thread did not end in time", thread=name)
        return left

    def _until(self, deadline: float) -> float:
        return max(0.1, deadline - self.clock.now())

    def _in_scope(self, path: str) -> bool:
        return any(matches(entry, path) for entry in self.settings.scope)

    def _heard(self, event: Event) -> None:
        if isinstance(event, Message) and self.topics.requester(event.topic) is not None:
            self.rpc.offer(event)
        else:
            self.coordinator.hear("control", event)

    def _heard_data(self, event: Event) -> None:
        if isinstance(event, Connected):
            self.data_queue.connected()
        self.coordinator.hear("data", event)

    def _journal_trouble(self, problem: str | None) -> None:
        if problem is not None:
            log.error("the journal can not be written: duplicates are known until a restart only", reason=problem)
            problem = f"requests that come twice are known until a restart only: {problem}"
        self.board.problem("journal_failed", problem)

    def _tell_exposure(self) -> None:
        """What lets strangers in is no failure, but should not go unseen."""
        broker = self.settings.broker
        if anybody := open_broker(broker):
            self.board.problem("broker_open", anybody)
        for words in filter(None, (anybody, in_the_clear(broker), *open_secrets(self.settings))):
            log.warning("strangers may come in", reason=words)

    def _tell_stats(self) -> None:
        self.board.problem("publish_refused", self.refused.words())
        if self.control.connected:
            self.control_queue.put(Outgoing(self.topics.gateway_stats(), dump(self.stats.payload()), retain=True))

    def _leave(self) -> None:
        """Displaced: the devices and the broker are another process's now."""
        self.office.close()
        self.fleet.stop_all(self.clock.now() + 5.0)
        self.office.stop(self.clock.now() + 1.0)
        self.networks.stop(2.0)
        self.data.stop(2.0)
        self.outbox.stop(2.0)
        self.control.stop(2.0)


def bacnet_options(settings: Settings) -> Options:
    """What BACnet stacks are told: by default the id of our device object is made of the gateway's id."""
    bacnet = settings.bacnet
    address, _, port = (bacnet.address or "").partition(":")
    number = 4_000_000 + zlib.crc32(settings.gateway_id.encode()) % 194_303
    return Options(
        address=address or None,
        port=int(port or Options.port),
        bbmd=bacnet.bbmd,
        bbmd_ttl=int(bacnet.bbmd_ttl),
        device_id=number if bacnet.device_id is None else bacnet.device_id,
        device_name=bacnet.device_name or settings.gateway_id,
        vendor_id=bacnet.vendor_id,
        vendor_name=bacnet.vendor_name,
        version=__version__,
    )


def run(settings: Settings) -> int:
    """Run until SIGTERM or SIGINT; the exit code."""
    threading.stack_size(STACK)
    _share_one_heap()
    _raise_file_limit()
    _make_directory(settings.state_dir)
    clock, environ = SystemClock(), os.environ
    vitals = Vitals(clock, faults_from_environment(environ))
    gateway = Gateway(settings, clock, os.urandom(8).hex(), vitals, from_environment(environ))
    folder, notifier = healthfile.directory(environ, settings.state_dir), Notifier.from_environment(environ)
    health = Health(folder, settings.gateway_id, clock, vitals, gateway.board, (gateway.data, gateway.control), notifier)
    vitals.patience = health.patience
    stop = _signals()
    gc.freeze()
    gateway.start()
    health.begin()
    while not stop.wait(health.interval):
        health.look()
    log.info("the gateway stops")
    health.stopping()
    faulthandler.dump_traceback_later(STOP_WITHIN + GIVE_UP, exit=True)  # says where each thread hangs
    left = gateway.stop()
    health.stopped()
    faulthandler.cancel_dump_traceback_later()
    return 1 if left else 0


def _signals() -> threading.Event:
    """What is set by SIGTERM and SIGINT."""
    stop = threading.Event()

    def asked(_number: int, _frame: Any) -> None:
        stop.set()

    signal.signal(signal.SIGTERM, asked)
    signal.signal(signal.SIGINT, asked)
    return stop


def _make_directory(state_dir: Path) -> None:
    try:
        state_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:  # what needs it tells so, too
        log.error("the state directory can not be made", state_dir=str(state_dir), reason=error.strerror)  # noqa: TRY400  # the reason is enough


def _share_one_heap() -> None:
    """Memory that one thread has freed is then there for all: else each keeps what it once needed, and memory creeps up."""
    libc = ctypes.CDLL(None)
    if hasattr(libc, "mallopt"):  # not every C library has heaps by threads
        libc.mallopt(M_ARENA_MAX, 1)


def _raise_file_limit() -> None:
    """A connection for each device: the soft limit of 1,024 files would not do."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
