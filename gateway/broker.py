"""A connection to the broker; the only module that knows the MQTT library.

Each ``Link`` is one connection with one thread, which owns the library's client: nobody else calls it. Messages go out from
the link's ``Source``, events come in by ``on_event``, which must only enqueue. A new client is made for each connection, so
that nothing of an old one is sent again behind our back.
"""

from __future__ import annotations

import os
import random
import select
import socket
import ssl
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import paho.mqtt.client as paho
import structlog
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode
from paho.mqtt.subscribeoptions import SubscribeOptions

from gateway.backoff import Backoff
from gateway.clock import Clock
from gateway.model import Connected, Disconnected, Event, Message, Outgoing
from gateway.queues import Source
from gateway.settings import Broker

log = structlog.get_logger()

KEEPALIVE = 15
CONNECT_TIMEOUT = 5.0
CONNACK_TIMEOUT = 10.0
ACK_TIMEOUT = 10.0
"""Seconds after which a publish without PUBACK means that the broker is gone, whatever TCP says."""
LATE = 2.0
"""Seconds after which a missing PUBACK, or a pause of this thread, makes the age of what comes in unknown."""
BEAT = 2.0
"""Seconds without anything acknowledged after which a message of our own is sent, so that silence is noticed."""
WINDOW = 10
"""Publishes in flight: more bring nothing on a LAN, and some brokers take no more."""
MAX_TOPIC = 65_535
"""Bytes that a topic may have (MQTT 5.0, 1.5.4); the library would give up the connection."""
TICK = 0.5
NOT_LET_IN = frozenset({"Bad user name or password", "Not authorized", "Banned", "Client identifier not valid"})


@dataclass(frozen=True, slots=True)
class Subscription:
    """A topic filter and how it is subscribed (MQTT 5.0, 3.8.3.1); ``replay`` asks for the retained messages too."""

    filter: str
    qos: int = 1
    replay: bool = True
    as_published: bool = False
    no_local: bool = False


@dataclass(slots=True)
class _InFlight:
    message: Outgoing
    sent: float


