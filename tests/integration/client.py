"""An MQTT client for tests: what a user of the gateway sees and does, nothing more."""

from __future__ import annotations

import json
import socket
import threading
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from gateway.settings_types import BrokerUrl
from gateway.topics import matches

TIMEOUT = 10.0


@dataclass(frozen=True)
class Received:
    """A message that came in: the topic below the test's prefix, and ``at`` on the monotonic clock."""

    topic: str
    payload: bytes
    retain: bool
    qos: int
    at: float
    expiry: int | None = None
    correlation: bytes | None = None
    content_type: str | None = None
    user: tuple[tuple[str, str], ...] = ()

    @property
    def json(self) -> Any:
        """The payload's value."""
        return json.loads(self.payload)

    @property
    def result(self) -> Any:
        """What an answer brings; fails if it is an error."""
        assert "result" in self.json, self.payload
        return self.json["result"]

    @property
    def error(self) -> Any:
        """``{"code", "message", ...}`` of an answer that is a refusal; fails if it is none."""
        assert "error" in self.json, self.payload
        return self.json["error"]


Predicate = Callable[[Received], Any]


def anything(_: Received) -> bool:
    """Every message will do."""
    return True


class TestClient:
    """One connection; all topics are below ``prefix``. Everything that comes in is kept, in order."""

    __test__ = False  # not a test, whatever its name says

    def __init__(self, url: BrokerUrl, prefix: str = "", version: int = 5, login: tuple[str, str] | None = None) -> None:
        self._prefix = f"{prefix}/" if prefix else ""
        self._version = version
        self._changed = threading.Condition()
        self._received: list[Received] = []
        self._acks: dict[int, list[int]] = {}
        self._taken: dict[int, int] = {}
        self._connected = threading.Event()
        self._refusal = ""
        protocol = paho.MQTTv5 if version == 5 else paho.MQTTv311
        self._paho = paho.Client(CallbackAPIVersion.VERSION2, client_id=f"test-{uuid.uuid4().hex[:12]}", protocol=protocol)
        self._paho.max_inflight_messages_set(200)
        self._paho.on_connect = self._on_connect
        self._paho.on_message = self._on_message
        self._paho.on_subscribe = self._on_subscribe
        self._paho.on_publish = self._on_publish
        if login is not None:
            self._paho.username_pw_set(*login)
        # With Nagle's algorithm each publish would wait 40 ms for an acknowledgement, and be taken for the gateway's delay.
        self._paho.on_socket_open = lambda _c, _u, sock: sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._paho.connect(url.host, url.port)
        self._paho.loop_start()
        assert self._connected.wait(TIMEOUT), f"no connection to {url}"
        if self._refusal:
            self.close()
            raise AssertionError(f"{url} does not let us in: {self._refusal}")

    def close(self) -> None:
        """Disconnect."""
        self._paho.disconnect()
        self._paho.loop_stop()
        self._paho._reset_sockets(sockpair_only=True)  # it would leave them open until it is collected

    # ---- sending

    def subscribe(self, *filters: str, qos: int = 2) -> None:
        """Subscribe and wait until the broker has confirmed it."""
        _, mid = self._paho.subscribe([(self._prefix + entry, qos) for entry in filters])
        with self._changed:
            assert mid is not None
            assert self._changed.wait_for(lambda: mid in self._acks, TIMEOUT), f"{filters} are not confirmed"
            assert all(code < 0x80 for code in self._acks[mid]), f"{filters} are refused"

    def send(
        self,
        topic: str,
        payload: Any = b"",
        *,
        retain: bool = False,
        qos: int = 1,
        response_topic: str | None = None,
        correlation: bytes | None = None,
        expiry: int | None = None,
        raw_response_topic: bool = False,
    ) -> paho.MQTTMessageInfo:
        """Publish bytes, text, or a value as JSON, without waiting for the broker.

        The ResponseTopic is below the prefix too, unless ``raw_response_topic``.
        """
        properties: Any = None
        if response_topic is not None or correlation is not None or expiry is not None:
            properties = Properties(PacketTypes.PUBLISH)
            if response_topic is not None:
                properties.ResponseTopic = response_topic if raw_response_topic else self._prefix + response_topic
            if correlation is not None:
                properties.CorrelationData = correlation
            if expiry is not None:
                properties.MessageExpiryInterval = expiry
        return self._paho.publish(self._prefix + topic, encoded(payload), qos, retain, properties)

    def publish(self, topic: str, payload: Any = b"", **options: Any) -> None:
        """As ``send``, and wait until the broker has it."""
        self.send(topic, payload, **options).wait_for_publish(TIMEOUT)

    def may_publish(self, *topics: str, **options: Any) -> set[str]:
        """Publish ``x`` to each topic; those that the broker took (MQTT 5: it says no with a reason in the PUBACK)."""
        mids = {topic: self.send(topic, b"x", **options).mid for topic in topics}
        with self._changed:
            assert self._changed.wait_for(lambda: self._taken.keys() >= set(mids.values()), TIMEOUT), "no PUBACK"
            return {topic for topic, mid in mids.items() if self._taken[mid] < 0x80}

    def request(
        self,
        topic: str,
        payload: Any = b"",
        *,
        response_topic: str | None = None,
        correlation: bytes | None = None,
        timeout: float = TIMEOUT,
        **options: Any,
    ) -> Received:
        """Send ``rpc/<requester>/...`` and return the one answer, told by its correlation (made up if none is given)."""
        requester = topic.split("/")[1]
        reply_to = response_topic or f"replies/{requester}/{uuid.uuid4().hex[:8]}"
        correlation = uuid.uuid4().bytes if correlation is None else correlation
        start = self.mark()
        self.send(topic, payload, response_topic=reply_to, correlation=correlation, **options)
        return self.wait_for(reply_to, lambda m: m.correlation == correlation, timeout, after=start)

    # ---- receiving

    def mark(self) -> int:
        """A place in what has come in so far, for ``after``."""
        with self._changed:
            return len(self._received)

    def forget(self) -> None:
        """Let go of what has come in so far; marks of before are of no use then."""
        with self._changed:
            self._received.clear()

    def messages(self, topic_filter: str = "#", after: int = 0) -> list[Received]:
        """What has come in on topics that the filter matches, since the mark."""
        with self._changed:
            return [message for message in self._received[after:] if matches(topic_filter, message.topic)]

    def wait_for(
        self, topic_filter: str, predicate: Predicate = anything, timeout: float = TIMEOUT, after: int = 0
    ) -> Received:
        """The first message since the mark, already here or still to come, that fits; fails if none does in time."""
        __tracebackhide__ = True
        deadline = time.monotonic() + timeout
        looked = after
        with self._changed:
            while True:
                for message in self._received[looked:]:
                    if matches(topic_filter, message.topic) and predicate(message):
                        return message
                looked = len(self._received)
                left = deadline - time.monotonic()
                if left <= 0:
                    raise AssertionError(self._missed(topic_filter, after, timeout))
                self._changed.wait(left)

    def _missed(self, topic_filter: str, after: int, timeout: float) -> str:
        near = [m for m in self._received[after:] if matches(topic_filter, m.topic)][-5:] or self._received[-5:]
        shown = "\n".join(f"  {m.topic} {m.payload[:300]!r}" for m in near)
        return f"nothing fitting came on {topic_filter} within {timeout:g} s; the last messages:\n{shown}"

    def status(self, path: str, timeout: float = TIMEOUT, after: int = 0, **wanted: Any) -> dict[str, Any]:
        """A device's status with these values; ``verdict``, ``hash``, ... are looked up in its ``config``."""
        return self.wait_for(f"devices/{path}/status", lambda m: _fits(m.payload, wanted), timeout, after).json

    def online(self, path: str, timeout: float = TIMEOUT, after: int = 0) -> dict[str, Any]:
        """The status of a device that answers whole."""
        return self.status(path, timeout, after, state="online")

    def reading(
        self, path: str, predicate: Callable[[Any], Any] = bool, timeout: float = TIMEOUT, after: int = 0
    ) -> dict[str, Any]:
        """A reading of the device that fits."""
        return self.wait_for(f"devices/{path}/all", lambda m: predicate(m.json), timeout, after).json

    def _on_subscribe(self, _client: Any, _userdata: Any, mid: int, codes: list[Any], _properties: Any) -> None:
        with self._changed:
            self._acks[mid] = [code.value for code in codes]
            self._changed.notify_all()

    def _on_connect(self, _client: Any, _userdata: Any, _flags: Any, code: Any, _properties: Any) -> None:
        self._refusal = str(code) if code.is_failure else ""
        self._connected.set()

    def _on_publish(self, _client: Any, _userdata: Any, mid: int, code: Any, _properties: Any) -> None:
        with self._changed:
            self._taken[mid] = code.value
            self._changed.notify_all()

    def _on_message(self, _client: Any, _userdata: Any, message: paho.MQTTMessage) -> None:
        properties: Any = message.properties
        received = Received(
            message.topic.removeprefix(self._prefix),
            bytes(message.payload),
            message.retain,
            message.qos,
            time.monotonic(),
            getattr(properties, "MessageExpiryInterval", None),
            getattr(properties, "CorrelationData", None),
            getattr(properties, "ContentType", None),
            tuple(getattr(properties, "UserProperty", ())),
        )
        with self._changed:
            self._received.append(received)
            self._changed.notify_all()


