"""What is told of leases and overrides: on their topics, to holders, and in the audit log."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

from gateway.actuator.audit import Audit, AuditEvent
from gateway.actuator.model import Change, Kind, Now, Reason
from gateway.actuator.notices import Notices
from gateway.actuator.overrides import Override
from gateway.clock import rfc3339


class Herald:
    """Each change is told once; any thread may call."""

    def __init__(self, audit: Audit, notices: Notices) -> None:
        self._audit = audit
        self._notices = notices

    def change(self, change: Change, now: Now) -> None:
        """A lease began, ended, was lost, or never came to be."""
        lease = change.lease
        if change.kind is Kind.LOST:
            self._notices.lost(change)
        elif change.kind is Kind.BEGUN and lease is not None:
            self._notices.lease(lease, now)
            new = {"from": rfc3339(lease.start), "until": rfc3339(lease.until), "fence": lease.fence}
            self._lease(change, lease.device, new)
        elif change.kind is Kind.ENDED and lease is not None:
            self._notices.free(lease.device)
            self._lease(change, lease.device, {"ended": change.reason.value, "by": change.by})
        elif change.kind is Kind.MISSED and change.slot is not None:
            ended = "missed" if change.reason is Reason.TIME else change.reason.value
            self._lease(change, change.slot.device, {"ended": ended, "by": change.by})

    def of_before(self, leases: Iterable[Mapping[str, Any]]) -> None:
        """The leases in force when the last process ended are over."""
        for lease in leases:
            new = {"ended": Reason.RESTART.value, "by": ""}
            event = AuditEvent("lease", lease["device"], requester=lease["holder"], task_id=lease["task_id"], new=new)
            self._audit.event(event)
            self._notices.free(lease["device"])

    def override(self, override: Override, what: str, by: str, patterns: Mapping[str, Any]) -> None:
        """A pattern is on, off or ended; ``patterns`` are those in force now."""
        self._notices.overrides(patterns)
        new = {"pattern": override.pattern, "override": what, "failsafe_revert": override.failsafe}
        until = None if math.isinf(override.until) else rfc3339(override.until)
        self._audit.event(AuditEvent("override", "", requester=by or None, new=new | {"until": until}))

    def _lease(self, change: Change, path: str, new: dict[str, Any]) -> None:
        self._audit.event(AuditEvent("lease", path, requester=change.holder, task_id=change.task_id, new=new))
