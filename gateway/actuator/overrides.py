"""Overrides: patterns over device paths on which nobody writes; pure, with ``now`` passed in.

The rules are those of VOLTTRON's driver agent (services/core/PlatformDriverAgent, 9.0.4).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from fnmatch import fnmatchcase
from typing import Any

from gateway.actuator.model import Now
from gateway.clock import rfc3339
from gateway.errors import BadRequest
from gateway.values import shown

MAX_PATTERN = 1000
"""Characters of a pattern."""
MAX_DURATION = 3650 * 86400
"""Seconds of an override with an end: ten years."""


@dataclass(frozen=True, slots=True)
class Override:
    """One pattern in force. ``until`` (wall clock, for telling) and ``ends`` (boot clock) are inf without an end.

    ``failsafe``: the points of its devices are reverted before it takes hold. ``by``: who set it.
    """

    pattern: str
    failsafe: bool
    by: str
    until: float = math.inf
    ends: float = math.inf
    duration: float = math.inf


class Overrides:
    """The override patterns of a gateway: globs in which ``*`` spans ``/`` and case counts.

    One that has ended counts no more from that instant, whether or not ``advance`` was called.
    """

    def __init__(self) -> None:
        self._patterns: dict[str, Override] = {}

    def on(self, pattern: Any, duration: Any, failsafe: bool, by: str, now: Now) -> Override:
        """Set a pattern; ``duration`` <= 0: without end. What is then in force for the pattern, which may end later.

        On the same pattern again a longer duration extends, a shorter one is ignored, and no end beats any end; the
        fail-safe asked for last counts. Raises BadRequest.
        """
        new = _override(_checked(pattern), _seconds(duration), failsafe, by, now)
        old = self._patterns.get(new.pattern)
        if old is not None and old.ends > now.boot and old.ends >= new.ends:
            new = replace(old, failsafe=failsafe)
        self._patterns[new.pattern] = new
        return new

    def off(self, pattern: Any) -> Override:
        """Take back exactly this pattern; others may still cover its devices. Raises BadRequest if there is no such one."""
        if not isinstance(pattern, str) or pattern not in self._patterns:
            text = f"Pattern {shown(pattern)} does not exist in list of override patterns"
            raise BadRequest(text, patterns=sorted(self._patterns))
        return self._patterns.pop(pattern)

    def clear(self) -> list[Override]:
        """Take back all."""
        gone, self._patterns = list(self._patterns.values()), {}
        return gone

    def covering(self, device: str, now: Now) -> list[Override]:
        """The overrides in force on a device."""
        return [o for o in self._patterns.values() if o.ends > now.boot and fnmatchcase(device, o.pattern)]

    def covers(self, device: str, now: Now) -> bool:
        """Whether any is."""
        return bool(self.covering(device, now))

    def patterns(self, now: Now) -> dict[str, str | None]:
        """Each pattern with its end (RFC 3339) by the wall clock as it goes now; None: without end."""
        in_force = [o for o in self._patterns.values() if o.ends > now.boot]
        return {o.pattern: None if math.isinf(o.ends) else rfc3339(now.wall + (o.ends - now.boot)) for o in in_force}

    def devices(self, paths: Iterable[str], now: Now) -> list[str]:
        """Those of the device paths that are covered, sorted."""
        return sorted(path for path in paths if self.covers(path, now))

    def advance(self, now: Now) -> list[Override]:
        """The overrides that have ended by now, each once, in the order of their ends."""
        ended = sorted((o for o in self._patterns.values() if o.ends <= now.boot), key=lambda o: o.ends)
        for override in ended:
            del self._patterns[override.pattern]
        return ended

    def next_change(self) -> float:
        """When the next one ends, on the boot clock; inf: never."""
        return min((o.ends for o in self._patterns.values()), default=math.inf)

    def state(self) -> list[dict[str, Any]]:
        """All of it, as JSON for the journal; null stands for no end. Ends are kept by the wall clock."""
        return [
            {key: None if value == math.inf else value for key, value in asdict(override).items() if key != "ends"}
            for override in self._patterns.values()
        ]

    def restore(self, state: Sequence[dict[str, Any]], now: Now) -> None:
        """Take over what ``state`` gave before a restart; what ended meanwhile comes out of the next ``advance``.

        What is left of one is told by the wall clock, and is never more than its duration. Raises ValueError for anything
        else than what ``state`` gives.
        """
        try:
            self._patterns = {row["pattern"]: _restored(row, now) for row in state}
        except (KeyError, TypeError) as error:
            raise ValueError("this is no state of overrides") from error


def _override(pattern: str, duration: float, failsafe: bool, by: str, now: Now) -> Override:
    return Override(pattern, failsafe, by, now.wall + duration, now.boot + duration, duration)


def _restored(row: dict[str, Any], now: Now) -> Override:
    duration, until = (math.inf if row[key] is None else float(row[key]) for key in ("duration", "until"))
    left = max(0.0, min(duration, until - now.wall))
    return Override(str(row["pattern"]), bool(row["failsafe"]), str(row["by"]), until, now.boot + left, duration)


def _checked(pattern: Any) -> str:
    if not isinstance(pattern, str) or not 0 < len(pattern) <= MAX_PATTERN:
        raise BadRequest(f"pattern is a text such as campus/building/*, at most {MAX_PATTERN} characters")
    return pattern


def _seconds(duration: Any) -> float:
    number = isinstance(duration, int | float) and not isinstance(duration, bool)
    if not number or not duration <= MAX_DURATION:
        raise BadRequest(f"duration is a number of seconds up to {MAX_DURATION}, 0 for no end; not {shown(duration)}")
    return float(duration) if duration > 0 else math.inf
