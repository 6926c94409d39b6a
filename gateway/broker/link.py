"""A connection to the broker that comes back by itself: one thread, which owns the library's client.

Nobody else calls that. Messages go out from the link's ``Source``, events come in by ``on_event``, which must only enqueue.
"""

from __future__ import annotations

import os
import random
import select
import threading
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import Any

import structlog

from gateway.backoff import Backoff
from gateway.broker.client import Client
from gateway.broker.flights import ACK_TIMEOUT, LATE, TICK, Flights
from gateway.broker.subscription import Subscription
from gateway.broker.tls import plain_reason
from gateway.clock import Clock
from gateway.masking import masked
from gateway.model import Connected, Disconnected, Event, Message, Outgoing
from gateway.queues import Source
from gateway.settings import Broker
from gateway.vitals import Vitals
from gateway.worker import Worker

log = structlog.get_logger()

CONNACK_TIMEOUT = 10.0
CONNECT_WITHIN = 60.0
"""Seconds in which there is a connection or none: to look a name up may take long when the network is away."""
SHUT = 0.2
"""Seconds after which the gate is asked again."""
HOLD = 0.5
"""Seconds in which a broker takes a subscription and the message behind it, and queues up what it keeps for us."""
WINDOW = 10
"""Publishes in flight: more bring nothing on a LAN, and some brokers take no more."""
REFUSED_TOLD = 100
"""Topics that the log names, on one connection, because the broker refuses what is published there."""
MAX_TOPIC = 65_535
"""Bytes that a topic may have (MQTT 5.0, 1.5.4); the library would give up the connection."""


