"""The frozen values of the actuator's rules: moments, slots, leases, and what happened to them."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any


@dataclass(frozen=True, slots=True)
class Now:
    """One moment on both clocks, in seconds: ``wall`` since 1970 UTC, ``boot`` on the clock that never jumps."""

    wall: float
    boot: float


class Priority(StrEnum):
    """VOLTTRON's priorities: HIGH pre-empts, LOW may be pre-empted until it starts, LOW_PREEMPT at any time."""

    HIGH = "HIGH"
    LOW = "LOW"
    LOW_PREEMPT = "LOW_PREEMPT"


@dataclass(frozen=True, slots=True)
class Slot:
    """A device reserved from ``start`` until just before ``end``, wall clock seconds.

    ``fence`` is what ``acquire`` has promised for it; 0: drawn when the slot begins.
    """

    device: str
    start: float
    end: float
    fence: int = 0


@dataclass(frozen=True, slots=True)
class Lease:
    """A slot in force. ``start`` and ``until`` (wall clock) are for telling, ``ends`` (boot clock) decides.

    ``start`` is the slot's, also if the lease began later, because the device was not free before.
    """

    task_id: str
    holder: str
    priority: Priority
    device: str
    start: float
    until: float
    ends: float
    fence: int


@dataclass(frozen=True, slots=True)
class Outcome:
    """What VOLTTRON's schedule methods answer."""

    ok: bool
    info: str
    data: Any

    def answer(self) -> dict[str, Any]:
        """The answer as VOLTTRON shapes it."""
        return {"result": "SUCCESS" if self.ok else "FAILURE", "info": self.info, "data": self.data}


class Kind(StrEnum):
    """What a change tells."""

    BEGUN = "begun"
    """A lease is in force."""
    ENDED = "ended"
    """A lease that had begun is over: once for each."""
    LOST = "lost"
    """A task ends early, wholly or on some devices; its holder is to be told: ``at`` says when its last lease ends."""
    MISSED = "missed"
    """A slot was over before the device was free for it, or the device is gone: no lease ever began."""


class Reason(StrEnum):
    """Why a lease ended, or a task was lost."""

    TIME = "time"
    RELEASED = "released"
    CANCELLED = "cancelled"
    PREEMPTED = "preempted"
    OVERRIDE = "override"
    RESTART = "restart"


@dataclass(frozen=True, slots=True)
class Change:
    """Something that happened to a lease or a task.

    ``lease`` is there when it began or ended, ``slot`` when it was missed. ``by``: the requester who caused it, and
    ``by_task`` the task that pre-empted. ``at``: wall clock seconds.
    """

    kind: Kind
    task_id: str
    holder: str
    at: float
    reason: Reason = Reason.TIME
    by: str = ""
    by_task: str = ""
    lease: Lease | None = None
    slot: Slot | None = None
