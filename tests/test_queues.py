from __future__ import annotations

from structlog.testing import capture_logs

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


def test_an_answer_to_who_reads_has_its_time(clock: FakeClock) -> None:
    """It is not sent when that is over, and counted; an answer to who writes is."""
    queue = ControlQueue(clock)
    queue.put(Outgoing("read", b"", until=clock.now() + 5, expendable=True))
    queue.put(Outgoing("write", b"", until=clock.now() + 5))
    queue.put(Outgoing("fresh", b"", until=clock.now() + 6, expendable=True))
    clock.advance(5)
    assert [m.topic for m in drain(queue)] == ["write", "fresh"]
    assert queue.dropped == 1


def test_control_messages_are_bounded_in_bytes(clock: FakeClock) -> None:
    """Of too much the oldest of its kind is dropped and counted, told once until all is sent; what is refused counts too."""
    queue, big = ControlQueue(clock), bytes(queues.MIB)
    with capture_logs() as told:
        for number in range(20):
            queue.put(Outgoing(f"read/{number}", big, until=clock.now() + 5, expendable=True))
    assert (queue.dropped, [m.topic for m in drain(queue)]) == (13, [f"read/{number}" for number in range(13, 20)])
    assert len(told) == 1
    refused: list[str] = []
    queue.tell_refused = lambda *what: refused.extend(what)
    queue.refused(Outgoing("x", b""), "Not authorized")
    assert refused == ["x", "Not authorized"]
    queue.acknowledged(Outgoing("x", b""))
    assert queue.dropped == 14


def test_small_messages_are_bounded_too(clock: FakeClock) -> None:
    """What a message takes besides its payload counts."""
    queue = ControlQueue(clock)
    for _ in range(20_000):
        queue.put(Outgoing("", b"", until=clock.now() + 5, expendable=True))
    assert len(queue) == queues.READS_LIMIT // queues.OVERHEAD


def test_a_flood_of_answers_costs_no_status(clock: FakeClock) -> None:
    """What answers those who read pushes out neither answers to writes nor statuses; all that is left goes in order."""
    queue, big = ControlQueue(clock), bytes(queues.MIB)
    queue.put(Outgoing("status", b"", retain=True))
    queue.put(Outgoing("written", b"", until=clock.now() + 5))
    for number in range(20):
        queue.put(Outgoing(f"read/{number}", big, until=clock.now() + 5, expendable=True))
        queue.put(Outgoing(f"write/{number}", b"", until=clock.now() + 5))
    left = [m.topic for m in drain(queue)]
    assert left[:2] == ["status", "written"]
    assert [topic for topic in left if topic.startswith("write/")] == [f"write/{number}" for number in range(20)]
    assert left[-2:] == ["read/19", "write/19"]


def test_what_is_kept_for_the_next_connection_is_bounded(clock: FakeClock) -> None:
    """What was in flight is the oldest."""
    queue, big = ControlQueue(clock), bytes(queues.MIB)
    flying = [Outgoing("in flight", big, until=clock.now() + 5)] * 5
    for _ in range(7):
        queue.put(Outgoing("waiting", big, until=clock.now() + 5))
    queue.unsent(flying)
    assert [m.topic for m in drain(queue)] == ["waiting"] * 7
