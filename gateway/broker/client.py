"""One MQTT connection, by the library: the only module of the gateway that knows it.

Everything happens on the caller's thread: what the broker says is heard while ``read`` is called. Whatever fails on hearing
it is logged and never reaches the library, whose network code an exception would end.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Sequence
from typing import Any, Literal, Protocol

import paho.mqtt.client as paho
import structlog
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode
from paho.mqtt.subscribeoptions import SubscribeOptions

from gateway.broker import publish, tls
from gateway.broker.subscription import Subscription
from gateway.clock import Clock
from gateway.model import Message, Outgoing
from gateway.settings import Broker

log = structlog.get_logger()

KEEPALIVE = 15
CONNECT_TIMEOUT = 5.0
AT_ONCE, AT_MOST = 4096, 64 << 10
"""Bytes that are read at least, if they are there, as the library would take three steps to each packet; and at most."""
SUCCESS, NOTHING = ReasonCode(PacketTypes.PUBACK), Properties(PacketTypes.PUBACK)  # type: ignore[no-untyped-call]
NO_SUBSCRIBERS = b"\x10"
"""How a PUBACK goes on that tells that nobody has subscribed (MQTT 5.0, 3.4.2.1): a success for us."""
FAILURE = b"\x80"
"""The least reason code that is a failure (MQTT 5.0, 2.4)."""
NOT_LET_IN = frozenset({"Bad user name or password", "Not authorized", "Banned", "Client identifier not valid"})
PROTOCOL_ERROR = 0x82
KEPT_SESSION = "the broker has kept a session for us, which we never ask for: what it would bring may be of any age"


class Hears(Protocol):
    """Who hears what the broker says."""

    def let_in(self, receive_maximum: int | None, max_packet: int) -> None:
        """The broker has let us in; it takes that many publishes in flight and packets of so many bytes (0: any)."""
        ...

    def refused(self, reason: str, login: bool) -> None:
        """The broker does not let us in; ``login``: because of who we are."""
        ...

    def closed(self, reason: str) -> None:
        """The broker says goodbye."""
        ...

    def message(self, message: Message) -> None:
        """A message has come."""
        ...

    def acknowledged(self, mid: int, refusal: str | None) -> None:
        """A publish is acknowledged, or refused for that reason."""
        ...

    def subscribed(self, mid: int, refusals: Sequence[str | None]) -> None:
        """A SUBSCRIBE is answered: for each filter why it is refused, or None."""
        ...

    def failed(self) -> None:
        """One of these has failed."""
        ...


class _Library(paho.Client):
    """The library's client, with fewer calls of the system, and our own ways to hear a message and an acknowledgement.

    All by methods that it does not make public, so pyproject.toml names the versions that have them.
    """

    _heard = b""
    hears: Callable[[Message], None]
    now: Callable[[], float]

    def has_more(self, sock: Any) -> bool:
        """Whether something waits to be heard that poll does not tell of: it is here already."""
        return bool(self._heard) or (hasattr(sock, "pending") and sock.pending() > 0)

    def _sock_recv(self, bufsize: int) -> bytes:
        if self._in_packet["remaining_length"] > publish.LONGEST:
            del self._in_packet["packet"][publish.HEAD :]
        if not self._heard:
            self._heard = super()._sock_recv(min(max(bufsize, AT_ONCE), AT_MOST))
        data, self._heard = self._heard[:bufsize], self._heard[bufsize:]
        return data

    def _handle_publish(self) -> MQTTErrorCode:
        command, length = self._in_packet["command"], self._in_packet["remaining_length"]
        packet = self._in_packet["packet"] if length <= publish.LONGEST else self._in_packet["packet"][: publish.HEAD]
        try:
            mid, message = publish.decode(command, bytes(packet), length, self.now())
        except (ValueError, IndexError):
            return MQTTErrorCode.MQTT_ERR_PROTOCOL
        if message is not None:
            self.hears(message)
        if not mid:
            return MQTTErrorCode.MQTT_ERR_SUCCESS
        # Heard before its PUBREL: nothing comes twice on a connection, and no session outlives one (MQTT 5.0, 4.3.3, 4.4).
        return self._send_pubrec(mid) if command >> 1 & 3 == 2 else self._send_puback(mid)

    def _handle_pubrec(self) -> MQTTErrorCode:
        packet = self._in_packet["packet"]
        mid = int.from_bytes(packet[:2])
        if mid in self._out_messages and packet[2:3] >= FAILURE:  # a refusal is the end: no PUBREL follows (MQTT 5.0, 4.3.3)
            return self._do_on_publish(mid, ReasonCode(PacketTypes.PUBREC, identifier=packet[2]), NOTHING)
        return super()._handle_pubrec()

    def _handle_pubackcomp(self, cmd: Literal["PUBACK", "PUBCOMP"]) -> MQTTErrorCode:
        packet = self._in_packet["packet"]
        mid = int.from_bytes(packet[:2])
        if mid in self._out_messages and (len(packet) == 2 or packet[2:] == NO_SUBSCRIBERS):
            return self._do_on_publish(mid, SUCCESS, NOTHING)
        return super()._handle_pubackcomp(cmd)


class Client:
    """One connection; made anew for each, so that nothing of an old one is sent again behind our back."""

    def __init__(self, settings: Broker, client_id: str, will: Outgoing | None, clock: Clock, hears: Hears) -> None:
        self._settings = settings
        self._client_id = client_id
        self._will = will
        self._clock = clock
        self._hears = hears
        self._client = _Library(CallbackAPIVersion.VERSION2, client_id=client_id, protocol=paho.MQTTv5)

    def connect(self) -> Any:
        """Connect and send CONNECT: clean start, no session left behind; the socket. Raises OSError, ValueError."""
        client, broker = self._client, self._settings
        client.suppress_exceptions = True
        client.connect_timeout = CONNECT_TIMEOUT
        client.max_inflight_messages_set(0)  # any number: the link sees to it
        if broker.username is not None:
            client.username_pw_set(broker.username, broker.password.get_secret_value() if broker.password else None)
        if broker.url.tls:
            client.tls_set_context(tls.context(broker))
        if self._will is not None:
            client.will_set(self._will.topic, self._will.payload, self._will.qos, self._will.retain)
        client.on_socket_open = _no_delay
        client.on_connect = self._on_connect
        client.on_disconnect = self._on_disconnect
        client.hears, client.now = self._on_message, self._clock.now
        client.on_publish = self._on_publish
        client.on_subscribe = self._on_subscribe
        client.connect(broker.url.host, broker.url.port, KEEPALIVE, clean_start=True, properties=_no_session())
        return client.socket()

    @property
    def sock(self) -> Any:
        """The socket; None when the connection is lost."""
        return self._client.socket()

    @property
    def wants_write(self) -> bool:
        """Whether bytes wait to leave."""
        return bool(self._client.want_write())

    def read(self) -> None:
        """Hear what has come."""
        self._client.loop_read()
        sock = self.sock
        while sock is not None and self.sock is sock and self._client.has_more(sock):
            self._client.loop_read()

    def write(self) -> None:
        """Send what waits."""
        self._client.loop_write()

    def keep_alive(self) -> None:
        """Send a PINGREQ if one is due."""
        self._client.loop_misc()

    def publish(self, message: Outgoing) -> int:
        """Send a message; its packet id."""
        info = self._client.publish(message.topic, message.payload, message.qos, message.retain, _properties(message))
        return info.mid

    def subscribe(self, subscriptions: Sequence[Subscription]) -> int | None:
        """Subscribe in one packet; its id."""
        _, mid = self._client.subscribe([(s.filter, _options(s)) for s in subscriptions])
        return mid

    def unsubscribe(self, filters: Sequence[str]) -> None:
        """Undo subscriptions."""
        self._client.unsubscribe(list(filters))

    def goodbye(self) -> None:
        """Send DISCONNECT: the broker does not publish the Will."""
        self._client.disconnect()

    def drop(self) -> None:
        """Close the socket; without a DISCONNECT the broker publishes the Will."""
        sock = self.sock
        if sock is not None:
            try:
                sock.close()
            except OSError:
                pass  # it is gone either way

    # ---- what the library calls

    def _guarded(self, act: Callable[[], None]) -> None:
        try:
            act()
        except Exception:
            log.exception("a callback failed", client_id=self._client_id)
            self._hears.failed()

    def _on_connect(self, _c: Any, _u: Any, flags: Any, code: ReasonCode, properties: Properties | None) -> None:
        def act() -> None:
            if code.is_failure:
                self._hears.refused(f"the broker refuses us: {code}", str(code) in NOT_LET_IN)
            elif flags.session_present:  # MQTT 5.0, 3.2.2.1.1: who has no session closes the connection
                self._hears.refused(KEPT_SESSION, False)
                self._client.disconnect(ReasonCode(PacketTypes.DISCONNECT, identifier=PROTOCOL_ERROR))
            else:
                maximum, packet = getattr(properties, "ReceiveMaximum", None), getattr(properties, "MaximumPacketSize", 0)
                self._hears.let_in(maximum, packet)

        self._guarded(act)

    def _on_disconnect(self, _c: Any, _u: Any, flags: Any, code: ReasonCode, _p: Any) -> None:
        if flags.is_disconnect_packet_from_server:
            self._guarded(lambda: self._hears.closed(f"the broker has closed the connection: {code}"))

    def _on_message(self, message: Message) -> None:
        self._guarded(lambda: self._hears.message(message))

    def _on_publish(self, _c: Any, _u: Any, mid: int, code: ReasonCode, _p: Any) -> None:
        self._guarded(lambda: self._hears.acknowledged(mid, str(code) if code.is_failure else None))

    def _on_subscribe(self, _c: Any, _u: Any, mid: int, codes: list[ReasonCode], _p: Any) -> None:
        self._guarded(lambda: self._hears.subscribed(mid, [str(code) if code.is_failure else None for code in codes]))


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
