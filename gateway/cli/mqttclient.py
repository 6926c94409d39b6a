"""A thin MQTT 5 client for the commands: connect, publish, subscribe, and a queue of what comes in.

The gateway itself has ``gateway.broker``; a command is a client like any other.
"""

from __future__ import annotations

import ssl
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from queue import Empty, SimpleQueue
from types import TracebackType
from typing import Any, Self

from paho.mqtt.client import Client, MQTTMessage, MQTTMessageInfo
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from gateway.settings_types import BrokerUrl

TIMEOUT = 10.0
NOBODY_LISTENS = 0x10
"""PUBACK: no matching subscribers (MQTT 5.0, 3.4.2.1). A broker need not say so."""


class NoConnection(Exception):
    """The broker does not answer, or refuses; the message says which broker and why."""


@dataclass(frozen=True, slots=True)
class Message:
    """What came in on a subscription."""

    topic: str
    payload: bytes
    retained: bool
    correlation: bytes | None = None


@dataclass(frozen=True, slots=True)
class Login:
    """Who connects, and by which authority the broker is known (the system's if none is named).

    ``cert`` is a certificate of one's own, ``key`` its private key where that is a file of its own.
    """

    username: str | None = None
    password: str | None = field(default=None, repr=False)
    ca: Path | None = None
    cert: Path | None = None
    key: Path | None = None


@dataclass(frozen=True, slots=True)
class Reply:
    """How a request wants its answer: where, with which mark, and within how many whole seconds (MQTT 5.0, 3.3.2.3)."""

    topic: str
    correlation: bytes
    expiry: int


