"""When what is promised does not hold, or not at once: kept by who injects the faults, for who judges."""

from __future__ import annotations

from dataclasses import dataclass, field

from tests.integration.waiting import PATIENCE

BACK = 8.0 * PATIENCE
"""Seconds after an outage in which a gateway has connected and heard of all changes: it tries again after 5 at most."""


@dataclass(frozen=True)
class Window:
    """A span of time of these units."""

    units: frozenset[int]
    since: float
    until: float


@dataclass
class Windows:
    """``lossy``: readings may be lost. ``slow``: reverts may be late. ``changed``: another configuration comes.

    What a lease wrote may then be given back while the lease goes on; ``outages`` of gateways and broker delay that.
    """

    lossy: list[Window] = field(default_factory=list)
    slow: list[Window] = field(default_factory=list)
    changed: list[Window] = field(default_factory=list)
    outages: list[tuple[float, float]] = field(default_factory=list)

    def may_change(self, unit: int, at: float) -> bool:
        """Whether another configuration of a unit may have come then."""
        return any(unit in w.units and w.since <= at <= self._done(w.until) for w in self.changed)

    def _done(self, until: float) -> float:
        """When a change is done that would be done by ``until``, were nobody away."""
        for begun, ended in sorted(self.outages):
            if begun <= until <= ended + BACK:
                until = max(until, ended + BACK)
        return until
