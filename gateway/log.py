"""Where log lines go and how they look.

A line is a short sentence with ``key=value`` pairs: ``log = structlog.get_logger()`` and
``log.info("device is offline", device="C/B/D")``. On a terminal lines are coloured text, elsewhere one JSON object each.
Times are RFC 3339, UTC.
"""

from __future__ import annotations

import logging
from typing import TextIO

import structlog
from structlog.types import EventDict, Processor, WrappedLogger

from gateway.masking import masked_all


def configure(stream: TextIO, debug: bool = False) -> None:
    """Send all log lines, those of libraries too, to a stream; with ``debug`` from level debug up, else from info."""
    handler = logging.StreamHandler(stream)
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[*shared, structlog.stdlib.add_logger_name],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *_rendering(stream.isatty())],
        )
    )
    logging.basicConfig(level=logging.DEBUG if debug else logging.INFO, handlers=[handler], force=True)
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *shared,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )


def _rendering(terminal: bool) -> list[Processor]:
    """From an event to its line: secrets go while its words are as they were made, before anything is escaped."""
    discreet: list[Processor] = [structlog.processors.format_exc_info, _discreet]
    if terminal:
        # Plain tracebacks: the fancy ones print local variables, and those may be secrets.
        console = structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)
        return [*discreet, _printable, console]
    return [*discreet, structlog.processors.JSONRenderer()]


def _discreet(logger: WrappedLogger, name: str, event: EventDict) -> EventDict:
    """Nothing of it shows a secret, a traceback neither."""
    return {str(key): masked_all(value) for key, value in event.items()}


def _printable(logger: WrappedLogger, name: str, event: EventDict) -> EventDict:
    """Escapes what could move the cursor: topics and payloads come from anyone."""
    return {key: _escaped(value, key == "exception") if isinstance(value, str) else value for key, value in event.items()}


def _escaped(text: str, lines: bool = False) -> str:
    if lines:
        return "\n".join(map(_escaped, text.split("\n")))
    return text if text.isprintable() else ascii(text)[1:-1]
