from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from gateway.backoff import Backoff


def pauses(random: float, count: int) -> list[float]:
    """The first pauses when chance always says the same."""
    backoff = Backoff(lambda: random)
    return [backoff.next() for _ in range(count)]


def test_pauses_double_up_to_the_longest() -> None:
    """Without jitter the pauses are 0.5 s, 1 s, ... and stay at 30 s."""
    assert pauses(0.0, 9) == [0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0, 30.0]


def test_jitter_shortens_by_up_to_half() -> None:
    """With the most jitter each pause is half as long, but never below the first."""
    assert pauses(1.0, 8) == [0.5, 0.5, 1.0, 2.0, 4.0, 8.0, 15.0, 15.0]


def test_success_begins_anew() -> None:
    """After a reset the first pause comes again."""
    backoff = Backoff(lambda: 0.0)
    for _ in range(5):
        backoff.next()
    backoff.reset()
    assert backoff.next() == 0.5


@given(st.floats(0, 1), st.integers(1, 200))
def test_every_pause_is_within_the_bounds(random: float, count: int) -> None:
    """However many attempts failed, a pause is 0.5 to 30 s."""
    assert all(0.5 <= pause <= 30.0 for pause in pauses(random, count))
