"""The link to the broker, where a real broker can not be brought to misbehave; the rest is in tests/integration."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import cycle
from queue import Queue

import pytest

from gateway.broker import Link, flights
from gateway.broker import link as link_module
from gateway.clock import SystemClock
from gateway.model import Connected, Disconnected, Event, Outgoing
from gateway.settings import Broker
from gateway.vitals import Vitals

CONNACK = b"\x20\x03\x00\x00\x00"  # MQTT 5.0, 3.2: success, no properties


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
def mute_broker() -> Iterator[int]:
    """The port of a broker that lets everybody in, reads everything and acknowledges nothing."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            sock, _ = server.accept()
            with sock:
                sock.recv(1024)
                sock.sendall(CONNACK)
                while sock.recv(65536):
                    pass

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield server.getsockname()[1]
        thread.join(10)


def test_a_broker_that_reads_on_and_acknowledges_nothing_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Messages of QoS 0 that leave are no sign of life, however many there are."""
    monkeypatch.setattr(flights, "ACK_TIMEOUT", 0.5)
    monkeypatch.setattr(flights, "BEAT", 0.1)
    monkeypatch.setattr(link_module, "TICK", 0.05)
    events: Queue[Event] = Queue()
    with mute_broker() as port:
        link = Link(
            Broker.model_validate({"url": f"mqtt://127.0.0.1:{port}"}),
            "edge",
            Chatter(),
            events.put,
            SystemClock(),
            "gateways/edge/replay",
        )
        link.start(Vitals(SystemClock()))
        assert events.get(timeout=10) == Connected()
        gone = events.get(timeout=10)
        link.stop(5)
    assert isinstance(gone, Disconnected)
    assert gone.reason.startswith("the broker has acknowledged nothing")