class Link:
    """One MQTT 5 connection.

    ``gate`` is asked before each attempt; while it says no, the link stays down. ``linger`` is how many seconds an idle link
    waits for company when it is given a message: sending some at a time costs half of sending each alone. ``marker`` is a
    topic of our own: a message to it comes back acknowledged only after the backlog of a pause has been read.
    """

    def __init__(
        self,
        settings: Broker,
        client_id: str,
        source: Source,
        on_event: Callable[[Event], None],
        clock: Clock,
        marker: str,
        will: Outgoing | None = None,
        gate: Callable[[], bool] = lambda: True,
        linger: float = 0.0,
    ) -> None:
        self._settings = settings
        self._client_id = client_id
        self._source = source
        self._on_event = on_event
        self._clock = clock
        self._beat = Outgoing(marker, b'{"mark":true}')
        self._will = will
        self._gate = gate
        self._linger = linger
        self._woken = False
        self._stopping = threading.Event()
        self._worker = Worker(f"mqtt:{client_id}", self._turn, self._stopping.is_set)
        self._backoff = Backoff(random.random, first=1.0, most=4.5)  # so that 5 s after it is there a broker is connected
        self._refused = Backoff(random.random, first=2.0, most=60.0)
        self._told: str | None = None
        self._give_up = 0.0
        self._wake_fd = -1
        self._lock = threading.Lock()
        self._commands: list[tuple[tuple[Subscription, ...], tuple[str, ...], Outgoing | None, bool]] = []
        self._reset()
        self._refusals: tuple[str, ...] = ()
        self._told_refusals: set[str] = set()
        self.errors = 0

    def _reset(self) -> None:
        self._connected = False
        self._reason = ""
        self._login_refused = False
        self._window = WINDOW
        self._max_packet = 0
        self._flights = Flights(self._clock)
        self._filters: dict[int, tuple[str, ...]] = {}
        self._refused_topics: set[str] = set()
        self._deaf_until = 0.0

    # ---- from other threads

    @property
    def connected(self) -> bool:
        """Whether the broker has let us in."""
        return self._connected

    @property
    def refused_filters(self) -> tuple[str, ...]:
        """The subscriptions that the broker has refused on this connection, in order."""
        return self._refusals

    @property
    def reason(self) -> str:
        """Why there is no connection; empty while none was tried or lost."""
        return masked(self._told or "")

    @property
    def name(self) -> str:
        """The name of the link's thread."""
        return self._worker.name

    def start(self, vitals: Vitals) -> None:
        """Begin to connect."""
        self._wake_fd = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._worker.start(vitals)

    def stop(self, timeout: float) -> bool:
        """Send what waits as long as the time allows, say goodbye (no Will), end; whether the thread ended in time."""
        self._give_up = self._clock.now() + timeout - 2 * TICK
        self._stopping.set()
        self.wake()
        return self._worker.join(timeout)

    def wake(self) -> None:
        """There is something to send."""
        if self._wake_fd >= 0 and not self._woken:
            self._woken = True
            os.eventfd_write(self._wake_fd, 1)

    def subscribe(self, subscriptions: Iterable[Subscription], then: Outgoing | None = None, hold: bool = False) -> None:
        """Subscribe in one packet; lost, like all subscriptions, with the connection.

        ``then`` is published at once: the broker reads it before anything that we say to what it sends. With ``hold``
        nothing is read for HOLD seconds after it.
        """
        with self._lock:
            self._commands.append((tuple(subscriptions), (), then, hold))
        self.wake()

    def unsubscribe(self, filters: Iterable[str]) -> None:
        """Undo subscriptions."""
        with self._lock:
            self._commands.append(((), tuple(filters), None, False))
        self.wake()

    # ---- the thread

    def _turn(self) -> None:
        """One connection from beginning to end, if the gate lets us, and the pause after it."""
        pause = SHUT
        if self._gate():
            self._worker.pulse.due = self._clock.now() + CONNECT_WITHIN
            self._session()
            if self._connected:
                self._backoff.reset()
                self._refused.reset()
                self._told = None
            self._told = self._lost(self._told)
            pause = (self._refused if self._login_refused else self._backoff).next()
        self._worker.pulse.due = self._clock.now() + pause
        self._stopping.wait(pause)

    def _session(self) -> None:
        """Connect and serve until the connection is lost; ``_reason`` says why."""
        self._reset()
        with self._lock:
            self._commands.clear()
        client = Client(self._settings, self._client_id, self._will, self._clock, self)
        try:
            self._serve(client, client.connect())
        except (OSError, ValueError) as error:
            self._reason = self._reason or plain_reason(error)
        except Exception:
            self.errors += 1
            self._reason = "a failure of the gateway; its log says more"
            log.exception("the connection to the broker failed", client_id=self._client_id)
        finally:
            client.drop()
            self._source.unsent(self._flights.unsent())

    def _serve(self, client: Client, sock: Any) -> None:
        poller = select.poll()
        poller.register(self._wake_fd, select.POLLIN)
        begun = self._clock.now()
        self._flights.look()
        while client.sock is sock and sock is not None:
            if self._stopping.is_set() and self._finished(client):
                return
            self._send(client)
            if client.sock is not sock:
                return  # lost while sending
            deaf = max(0.0, self._deaf_until - self._clock.now())
            poller.register(sock, (0 if deaf else select.POLLIN) | (select.POLLOUT if client.wants_write else 0))
            self._worker.pulse.due = self._clock.now() + TICK
            ready = dict(poller.poll(min(TICK, deaf or TICK) * 1000))
            self._watch(client, begun)
            if self._wake_fd in ready:
                if self._linger and not self._flights:
                    self._stopping.wait(self._linger)
                os.eventfd_read(self._wake_fd)
                self._woken = False
            events = ready.get(sock.fileno(), 0)
            if events & ~select.POLLOUT:
                client.read()
            if events & select.POLLOUT:
                client.write()
            client.keep_alive()

    def _finished(self, client: Client) -> bool:
        """On stop: whether everything is sent and acknowledged, or time is up; then say goodbye."""
        waiting = self._flights or client.wants_write or len(self._source)
        if self._connected and waiting and self._clock.now() < self._give_up:
            return False
        client.goodbye()
        return True

    def _send(self, client: Client) -> None:
        if not self._connected:
            return
        if self._flights.wants_marker and len(self._flights) < self._window:
            self._flights.mark(self._fly(client, self._beat))
        self._send_commands(client)
        while len(self._flights) < self._window and not client.wants_write:
            message = self._source.pop()
            self._send_commands(client)  # what was subscribed before this message was put goes out before it
            if message is None:
                return
            self._publish(client, message)

    def _send_commands(self, client: Client) -> None:
        with self._lock:
            commands, self._commands = self._commands, []
        for subscriptions, filters, then, hold in commands:
            if filters:
                client.unsubscribe(filters)
            mid = client.subscribe(subscriptions) if subscriptions else None
            if mid is not None:
                self._filters[mid] = tuple(s.filter for s in subscriptions)
            if then is not None:
                self._publish(client, then)
            if hold:
                self._deaf_until = self._clock.now() + HOLD

    def _publish(self, client: Client, message: Outgoing) -> None:
        topic_bytes = len(message.topic.encode())
        too_large = self._max_packet and len(message.payload) + topic_bytes + 64 > self._max_packet
        if too_large or topic_bytes > MAX_TOPIC:
            log.warning(
                "a message is larger than MQTT or the broker takes", topic=message.topic[:200], bytes=len(message.payload)
            )
            self._source.refused(message, "it is larger than the broker takes")
            return
        self._fly(client, message)

    def _fly(self, client: Client, message: Outgoing) -> int:
        mid = client.publish(message)
        if message.qos:
            self._flights.begin(mid, message)
        return mid

    def _watch(self, client: Client, begun: float) -> None:
        """Notice a broker that answers no more, and a pause of our own after which requests are of unknown age."""
        pause, gone = self._flights.look()
        if not self._connected:
            if self._clock.now() - begun > CONNACK_TIMEOUT:
                raise OSError("the broker does not answer the CONNECT")
            return
        if gone:
            raise OSError(f"the broker has acknowledged nothing for {ACK_TIMEOUT:.0f} s")
        if pause > LATE + TICK:
            log.warning("the gateway was not running for a while", seconds=round(pause, 1))
            self._flights.paused()
        elif self._flights.wants_beat:
            self._fly(client, self._beat)

    def _lost(self, told: str | None) -> str:
        """Tell that the link is down; the log says each reason once."""
        reason = self._reason or ("the connection was closed" if self._connected else self._not_let_in())
        if reason != told and not self._stopping.is_set():
            log.warning("no connection to the broker", client_id=self._client_id, reason=reason)
        self._connected = False
        self._on_event(Disconnected(reason))
        return reason

    def _not_let_in(self) -> str:
        wants = "; if it wants a certificate of us, set broker.cert" if self._settings.url.tls else ""
        return f"the broker closed the connection before it let us in{wants}"

    # ---- what the broker says, on the thread

    def let_in(self, receive_maximum: int | None, max_packet: int) -> None:
        """The connection is up."""
        self._window = min(WINDOW, receive_maximum or WINDOW)
        self._max_packet = max_packet
        self._connected = True
        self._refusals = ()
        log.info("connected to the broker", client_id=self._client_id)
        self._on_event(Connected())

    def refused(self, reason: str, login: bool) -> None:
        """There will be no connection this time."""
        self._reason, self._login_refused = reason, login

    def closed(self, reason: str) -> None:
        """The connection ends."""
        self._reason = self._reason or reason

    def message(self, message: Message) -> None:
        """Pass it on, with our doubts; what comes on a connection that we do not want is nothing to us."""
        if not self._connected:
            return
        self._on_event(replace(message, suspect=True) if self._flights.suspect(message.received) else message)

    def acknowledged(self, mid: int, refusal: str | None) -> None:
        """A publish has ended."""
        message = self._flights.end(mid)
        if message is not None and refusal is None:
            self._source.acknowledged(message)
        elif message is not None and message.topic != self._beat.topic:  # of that, the replays tell
            self._tell_refused(message.topic, str(refusal))
            self._source.refused(message, str(refusal))

    def _tell_refused(self, topic: str, reason: str) -> None:
        if topic not in self._refused_topics and len(self._refused_topics) < REFUSED_TOLD:
            self._refused_topics.add(topic)
            log.warning("the broker refuses a message", topic=topic, reason=reason)

    def subscribed(self, mid: int, refusals: Sequence[str | None]) -> None:
        """Tell of subscriptions that are refused, each once."""
        for name, refusal in zip(self._filters.pop(mid, ()), refusals, strict=False):
            if refusal is None or name in self._refusals:
                continue
            self._refusals += (name,)
            if name not in self._told_refusals:
                self._told_refusals.add(name)
                log.error("the broker refuses a subscription", filter=name, reason=refusal)

    def failed(self) -> None:
        """Count it."""
        self.errors += 1
