"""The BACnet networks of the gateway: one for each local address and port, each with its stack in a child process.

A device's thread calls its ``Session`` and waits there; the network's own thread starts the child, takes what comes from
it, notices when it is dead or hangs, and starts the next one. Devices go offline meanwhile, with the reason.
"""

from __future__ import annotations

import math
import random
import threading
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import structlog

from gateway.backoff import Backoff
from gateway.clock import Clock
from gateway.interfaces._bacnet import wire
from gateway.interfaces._bacnet.life import Life, Options
from gateway.interfaces._bacnet.services import write_request
from gateway.interfaces._bacnet.values import (
    Changed,
    Facts,
    Failure,
    Item,
    Lapsed,
    Local,
    Notice,
    Ref,
    RequestFailed,
    Restarted,
    Target,
    Value,
)
from gateway.interfaces._bacnet.writing import Unfit

log = structlog.get_logger()

GRACE = 5.0
"""Seconds beyond its timeout that an answer of the child is waited for."""
START_WITHIN = 30.0
"""Seconds that somebody without a session waits for a child to start."""
PATIENCE = 30.0
"""Seconds that a network's thread may be silent: it looks around each second, and waits for a child that ends."""
MOST_NOTICES = 10_000
"""Notices kept for a device thread that does not take them; the oldest go first."""
STARTING = "the BACnet network is starting"


@dataclass
class Pending:
    """A question to the child, and the thread that waits for its answer."""

    done: threading.Event = field(default_factory=threading.Event)
    message: wire.Message | None = None


class Network:
    """One local address and port; sessions share its child process."""

    def __init__(self, options: Options, clock: Clock, problem: Callable[[str | None], None]) -> None:
        self.options = options
        self._clock = clock
        self._lock = threading.Condition()
        self._sessions: dict[int, BacnetSession] = {}
        self._guests = 0
        self._pending: dict[int, Pending] = {}
        self._numbers = 0
        self._life: Life | None = None
        self._up = False
        self._fault = ""
        self._stopping = False
        self._due = math.inf
        self._problem = problem
        self._thread: threading.Thread | None = None

    @property
    def thread_name(self) -> str:
        """The name of its thread."""
        return f"bacnet:{self.options.name}"

    # ---- for the threads of devices

    def join(self, target: Target, alarm: Callable[[], None], in_flight: int) -> BacnetSession:
        """A session; the child is started if this is the first."""
        with self._lock:
            number = self._number()
            session = self._sessions[number] = BacnetSession(self, number, target, alarm, in_flight)
            self._begin()
            if self._up:
                self._send(session.joining())
        return session

    def leave(self, session: BacnetSession) -> None:
        """A session ends; the child with the last."""
        with self._lock:
            if self._sessions.pop(session.number, None) is not None and self._up:
                self._send({"do": "leave", "session": session.number})
            self._lock.notify_all()

    def tell(self, message: wire.Message) -> None:
        """An order to the child, if there is one: another gets it anew."""
        with self._lock:
            if self._up:
                self._send(message)

    def ask(self, message: wire.Message, timeout: float, start: float = 0.0) -> Any:
        """A question to the child; its answer. Raises RequestFailed.

        A child that starts is waited for as long as an answer may take, and ``start`` seconds more.
        """
        pending = Pending()
        number = self._put(message, pending, self._clock.now() + timeout + start)
        if not pending.done.wait(timeout + GRACE):
            with self._lock:
                self._pending.pop(number, None)
            self.tell({"do": "cancel", "of": number})
        answer = pending.message or {"failed": ["lost", "the BACnet network did not answer", "", ""]}
        if "failed" in answer:
            raise RequestFailed(wire.unpack_failure(answer["failed"]))
        return answer["answer"]

    def visit(self, message: wire.Message, timeout: float) -> Any:
        """A question of somebody without a session."""
        with self._lock:
            self._guests += 1
            self._begin()
        try:
            return self.ask(message, timeout, START_WITHIN)
        finally:
            with self._lock:
                self._guests -= 1

    def _put(self, message: wire.Message, pending: Pending, until: float) -> int:
        with self._lock:
            while not self._up and not self._fault and not self._stopping and self._clock.now() < until:
                self._lock.wait(0.5)
            if not self._up:
                raise RequestFailed(Failure("unreachable", self._fault or STARTING))
            number = self._number()
            self._pending[number] = pending
            if not self._send({**message, "id": number}):
                self._pending.pop(number, None)
                raise RequestFailed(Failure("unreachable", "the BACnet network is not there"))
            return number

    def _number(self) -> int:
        self._numbers += 1
        return self._numbers

    def _send(self, message: wire.Message) -> bool:
        return self._life is not None and self._life.send(message)

    def _begin(self) -> None:
        if self._thread is None and not self._stopping:
            self._thread = threading.Thread(target=self._run, name=self.thread_name, daemon=True)
            self._thread.start()
        self._lock.notify_all()

    # ---- the network's own thread

    def _run(self) -> None:
        pauses = Backoff(random.random, 1.0, 60.0)
        while self._wanted():
            try:
                ended = self._live(pauses)
            except Exception:
                log.exception("the thread of a BACnet network failed; it goes on", network=self.options.name)
                ended = "a failure in the gateway; its log says more"
            self._went_down(ended)
            if ended:
                self._pause(pauses.next())

    def _live(self, pauses: Backoff) -> str:
        """Have one child, from start to end; why it ended, empty if it was not needed any more."""
        with self._lock:
            if self._stopping:
                return ""
            life = self._life = Life(self.options)
        try:
            return life.run(self._take, self._in_use)
        finally:
            if life.healthy:
                pauses.reset()
            life.clean()

    def late(self, now: float) -> bool:
        """Whether the network's thread has been silent for too long, though there is no reason for that."""
        return now > self._due

    def _pause(self, seconds: float) -> None:
        until = self._clock.now() + seconds
        self._due = until + PATIENCE
        with self._lock:
            while not self._stopping and (left := until - self._clock.now()) > 0:
                self._lock.wait(left)

    def _wanted(self) -> bool:
        """Wait for somebody who needs the network; False if nobody will."""
        with self._lock:
            self._fault = ""  # who comes waits from now on for the next start: it may be the only one, and brief
            if not self._sessions:
                self._problem(None)
            self._due = math.inf
            while not self._stopping and not (self._sessions or self._guests):
                self._lock.wait()
            self._due = self._clock.now() + PATIENCE
            return not self._stopping

    def _in_use(self) -> bool:
        """Asked each second in which the child says nothing."""
        self._due = self._clock.now() + PATIENCE
        with self._lock:
            return bool(self._sessions or self._guests) and not self._stopping

    def _went_down(self, reason: str) -> None:
        """The child is gone: whoever waits is told, and so is the operator unless it was meant to end."""
        with self._lock:
            self._up, self._life, self._fault = False, None, reason
            pending, self._pending = self._pending, {}
            sessions = list(self._sessions.values())
            self._lock.notify_all()
        failure = Failure("lost", reason or "the BACnet network has ended")
        for waiting in pending.values():
            waiting.message = {"failed": wire.pack_failure(failure)}
            waiting.done.set()
        for session in sessions:
            session.went_down(failure)
        if reason:
            self._problem(f"BACnet at {self.options.name}: {reason}")

    def _take(self, message: wire.Message) -> None:
        """Something that the child says."""
        self._due = self._clock.now() + PATIENCE
        if "id" in message:
            with self._lock:
                pending = self._pending.pop(message["id"], None)
            if pending is not None:
                pending.message = message
                pending.done.set()
        elif message["tell"] == "ready":
            self._came_up()
        else:
            with self._lock:
                session = self._sessions.get(message["session"])
            if session is not None:
                session.hear(message)

    def _came_up(self) -> None:
        with self._lock:
            self._up, self._fault = True, ""
            sessions = list(self._sessions.values())
            for session in sessions:
                for order in (session.joining(), *session.wishes()):
                    self._send(order)
            self._lock.notify_all()
        self._problem(None)
        for session in sessions:
            session.alarm()

    def stop(self) -> None:
        """Let the child end; any number of times."""
        with self._lock:
            self._stopping = True
            if self._life is not None:
                self._life.finish()
            self._lock.notify_all()

    def ended(self, timeout: float) -> str:
        """Wait for the thread to end; its name if it did not."""
        if self._thread is None:
            return ""
        self._thread.join(timeout)
        return self._thread.name if self._thread.is_alive() else ""


