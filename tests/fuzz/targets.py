"""All targets of the fuzzers by name, and what is promised of each input.

A target takes bytes and does with them what the gateway would; whatever leaves it is a bug of the gateway.
"""

from __future__ import annotations

import time
import tracemalloc
from collections.abc import Callable

from tests.fuzz import documents, replies
from tests.fuzz.requests import Requests
from tests.integration.waiting import PATIENCE

Target = Callable[[bytes], None]

REQUESTS = Requests()
TARGETS: dict[str, Target] = {
    "device": documents.device,
    "registry": documents.registry,
    "request": REQUESTS.topic,
    "json_rpc": REQUESTS.json_rpc,
    "modbus_tcp": replies.socket,
    "modbus_rtu": replies.rtu,
    "modbus_ascii": replies.ascii_frames,
    "serial": replies.lines,
    "bacnet": replies.bacnet,
}

MOST_SECONDS = 0.05 * PATIENCE
MOST_BYTES = 5_000_000


def promptly(target: Target, data: bytes) -> None:
    """Try an input; fails if it takes more time of the processor than is promised, three times in a row."""
    taken = _seconds(target, data)
    if taken > MOST_SECONDS:  # Python may just have cleared up after others
        taken = min(_seconds(target, data) for _ in range(2))
    assert taken < MOST_SECONDS, f"{taken * 1000:.0f} ms"


def frugally(target: Target, data: bytes) -> None:
    """Try an input; fails if it takes more memory than is promised."""
    tracemalloc.start()
    try:
        target(data)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < MOST_BYTES, f"{peak / 1e6:.1f} MB"


def _seconds(target: Target, data: bytes) -> float:
    begun = time.thread_time()
    target(data)
    return time.thread_time() - begun
