"""The rules of leases: who holds which device, from when until when; pure, with ``now`` passed in everywhere."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from gateway.actuator.model import Change, Lease, Now, Outcome, Reason


class LeaseBook:
    """All tasks and leases of a gateway.

    ``grace`` and ``max_lease`` in seconds; ``high``: glob patterns over the requesters that may ask for HIGH; ``fence``
    gives the next fence, which only grows. Every method first lets pass what is due by ``now``, so that no answer depends on
    when ``advance`` was called last. A refusal changes nothing, also when several devices are asked for.
    """

    def __init__(self, grace: float, max_lease: float, high: Sequence[str], fence: Callable[[], int]) -> None:
        self._grace = grace
        self._max_lease = max_lease
        self._high = tuple(high)
        self._fence = fence

    def request(self, task_id: Any, holder: str, priority: Any, requests: Any, now: Now) -> Outcome:
        """VOLTTRON's ``request_new_schedule``, with its failure strings, and the arguments as they came."""
        raise NotImplementedError

    def cancel(self, task_id: Any, holder: str, now: Now) -> Outcome:
        """VOLTTRON's ``request_cancel_schedule``: the task's leases end, its slots go."""
        raise NotImplementedError

    def acquire(self, holder: str, devices: Sequence[str], duration: Any, priority: Any, now: Now) -> dict[str, Any]:
        """A task of one slot from now on each device: ``{task_id, devices, from, until, fence}``.

        Raises LeasedByOther, Busy (reverts pending), BadRequest.
        """
        raise NotImplementedError

    def renew(self, task_id: str, holder: str, duration: Any, now: Now) -> dict[str, Any]:
        """Let the task's leases in force end ``duration`` from now; answers like ``acquire``.

        Raises LeaseLost, LeasedByOther (the new end meets another slot), BadRequest.
        """
        raise NotImplementedError

    def release(self, task_id: str, holder: str, now: Now) -> None:
        """End the task: its leases and its slots. Raises LeaseLost if it is not this holder's."""
        raise NotImplementedError

    def check(self, device: str, requester: str, task_id: str | None, fence: int | None, now: Now) -> Lease | None:
        """The lease under which the requester may write now; None: the device is free.

        Raises LeaseLost (the task or fence named is not in force), LeasedByOther, Busy (free, but reverts are pending).
        """
        raise NotImplementedError

    def holder(self, device: str, now: Now) -> Lease | None:
        """The lease in force on a device."""
        raise NotImplementedError

    def tasks(self, now: Now) -> list[dict[str, Any]]:
        """What ``list_leases`` answers: tasks with their slots, in force or to come."""
        raise NotImplementedError

    def advance(self, now: Now) -> list[Change]:
        """What has happened up to now and was not told yet, in order, each once. Begins and ends leases that are due."""
        raise NotImplementedError

    def next_change(self, now: Now) -> float:
        """When ``advance`` will have something to tell, on the boot clock if the wall clock does not jump; inf: never."""
        raise NotImplementedError

    def hold(self, device: str) -> None:
        """There is something to give back on the device: no further lease begins on it; the one in force runs on.

        Call it before the first leased write leaves, not at the end of the lease: the next slot may begin at that instant.
        """
        raise NotImplementedError

    def unhold(self, device: str) -> None:
        """All is given back: a slot that waits may begin."""
        raise NotImplementedError

    def end(self, devices: Sequence[str], reason: Reason, by: str, now: Now) -> None:
        """End the leases in force on these devices; slots to come stay."""
        raise NotImplementedError

    def pending(self) -> list[dict[str, Any]]:
        """The tasks with the slots that have not begun, as JSON for the journal.

        Keep it after each change, and before a lease that has begun is told: a slot found there after a crash begins anew.
        """
        raise NotImplementedError

    def restore(self, tasks: Sequence[dict[str, Any]]) -> None:
        """Take over what ``pending`` gave before a restart. Raises ValueError if it is nothing of the kind."""
        raise NotImplementedError
