"""What tests of leases and writes have in common: requests of VOLTTRON's kind, on a device with VOLTTRON's points."""

from __future__ import annotations

import time
from itertools import count
from typing import Any

from gateway.clock import rfc3339
from tests.integration.client import TestClient
from tests.integration.documents import point

POINTS = (
    point("fixed", start="50", writable=False),
    point("level", start="10"),
    point("short", "int", "20"),
    point("on", "bool", "true"),
)
"""Rows of the fake device in VOLTTRON's own tests, under shorter names."""
_tasks = count()


def slot(device: str, start: float, end: float) -> list[str]:
    """A row of a schedule request, in seconds from now."""
    now = time.time()
    return [device, rfc3339(now + start), rfc3339(now + end)]


def new_task() -> str:
    """A task id that no other test has."""
    return f"Task{next(_tasks)}"


def schedule(client: TestClient, who: str, *rows: Any, task: Any = "", priority: Any = "HIGH") -> Any:
    """What request_new_schedule answers: result, info and data."""
    arguments = {"task_id": task or new_task(), "priority": priority, "requests": list(rows)}
    result = client.request(f"rpc/{who}/request_new_schedule", arguments).result
    return result["result"], result["info"], result["data"]


def write(client: TestClient, who: str, path: str, value: Any, name: str = "level") -> Any:
    """The value that a write has taken, or the code of its refusal."""
    answer = client.request(f"rpc/{who}/set_point/{path}/{name}", {"value": value}).json
    return answer["result"] if "result" in answer else answer["error"]["code"]


def holder(client: TestClient, path: str) -> str | None:
    """Who holds a device now."""
    slots = [(t["holder"], s) for t in client.request(f"rpc/x/list_leases/{path}").result for s in t["slots"]]
    return next((who for who, s in slots if s["in_force"] and s["device"] == path), None)
