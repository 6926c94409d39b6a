"""``gateway watch``: readings as they come."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass

from rich.console import Console
from rich.live import Live

from gateway.cli.client.options import Options
from gateway.cli.client.session import OK, WrongUsage, connection, topics_of, unusable
from gateway.cli.demo.board import Board
from gateway.cli.mqttclient import Message, MqttClient, NoConnection
from gateway.clock import Clock, SystemClock
from gateway.topics import Topics, scope_fault

REFRESH = 0.25
LEAVES = ("meta", "status", "all")


@dataclass(frozen=True, slots=True)
class Watch:
    """What is watched, on a connected client, for how many seconds (None: until Ctrl-C)."""

    client: MqttClient
    board: Board
    seconds: float | None
    clock: Clock

    def readings(self) -> Iterator[Message | None]:
        """Each reading, and None when something else or nothing came for a while."""
        start = self.clock.now()
        while self.seconds is None or self.clock.now() - start < self.seconds:
            message = self.client.message(REFRESH)
            if message:
                self._meet(message)
            yield message if message and self.board.take(message, self.clock.now()) else None

    def _meet(self, message: Message) -> None:
        """Give a device that was not seen yet its place."""
        device = (self.board.topics.device_path(message.topic) or "").rpartition("/")[0]
        if message.payload and device not in self.board.devices:
            self.board.devices = tuple(sorted((*self.board.devices, device)))


def watch(options: Options, entry: str, seconds: float | None) -> int:
    """Show the readings of devices whose path the filter matches; the exit code is 2 if it can not be."""
    try:
        topics = topics_of(options)
        filters = _filters(topics, entry)
        with connection(options) as client:
            for topic_filter in filters:
                client.subscribe(topic_filter)
            _show(Watch(client, Board(topics, ()), seconds, SystemClock()), options.as_json)
    except KeyboardInterrupt:
        return OK
    except BrokenPipeError:  # our reader has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except (WrongUsage, NoConnection) as error:
        return unusable(error)
    return OK


def _filters(topics: Topics, entry: str) -> list[str]:
    if fault := scope_fault(entry):
        raise WrongUsage(f'the filter "{entry}" {fault}')
    return [topic_filter for leaf in LEAVES for topic_filter in topics.leaf_filters([entry], leaf)]


def _show(what: Watch, as_json: bool) -> None:
    console = Console()
    if console.is_terminal and not as_json:
        _table(what, console)
        return
    for reading in filter(None, what.readings()):
        print(_json(what.board.topics, reading) if as_json else f"{reading.topic} {reading.payload.decode()}", flush=True)


def _table(what: Watch, console: Console) -> None:
    drawn = 0.0
    with Live(console=console, auto_refresh=False) as live:
        for _ in what.readings():
            if (now := what.clock.now()) - drawn >= REFRESH:
                drawn = now
                live.update(what.board.table(now), refresh=True)


def _json(topics: Topics, reading: Message) -> str:
    """A reading with the device that it is of: ``{"device", "timestamp", "values", "errors"}``."""
    device = (topics.device_path(reading.topic) or "").rpartition("/")[0]
    return json.dumps({"device": device} | json.loads(reading.payload), ensure_ascii=False)
