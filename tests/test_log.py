from __future__ import annotations

import io
import json
import logging
import re
from collections.abc import Iterator

import pytest
import structlog

from gateway.log import configure
from gateway.masking import conceal, forget


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        """Yes."""
        return True


@pytest.fixture(autouse=True)
def _put_back() -> Iterator[None]:
    root = logging.getLogger()
    before = root.level, list(root.handlers)
    yield
    forget()
    structlog.reset_defaults()
    root.setLevel(before[0])
    root.handlers[:] = before[1]


def logged(stream: io.StringIO, *, debug: bool = False) -> structlog.stdlib.BoundLogger:
    """A logger that writes to this stream."""
    configure(stream, debug)
    return structlog.get_logger()


def test_a_piped_line_is_one_json_object_with_the_time_in_utc():
    """Event, level, keys and an RFC 3339 time stand in one JSON line."""
    stream = io.StringIO()
    logged(stream).info("device is offline", device="C/B/D", tries=3)
    (line,) = map(json.loads, stream.getvalue().splitlines())
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{6})?Z", line.pop("timestamp"))
    assert line == {"event": "device is offline", "level": "info", "device": "C/B/D", "tries": 3}


def test_a_terminal_gets_readable_coloured_text():
    """On a terminal a line has the sentence and key=value in colours, and is no JSON."""
    stream = Terminal()
    logged(stream).info("device is offline", device="C/B/D")
    assert "\x1b[" in stream.getvalue()
    plain = re.sub(r"\x1b\[[0-9;]*m", "", stream.getvalue())
    assert re.search(r"Z \[info +\] device is offline +device=C/B/D", plain)


def test_what_others_send_can_not_move_the_cursor():
    """Control characters in values are shown, not obeyed."""
    stream = Terminal()
    logged(stream).info("refused\x1b[2J", topic="a\x1b[2Jb", other="a\rc\n")
    assert "\x1b[2J" not in stream.getvalue()
    assert "\r" not in stream.getvalue()
    assert stream.getvalue().count("\n") == 1


def test_lines_of_libraries_take_the_same_way():
    """A line of the standard library's logging becomes the same JSON, with the name of its logger."""
    stream = io.StringIO()
    logged(stream)
    logging.getLogger("some.library").warning("lost %d bytes", 5)
    line = json.loads(stream.getvalue())
    assert (line["event"], line["level"], line["logger"]) == ("lost 5 bytes", "warning", "some.library")
    assert "timestamp" in line


@pytest.mark.parametrize("debug", [False, True])
def test_debug_lines_come_only_when_asked_for(debug):
    """Level debug is off unless configured."""
    stream = io.StringIO()
    logged(stream, debug=debug).debug("detail")
    assert bool(stream.getvalue()) is debug


@pytest.mark.parametrize("stream", [io.StringIO(), Terminal()])
def test_a_traceback_shows_no_local_variables(stream):
    """An exception is logged with its traceback, without the values of variables."""
    log = logged(stream)
    password = "hunter" + "2"
    try:
        len(password) // 0
    except ZeroDivisionError:
        log.exception("a driver failed")
    assert "Traceback" in stream.getvalue()
    assert "hunter2" not in stream.getvalue()


@pytest.mark.parametrize("terminal", [False, True])
@pytest.mark.parametrize("secret", ["pässwörd-4711", 'ab"cd-4711', r"dom\user-4711", "tab\there-4711", 'pä"ss\\\t-4711'])
def test_secrets_are_masked_before_anything_is_escaped(terminal: bool, secret: str) -> None:
    """Not in a sentence, a value, a library's line, an object or a traceback, whatever becomes of its letters there."""
    conceal(secret)
    stream = Terminal() if terminal else io.StringIO()
    log = logged(stream)
    log.warning("%s does not answer", secret, reason=secret, nested={"in": [secret, {secret: 1}]}, error=OSError(secret))
    logging.getLogger("some.library").warning("no route to %s", secret)
    try:
        _raise(OSError(f"no route to {secret}"))
    except OSError:
        log.exception("a driver failed")
        logging.getLogger("some.library").exception("so did a library")
    assert stream.getvalue().count("OSError: no route to ***") == 2
    assert "4711" not in stream.getvalue()


def test_a_traceback_can_not_move_the_cursor() -> None:
    """Its lines stay lines, and control characters in them are shown."""
    stream = Terminal()
    log = logged(stream)
    try:
        _raise(ValueError("a\x1b[2Jb"))
    except ValueError:
        log.exception("a driver failed")
    assert "\nValueError: a\\x1b[2Jb\n" in stream.getvalue()


def _raise(error: Exception) -> None:
    raise error


def test_configuring_again_moves_all_lines():
    """The newest stream gets the lines, the one before no more."""
    first, second = io.StringIO(), io.StringIO()
    logged(first)
    logged(second).info("x")
    assert (first.getvalue(), second.getvalue().count("\n")) == ("", 1)