class MqttClient:
    """One connection, used as a context manager; all subscriptions feed one queue."""

    def __init__(self, url: BrokerUrl, timeout: float = TIMEOUT, login: Login | None = None) -> None:
        self._url = url
        self._login = login or Login()
        self._timeout = timeout
        self._messages: SimpleQueue[Message] = SimpleQueue()
        self._connected = threading.Event()
        self._refusal = ""
        self._filters: list[str] = []
        self._acknowledged: dict[int, ReasonCode] = {}
        self._subscribed = threading.Event()
        self._steps: list[Callable[[], None]] = []
        self._client = Client(CallbackAPIVersion.VERSION2, protocol=MQTTProtocolVersion.MQTTv5)
        self._client.on_connect = self._on_connect
        self._client.on_message = self._on_message
        self._client.on_publish = self._on_publish
        self._client.on_subscribe = self._on_subscribe

    def __enter__(self) -> Self:
        """Connect; raises NoConnection."""
        try:
            self._identify()
            self._client.connect(self._url.host, self._url.port)
        except OSError as error:
            raise NoConnection(f"no connection to {self._url}: {error.strerror or error}") from None
        self._client.loop_start()
        if not self._connected.wait(self._timeout) or self._refusal:
            self.close()
            raise NoConnection(f"{self._url} does not let us in: {self._refusal or 'no answer'}")
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Disconnect."""
        self.close()

    def close(self) -> None:
        """Disconnect; may be called again."""
        self._client.disconnect()
        self._client.loop_stop()

    def _identify(self) -> None:
        if self._login.username is not None:
            self._client.username_pw_set(self._login.username, self._login.password)
        if self._url.tls:
            self._client.tls_set_context(_tls(self._login))

    def publish(self, topic: str, payload: bytes, *, retain: bool = False, reply: Reply | None = None) -> bool:
        """Publish with QoS 1 and wait until the broker has it; False if it says that nobody listens. Raises NoConnection."""
        return self._acknowledgement(topic, self._client.publish(topic, payload, 1, retain, _properties(reply)))

    def publish_all(self, messages: Iterable[tuple[str, bytes]]) -> None:
        """Publish retained messages in this order, and wait until the broker has all. Raises NoConnection."""
        sent = [(topic, self._client.publish(topic, payload, 1, retain=True)) for topic, payload in messages]
        for topic, info in sent:
            self._acknowledgement(topic, info)

    def _acknowledgement(self, topic: str, sent: MQTTMessageInfo) -> bool:
        try:
            sent.wait_for_publish(self._timeout)
            acknowledged = sent.is_published()
        except (RuntimeError, ValueError) as error:
            raise NoConnection(f"{self._url}: {topic} can not be published: {error}") from None
        if not acknowledged:
            raise NoConnection(f"{self._url} did not acknowledge {topic} within {self._timeout:g} s")
        reason = self._acknowledged.pop(sent.mid, None)
        if reason is not None and reason.is_failure:
            raise NoConnection(f"{self._url} does not take a message to {topic}: {reason}")
        return reason is None or reason.value != NOBODY_LISTENS

    def subscribe(self, topic_filter: str) -> None:
        """Ask for the messages of a filter, with QoS 0, also after a reconnect. Raises NoConnection."""
        self._filters.append(topic_filter)
        result, _ = self._client.subscribe(topic_filter)
        if result != MQTTErrorCode.MQTT_ERR_SUCCESS:
            raise NoConnection(f"{self._url}: {topic_filter} can not be subscribed")

    def replay(self, topic_filter: str, end: str, settled: Callable[[], None]) -> None:
        """Subscribe, publish a message of each QoS to ``end`` right behind it, and read on when ``settled`` returns.

        ``end`` is a topic that the filter matches. Nothing is read before the broker has taken all of it, so where it had
        no room for something, it has none in the end either: if both messages come, all of the replay has come. Raises
        NoConnection.
        """

        def begin() -> None:
            self._client.subscribe(topic_filter, qos=1)
            for qos in (1, 0):
                self._client.publish(end, b"%d" % qos, qos)

        self._steps = [
            begin,
            settled,
        ]  # the library's thread takes one after the acknowledgement, the other after QoS 0 is out
        self.publish(end, b"{}")

    def round_trip(self, topic: str) -> None:
        """Ask the broker for something, and wait for its answer. Raises NoConnection."""
        self._subscribed.clear()
        self._client.subscribe(topic)
        if not self._subscribed.wait(self._timeout):
            raise NoConnection(f"{self._url} does not answer")

    def message(self, timeout: float) -> Message | None:
        """The next message, or None after so many seconds without one. Raises NoConnection: a subscription is refused."""
        try:
            return self._messages.get(timeout=timeout)
        except Empty:
            if self._refusal:
                raise NoConnection(f"{self._url}: {self._refusal}") from None
            return None

    def _on_connect(self, client: Client, userdata: Any, flags: Any, reason: Any, properties: Any) -> None:
        if reason.is_failure:
            self._refusal = str(reason)
        for topic_filter in self._filters:
            client.subscribe(topic_filter)
        self._connected.set()

    def _on_message(self, client: Client, userdata: Any, message: MQTTMessage) -> None:
        self._messages.put(Message(message.topic, bytes(message.payload), message.retain, _correlation(message)))

    def _on_publish(self, client: Client, userdata: Any, mid: int, reason: ReasonCode, properties: Any) -> None:
        self._acknowledged[mid] = reason
        if reason.is_failure:
            self._steps.clear()
        elif self._steps:
            self._take(self._steps.pop(0))

    def _take(self, step: Callable[[], None]) -> None:
        try:
            step()
        except NoConnection as error:  # whoever waits for a message is told, not the library's thread
            self._steps.clear()
            self._refusal = str(error)

    def _on_subscribe(self, client: Client, userdata: Any, mid: int, reasons: list[ReasonCode], properties: Any) -> None:
        self._subscribed.set()
        refused = [reason for reason in reasons if reason.is_failure]
        if refused:
            self._refusal = f"a subscription is refused: {refused[0]}"


def _tls(login: Login) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=login.ca)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if login.cert is not None:
        context.load_cert_chain(login.cert, login.key)
    return context


def _correlation(message: MQTTMessage) -> bytes | None:
    return getattr(message.properties, "CorrelationData", None)


def _properties(reply: Reply | None) -> Properties | None:
    if reply is None:
        return None
    properties: Any = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]  # the library's
    properties.ResponseTopic = reply.topic
    properties.CorrelationData = reply.correlation
    properties.MessageExpiryInterval = reply.expiry
    return properties  # type: ignore[no-any-return]
