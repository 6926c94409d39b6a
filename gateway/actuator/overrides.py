"""Overrides: patterns over device paths on which nobody writes; pure, with ``now`` passed in. The rules are VOLTTRON's."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from gateway.actuator.model import Now


@dataclass(frozen=True, slots=True)
class Override:
    """One pattern in force. ``until`` (wall clock, for telling) and ``ends`` (boot clock) are None without an end."""

    pattern: str
    failsafe: bool
    by: str
    until: float | None
    ends: float | None
    duration: float | None


class Overrides:
    """The override patterns of a gateway: globs in which ``*`` spans ``/`` and case counts."""

    def on(self, pattern: Any, duration: Any, failsafe: bool, by: str, now: Now) -> Override:
        """Set a pattern; ``duration`` <= 0: without end. What is then in force for the pattern, which may end later.

        On the same pattern again a longer duration extends, a shorter one is ignored, and no end beats any end. Raises
        BadRequest.
        """
        raise NotImplementedError

    def off(self, pattern: Any) -> Override:
        """Take back exactly this pattern; others may still cover its devices. Raises BadRequest if there is no such one."""
        raise NotImplementedError

    def clear(self) -> list[Override]:
        """Take back all."""
        raise NotImplementedError

    def covering(self, device: str, now: Now) -> list[Override]:
        """The overrides in force on a device."""
        raise NotImplementedError

    def covers(self, device: str, now: Now) -> bool:
        """Whether any is."""
        raise NotImplementedError

    def patterns(self, now: Now) -> dict[str, str | None]:
        """Each pattern with its end (RFC 3339); None: without end."""
        raise NotImplementedError

    def devices(self, paths: Iterable[str], now: Now) -> list[str]:
        """Those of the device paths that are covered, sorted."""
        raise NotImplementedError

    def advance(self, now: Now) -> list[Override]:
        """The overrides that have ended by now, each once, in the order of their ends."""
        raise NotImplementedError

    def next_change(self) -> float:
        """When the next one ends, on the boot clock; inf: never."""
        raise NotImplementedError

    def state(self) -> list[dict[str, Any]]:
        """All of it, as JSON for the journal."""
        raise NotImplementedError

    def restore(self, state: Sequence[dict[str, Any]], now: Now) -> None:
        """Take over what ``state`` gave before a restart; what ended meanwhile comes out of the next ``advance``."""
        raise NotImplementedError
