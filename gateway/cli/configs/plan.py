"""What a push changes on the broker, and how that is shown."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from gateway.topics import Topics

MAX_LINES = 40
"""Lines of differences that are shown of one document."""


@dataclass(frozen=True, slots=True)
class Plan:
    """Paths of documents, sorted; ``before`` and ``after`` are the documents."""

    added: tuple[str, ...]
    changed: tuple[str, ...]
    removed: tuple[str, ...]
    same: int
    before: Mapping[str, bytes]
    after: Mapping[str, bytes]


def plan(before: Mapping[str, bytes], after: Mapping[str, bytes], prune: bool) -> Plan:
    """From what the broker keeps to what it should."""
    return Plan(
        added=tuple(sorted(after.keys() - before.keys())),
        changed=tuple(sorted(path for path in after.keys() & before.keys() if after[path] != before[path])),
        removed=tuple(sorted(before.keys() - after.keys())) if prune else (),
        same=sum(after[path] == before[path] for path in after.keys() & before.keys()),
        before=before,
        after=after,
    )


def messages(plan: Plan, topics: Topics) -> Iterator[tuple[str, bytes]]:
    """What to publish, in this order: documents before the devices that link to them, and taken away after them."""

    def is_device(path: str) -> bool:
        return topics.configured_device(path) is not None

    for path in sorted((*plan.added, *plan.changed), key=is_device):
        yield topics.document(path), plan.after[path]
    for path in sorted(plan.removed, key=is_device, reverse=True):
        yield topics.document(path), b""


def shown(plan: Plan, topics: Topics) -> Iterator[str]:
    """The plan as lines: each topic with what becomes of it, and of those that change the lines that do."""
    for path in plan.added:
        yield f"+ {topics.document(path)}"
    for path in plan.changed:
        yield f"~ {topics.document(path)}"
        yield from _differences(plan.before[path], plan.after[path])
    for path in plan.removed:
        yield f"- {topics.document(path)}"
    yield f"{len(plan.added)} new, {len(plan.changed)} changed, {len(plan.removed)} to remove, {plan.same} the same"


def as_json(plan: Plan, topics: Topics) -> dict[str, Any]:
    """The plan for programs."""
    parts = {"added": plan.added, "changed": plan.changed, "removed": plan.removed}
    return {name: [topics.document(path) for path in paths] for name, paths in parts.items()} | {"same": plan.same}


def _differences(before: bytes, after: bytes) -> list[str]:
    old, new = (payload.decode("utf-8", "backslashreplace").splitlines() for payload in (before, after))
    lines = [f"    {line}" for line in list(difflib.unified_diff(old, new, n=1, lineterm=""))[2:]]
    left = len(lines) - MAX_LINES
    return lines if left <= 0 else [*lines[:MAX_LINES], f"    ... {left} more lines"]
