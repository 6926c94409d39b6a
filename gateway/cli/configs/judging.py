"""Whether configurations can be published: all of them judged together, before anything is."""

from __future__ import annotations

from collections import ChainMap
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from gateway.allow import Allow
from gateway.clock import SystemClock
from gateway.interfaces.base import Environment
from gateway.store.compile import Verdict, compile_device
from gateway.store.faults import Faults, line
from gateway.store.links import parsed
from gateway.topics import Topics, is_topic

EVERYWHERE = Allow(networks=("any",), serial_ports=("*",))
"""Where devices may be is for each gateway's settings to say, which are not known here."""


@dataclass(slots=True)
class Judgement:
    """What is wrong, a line each, and how many warnings there are; ``devices`` were judged."""

    faults: list[str] = field(default_factory=list)
    warnings: int = 0
    devices: int = 0


class Judge:
    """Judges what would be on the broker: the documents that are ``new``, and those that stay there, ``old``."""

    def __init__(
        self, topics: Topics, new: Mapping[str, bytes], old: Mapping[str, bytes], credentials_dir: Path | None
    ) -> None:
        self._topics = topics
        self._new = new
        self._old = old
        self._credentials_dir = credentials_dir
        self._all = ChainMap(dict(new), dict(old))
        self._env = Environment(SystemClock(), EVERYWHERE)

    def judge(self) -> Judgement:
        """The judgement on the new documents, and on old devices that a new document would break."""
        found = Judgement()
        for path, payload in sorted(self._new.items()):
            if not payload:
                found.faults.append(f"{self._topics.document(path)}: is empty, which would remove it")
            elif (device := self._topics.configured_device(path)) is not None:
                self._judge_device(device, payload, found)
            else:
                found.faults += self._document_faults(path, payload)
        found.faults += self._broken()
        return found

    def _judge_device(self, device: str, payload: bytes, found: Judgement) -> None:
        verdict = self._verdict(device, payload)
        found.devices += 1
        found.warnings += len(verdict.warnings)
        found.faults += self._lines(device, verdict)

    def _verdict(self, device: str, payload: bytes) -> Verdict:
        elsewhere = self._credentials_dir is None
        return compile_device(device, payload, self._all, self._env, self._credentials_dir, (), secrets_elsewhere=elsewhere)

    def _lines(self, device: str, verdict: Verdict) -> list[str]:
        topic = self._topics.device_config(device)
        left = verdict.error_count - len(verdict.errors)
        return [f"{topic}: {line(fault)}" for fault in verdict.errors] + [f"{topic}: {left} more faults"] * bool(left)

    def _document_faults(self, path: str, payload: bytes) -> list[str]:
        topic = self._topics.document(path)
        if not is_topic(topic):
            return [f"{topic!r}: is no topic: a name holds +, # or an unprintable character, or all is too long"]
        faults = Faults()
        parsed(payload, "document", "row", faults)
        return [f"{topic}: {line(fault)}" for fault in faults.errors]

    def _broken(self) -> Iterator[str]:
        """Devices that stay on the broker as they are, and whose documents would be no good any more."""
        changed = {path for path, payload in self._new.items() if self._old.get(path, payload) != payload}
        stay = {path: payload for path, payload in self._old.items() if path not in self._new}
        for path, payload in sorted(stay.items()) if changed else ():
            device = self._topics.configured_device(path)
            if device is None:
                continue
            verdict = self._verdict(device, payload)
            if changed & verdict.links.keys():
                yield from (f"(on the broker) {words}" for words in self._lines(device, verdict))
