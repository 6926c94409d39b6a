"""Readings on their way to the broker; what the disk does is tests/test_outbox.py."""

from __future__ import annotations

from gateway.dataqueue import LATE, LIVE, DataQueue
from gateway.entry import OVERHEAD
from gateway.model import Outgoing
from gateway.store.outbox import Kept
from tests.fakes import FakeClock
from tests.outgoing import drain, number, reading, up


def queued(queue: DataQueue) -> list[int]:
    """The numbers of the readings that are to be kept on disk now; they stay so."""
    chores = queue.chores(refused=False)
    queue.give_back(chores)
    return [number(entry.message) for entry in chores.keep]


def trusting(clock: FakeClock) -> DataQueue:
    """A queue whose link is up and where acknowledgements flow."""
    queue = up(DataQueue(clock))
    queue.acknowledged(Outgoing("marker", b""))
    queue.look()
    return queue


def test_live_readings_go_out_once_ownership_is_known(clock: FakeClock) -> None:
    """On a connection readings wait for ``open``, then they go out as they are, and the link is woken each time."""
    queue, woken = DataQueue(clock), []
    queue.wake = lambda: woken.append(1)
    queue.connected()
    queue.put([reading("d", 1)])
    assert queue.pop() is None
    assert (len(queue), queue.waiting) == (0, 1)
    queue.open()
    assert (len(queue), len(woken)) == (1, 2)
    assert drain(queue) == [reading("d", 1)]


def test_while_acknowledgements_flow_nothing_is_to_be_kept(clock: FakeClock) -> None:
    """In normal running readings are in memory alone, and nobody is alarmed."""
    queue, alarms = trusting(clock), []
    queue.alarm = lambda: alarms.append(1)
    for n in range(20):
        queue.put([reading("d", n)])
        assert len(drain(queue)) == 1
        clock.advance(0.1)
        queue.look()
    queue.put([reading("d", 20)])
    assert (queued(queue), alarms, queue._bytes) == ([], [], len(reading("d", 20).payload) + OVERHEAD)


def test_what_is_not_acknowledged_for_a_second_is_to_be_kept_and_all_that_comes_then(clock: FakeClock) -> None:
    """In flight or still waiting, the oldest first; each that comes raises an alarm until acknowledgements flow again."""
    queue, alarms = trusting(clock), []
    queue.alarm = lambda: alarms.append(1)
    queue.put([reading("d", 1), reading("d", 2)])
    flying = queue.pop()
    assert flying is not None
    clock.advance(LATE)
    queue.look()
    assert queued(queue) == []
    clock.advance(0.01)
    queue.look()
    queue.put([reading("d", 3)])
    assert (queued(queue), alarms) == ([1, 2, 3], [])  # no alarm, as there was something to do already

    queue.kept(chores := queue.chores(refused=False), [7, 8, 9])
    queue.put([reading("d", 4)])
    assert (len(chores.keep), alarms) == (3, [1])
    queue.acknowledged(flying)
    assert drain(queue) == [reading("d", n) for n in (2, 3, 4)]
    assert (queue.chores(refused=False).done, queue._bytes) == ([7, 8, 9], 0)
    queue.look()
    queue.put([reading("d", 5)])
    assert queued(queue) == []


def test_what_is_acknowledged_while_it_is_written_is_forgotten_at_once(clock: FakeClock) -> None:
    """The disk never keeps what the broker has."""
    queue = up(DataQueue(clock))
    queue.put([reading("d", 1)])
    chores = queue.chores(refused=False)
    drain(queue)
    queue.kept(chores, [1])
    assert queue.chores(refused=False).done == [1]


def test_on_a_new_connection_readings_are_kept_until_something_is_acknowledged(clock: FakeClock) -> None:
    """That a connection stands does not mean that the broker takes anything."""
    queue = up(DataQueue(clock))
    queue.look()
    queue.put([reading("d", 1)])
    assert queued(queue) == [1]
    drain(queue)
    queue.look()
    queue.put([reading("d", 2)])
    assert queued(queue) == []


def test_a_reading_that_waits_for_too_long_is_no_present_value_any_more(clock: FakeClock) -> None:
    """After 10 s it goes to replay, though the connection stands; a plain value of a point goes nowhere."""
    queue = trusting(clock)
    queue.put([Outgoing("d/kW", b"1"), reading("d", 1)])
    clock.advance(LIVE)
    queue.put([reading("d", 2)])
    clock.advance(0.01)
    queue.look()
    assert ([m.topic for m in drain(queue)], queued(queue)) == (["d/all"], [1])
    assert queue.not_kept == 1


def test_point_values_and_clears_die_with_the_connection(clock: FakeClock) -> None:
    """A plain value says nothing of its time: it is not kept, and counted as such."""
    queue = up(DataQueue(clock))
    queue.put([Outgoing("d/kW", b"1"), reading("d", 1)])
    queue.unsent([])
    queue.put([Outgoing("d/kW", b"2")])
    assert (queued(queue), queue.not_kept, queue._bytes) == ([1], 2, len(reading("d", 1).payload) + OVERHEAD)


