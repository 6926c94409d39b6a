"""Claims to devices that are new: others may not have heard of them, so they are read again before the device is written."""

from __future__ import annotations

from gateway.clock import Clock
from gateway.ownership import SETTLING


class NewClaims:
    """Those of the devices that we have just made ours; used by the manager's thread alone. Times are boot clock seconds."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._read_again: dict[str, float] = {}
        self._taken_over: set[str] = set()

    def __contains__(self, path: str) -> bool:
        """Whether our claim to a device is new."""
        return path in self._read_again

    def add(self, path: str, taken_over: bool) -> None:
        """A device is claimed; ``taken_over``: another gateway may still run it."""
        self._read_again[path] = self._clock.now() + SETTLING
        if taken_over:
            self._taken_over.add(path)

    def again(self, path: str) -> None:
        """The claim, if it is new, has met another, or was not found on the broker: it settles from now on."""
        if path in self._read_again:
            self._read_again[path] = self._clock.now() + SETTLING

    def published(self) -> None:
        """All claims are on the broker now: the time in which others may come to light begins."""
        for path in self._read_again:
            self._read_again[path] = self._clock.now() + SETTLING

    def forget(self, path: str) -> None:
        """The claim is settled, or given up."""
        self._read_again.pop(path, None)
        self._taken_over.discard(path)

    def next(self) -> float:
        """When a status is to be read again, or infinity."""
        return min(self._read_again.values(), default=float("inf"))

    def due(self) -> list[str]:
        """The devices whose status is to be read again now."""
        now = self._clock.now()
        return sorted(path for path, due in self._read_again.items() if due <= now)

    @property
    def taken_over(self) -> set[str]:
        """The devices that another gateway may still run."""
        return self._taken_over
