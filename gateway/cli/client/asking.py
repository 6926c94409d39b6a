"""A request and its answers: publish to ``rpc/<you>/<method>/...``, and read what comes on a topic of one's own."""

from __future__ import annotations

import math
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from gateway.cli.mqttclient import Message, MqttClient, Reply
from gateway.clock import Clock
from gateway.payloads import BadPayload, parse, text
from gateway.topics import Topics

GRACE = 1.0
"""Seconds after the deadline in which the gateway's own word that it has passed may come."""


class NoAnswer(Exception):
    """Nobody, or not everybody, has answered; the message says who."""


@dataclass(frozen=True, slots=True)
class Request:
    """A method, what stands after it in the topic, and the payload; ``every``: all gateways are to answer."""

    method: str
    target: Sequence[str]
    payload: bytes = b""
    every: bool = False


@dataclass(frozen=True, slots=True)
class Answers:
    """What came: the answers' objects, and the status topics of gateways that are online and gave none."""

    bodies: list[dict[str, Any]]
    missing: list[str]


class Asker:
    """Asks in the name of a requester on a connected client."""

    def __init__(self, client: MqttClient, topics: Topics, requester: str, timeout: float, clock: Clock) -> None:
        self._client = client
        self._topics = topics
        self._requester = requester
        self._timeout = timeout
        self._clock = clock

    def ask(self, request: Request) -> Answers:
        """Send it and wait for the answers. Raises NoAnswer if there is none, NoConnection."""
        nonce = uuid.uuid4()
        reply_to = self._topics.default_reply(self._requester, nonce.hex, ())
        self._client.subscribe(reply_to)
        if request.every:  # who is online is retained: how many answers to wait for
            self._client.subscribe(self._topics.gateway_status("+"))
        topic = self._topics.ask(self._requester, request.method, request.target)
        reply = Reply(reply_to, nonce.bytes, math.ceil(self._timeout))
        if not self._client.publish(topic, request.payload, reply=reply):
            raise NoAnswer(f"no gateway listens to {topic}: none runs, or its prefix or scope is another")
        answers = self._gather(reply)
        if not answers.bodies:
            raise NoAnswer(f"no answer to {topic} within {self._timeout:g} s; whether it was carried out is not known")
        return answers

    def _gather(self, reply: Reply) -> Answers:
        bodies: list[dict[str, Any]] = []
        waited: dict[str, bool] = {}
        end = self._clock.now() + reply.expiry + GRACE
        while (left := end - self._clock.now()) > 0 and not (bodies and not any(waited.values())):
            message = self._client.message(left)
            if message is None:
                break
            body = _object(message)
            if message.topic != reply.topic:
                online = body.get("state") == "online"
                waited[message.topic] = online and waited.get(message.topic, True)
            elif message.correlation == reply.correlation:
                bodies.append(body)
                waited[self._topics.gateway_status(str(body.get("gateway")))] = False
        return Answers(bodies, [name for name, waiting in waited.items() if waiting])


def _object(message: Message) -> dict[str, Any]:
    """The object that a payload holds; empty if it is none, as when a topic is cleared."""
    try:
        body = parse(text(message.payload))
    except BadPayload:
        return {}
    return body if isinstance(body, dict) else {}
