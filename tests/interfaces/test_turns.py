from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from gateway.interfaces._turns import MOST_URGENT, SILENT_SECONDS, Turns, Unit


def turns_of(*keys: str) -> tuple[Turns, list[Unit]]:
    """Units that share a link and have all just answered."""
    turns = Turns()
    units = [turns.unit(key) for key in keys]
    for unit in units:
        unit.seats, unit.answered = 1, 0.0
    return turns, units


def serve(turns: Turns, now: float, answered: bool | None = True, seconds: float = 0.0) -> Unit:
    """The next turn, from its begin to its end."""
    place = turns.next(now)
    assert place is not None
    turns.waiting.remove(place)
    turns.begin(place.unit, place.urgent)
    turns.end(place.unit, answered, now, now + seconds)
    return place.unit


def silence(turns: Turns, unit: Unit, now: float, seconds: float = 1.0) -> None:
    """Two requests to a unit in vain."""
    for _ in range(2):
        turns.wait(unit, False)
        assert serve(turns, now, False, seconds) is unit


def test_units_take_turns() -> None:
    """Whoever was served longest ago is next, whoever asked first."""
    turns, (a, b, c) = turns_of("a", "b", "c")
    order = []
    for _ in range(6):
        for unit in (a, b, c):
            if not any(place.unit is unit for place in turns.waiting):
                turns.wait(unit, False)
        order.append(serve(turns, 1.0))
    assert order == [a, b, c, a, b, c]


def test_a_clients_request_goes_before_polls() -> None:
    """It is next, even for the unit that was served last."""
    turns, (a, b) = turns_of("a", "b")
    turns.wait(a, False)
    serve(turns, 1.0)
    turns.wait(b, False)
    turns.wait(a, True)
    assert [serve(turns, 1.0), serve(turns, 1.0)] == [a, b]


def test_polls_do_not_starve() -> None:
    """After eight requests of clients in a row a poll that waits has its turn."""
    turns, (a, b) = turns_of("a", "b")
    turns.wait(b, False)
    order = []
    for _ in range(MOST_URGENT + 1):
        turns.wait(a, True)
        order.append(serve(turns, 1.0))
    assert order == [a] * MOST_URGENT + [b]


def test_silence_takes_time_and_failures() -> None:
    """One failure, or many in a short time, are no silence; one answer ends it."""
    unit = Unit(answered=100.0)
    turns = Turns()
    for failures, now, silent in [(1, 200.0, False), (9, 100.0 + SILENT_SECONDS / 2, False), (2, 104.0, True)]:
        unit.failures = failures
        assert unit.silent(now) is silent
    turns.end(unit, None, 104.0, 104.0)
    assert unit.silent(104.0)
    turns.end(unit, True, 104.0, 104.0)
    assert not unit.silent(200.0)


def test_a_silent_unit_gets_a_tenth() -> None:
    """What its request took is followed by nine times as long in which others are served, requests of clients to it too."""
    turns, (dead, live) = turns_of("dead", "live")
    silence(turns, dead, 10.0)
    live.answered = 11.0
    turns.wait(dead, False)
    turns.wait(dead, True)
    assert turns.next(19.9) is None
    assert turns.due(live, 19.9) <= 19.9
    assert serve(turns, 20.1, False) is dead


def test_a_silent_unit_alone_is_asked_at_once() -> None:
    """Where nobody else wants the link, nothing is lost by asking."""
    turns, (dead, other) = turns_of("dead", "other")
    silence(turns, dead, 10.0)
    other.seats = 0
    turns.wait(dead, False)
    assert turns.next(11.0) is not None


def test_a_unit_rests_and_others_go_on() -> None:
    """A unit that is left alone is passed over until its time has come."""
    turns, (a, b) = turns_of("a", "b")
    a.rest = 5.0
    turns.wait(a, True)
    assert turns.wake(1.0) == (5.0, turns.waiting[0])
    turns.wait(b, False)
    assert serve(turns, 1.0) is b
    assert turns.next(1.0) is None
    assert serve(turns, 5.0) is a


def test_nothing_goes_before_the_gap_is_over() -> None:
    """Until the line may be used again nobody is next, and it is known when somebody is."""
    turns, (a, _) = turns_of("a", "b")
    turns.clear = 3.0
    place = turns.wait(a, True)
    assert (turns.next(2.9), turns.wake(2.9)) == (None, (3.0, place))
    assert turns.next(3.0) is place


@given(st.lists(st.tuples(st.integers(0, 9), st.booleans()), min_size=1, max_size=60))
def test_dead_units_never_take_more_than_a_tenth(asked: list[tuple[int, bool]]) -> None:
    """Half of ten units are silent and everybody asks all the time: in the long run they have a tenth of the time."""
    turns, units = turns_of(*map(str, range(10)))
    dead, now, lost = units[:5], 100.0, 0.0
    for unit in dead:
        unit.answered, unit.failures = 0.0, 2
    for unit in units[5:]:
        unit.answered = now
    begin, order = now, iter(asked * 200)
    while now < begin + 100:
        number, urgent = next(order, (0, False))
        waiting = {place.unit for place in turns.waiting}
        for unit in units:
            if unit not in waiting:
                turns.wait(unit, urgent and unit is units[number])
        cost = 1.0 if (place := turns.next(now)) is not None and place.unit in dead else 0.05
        unit = serve(turns, now, cost == 0.05, cost)
        now += cost
        lost += cost if unit in dead else 0
    assert lost <= 0.1 * (now - begin) + 1
