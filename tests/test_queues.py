from __future__ import annotations

import json
from collections import defaultdict

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from gateway import queues
from gateway.model import Outgoing
from gateway.queues import ControlQueue, DataQueue
from tests.fakes import FakeClock


def reading(device: str, number: int) -> Outgoing:
    """The reading with this number of a device."""
    payload = json.dumps({"timestamp": number}).encode()
    return Outgoing(f"{device}/all", payload, replay_topic=f"{device}/replay", replay=payload)


def drain(queue: ControlQueue | DataQueue) -> list[Outgoing]:
    """Everything that would go out now."""
    return list(iter(queue.pop, None))


def up(queue: DataQueue) -> DataQueue:
    """The queue on a connection where readings may go out."""
    queue.connected()
    queue.open()
    return queue


# ---- control


def test_control_messages_go_in_order(clock: FakeClock) -> None:
    """First in, first out, and each put wakes the link."""
    queue, woken = ControlQueue(clock), []
    queue.wake = lambda: woken.append(len(queue))
    for name in "ab":
        queue.put(Outgoing(name, b""))
    assert (woken, [m.topic for m in drain(queue)]) == ([1, 2], ["a", "b"])
    assert queue.pop() is None


def test_a_lost_connection_keeps_what_is_worth_it(clock: FakeClock) -> None:
    """Answers go out on the next connection, in order, while they are worth it; statuses are published anew anyway."""
    queue = ControlQueue(clock)
    queue.put(Outgoing("waiting", b"", until=clock.now() + 5))
    queue.put(Outgoing("status", b"", retain=True))
    queue.unsent([Outgoing("in flight", b"", until=clock.now() + 5), Outgoing("late", b"", until=clock.now())])
    assert [m.topic for m in drain(queue)] == ["in flight", "waiting"]


def test_control_messages_are_bounded(clock: FakeClock, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of too many the oldest is dropped and counted, as is what the broker does not take."""
    monkeypatch.setattr(queues, "CONTROL_LIMIT", 2)
    queue = ControlQueue(clock)
    for name in "abc":
        queue.put(Outgoing(name, b""))
    assert (queue.dropped, [m.topic for m in drain(queue)]) == (1, ["b", "c"])
    queue.refused(Outgoing("x", b""))
    assert queue.dropped == 2


# ---- data


def test_live_readings_go_out_once_ownership_is_known() -> None:
    """On a connection readings wait for ``open``, then they go out as they are."""
    queue = DataQueue()
    queue.connected()
    queue.put([reading("d", 1)])
    assert queue.pop() is None
    assert (len(queue), queue.waiting) == (0, 1)
    queue.open()
    assert len(queue) == 1
    assert drain(queue) == [reading("d", 1)]


def test_without_a_connection_readings_are_held() -> None:
    """What could not be sent in its time goes to the replay topic, marked, without retain; never on ``all``."""
    queue = DataQueue()
    queue.put([reading("d", 1)])
    queue.open()
    assert queue.pop() is None
    [held] = drain(up(queue))
    assert held.topic == "d/replay"
    assert json.loads(held.payload) == {"replayed": True, "timestamp": 1}
    assert (held.retain, held.expiry) == (False, None)


def test_live_readings_go_before_held_ones() -> None:
    """After an outage present values do not wait for the backlog."""
    queue = DataQueue()
    queue.put([reading("d", 1)])
    up(queue).put([reading("d", 2)])
    assert [m.topic for m in drain(queue)] == ["d/all", "d/replay"]


def test_point_values_are_not_replayed() -> None:
    """A plain value says nothing of its time: after an outage only the whole readings come."""
    queue = DataQueue()
    queue.put([Outgoing("d/kW", b"1"), reading("d", 1)])
    assert [m.topic for m in drain(up(queue))] == ["d/replay"]


def test_a_sentinel_dies_with_the_connection() -> None:
    """What is no reading is of no use on another connection."""
    queue = DataQueue()
    queue.connected()
    queue.put([reading("d", 1)])
    queue.unsent([Outgoing("sentinel", b"1")])
    assert [m.topic for m in drain(up(queue))] == ["d/replay"]


def test_a_message_that_the_broker_refuses_is_counted() -> None:
    """It is set aside: it would be refused again."""
    queue = DataQueue()
    queue.refused(reading("d", 1))
    assert queue.refusals == 1


def test_a_reading_larger_than_the_buffer_is_dropped_and_counted() -> None:
    """The bound holds whatever comes."""
    queue = DataQueue(max_bytes=10)
    up(queue).put([reading("d", 1)])
    assert (queue.waiting, queue.dropped) == (0, 1)


def test_the_oldest_readings_are_dropped_first() -> None:
    """Of too many bytes those of the outage go before the present ones, and each is counted."""
    queue = DataQueue(max_bytes=90)
    queue.put([reading("d", 1), reading("d", 2)])
    up(queue).put([reading("d", 3), reading("d", 4)])
    assert queue.dropped == 1
    assert [json.loads(m.payload)["timestamp"] for m in drain(queue)] == [3, 4, 2]


class Outage(RuleBasedStateMachine):
    """Readings of two devices through a link that comes and goes and has up to three messages in flight."""

    BOUND = 150

    def __init__(self) -> None:
        super().__init__()
        self.queue = DataQueue(max_bytes=self.BOUND)
        self.number = 0
        self.flying: list[Outgoing] = []
        self.arrived: list[Outgoing] = []

    @rule(device=st.sampled_from("ab"))
    def poll(self, device: str) -> None:
        """A poll brings a reading."""
        self.number += 1
        self.queue.put([reading(device, self.number)])

    @rule()
    def connect(self) -> None:
        """The link comes up."""
        self.queue.connected()

    @rule()
    def open(self) -> None:
        """It is known whose the devices are."""
        self.queue.open()

    @rule()
    def send(self) -> None:
        """The link takes a message."""
        if len(self.flying) < 3 and (message := self.queue.pop()):
            self.flying.append(message)

    @rule()
    def acknowledge(self) -> None:
        """The broker has the oldest of those on the way."""
        if self.flying:
            self.arrived.append(self.flying.pop(0))

    @rule()
    def lose(self) -> None:
        """The link goes down."""
        self.queue.unsent(self.flying)
        self.flying = []

    @invariant()
    def bounded(self) -> None:
        """The buffer never holds more bytes than it may."""
        held = [*self.queue._live, *self.queue._held]
        assert sum(len(message.payload) for message in held) == self.queue._bytes <= self.BOUND

    @invariant()
    def all_accounted_for(self) -> None:
        """Every reading has arrived, is on the way, waits, or is counted as dropped."""
        assert self.number == len(self.arrived) + len(self.flying) + self.queue.waiting + self.queue.dropped

    @invariant()
    def in_order(self) -> None:
        """On each topic readings come in the order in which they were taken, each once."""
        numbers = defaultdict(list)
        for message in self.arrived:
            numbers[message.topic].append(json.loads(message.payload)["timestamp"])
        assert all(seen == sorted(set(seen)) for seen in numbers.values())


TestOutage = Outage.TestCase
