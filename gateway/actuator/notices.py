"""What the actuator tells on MQTT: who holds a device, which overrides are in force, what happened."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

from gateway.actuator.audit import AuditEvent
from gateway.actuator.model import Change, Lease, Now
from gateway.clock import rfc3339
from gateway.model import Outgoing
from gateway.payloads import dump
from gateway.topics import Topics


class Notices:
    """Composes and queues; any thread may call. ``put_event`` keeps what it is given while the broker is away."""

    def __init__(self, topics: Topics, put: Callable[[Outgoing], None], put_event: Callable[[Outgoing], None]) -> None:
        self._topics = topics
        self._put = put
        self._put_event = put_event

    def event(self, event: AuditEvent, payload: bytes) -> None:
        """One audit event; kept while the broker is away."""
        topic = self._topics.event(event.device)
        self._put_event(Outgoing(topic, payload, replay_topic=topic, replay=payload))

    def lease(self, lease: Lease, now: Now) -> None:
        """A device is held: the broker forgets it when the lease ends."""
        left = max(1, math.ceil(lease.ends - now.boot))
        self._put(Outgoing(self._topics.lease(lease.device), dump(self._lease(lease)), retain=True, expiry=left))

    def free(self, path: str) -> None:
        """Nobody holds a device."""
        self._put(Outgoing(self._topics.lease(path), b"", retain=True))

    def lost(self, change: Change) -> None:
        """A holder has lost a task before its time."""
        told = {"task_id": change.task_id, "ended": change.reason.value, "by": change.by, "at": rfc3339(change.at)}
        self._put(Outgoing(self._topics.loss(change.holder), dump(told), content_type="application/json"))

    def overrides(self, patterns: Mapping[str, Any]) -> None:
        """The override patterns in force, each with its end."""
        payload = dump({"gateway": self._topics.gateway_id, "patterns": patterns}) if patterns else b""
        self._put(Outgoing(self._topics.overrides(), payload, retain=True))

    def _lease(self, lease: Lease) -> dict[str, Any]:
        return {
            "gateway": self._topics.gateway_id,
            "holder": lease.holder,
            "task_id": lease.task_id,
            "priority": lease.priority.value,
            "from": rfc3339(lease.start),
            "until": rfc3339(lease.until),
            "fence": lease.fence,
        }
