"""Messages on their way out, for tests of what they pass through."""

from __future__ import annotations

import json

from gateway.dataqueue import DataQueue
from gateway.model import Outgoing


def reading(device: str, number: int, qos: int = 1) -> Outgoing:
    """The reading with this number of a device."""
    payload = json.dumps({"timestamp": number}).encode()
    return Outgoing(f"{device}/all", payload, qos, replay_topic=f"{device}/replay", replay=payload)


def number(message: Outgoing) -> int:
    """The number of a reading."""
    return int(json.loads(message.payload)["timestamp"])


def up(queue: DataQueue) -> DataQueue:
    """The queue on a connection where readings may go out."""
    queue.connected()
    queue.open()
    return queue


def drain(queue: DataQueue) -> list[Outgoing]:
    """Everything that the link would send now, each acknowledged at once."""
    messages = []
    while message := queue.pop():
        queue.acknowledged(message)
        messages.append(message)
    return messages