class Link:
    """One MQTT 5 connection that comes back by itself: clean start, no session left behind.

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
        self._marker = marker
        self._will = will
        self._gate = gate
        self._linger = linger
        self._woken = False
        self._thread = threading.Thread(target=self._run, name=f"mqtt:{client_id}", daemon=True)
        self._stopping = threading.Event()
        self._give_up = 0.0
        self._wake_fd = -1
        self._lock = threading.Lock()
        self._commands: list[tuple[tuple[Subscription, ...], tuple[str, ...], Outgoing | None]] = []
        self._client: paho.Client | None = None
        self._reset()
        self.refused_filters: list[str] = []
        self.errors = 0

    def _reset(self) -> None:
        self._connected = False
        self._reason = ""
        self._let_in = True
        self._window = WINDOW
        self._max_packet = 0
        self._in_flight: dict[int, _InFlight] = {}
        self._filters: dict[int, tuple[str, ...]] = {}
        self._acked = 0.0
        self._seen = 0.0
        self._unsure = False  # what comes in may have waited unseen, until the marker is acknowledged
        self._marker_mid: int | None = None

    # ---- from other threads

    @property
    def connected(self) -> bool:
        """Whether the broker has let us in."""
        return self._connected

    @property
    def name(self) -> str:
        """The name of the link's thread."""
        return self._thread.name

    def start(self) -> None:
        """Begin to connect."""
        self._wake_fd = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._thread.start()

    def stop(self, timeout: float) -> bool:
        """Send what waits as long as the time allows, say goodbye (no Will), end; whether the thread ended in time."""
        self._give_up = self._clock.now() + timeout - 2 * TICK
        self._stopping.set()
        self.wake()
        if self._thread.is_alive():
            self._thread.join(timeout)
        return not self._thread.is_alive()

    def wake(self) -> None:
        """There is something to send."""
        if self._wake_fd >= 0 and not self._woken:
            self._woken = True
            os.eventfd_write(self._wake_fd, 1)

    def subscribe(self, subscriptions: Iterable[Subscription], then: Outgoing | None = None) -> None:
        """Subscribe in one packet; lost, like all subscriptions, with the connection.

        ``then`` is published at once: the broker reads it before anything that we say to what it sends.
        """
        with self._lock:
            self._commands.append((tuple(subscriptions), (), then))
        self.wake()

    def unsubscribe(self, filters: Iterable[str]) -> None:
        """Undo subscriptions."""
        with self._lock:
            self._commands.append(((), tuple(filters), None))
        self.wake()

    # ---- the thread

    def _run(self) -> None:
        backoff = Backoff(random.random, first=1.0, most=5.0)
        refused = Backoff(random.random, first=2.0, most=60.0)
        told: str | None = None
        while not self._stopping.is_set():
            pause = 0.2
            if self._gate():
                self._session()
                if self._connected:
                    backoff.reset()
                    refused.reset()
                    told = None
                told = self._lost(told)
                pause = (backoff if self._let_in else refused).next()
            self._stopping.wait(pause)

    def _session(self) -> None:
        """Connect and serve until the connection is lost; ``_reason`` says why."""
        self._reset()
        with self._lock:
            self._commands.clear()
        try:
            client = self._client = self._make_client()
            host, port = self._settings.url.host, self._settings.url.port
            client.connect(host, port, KEEPALIVE, clean_start=True, properties=_no_session())
            self._serve(client)
        except (OSError, ValueError) as error:
            self._reason = self._reason or _plain_reason(error)
        except Exception:
            self.errors += 1
            self._reason = "a failure of the gateway; its log says more"
            log.exception("the connection to the broker failed", client_id=self._client_id)
        finally:
            self._drop()

    def _serve(self, client: paho.Client) -> None:
        sock: Any = client.socket()
        poller = select.poll()
        poller.register(self._wake_fd, select.POLLIN)
        begun = self._seen = self._clock.now()
        while client.socket() is sock and sock is not None:
            if self._stopping.is_set() and self._finished(client):
                return
            self._send(client)
            if client.socket() is not sock:
                return  # lost while sending
            poller.register(sock, select.POLLIN | (select.POLLOUT if client.want_write() else 0))
            ready = dict(poller.poll(TICK * 1000))
            now = self._clock.now()
            self._watch(client, now, now - self._seen, now - begun)
            self._seen = now
            if self._wake_fd in ready:
                if self._linger and not self._in_flight:
                    self._stopping.wait(self._linger)
                os.eventfd_read(self._wake_fd)
                self._woken = False
            events = ready.get(sock.fileno(), 0)
            if events & ~select.POLLOUT:
                self._read(client, sock)
            if events & select.POLLOUT:
                client.loop_write()
            client.loop_misc()

    def _finished(self, client: paho.Client) -> bool:
        """On stop: whether everything is sent and acknowledged, or time is up; then say goodbye."""
        waiting = self._in_flight or client.want_write() or len(self._source)
        if self._connected and waiting and self._clock.now() < self._give_up:
            return False
        client.disconnect()
        return True

    def _read(self, client: paho.Client, sock: Any) -> None:
        client.loop_read()
        while isinstance(sock, ssl.SSLSocket) and client.socket() and sock.pending():  # decrypted already: poll is silent
            client.loop_read()

    def _send(self, client: paho.Client) -> None:
        if not self._connected:
            return
        if self._unsure and self._marker_mid is None and len(self._in_flight) < self._window:
            self._marker_mid = self._beat(client)
        self._send_commands(client)
        while len(self._in_flight) < self._window and not client.want_write():
            message = self._source.pop()
            self._send_commands(client)  # what was subscribed before this message was put goes out before it
            if message is None:
                return
            self._publish(client, message)

    def _send_commands(self, client: paho.Client) -> None:
        with self._lock:
            commands, self._commands = self._commands, []
        for subscriptions, filters, then in commands:
            self._send_command(client, subscriptions, filters)
            if then is not None:
                self._publish(client, then)

    def _send_command(self, client: paho.Client, subscriptions: tuple[Subscription, ...], filters: tuple[str, ...]) -> None:
        if filters:
            client.unsubscribe(list(filters))
        if subscriptions:
            _, mid = client.subscribe([(s.filter, _options(s)) for s in subscriptions])
            if mid is not None:
                self._filters[mid] = tuple(s.filter for s in subscriptions)

    def _publish(self, client: paho.Client, message: Outgoing) -> None:
        topic_bytes = len(message.topic.encode())
        too_large = self._max_packet and len(message.payload) + topic_bytes + 64 > self._max_packet
        if too_large or topic_bytes > MAX_TOPIC:
            log.warning(
                "a message is larger than MQTT or the broker takes", topic=message.topic[:200], bytes=len(message.payload)
            )
            self._source.refused(message)
            return
        info = client.publish(message.topic, message.payload, message.qos, message.retain, _properties(message))
        if message.qos:
            self._in_flight[info.mid] = _InFlight(message, self._clock.now())

    def _watch(self, client: paho.Client, now: float, pause: float, age: float) -> None:
        """Notice a broker that answers no more, and a pause of our own after which requests are of unknown age."""
        if not self._connected:
            if age > CONNACK_TIMEOUT:
                raise OSError("the broker does not answer the CONNECT")
            return
        if min(self._oldest(now), now - self._acked) > ACK_TIMEOUT and pause < LATE:
            raise OSError(f"the broker has acknowledged nothing for {ACK_TIMEOUT:.0f} s")
        if pause > LATE + TICK:
            log.warning("the gateway was not running for a while", seconds=round(pause, 1))
            self._doubt()
            for flight in self._in_flight.values():
                flight.sent = now
        elif not self._in_flight and now - self._acked > BEAT:
            self._beat(client)

    def _beat(self, client: paho.Client) -> int:
        """Publish something of our own that has to be acknowledged; its packet id."""
        beat = Outgoing(self._marker, b'{"nonce":"mark"}')
        mid: int = client.publish(beat.topic, beat.payload, beat.qos).mid
        self._in_flight[mid] = _InFlight(beat, self._clock.now())
        return mid

    def _doubt(self) -> None:
        """The age of what comes in is not known until a marker that is sent from now on is acknowledged."""
        self._unsure, self._marker_mid = True, None

    def _oldest(self, now: float) -> float:
        first = next(iter(self._in_flight.values()), None)
        return now - first.sent if first else 0.0

    def _drop(self) -> None:
        """Close the socket; without a DISCONNECT the broker publishes the Will."""
        client, self._client = self._client, None
        sock = client.socket() if client else None
        if sock is not None:
            try:
                sock.close()
            except OSError:
                pass  # it is gone either way
        self._source.unsent([flight.message for flight in self._in_flight.values()])
        self._in_flight = {}

    def _lost(self, told: str | None) -> str | None:
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

    # ---- the library

    def _make_client(self) -> paho.Client:
        client = paho.Client(CallbackAPIVersion.VERSION2, client_id=self._client_id, protocol=paho.MQTTv5)
        client.suppress_exceptions = True
        client.connect_timeout = CONNECT_TIMEOUT
        client.max_inflight_messages_set(2 * WINDOW)
        broker = self._settings
        if broker.username is not None:
            client.username_pw_set(broker.username, broker.password.get_secret_value() if broker.password else None)
        if broker.url.tls:
            client.tls_set_context(_tls(broker))
        if self._will is not None:
            client.will_set(self._will.topic, self._will.payload, self._will.qos, self._will.retain)
        client.on_socket_open = _no_delay
        client.on_connect = self._on_connect
        client.on_disconnect = self._on_disconnect
        client.on_message = self._on_message
        client.on_publish = self._on_publish
        client.on_subscribe = self._on_subscribe
        return client

    def _guarded(self, act: Callable[[], None]) -> None:
        """Run a callback's body: whatever fails in it is logged and never reaches the library."""
        try:
            act()
        except Exception:
            self.errors += 1
            log.exception("a callback failed", client_id=self._client_id)

    def _on_connect(self, _c: Any, _u: Any, _flags: Any, code: ReasonCode, properties: Properties | None) -> None:
        def act() -> None:
            if code.is_failure:
                self._reason = f"the broker refuses us: {code}"
                self._let_in = str(code) not in NOT_LET_IN
                return
            self._window = min(WINDOW, getattr(properties, "ReceiveMaximum", WINDOW))
            self._max_packet = getattr(properties, "MaximumPacketSize", 0)
            self._connected = True
            log.info("connected to the broker", client_id=self._client_id)
            self._on_event(Connected())

        self._guarded(act)

    def _on_disconnect(self, _c: Any, _u: Any, flags: Any, code: ReasonCode, _p: Any) -> None:
        if not self._reason and flags.is_disconnect_packet_from_server:
            self._reason = f"the broker has closed the connection: {code}"

    def _on_message(self, _c: Any, _u: Any, received: paho.MQTTMessage) -> None:
        def act() -> None:
            now = self._clock.now()
            properties: Any = received.properties
            try:
                topic = received.topic
            except UnicodeDecodeError:
                return  # not a topic by MQTT's own rules (5.0, 1.5.4): nobody can have meant us
            self._on_event(
                Message(
                    topic,
                    bytes(received.payload),
                    received.retain,
                    received.qos,
                    now,
                    getattr(properties, "ResponseTopic", None),
                    getattr(properties, "CorrelationData", None),
                    getattr(properties, "MessageExpiryInterval", None),
                    tuple(getattr(properties, "UserProperty", ())),
                    self._unsure or self._oldest(now) > LATE or now - self._seen > LATE,
                )
            )

        self._guarded(act)

    def _on_publish(self, _c: Any, _u: Any, mid: int, code: ReasonCode, _p: Any) -> None:
        def act() -> None:
            flight = self._in_flight.pop(mid, None)
            if flight is None:
                return  # at QoS 0 this says that the bytes have left, not that anybody has them
            now = self._acked = self._clock.now()
            if mid == self._marker_mid:
                self._unsure, self._marker_mid = False, None
            if now - flight.sent > LATE:  # what follows it has waited as long
                self._doubt()
            if code.is_failure and flight.message.topic != self._marker:  # of that, the replays tell
                log.warning("the broker refuses a message", topic=flight.message.topic, reason=str(code))
                self._source.refused(flight.message)

        self._guarded(act)

    def _on_subscribe(self, _c: Any, _u: Any, mid: int, codes: list[ReasonCode], _p: Any) -> None:
        def act() -> None:
            filters = self._filters.pop(mid, ())
            for name, code in zip(filters, codes, strict=False):
                if code.is_failure and name not in self.refused_filters:
                    self.refused_filters.append(name)
                    log.error("the broker refuses a subscription", filter=name, reason=str(code))

        self._guarded(act)


