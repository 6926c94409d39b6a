"""The demo from start to end."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from rich.console import Console
from rich.live import Live

from gateway.cli.demo.board import Board
from gateway.cli.demo.documents import DEVICES, hints
from gateway.cli.demo.stage import DemoFailed, Stage, clients_missing
from gateway.cli.mqttclient import NoConnection
from gateway.clock import Clock, SystemClock
from gateway.localbroker import NoBroker

REFRESH = 0.25
FIRST_READING = 15.0
"""Seconds in which a reading must have come, or the demo has failed."""

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def run(seconds: float | None) -> int:
    """Show readings for so many seconds, or until Ctrl-C or SIGTERM; the exit code is 1 if something does not run."""
    with _interruptible():
        try:
            with Stage() as stage:
                _show(stage, seconds, SystemClock(), Console())
        except KeyboardInterrupt:
            return 0
        except BrokenPipeError:  # our reader has seen enough
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return 0
        except (DemoFailed, NoBroker, NoConnection) as error:
            print(f"The demo has failed: {error}", file=sys.stderr)
            return 1
    return 0


def _show(stage: Stage, seconds: float | None, clock: Clock, console: Console) -> None:
    board = Board(stage.topics, DEVICES)
    for topic_filter in board.filters():
        stage.client.subscribe(topic_filter)
    broker = f"{stage.broker.kind}, port {stage.broker.port}"
    print(f"An MQTT broker ({broker}), simulated devices and the gateway run. Ctrl-C ends them all.")
    print(hints(stage.topics, stage.broker.port, clients_missing()), flush=True)
    loop = _table if console.is_terminal else _lines
    loop(stage, board, seconds, clock, console)


def _table(stage: Stage, board: Board, seconds: float | None, clock: Clock, console: Console) -> None:
    with Live(console=console, auto_refresh=False) as live:
        drawn = 0.0
        for _ in _readings(stage, board, seconds, clock):
            if clock.now() - drawn >= REFRESH:
                drawn = clock.now()
                live.update(board.table(drawn), refresh=True)


def _lines(stage: Stage, board: Board, seconds: float | None, clock: Clock, console: Console) -> None:
    for line in _readings(stage, board, seconds, clock):
        if line:
            print(line, flush=True)


def _readings(stage: Stage, board: Board, seconds: float | None, clock: Clock) -> Iterator[str]:
    """Each reading as topic and payload, an empty text when none came for a while; until the time is over."""
    start = clock.now()
    while seconds is None or clock.now() - start < seconds:
        stage.check()
        message = stage.client.message(REFRESH)
        if message and board.take(message, clock.now()):
            yield f"{message.topic} {message.payload.decode()}"
        else:
            yield ""
        if not board.cells and clock.now() - start > FIRST_READING:
            raise DemoFailed(f"no reading came within {FIRST_READING:g} s; {stage.gateway.tail()}")


@contextmanager
def _interruptible() -> Iterator[None]:
    """The first signal raises KeyboardInterrupt; those after it can not disturb the clearing up."""

    def interrupt(signum: int, frame: FrameType | None) -> None:
        for number in _SIGNALS:
            signal.signal(number, signal.SIG_IGN)
        raise KeyboardInterrupt

    before = {number: signal.signal(number, interrupt) for number in _SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