class BacnetSession:
    """See ``values.Session``."""

    def __init__(self, network: Network, number: int, target: Target, alarm: Callable[[], None], in_flight: int) -> None:
        self.number = number
        self.alarm = alarm
        self._network = network
        self._target = target
        self._in_flight = in_flight
        self._facts: Facts | None = None
        self._wishes: dict[Ref, tuple[int, bool]] = {}
        self._notices: deque[Notice] = deque(maxlen=MOST_NOTICES)

    def facts(self) -> Facts | None:
        """What ``find`` has found."""
        return self._facts

    def find(self, timeout: float = 3.0) -> Facts:
        """Ask the device who it is; a network that starts is waited for, as it would end again if its only user left."""
        order = {"do": "find", "session": self.number, "timeout": timeout}
        answer = self._network.ask(order, timeout, START_WITHIN)
        self._facts = wire.unpack_facts(answer)
        return self._facts

    def read(
        self, refs: Sequence[Ref], *, multiple: bool = True, timeout: float = 3.0, retries: int = 1
    ) -> list[Item | Failure]:
        """One request."""
        assert multiple or len(refs) == 1
        question = {
            "do": "read",
            "session": self.number,
            "refs": [wire.pack_ref(ref) for ref in refs],
            "multiple": multiple,
            "timeout": timeout,
            "retries": retries,
        }
        return [wire.unpack_answer(answer) for answer in self._network.ask(question, timeout)]

    def write(
        self,
        ref: Ref,
        datatype: str,
        value: Value,
        priority: int | None = None,
        *,
        deadline: float,
        timeout: float = 3.0,
    ) -> None:
        """Write once."""
        try:
            data = write_request(ref, datatype, value, priority).hex()
        except Unfit as error:
            raise RequestFailed(Failure("not_sent", str(error))) from None
        question = {
            "do": "write",
            "session": self.number,
            "data": data,
            "deadline": None if math.isinf(deadline) else deadline,
            "timeout": timeout,
        }
        self._network.ask(question, timeout)

    def subscribe(self, ref: Ref, *, lifetime: int, confirmed: bool) -> None:
        """Have changes of an object told."""
        self._wishes[ref] = (lifetime, confirmed)
        self._network.tell(self._wish(ref))

    def unsubscribe(self, ref: Ref) -> None:
        """Have no more changes told."""
        if self._wishes.pop(ref, None) is not None:
            self._network.tell({"do": "unsubscribe", "session": self.number, "ref": wire.pack_ref(ref)})

    def notices(self) -> list[Notice]:
        """What has come since the last call."""
        notices = []
        while self._notices:
            notices.append(self._notices.popleft())
        return notices

    def leave(self) -> None:
        """Use the session no more."""
        self._network.leave(self)

    # ---- for the network

    def joining(self) -> wire.Message:
        """The order by which a child learns of the session."""
        target = wire.pack_target(self._target)
        return {"do": "join", "session": self.number, "target": target, "in_flight": self._in_flight}

    def wishes(self) -> list[wire.Message]:
        """The orders by which a child learns of its subscriptions."""
        return [self._wish(ref) for ref in list(self._wishes)]

    def _wish(self, ref: Ref) -> wire.Message:
        lifetime, confirmed = self._wishes[ref]
        wanted = {"ref": wire.pack_ref(ref), "lifetime": lifetime, "confirmed": confirmed}
        return {"do": "subscribe", "session": self.number, **wanted}

    def hear(self, message: wire.Message) -> None:
        """A notice of the child."""
        self._notices.append(_notice(message))
        self.alarm()

    def went_down(self, failure: Failure) -> None:
        """The child is gone, and with it the subscriptions until the next is up."""
        self._notices.extend(Lapsed(ref, failure) for ref in list(self._wishes))
        self.alarm()


