"""What the desk is asked, and whom it asks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Claim:
    """Who wants to write which device, and the lease that was named, if any."""

    device: str
    requester: str
    task_id: str | None
    fence: int | None
    lease_required: bool


class Devices(Protocol):
    """What the desk wants to know of the devices."""

    def is_ours(self, path: str) -> bool:
        """Whether a device is configured, and this gateway's: not removed, and not another gateway's."""
        ...

    def has_gone(self, path: str) -> bool:
        """Whether a device is another gateway's, and at most gives back here what was written to it."""
        ...
