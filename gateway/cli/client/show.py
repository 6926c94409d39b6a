"""Results as lines for people."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import Any

Bodies = list[dict[str, Any]]


def value(bodies: Bodies) -> Iterator[str]:
    """The value of a point: a text as it stands, all else as JSON; and what masks it, if anything does."""
    for body in bodies:
        yield _plain(body.get("result"))
        if "effective" in body:
            yield f"in force, at a higher priority: {_plain(body['effective'])}"


def lease(bodies: Bodies) -> Iterator[str]:
    """A lease that was granted or renewed."""
    for body in bodies:
        got = body["result"]
        devices = ", ".join(got["devices"])
        yield f"{devices} from {got['from']} until {got['until']}, task {got['task_id']}, fence {got['fence']}"


def leases(bodies: Bodies) -> Iterable[str]:
    """Slots, one a line."""
    rows = [
        (slot["device"], task["holder"], task["priority"], _state(slot), slot["from"], slot["until"], task["task_id"])
        for body in bodies
        for task in body["result"]
        for slot in task["slots"]
    ]
    return columns(("DEVICE", "HOLDER", "PRIORITY", "STATE", "FROM", "UNTIL", "TASK"), sorted(rows))


def override(bodies: Bodies) -> Iterator[str]:
    """An override that was set, by one gateway or several."""
    for pattern, until in sorted({(body["result"]["pattern"], _end(body["result"]["until"])) for body in bodies}):
        yield f"{pattern} is overridden until {until}"


def overrides(bodies: Bodies) -> Iterable[str]:
    """Patterns, one a line for each gateway."""
    rows = [
        (pattern, _end(until), str(body.get("gateway", ""))) for body in bodies for pattern, until in body["result"].items()
    ]
    return columns(("PATTERN", "UNTIL", "GATEWAY"), sorted(rows))


def nothing(bodies: Bodies) -> Iterable[str]:
    """What has no result but that it is done."""
    return ()


def columns(head: tuple[str, ...], rows: list[tuple[str, ...]]) -> Iterator[str]:
    """Rows below their head, in columns as wide as they need; not even the head if there are none."""
    table = [head, *rows] if rows else []
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    for row in table:
        yield "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()


def _plain(result: Any) -> str:
    return result if isinstance(result, str) else json.dumps(result, ensure_ascii=False)


def _state(slot: dict[str, Any]) -> str:
    return "in force" if slot["in_force"] else "to come"


def _end(until: str | None) -> str:
    return until or "it is taken back"
