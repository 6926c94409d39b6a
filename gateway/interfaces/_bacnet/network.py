"""A BACnet network: a local address and port, with the stack in a child process.

A device's thread calls its ``Session`` and waits there; the network's own thread starts the child, takes what comes from
it, notices when it is dead or hangs, and starts the next one. Devices go offline meanwhile, with the reason.
"""

from __future__ import annotations

import math
import random
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import structlog

from gateway.backoff import Backoff
from gateway.clock import Clock
from gateway.interfaces._bacnet import wire
from gateway.interfaces._bacnet.life import Life, Options
from gateway.interfaces._bacnet.session import START_WITHIN, BacnetSession
from gateway.interfaces._bacnet.values import Failure, RequestFailed, Target

log = structlog.get_logger()

GRACE = 5.0
"""Seconds beyond its timeout that an answer of the child is waited for."""
PATIENCE = 30.0
"""Seconds that a network's thread may be silent: it looks around each second, and waits for a child that ends."""
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
            while True:
                while not self._up and not self._fault and not self._stopping and self._clock.now() < until:
                    self._lock.wait(0.5)
                if not self._up:
                    raise RequestFailed(Failure("unreachable", self._fault or STARTING))
                number = self._number()
                self._pending[number] = pending
                if self._send({**message, "id": number}):
                    return number
                self._pending.pop(number, None)
                self._up = False  # the child ends, perhaps as nobody had needed it: the next one is waited for

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
