from __future__ import annotations

import threading

from hypothesis import given
from hypothesis import strategies as st

from gateway.inbox import Inbox
from gateway.model import Connected, Disconnected, Message
from gateway.ownership import RELEASED

EVENTS = st.one_of(
    st.builds(Message, st.sampled_from(["t/a", "t/b"]), st.binary(max_size=2)),
    st.just(Connected()),
    st.builds(Disconnected, st.sampled_from(["x", "y"])),
)


def test_a_message_takes_the_place_of_an_older_one() -> None:
    """Of one topic the newest counts, and it stands where it came."""
    inbox: Inbox = Inbox()
    for event in (Message("t/a", b"1"), Message("t/b", b"1"), Message("t/a", b"2")):
        inbox.put("control", event)
    assert inbox.take(0.0) == [("control", Message("t/b", b"1")), ("control", Message("t/a", b"2"))]


def test_a_release_is_not_replaced_by_the_next_status() -> None:
    """Who waits for it would wait for 11 seconds more."""
    inbox: Inbox = Inbox()
    release = Message("t/a", b"1", user=((RELEASED, "edge-1"),))
    for event in (release, Message("t/a", b"2"), Message("t/a", b"3", user=(("claim", "new"),))):
        inbox.put("control", event)
    assert [event.payload for _, event in inbox.take(0.0)] == [b"1", b"3"]


def test_senders_do_not_replace_each_other() -> None:
    """The same topic on two links is two things."""
    inbox: Inbox = Inbox()
    inbox.put("control", Message("t/a", b"1"))
    inbox.put("data", Message("t/a", b"2"))
    assert len(inbox.take(0.0)) == 2


@given(st.lists(st.tuples(st.sampled_from(["control", "data"]), EVENTS)))
def test_nothing_else_is_lost(events: list) -> None:
    """Every event comes once, in order, but for messages that a newer one of the same sender and topic replaced."""
    inbox: Inbox = Inbox()
    for sender, event in events:
        inbox.put(sender, event)
    wanted = [
        (sender, event)
        for at, (sender, event) in enumerate(events)
        if not isinstance(event, Message)
        or not any(s == sender and isinstance(e, Message) and e.topic == event.topic for s, e in events[at + 1 :])
    ]
    assert inbox.take(0.0) == wanted
    assert inbox.take(0.0) == []


def test_take_wakes_for_the_first_event() -> None:
    """Whoever waits is woken by an event, long before its time is over."""
    inbox: Inbox = Inbox()
    taken: list = []
    thread = threading.Thread(target=lambda: taken.extend(inbox.take(60.0)))
    thread.start()
    inbox.put("data", Connected())
    thread.join(10.0)
    assert taken == [("data", Connected())]