def _notice(message: wire.Message) -> Notice:
    if message["tell"] == "restarted":
        return Restarted()
    ref = wire.unpack_ref(message["ref"])
    if message["tell"] == "lapsed":
        return Lapsed(ref, wire.unpack_failure(message["failure"]))
    items = {number: wire.unpack_item(item) for number, item in message["items"]}
    return Changed(ref, items, message["received"])


class BacnetNetworks:
    """See ``values.Networks``; ``problem`` is told what keeps networks down, or None when that is over."""

    def __init__(self, defaults: Options, clock: Clock, problem: Callable[[str | None], None] = lambda words: None) -> None:
        self._defaults = defaults
        self._clock = clock
        self._problem = problem
        self._lock = threading.Lock()
        self._networks: dict[str, Network] = {}
        self._problems: dict[str, str] = {}

    def join(self, local: Local, target: Target, alarm: Callable[[], None], *, in_flight: int = 1) -> BacnetSession:
        """A session at a network."""
        return self._network(local).join(target, alarm, in_flight)

    def who_is(
        self, local: Local, low: int | None, high: int | None, address: str | None, timeout: float = 3.0
    ) -> list[Facts]:
        """The devices that answer a Who-Is."""
        question = {"do": "who_is", "low": low, "high": high, "address": address, "timeout": timeout}
        return [wire.unpack_facts(facts) for facts in self._network(local).visit(question, timeout)]

    def time_sync(self, local: Local, address: str | None, wall: float, utc: bool) -> None:
        """Tell the time."""
        self._network(local).visit({"do": "time_sync", "address": address, "wall": wall, "utc": utc}, GRACE)

    def late(self, now: float) -> list[str]:
        """The names of threads that have been silent for too long at a boot clock time."""
        with self._lock:
            networks = list(self._networks.values())
        return [network.thread_name for network in networks if network.late(now)]

    def stop(self, timeout: float) -> list[str]:
        """End all networks; the names of threads that did not end in time."""
        with self._lock:
            networks = list(self._networks.values())
        for network in networks:
            network.stop()
        until = self._clock.now() + timeout
        return [name for network in networks if (name := network.ended(max(0.0, until - self._clock.now())))]

    def _tell(self, name: str, words: str | None) -> None:
        with self._lock:
            before = dict(self._problems)
            if words is None:
                self._problems.pop(name, None)
            else:
                self._problems[name] = words
            if self._problems != before:
                self._problem("; ".join(self._problems.values()) or None)

    def _network(self, local: Local) -> Network:
        options = self._defaults.at(local)
        if not options.address:
            none = 'no local address is given: set bacnet.address in the settings, or "local_interface" in driver_config'
            raise RequestFailed(Failure("unreachable", none))
        with self._lock:
            network = self._networks.get(options.name)
            if network is None:
                network = Network(options, self._clock, lambda words: self._tell(options.name, words))
                self._networks[options.name] = network
            if network.options != options:
                other = f"BACnet at {options.name} is in use with another mask or BBMD: give all its devices the same"
                raise RequestFailed(Failure("unreachable", other))
            return network