def retained(
    url: BrokerUrl, prefix: str = "", topic_filter: str = "#", login: tuple[str, str] | None = None
) -> dict[str, Received]:
    """What the broker keeps below the prefix, by topic."""
    client = TestClient(url, prefix, login=login)
    nonce = f"end-of-replay-{uuid.uuid4().hex}"
    try:
        client.subscribe(nonce)
        client.subscribe(topic_filter, qos=0)
        client.publish(nonce, b"x", qos=0)
        client.wait_for(nonce)
        return {message.topic: message for message in client.messages(topic_filter) if message.retain}
    finally:
        client.close()


def clear_retained(url: BrokerUrl, prefix: str, login: tuple[str, str] | None = None) -> None:
    """Clear all that the broker keeps below a prefix."""
    client = TestClient(url, prefix, login=login)
    for topic in retained(url, prefix, login=login):
        client.publish(topic, b"", retain=True)
    client.close()


def encoded(payload: Any) -> bytes:
    """Bytes as they are, text as UTF-8, anything else as JSON."""
    if isinstance(payload, bytes):
        return payload
    return payload.encode() if isinstance(payload, str) else json.dumps(payload).encode()


def _fits(payload: bytes, wanted: dict[str, Any]) -> bool:
    if not payload:
        return False
    status = json.loads(payload)
    flat = status["config"] | status
    return all(flat[key] == value for key, value in wanted.items())
