"""A thin MQTT 5 client for the commands: connect, publish, subscribe, and a queue of what comes in.

The gateway itself has ``gateway.broker``; a command is a client like any other.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from types import TracebackType
from typing import Any, Self

from paho.mqtt.client import Client, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode, MQTTProtocolVersion

from gateway.settings_types import BrokerUrl

TIMEOUT = 10.0


class NoConnection(Exception):
    """The broker does not answer, or refuses; the message says which broker and why."""


@dataclass(frozen=True, slots=True)
class Message:
    """What came in on a subscription."""

    topic: str
    payload: bytes
    retained: bool


class MqttClient:
    """One connection, used as a context manager; all subscriptions feed one queue."""

    def __init__(self, url: BrokerUrl, timeout: float = TIMEOUT) -> None:
        self._url = url
        self._timeout = timeout
        self._messages: SimpleQueue[Message] = SimpleQueue()
        self._connected = threading.Event()
        self._refusal = ""
        self._filters: list[str] = []
        self._client = Client(CallbackAPIVersion.VERSION2, protocol=MQTTProtocolVersion.MQTTv5)
        self._client.on_connect = self._on_connect
        self._client.on_message = self._on_message

    def __enter__(self) -> Self:
        """Connect; raises NoConnection."""
        try:
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

    def publish(self, topic: str, payload: bytes, *, retain: bool = False) -> None:
        """Publish with QoS 1 and wait until the broker has it. Raises NoConnection."""
        sent = self._client.publish(topic, payload, qos=1, retain=retain)
        try:
            sent.wait_for_publish(self._timeout)
            acknowledged = sent.is_published()
        except (RuntimeError, ValueError) as error:
            raise NoConnection(f"{self._url}: {topic} can not be published: {error}") from None
        if not acknowledged:
            raise NoConnection(f"{self._url} did not acknowledge {topic} within {self._timeout:g} s")

    def subscribe(self, topic_filter: str) -> None:
        """Ask for the messages of a filter, with QoS 0, also after a reconnect. Raises NoConnection."""
        self._filters.append(topic_filter)
        result, _ = self._client.subscribe(topic_filter)
        if result != MQTTErrorCode.MQTT_ERR_SUCCESS:
            raise NoConnection(f"{self._url}: {topic_filter} can not be subscribed")

    def message(self, timeout: float) -> Message | None:
        """The next message, or None after so many seconds without one."""
        try:
            return self._messages.get(timeout=timeout)
        except Empty:
            return None

    def _on_connect(self, client: Client, userdata: Any, flags: Any, reason: Any, properties: Any) -> None:
        if reason.is_failure:
            self._refusal = str(reason)
        for topic_filter in self._filters:
            client.subscribe(topic_filter)
        self._connected.set()

    def _on_message(self, client: Client, userdata: Any, message: MQTTMessage) -> None:
        self._messages.put(Message(message.topic, bytes(message.payload), message.retain))
