"""The users of the soak: requests with their answers, over a connection that is made anew when the broker goes away."""

from __future__ import annotations

import json
import threading
import time
import uuid
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from gateway.settings_types import BrokerUrl
from tests.integration.client import Received, TestClient

PATIENCE = 3.0
"""Seconds until a user does something else. An answer that comes later is kept all the same."""


@dataclass
class Asked:
    """A request, and each answer that came."""

    topic: str
    payload: Any
    at: float
    correlation: bytes
    answers: list[dict[str, Any]] = field(default_factory=list)

    @property
    def code(self) -> str | None:
        """The first answer: ``ok``, the code of its error, or None."""
        if not self.answers:
            return None
        return "ok" if "result" in self.answers[0] else self.answers[0]["error"]["code"]

    @property
    def result(self) -> Any:
        """What the first answer brought; None if it is an error or there is none."""
        return self.answers[0].get("result") if self.answers else None


class Voice:
    """Asks, and keeps every answer by its correlation; used by many threads."""

    def __init__(self, url: BrokerUrl) -> None:
        self._url = url
        self._changed = threading.Condition()
        self._asked: dict[bytes, Asked] = {}
        self._client: Ear | None = None
        self._connected = 0.0

    def connect(self) -> None:
        """A new connection; what was under way on the one before is not sent again."""
        self.close()
        self._client = Ear(self._url, self._heard)
        self._client.subscribe("replies/#")
        with self._changed:
            self._connected = time.monotonic()
            self._changed.notify_all()

    def close(self) -> None:
        """Have no connection."""
        client, self._client = self._client, None
        if client is not None:
            client.close()

    def publish(self, topic: str, payload: Any) -> None:
        """Retain a document; waits until the broker has it."""
        assert self._client is not None
        self._client.publish(topic, payload, retain=True)

    def ask(self, topic: str, payload: Any = b"", copies: int = 1) -> Asked:
        """Send a request, so many times, without waiting."""
        correlation = uuid.uuid4().bytes
        asked = self._asked[correlation] = Asked(topic, payload, time.monotonic(), correlation)
        self.send_again(asked, copies)
        return asked

    def send_again(self, asked: Asked, copies: int = 1) -> None:
        """The same message once more, as a network or a client may do it."""
        client = self._client
        if client is not None:
            where = {"response_topic": f"replies/{asked.topic.split('/')[1]}/soak", "correlation": asked.correlation}
            for _ in range(copies):
                client.send(asked.topic, asked.payload, **where)

    def call(self, topic: str, payload: Any = b"", copies: int = 1, patience: float = PATIENCE) -> Asked:
        """Send a request and wait for its answer, if any comes."""
        return self.wait(self.ask(topic, payload, copies), patience)

    def wait(self, asked: Asked, patience: float = PATIENCE) -> Asked:
        """Wait for the answer to a request, if any comes."""
        with self._changed:  # the broker that was asked may be gone
            self._changed.wait_for(lambda: asked.answers or asked.at < self._connected, patience)
        return asked

    def _heard(self, message: Received) -> None:
        with self._changed:
            asked = self._asked.get(message.correlation or b"")
            if asked is not None:
                asked.answers.append(json.loads(message.payload))
            self._changed.notify_all()


class Ear(TestClient):
    """A client that passes on what it hears, and keeps none of it."""

    def __init__(self, url: BrokerUrl, heard: Any) -> None:
        self._heard = heard
        super().__init__(url)

    def _on_message(self, client: Any, userdata: Any, message: Any) -> None:
        super()._on_message(client, userdata, message)
        with self._changed:
            received = self._received.pop()
        self._heard(received)


def refusals(asked: Iterable[Asked]) -> dict[str, int]:
    """How many requests came to which end."""
    found: dict[str, int] = defaultdict(int)
    for each in asked:
        found[each.code or "no answer"] += 1
    return dict(found)
