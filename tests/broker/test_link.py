"""The link to the broker, where a real broker can not be brought to misbehave; the rest is in tests/integration."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
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
from gateway.queues import Source
from gateway.settings import Broker
from gateway.vitals import Vitals

CONNACK = b"\x20\x03\x00\x00\x00"  # MQTT 5.0, 3.2: success, no session, no properties
KEPT = b"\x20\x03\x01\x00\x00"  # the same with a session that was kept
LATE_REQUEST, REQUEST = b"\x30\x06\x00\x03old\x00", b"\x30\x06\x00\x03new\x00"  # a publish of QoS 0: topic, no properties
ONCE, EXACTLY_ONCE = b"\x32\x06\x00\x01a\x00\x07\x00", b"\x34\x06\x00\x01b\x00\x08\x00"
"""Publishes of QoS 1 and 2: topic, packet id, no properties (MQTT 5.0, 3.3)."""
PUBACK, PUBREC, PUBREL, PUBCOMP = b"\x40\x02\x00\x07", b"\x50\x02\x00\x08", b"\x62\x02\x00\x08", b"\x70\x02\x00\x08"
PUBLISH = 9
"""Bytes of a PUBLISH of QoS 1 with a topic and a payload of one character and no properties (MQTT 5.0, 3.3)."""
ENDS = (b"", b"\x10", b"\x87\x00")
"""What stands in a PUBACK behind the packet's id (MQTT 5.0, 3.4.2): nothing, no matching subscribers, not authorized."""


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


class Three:
    """A source with three messages, which tells what became of each."""

    def __init__(self, qos: int = 1) -> None:
        self._waiting = [Outgoing(topic, b"x", qos) for topic in "abc"]
        self.ends: Queue[tuple[str, str]] = Queue()

    def pop(self) -> Outgoing | None:
        """The next one."""
        return self._waiting.pop(0) if self._waiting else None

    def acknowledged(self, message: Outgoing) -> None:
        """It has arrived."""
        self.ends.put((message.topic, "acknowledged"))

    def refused(self, message: Outgoing, reason: str) -> None:
        """It was refused."""
        self.ends.put((message.topic, reason))

    def unsent(self, messages: list[Outgoing]) -> None:
        """The connection is over."""

    def __len__(self) -> int:
        return len(self._waiting)


@contextmanager
def scripted_broker(
    *welcomes: bytes, then: Callable[[socket.socket], None] = lambda sock: None
) -> Iterator[tuple[int, list[bytes]]]:
    """A broker that lets everybody in, reads everything and acknowledges nothing.

    ``welcomes`` is what it says to each CONNECT, ``then`` what it does next. Gives its port, and what has come on each
    connection that has ended.
    """
    heard: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            for welcome in welcomes:
                sock, _ = server.accept()
                with sock:
                    sock.recv(1024)
                    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                    sock.sendall(welcome)
                    then(sock)
                    heard.append(sock.makefile("rb").read())

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield server.getsockname()[1], heard
        thread.join(10)


def link_to(port: int, events: Queue[Event], source: Source | None = None) -> Link:
    """A link that puts what it hears into the queue."""
    broker = Broker.model_validate({"url": f"mqtt://127.0.0.1:{port}"})
    return Link(broker, "edge", source or Chatter(), events.put, SystemClock(), "gateways/edge/replay")


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


def acknowledge(sock: socket.socket, size: int) -> None:
    """Wait for three messages and acknowledge them, in the three ways there are, so many bytes at a time."""
    heard = b""
    while len(heard) < 3 * PUBLISH:
        heard += sock.recv(1024)
    ids = [heard[at + 5 : at + 7] for at in range(0, 3 * PUBLISH, PUBLISH)]
    answer = b"".join(bytes((0x40, 2 + len(end))) + mid + end for mid, end in zip(ids, ENDS, strict=True))
    for at in range(0, len(answer), size):
        sock.sendall(answer[at : at + size])


@pytest.mark.parametrize("size", [1, 5, 100])
def test_acknowledgements_are_heard_however_they_come(size: int) -> None:
    """Each of several is heard, plain or with a reason, in one piece or in many; nobody having subscribed is no refusal."""
    source = Three()
    with scripted_broker(CONNACK, then=lambda sock: acknowledge(sock, size)) as (port, _):
        link = link_to(port, Queue(), source)
        link.start(Vitals(SystemClock()))
        ends = [source.ends.get(timeout=10) for _ in "abc"]
        link.stop(5)
    assert ends == [("a", "acknowledged"), ("b", "acknowledged"), ("c", "Not authorized")]


def test_a_refusal_at_qos_2_is_the_end_of_it() -> None:
    """A PUBREC that refuses is told, and no PUBREL follows; one that does not goes on to PUBCOMP (MQTT 5.0, 4.3.3)."""
    source = Three(qos=2)
    rest: Queue[bytes] = Queue()

    def refuse_first(sock: socket.socket) -> None:
        heard = b""
        while len(heard) < 3 * PUBLISH:
            heard += sock.recv(1024)
        a, b, c = (heard[at + 5 : at + 7] for at in range(0, 3 * PUBLISH, PUBLISH))
        sock.sendall(b"\x50\x03" + a + b"\x87" + b"\x50\x02" + b + b"\x50\x03" + c + b"\x10")
        said = b""
        while len(said) < 8:
            said += sock.recv(1024)
        rest.put(said.replace(b, b"b").replace(c, b"c"))
        sock.sendall(b"\x70\x02" + b + b"\x70\x02" + c)

    with scripted_broker(CONNACK, then=refuse_first) as (port, _):
        link = link_to(port, Queue(), source)
        link.start(Vitals(SystemClock()))
        ends = [source.ends.get(timeout=10) for _ in "abc"]
        link.stop(5)
    assert ends == [("a", "Not authorized"), ("b", "acknowledged"), ("c", "acknowledged")]
    assert rest.get(timeout=1) == b"\x62\x02b\x62\x02c"


def test_messages_that_come_in_one_piece_are_heard_at_once() -> None:
    """Nothing that was read waits until the broker says something more."""
    events: Queue[Event] = Queue()
    with scripted_broker(CONNACK + 3 * REQUEST) as (port, _):
        link = link_to(port, events)
        link.start(Vitals(SystemClock()))
        told = [events.get(timeout=10) for _ in range(4)]
        link.stop(2)
    assert [type(event) for event in told] == [Connected, Message, Message, Message]


def test_what_comes_is_acknowledged_as_its_qos_wants() -> None:
    """A PUBACK at QoS 1; PUBREC and PUBCOMP at QoS 2: for anything else a broker ends the connection (MQTT 5.0, 4.3)."""
    events: Queue[Event] = Queue()
    said: Queue[bytes] = Queue()

    def deliver(sock: socket.socket) -> None:
        for sends, expects in ((ONCE, PUBACK), (EXACTLY_ONCE, PUBREC), (PUBREL, PUBCOMP)):
            sock.sendall(sends)
            heard = b""
            while expects not in heard and (data := sock.recv(1024)):
                heard += data
            said.put(expects if expects in heard else heard)

    with scripted_broker(CONNACK, then=deliver) as (port, _):
        link = link_to(port, events)
        link.start(Vitals(SystemClock()))
        assert [said.get(timeout=10) for _ in range(3)] == [PUBACK, PUBREC, PUBCOMP]
        told = [events.get(timeout=10) for _ in range(3)]
        link.stop(2)
    assert [getattr(event, "topic", None) for event in told] == [None, "a", "b"]
    assert events.empty() or isinstance(events.get(), Disconnected)
