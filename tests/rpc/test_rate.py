"""How many requests a requester may make."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.rpc import rate as module
from gateway.rpc.rate import Rate


def test_a_burst_then_the_rate():
    """So many at once, and then as many as come in at the steady rate; others have their own."""
    rate = Rate(10, 3)

    assert [rate.take("alice", 100.0) for _ in range(4)] == [True, True, True, False]
    assert rate.take("bob", 100.0)
    assert [rate.take("alice", 100.125), rate.take("alice", 100.125)] == [True, False]
    assert [rate.take("alice", 200.0) for _ in range(4)] == [True, True, True, False]


def test_a_batch_counts_whole_or_not_at_all():
    """When there is no room for all of it, none of it counts."""
    rate = Rate(1, 5)

    assert not rate.take("alice", 0.0, 6)
    assert rate.take("alice", 0.0, 5)
    assert not rate.take("alice", 0.0)


def test_quiet_requesters_are_forgotten(monkeypatch: pytest.MonkeyPatch):
    """Ever new names fill no memory, and who has used up a burst is not given another for it."""
    monkeypatch.setattr(module, "MANY", 10)
    rate = Rate(10, 3)
    for n in range(1000):
        rate.take(str(n), n * 1.0)
    rate.take("alice", 1000.0, 3)
    for n in range(20):
        rate.take(f"x{n}", 1000.0)

    assert len(rate._buckets) < 35
    assert not rate.take("alice", 1000.05)


@given(st.lists(st.tuples(st.floats(0, 1), st.integers(1, 5)), max_size=60))
def test_never_more_than_burst_and_rate(asked: list[tuple[float, int]]):
    """In any time, at most the burst and what the rate brings in it is let through."""
    rate, now, granted = Rate(7, 10), 50.0, 0
    for pause, number in asked:
        now += pause
        granted += number * rate.take("alice", now, number)
        assert granted <= 10 + (now - 50.0) * 7 + 1e-6
