"""The link to the broker, where a real broker can not be brought to misbehave; the rest is in tests/integration."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import cycle
from queue import Queue

import pytest

from gateway.backoff import Backoff
from gateway.broker import Link, flights
from gateway.broker import link as link_module
from gateway.broker.client import KEPT_SESSION
from gateway.clock import SystemClock
from gateway.model import Connected, Disconnected, Event, Message, Outgoing
from gateway.settings import Broker
from gateway.vitals import Vitals

CONNACK = b"\x20\x03\x00\x00\x00"  # MQTT 5.0, 3.2: success, no session, no properties
KEPT = b"\x20\x03\x01\x00\x00"  # the same with a session that was kept
LATE_REQUEST, REQUEST = b"\x30\x06\x00\x03old\x00", b"\x30\x06\x00\x03new\x00"  # a publish of QoS 0: topic, no properties


class Chatter:
    """A source that has one message of QoS 0 each time that the link looks."""

    def __init__(self) -> None:
        self._turns = cycle([Outgoing("t", b"x", qos=0), None])

    def pop(self) -> Outgoing | None:
        """One message, then none, then one again."""
        return next(self._turns)

    def unsent(self, messages: list[Outgoing]) -> None:
        """It is lost."""

    def refused(self, message: Outgoing) -> None:
        """It is lost, too."""

    def __len__(self) -> int:
        return 1


@contextmanager
def scripted_broker(*welcomes: bytes) -> Iterator[tuple[int, list[bytes]]]:
    """A broker that lets everybody in, reads everything and acknowledges nothing.

    ``welcomes`` is what it says to each CONNECT. Gives its port, and what has come on each connection that has ended.
    """
    heard: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            for welcome in welcomes:
                sock, _ = server.accept()
                with sock:
                    sock.recv(1024)
                    sock.sendall(welcome)
                    heard.append(sock.makefile("rb").read())

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield server.getsockname()[1], heard
        thread.join(10)


def link_to(port: int, events: Queue[Event]) -> Link:
    """A link that puts what it hears into the queue."""
    broker = Broker.model_validate({"url": f"mqtt://127.0.0.1:{port}"})
    return Link(broker, "edge", Chatter(), events.put, SystemClock(), "gateways/edge/replay")


def test_a_broker_that_reads_on_and_acknowledges_nothing_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Messages of QoS 0 that leave are no sign of life, however many there are."""
    monkeypatch.setattr(flights, "ACK_TIMEOUT", 0.5)
    monkeypatch.setattr(flights, "BEAT", 0.1)
    monkeypatch.setattr(link_module, "TICK", 0.05)
    events: Queue[Event] = Queue()
    with scripted_broker(CONNACK) as (port, _):
        link = link_to(port, events)
        link.start(Vitals(SystemClock()))
        assert events.get(timeout=10) == Connected()
        gone = events.get(timeout=10)
        link.stop(5)
    assert isinstance(gone, Disconnected)
    assert gone.reason.startswith("the broker has acknowledged nothing")


def test_a_session_that_was_kept_is_not_taken() -> None:
    """What the broker has kept for us may be of any age: nothing of it is heard, and the next connection is asked for."""
    events: Queue[Event] = Queue()
    with scripted_broker(KEPT + LATE_REQUEST, CONNACK + REQUEST) as (port, heard):
        link = link_to(port, events)
        link._backoff = Backoff(lambda: 0.0, first=0.01)
        link.start(Vitals(SystemClock()))
        told = [events.get(timeout=10) for _ in range(3)]
        link.stop(5)
    assert told[:2] == [Disconnected(KEPT_SESSION), Connected()]
    assert isinstance(told[2], Message)
    assert told[2].topic == "new"
    assert heard[0].endswith(b"\xe0\x01\x82")  # DISCONNECT: protocol error (MQTT 5.0, 3.14)
