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
    """What the desk wants to know of the devices that run."""

    def paths(self) -> list[str]:
        """Every one of ours."""
        ...

    def is_foreign(self, path: str) -> bool:
        """Whether a device is another gateway's."""
        ...
