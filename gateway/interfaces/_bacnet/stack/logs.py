"""Log records of the child, told to the gateway: a few of each kind, and how many more there were."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

from gateway.interfaces._bacnet.wire import Message

WINDOW = 60.0
"""Seconds in which of one kind only so many are told: whoever can send packets could fill the log otherwise."""
MOST = 3


class ToGateway(logging.Handler):
    """Sends records as messages; those of one place in the source, beyond a few in a minute, are only counted."""

    def __init__(self, send: Callable[[Message], None]) -> None:
        super().__init__()
        self._to = send
        self._seen: dict[tuple[str, int], tuple[float, int]] = {}

    def emit(self, record: logging.LogRecord) -> None:
        """Send a record, or count it."""
        key, now = (record.pathname, record.lineno), time.monotonic()
        began, count = self._seen.get(key, (now, 0))
        if now - began > WINDOW:
            missed, began, count = max(0, count - MOST), now, 0
        else:
            missed = 0
        self._seen[key] = (began, count + 1)
        if count < MOST:
            text = self.format(record) + (f" ({missed} more like this in the last minute)" if missed else "")
            self._to({"tell": "log", "level": record.levelno, "logger": record.name, "message": text})


def configure(send: Callable[[Message], None], debug: bool) -> None:
    """Send what all loggers say to the gateway, that of libraries from warnings up."""
    handler = ToGateway(send)
    logging.basicConfig(level=logging.DEBUG if debug else logging.INFO, handlers=[handler], force=True)
    for name in ("asyncio", "bacpypes3", "BAC0_Root"):
        logging.getLogger(name).setLevel(logging.WARNING)
