"""The configurations that a broker keeps, and whether they are all."""

from __future__ import annotations

import time
import uuid
from dataclasses import dataclass

from gateway.cli.mqttclient import Message, MqttClient
from gateway.topics import Topics

SILENCE = 2.0
"""Seconds without any message after which a replay whose end did not come counts as cut."""
QUIET = 0.2
"""Seconds without a message that must follow the end, for brokers that send retained messages on the side."""

TURNS = 4
"""Answers to the witness after which the broker has taken the three packets of the other connection."""
PAUSE = 0.2
"""Seconds more, for packets that were late on the network."""
END = "end-of-replay-"

CURE = "raise the broker's limit of queued messages (mosquitto.conf: max_queued_messages 1000000) and restart it"


@dataclass(frozen=True, slots=True)
class Kept:
    """Documents by their path below ``config/``; ``whole``: there are no others."""

    documents: dict[str, bytes]
    whole: bool


def kept(client: MqttClient, witness: MqttClient, topics: Topics) -> Kept:
    """Ask a broker for all configurations, over two clients that are connected to it. Raises NoConnection.

    Brokers cut a replay without a word when their queue is full. So messages of our own follow the subscription below the
    same filter, before anything is read: they queue up behind the replay, and if one does not come, the replay was cut. That
    the broker is so far is known when it has answered the witness several times: it takes from each connection in turn. The
    broker has to let us write there.
    """
    found: dict[str, bytes] = {}
    end = topics.document(f"{END}{uuid.uuid4().hex}")

    def settled() -> None:
        for _ in range(TURNS):
            witness.round_trip(end)
        time.sleep(PAUSE)

    client.replay(topics.every_document(), end, settled)
    missing = {b"0", b"1"}
    while missing and (message := client.message(SILENCE)):
        missing -= {message.payload} if message.topic == end else set()
        _take(message, topics, found)
    while not missing and (message := client.message(QUIET)):
        _take(message, topics, found)
    return Kept(found, not missing)


def _take(message: Message, topics: Topics, found: dict[str, bytes]) -> None:
    path = topics.config_path(message.topic)
    if path and message.payload and not (path.startswith(END) and not message.retained):
        found[path] = message.payload
    elif path:
        found.pop(path, None)