def test_a_reading_of_qos_0_is_over_when_it_is_sent(clock: FakeClock) -> None:
    """Nobody acknowledges it; without a connection it is kept as any other."""
    queue = trusting(clock)
    queue.put([reading("d", 1, qos=0)])
    assert queue.pop() == reading("d", 1, qos=0)
    queue.unsent([])
    queue.put([reading("d", 2, qos=0)])
    assert queued(queue) == [2]


def test_replays_go_after_live_readings_and_leave_room_for_them(clock: FakeClock) -> None:
    """At most half of the link's window is taken by replayed readings."""
    queue = trusting(clock)
    queue.bring([Kept(n, "d/replay", reading("d", n).payload) for n in range(1, 9)])
    queue.put([reading("d", 100)])
    sent = list(iter(queue.pop, None))
    assert [number(m) for m in sent] == [100, 1, 2, 3, 4, 5]
    queue.put([reading("d", 101)])
    assert [number(m) for m in iter(queue.pop, None)] == [101]
    queue.acknowledged(sent[1])
    assert [number(m) for m in iter(queue.pop, None)] == [6]
    assert (queue.replayed, queue.chores(refused=False).done) == (1, [1])


def test_a_lost_connection_begins_replays_again(clock: FakeClock) -> None:
    """What is on disk need not be in memory; it is asked for again from the oldest."""
    queue = trusting(clock)
    assert queue.again()
    queue.bring([Kept(1, "d/replay", b"{}"), Kept(2, "d/replay", b"{}")])
    assert queue.pop() is not None
    queue.unsent([])
    assert (queue.again(), queue.again(), queue._bytes, queue.room()) == (True, False, 0, 0)
    queue.bring([Kept(1, "d/replay", b"{}")])
    assert up(queue).pop() is None


def test_nothing_is_replayed_beyond_the_oldest_live_reading(clock: FakeClock) -> None:
    """What may still go out as it is must not come as replayed as well."""
    queue = trusting(clock)
    assert queue.horizon() is None
    queue.put([reading("d", 1), reading("d", 2)])
    assert queue.horizon() == 1
    queue.pop()
    assert queue.horizon() == 1


def test_of_too_many_in_memory_the_oldest_are_dropped_and_counted(clock: FakeClock) -> None:
    """The bound holds whatever comes: a whole reading counts as dropped, a plain value as not kept."""
    size = len(reading("d", 1).payload) + OVERHEAD
    queue = DataQueue(clock, max_bytes=2 * size)
    queue.put([reading("d", n) for n in (1, 2, 3)])
    assert (queued(queue), queue.dropped, queue.waiting) == ([2, 3], 1, 2)
    up(queue).put([Outgoing("d/kW", b"1"), reading("d", 4), reading("d", 5), reading("d", 6)])
    assert (queued(queue), queue.dropped, queue.not_kept) == ([5, 6], 4, 1)
    assert drain(queue) == [reading("d", 5), reading("d", 6)]
    tiny = DataQueue(clock, max_bytes=10)
    up(tiny).put([reading("d", 1)])
    assert (tiny.waiting, tiny.dropped, tiny._bytes) == (0, 1, 0)


def test_of_too_many_in_memory_those_on_disk_are_let_go_first(clock: FakeClock) -> None:
    """Nothing is lost by that: they come as replayed."""
    size = len(reading("d", 1).payload) + OVERHEAD
    queue = up(DataQueue(clock, max_bytes=2 * size))
    queue.put([reading("d", 1), reading("d", 2)])
    queue.kept(queue.chores(refused=False), [1, 2])
    queue.put([reading("d", 3)])
    assert (queue.dropped, queue._bytes, [number(m) for m in drain(queue)]) == (0, 2 * size, [2, 3])


def test_what_the_broker_refuses_is_set_aside_with_its_reason(clock: FakeClock) -> None:
    """It would be refused again; if it is on disk, it goes from where it waits."""
    queue, told = trusting(clock), []
    queue.tell_refused = lambda topic, reason: told.append((topic, reason))
    queue.bring([Kept(4, "d/replay", b"{}")])
    queue.put([reading("d", 1)])
    for message in list(iter(queue.pop, None)):
        queue.refused(message, "Not authorized")
    assert (queue.refusals, told) == (2, [("d/all", "Not authorized"), ("d/replay", "Not authorized")])
    chores = queue.chores(refused=False)
    assert (chores.done, [(r.topic, r.reason) for r in chores.refused]) == (
        [4],
        [("d/all", "Not authorized"), ("d/replay", "Not authorized")],
    )
    queue.refused(reading("d", 2), "Not authorized")  # too large to be sent at all
    assert queue.chores(refused=False).refused == []
    assert len(queue.chores(refused=True).refused) == 1
