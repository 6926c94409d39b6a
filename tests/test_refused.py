from __future__ import annotations

import pytest

from gateway.refused import TOLD_FOR, RefusedTopics
from gateway.topics import Topics
from tests.fakes import FakeClock

REPLY, STATUS = "site/replies/ops/1", "site/devices/C/B/D/status"


@pytest.fixture
def refused(clock: FakeClock) -> RefusedTopics:
    """Of a gateway below a prefix."""
    return RefusedTopics(clock, Topics("edge-1", "site").kind)


def test_one_topic_of_each_kind_is_told(refused: RefusedTopics) -> None:
    """The first, whatever else is refused, so that the words are bounded and change seldom."""
    assert refused.words() is None
    refused.note(REPLY, "Not authorized")
    refused.note(STATUS, "it is larger than the broker takes")
    told = refused.words()
    assert told is not None
    assert f'"{STATUS}" (it is larger than the broker takes), "{REPLY}" (Not authorized): see its ACL' in told
    for number in range(10_000):
        refused.note(f"site/replies/ops/{number}" + "/x" * 1000, "Not authorized")
        refused.note(f"site/devices/C/B/{number}/status", "Not authorized")
    assert refused.words() == told
    assert len(refused._refusals) == 2


def test_it_is_over_when_nothing_was_refused_for_a_while(refused: RefusedTopics, clock: FakeClock) -> None:
    """Each kind by itself."""
    refused.note(REPLY, "Not authorized")
    refused.note(STATUS, "Not authorized")
    clock.advance(TOLD_FOR)
    refused.note(STATUS, "Not authorized")
    clock.advance(1)
    told = refused.words()
    assert told is not None
    assert (STATUS in told, REPLY in told) == (True, False)
    clock.advance(TOLD_FOR)
    assert refused.words() is None


def test_a_topic_of_any_length_is_told_short(refused: RefusedTopics) -> None:
    """An answer may go where its requester wants it."""
    refused.note("anywhere/" + "x" * 60_000, "Not authorized")
    assert len(refused.words() or "") < 400
