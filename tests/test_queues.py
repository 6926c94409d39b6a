from __future__ import annotations

import pytest

from gateway import queues
from gateway.model import Outgoing
from gateway.queues import ControlQueue
from tests.fakes import FakeClock


def drain(queue: ControlQueue) -> list[Outgoing]:
    """Everything that would go out now."""
    return list(iter(queue.pop, None))


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
    queue.refused(Outgoing("x", b""), "Not authorized")
    queue.acknowledged(Outgoing("x", b""))
    assert queue.dropped == 2
