"""Configurations on topics that name no device: they have no status of their own, so the gateway's tells of them."""

from __future__ import annotations

from collections.abc import Callable

import structlog

from gateway.values import shown

log = structlog.get_logger()

MOST = 100
"""Paths that are remembered."""
NAMED = 5
"""Paths that are named."""


class BadPaths:
    """``tell`` gets a sentence for the gateway's status, or None when there is nothing to tell any more."""

    def __init__(self, tell: Callable[[str | None], None]) -> None:
        self._tell = tell
        self._faults: dict[str, str] = {}

    def heard(self, path: str, fault: str, payload: bytes) -> None:
        """A configuration has come to such a path; an empty one clears it."""
        if not payload:
            if self._faults.pop(path, None) is not None:
                self.tell()
        elif path not in self._faults and len(self._faults) < MOST:
            self._faults[path] = fault
            log.warning("a device config has a path that can not be one", path=path[:200], reason=fault)
            self.tell()

    def forget(self) -> None:
        """All configurations are about to come again; ``tell`` when they have."""
        self._faults.clear()

    def tell(self) -> None:
        """Tell of the paths that are known now."""
        named = "; ".join(f"{shown(path)}: {fault}" for path, fault in list(self._faults.items())[:NAMED])
        more = f"; and {len(self._faults) - NAMED} more" if len(self._faults) > NAMED else ""
        message = f"configurations on topics that name no device are not used, clear them: {named}{more}"
        self._tell(message if self._faults else None)
