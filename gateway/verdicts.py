"""What is told of configurations: the verdict in each device's status, and who owns what in the gateway's."""

from __future__ import annotations

from functools import lru_cache

import structlog

from gateway.board import Board, ConfigReport, meta_payload
from gateway.catalog import Catalog, Entry
from gateway.fleet import Fleet
from gateway.lastgood import LastGood
from gateway.model import Fault, PointError
from gateway.store.compile import Verdict
from gateway.store.device_config import Spec
from gateway.store.faults import line
from gateway.topics import Topics

log = structlog.get_logger()


class Verdicts:
    """Used by the manager's thread alone."""

    def __init__(self, topics: Topics, catalog: Catalog, fleet: Fleet, board: Board, last_good: LastGood) -> None:
        self._topics = topics
        self._catalog = catalog
        self._fleet = fleet
        self._board = board
        self._last_good = last_good
        self.settled_links: set[str] = set()
        """Links whose replay is over: what is missing of them is not on the broker."""

    def tell(self, entry: Entry, verdict: Verdict, errors: tuple[Fault, ...], running: Spec | None) -> None:
        """There is a verdict on a device's config; ``running`` is what it runs on from now on, None if on nothing."""
        pending = bool(verdict.missing) and not self.settled_links.issuperset(verdict.missing)
        report = ConfigReport(
            verdict="accepted" if not errors else "pending" if pending else "rejected",
            source=entry.source,
            hash=verdict.hash,
            driver=running.driver_type if running else None,
            orphan=entry.orphan,
            links=verdict.links,
            errors=errors,
            error_count=verdict.error_count,
            warnings=(*verdict.warnings, *self._rivalry(running)),
        )
        meta = self._meta(entry.path, running) if running is not None else b""
        misconfigured = None
        if running is None:
            first = line(errors[0]) if errors else "no configuration"
            misconfigured = PointError("misconfigured", first)
            log.warning("device is misconfigured", device=entry.path, reason=first)
        self._board.config(entry.path, report, meta, entry.adopted_from, misconfigured)

    def tell_again(self, path: str) -> None:
        """Something else than its config has changed what is to be told of a device."""
        entry = self._catalog.entries.get(path)
        if entry is not None and entry.verdict is not None:
            self.tell(entry, entry.verdict, entry.verdict.errors, self._fleet.spec(path))

    def concerned(self, spec: Spec | None) -> set[str]:
        """The devices whose status says something because of this one."""
        sharing = self._fleet.sharing
        return {*sharing.rivals(spec), *sharing.clashes(spec)} if spec is not None else set()

    def orphans(self) -> None:
        """Tell which devices run without a config on the broker."""
        orphans = sorted(entry.path for entry in self._catalog.entries.values() if entry.orphan and entry.ours)
        more = f" and {len(orphans) - 5} more" if len(orphans) > 5 else ""
        message = (
            f"not on the broker, running from disk: {', '.join(orphans[:5])}{more}; publish their configs again, or remove "
            "them by an empty retained config"
        )
        self._board.problem("orphans", message if orphans else None)

    def _meta(self, path: str, running: Spec) -> bytes:
        stored, interval = self._last_good.get(path), running.device.interval
        facts = stored.learned if stored else ()
        points = running.interface.described(running.registers, facts)
        return _shared(meta_payload(self._topics.gateway_id, running.driver_type, interval, points, facts))

    def _rivalry(self, spec: Spec | None) -> list[Fault]:
        """What is to be said of a device because of others on its link."""
        if spec is None:
            return []
        told = [
            Fault(
                "registry_config", f'the device "{path}" writes the same registers as {", ".join(names[:5])}', "one writer"
            )
            for path, names in sorted(self._fleet.sharing.rivals(spec).items())
        ]
        for path, names in sorted(self._fleet.sharing.clashes(spec).items()):
            what = f'"{path}" is on the same link with another {", ".join(names)}: one of the two will not be reached'
            told += [Fault("driver_config", what, "the same for all devices of a link")]
        return told


@lru_cache(maxsize=64)
def _shared(payload: bytes) -> bytes:
    """The same bytes, in the memory of equal ones of another device: those of a hundred points take 14 KB."""
    return payload