def _options(subscription: Subscription) -> SubscribeOptions:
    handling = SubscribeOptions.RETAIN_SEND_ON_SUBSCRIBE if subscription.replay else SubscribeOptions.RETAIN_DO_NOT_SEND
    return SubscribeOptions(subscription.qos, subscription.no_local, subscription.as_published, handling)


def _properties(message: Outgoing) -> Properties | None:
    if message.expiry is None and message.correlation is None and message.content_type is None and not message.user:
        return None
    properties: Any = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]  # the library's
    if message.expiry is not None:
        properties.MessageExpiryInterval = message.expiry
    if message.correlation is not None:
        properties.CorrelationData = message.correlation
    if message.content_type is not None:
        properties.ContentType = message.content_type
    if message.user:
        properties.UserProperty = list(message.user)
    return properties  # type: ignore[no-any-return]


def _no_session() -> Properties:
    properties: Any = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]  # the library's
    properties.SessionExpiryInterval = 0
    return properties  # type: ignore[no-any-return]


def _no_delay(_client: Any, _userdata: Any, sock: Any) -> None:
    try:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    except OSError:
        pass  # not a TCP socket


def _tls(broker: Broker) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=str(broker.ca) if broker.ca else None)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if broker.cert is not None:
        context.load_cert_chain(str(broker.cert), str(broker.key) if broker.key else None)
    if broker.crl is not None:
        context.load_verify_locations(str(broker.crl))
        context.verify_flags |= ssl.VERIFY_CRL_CHECK_LEAF
    return context


def _plain_reason(error: Exception) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"the broker's certificate is not accepted: {error.verify_message}"
    if isinstance(error, TimeoutError):
        return "the broker's address does not answer"
    return str(error.strerror or error) if isinstance(error, OSError) else str(error)
