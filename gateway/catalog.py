"""What the retained configurations want: documents, device configs and the verdicts on them; no threads, no network."""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path

import structlog

from gateway.interfaces.base import Environment
from gateway.model import Fault
from gateway.store.compile import Verdict, compile_device
from gateway.store.documents import sha256
from gateway.store.links import MAX_LINKS
from gateway.topics import is_topic

log = structlog.get_logger()

COALESCE = 0.5
"""Seconds between two judgements of one device: of faster updates the newest counts."""
LOOKED_AT = 3
"""Devices with the same document that are looked at to share registers with."""

FAILED = Fault("driver_config", "the driver failed when it judged this; the gateway's log says more")

_LINK = re.compile(rb'config:(?:\\?/){2}((?:[^"\\\r\n]++|\\.)++)')
"""What may be a link in a document of any kind: up to the end of the JSON text or the line that it stands in."""
_CELL_END = re.compile(r"[,;\t]")


@dataclass(slots=True)
class Entry:
    """One device config: its newest document, where that came from, and what became of it.

    ``ours`` is None until it is known whose the device is. ``orphan`` says that the broker does not have the document.
    ``stale`` says that ``verdict`` is not that of the document and its links as they are now.
    """

    path: str
    payload: bytes
    source: str
    orphan: bool = False
    ours: bool | None = None
    adopted_from: str | None = None
    verdict: Verdict | None = None
    stale: bool = True
    judged_at: float = -COALESCE
    documents: Mapping[str, bytes] = field(default_factory=dict)
    """Linked documents kept on disk with the config, for those that the broker does not have."""


class Catalog:
    """The entries, and the documents that they link to; used by the manager's thread alone."""

    def __init__(self, env: Environment, credentials_dir: Path | None) -> None:
        self._env = env
        self._credentials_dir = credentials_dir
        self.entries: dict[str, Entry] = {}
        self.documents: dict[str, bytes] = {}
        self.variants: set[str] = set()
        """Paths of other documents on the broker, to tell a link that differs only in case."""
        self.due: dict[str, float] = {}
        """Devices to be judged, and when (boot clock)."""
        self._referrers: dict[str, set[str]] = defaultdict(set)
        self._links: dict[str, set[str]] = {}

    def config(self, path: str, payload: bytes, source: str, now: float) -> None:
        """A device config has come; the same one again changes nothing."""
        entry = self.entries.get(path)
        if entry is None:
            entry = self.entries[path] = Entry(path, payload, source)
        elif entry.payload == payload and entry.source == source and not entry.orphan:
            return
        else:
            entry.stale = entry.stale or entry.payload != payload
            entry.payload, entry.source, entry.orphan = payload, source, False
            entry.stale, entry.documents = entry.stale or bool(entry.documents), {}
        self.mark(entry, now)

    def remove(self, path: str) -> Entry | None:
        """A device config is gone."""
        self.due.pop(path, None)
        self._refer(path, set())
        return self.entries.pop(path, None)

    def mark(self, entry: Entry, now: float) -> None:
        """Judge a device again, soon: fast updates of one device are taken together."""
        self.due[entry.path] = max(now, entry.judged_at + COALESCE)

    def document(self, link: str, payload: bytes, now: float) -> list[str]:
        """A linked document has come, or with no payload: is gone. The devices that link to it, if it has changed."""
        if self.documents.get(link, b"") == payload:
            return []
        if payload:
            self.documents[link] = payload
        else:
            self.documents.pop(link, None)
        referrers = sorted(self._referrers[link])
        for path in referrers:
            self.entries[path].stale = True
            self.mark(self.entries[path], now)
        return referrers

    def drop(self, links: Iterable[str]) -> None:
        """Forget documents that nobody links to any more."""
        for link in links:
            self.documents.pop(link, None)
            self._referrers.pop(link, None)

    def links(self, paths: Iterable[str]) -> set[str]:
        """What the documents of these devices may link to, also by way of other documents."""
        found: set[str] = set()
        waiting = [self.entries[path].payload for path in paths if path in self.entries]
        while waiting:
            for raw in _LINK.findall(waiting.pop()):
                for link in _readings(raw):
                    if link not in found and is_topic(link) and len(found) < MAX_LINKS * len(self.entries):
                        found.add(link)
                        waiting.append(self.documents.get(link, b""))
        return found

    def linked(self) -> set[str]:
        """The documents that some device links to."""
        return {link for link, paths in self._referrers.items() if paths}

    def judge(self, entry: Entry, now: float) -> Verdict:
        """The verdict on a device's document and its links as they are now."""
        self.due.pop(entry.path, None)
        documents = {**entry.documents, **self.documents}
        verdict = entry.verdict
        if verdict is None or (entry.stale and not _is_of(verdict, entry.payload, documents)):
            verdict = entry.verdict = self._sharing(self.compile(entry.path, entry.payload, documents), entry.path)
            entry.judged_at = now
            self._refer(entry.path, {*verdict.links, *verdict.missing})
        entry.stale = False
        return verdict

    def _sharing(self, verdict: Verdict, path: str) -> Verdict:
        """The verdict with another device's registers, if they are the same: a hundred of them take 34 KB."""
        for link in verdict.links:
            for other in islice(self._referrers[link], LOOKED_AT):
                known = self.entries[other].verdict if other != path else None
                if known and known.spec and verdict.spec and known.spec.registers == verdict.spec.registers:
                    return replace(verdict, spec=replace(verdict.spec, registers=known.spec.registers))
        return verdict

    def compile(self, path: str, payload: bytes, documents: Mapping[str, bytes]) -> Verdict:
        """The verdict on a document with these links; drivers judge too, and a bug in one concerns this device alone."""
        try:
            return compile_device(path, payload, documents, self._env, self._credentials_dir, self.variants)
        except Exception:
            log.exception("the judging of a config failed", device=path)
            links = {link: sha256(documents[link]) for link in self.links([path]) if link in documents}
            return Verdict(None, (FAILED,), 1, (), sha256(payload), links, (), None)

    def _refer(self, path: str, links: set[str]) -> None:
        for link in self._links.pop(path, set()) - links:
            self._referrers[link].discard(path)
        if links:
            self._links[path] = links
        for link in links:
            self._referrers[link].add(path)


def _is_of(verdict: Verdict, payload: bytes, documents: Mapping[str, bytes]) -> bool:
    """Whether a good verdict is of these very documents: after a start from disk the broker brings the same again."""
    links = verdict.links.items()
    same = verdict.hash == sha256(payload) and all(sha256(documents.get(link, b"")) == digest for link, digest in links)
    return verdict.spec is not None and not verdict.missing and same


def _readings(raw: bytes) -> list[str]:
    """What a link may mean: all of it, as in JSON, where it may have escapes, or one cell, as in a CSV."""
    text = raw.decode("utf-8", "replace")
    if "\\" in text:
        with suppress(ValueError):
            text = json.loads(f'"{text}"')
    return [link.strip().strip("/") for link in dict.fromkeys((text, _CELL_END.split(text)[0]))]
