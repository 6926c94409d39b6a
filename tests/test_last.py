from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from gateway.last import LastValues
from gateway.model import LastValue, PointError

GONE = PointError("timeout", "no answer")
NAMES = st.sampled_from("ab")


def test_nothing_is_known_at_first() -> None:
    """A point that was never read has no value, no time and no error."""
    assert LastValues().get("a") == LastValue(None, None, None)


def test_an_error_keeps_the_last_good_value() -> None:
    """When a point can not be read its last value stays, with its time and the error beside it."""
    last = LastValues()
    last.whole(100.0, {"a": 1.0, "b": 2.0})
    last.partly(110.0, {"b": 2.5}, {"a": GONE})
    assert last.get("a") == LastValue(1.0, 100.0, GONE)
    assert last.get("b") == LastValue(2.5, 110.0)


def test_a_good_value_ends_the_error() -> None:
    """The newest try counts."""
    last = LastValues()
    last.failed(["a", "b"], GONE)
    assert last.get("a") == LastValue(None, None, GONE)
    last.partly(120.0, {"a": 0}, {})
    assert last.get("a") == LastValue(0, 120.0)
    last.whole(130.0, {"a": 1.0, "b": 2.0})
    assert last.get("b") == LastValue(2.0, 130.0)


@given(st.lists(st.dictionaries(NAMES, st.one_of(st.integers(), st.just(GONE)))))
def test_it_is_a_plain_map_of_the_newest(steps: list[dict[str, int | PointError]]) -> None:
    """Whole polls and parts mixed give what a map of single values would."""
    last, plain = LastValues(), {name: LastValue() for name in "ab"}
    for wall, step in enumerate(steps):
        values = {name: value for name, value in step.items() if not isinstance(value, PointError)}
        errors = {name: value for name, value in step.items() if isinstance(value, PointError)}
        if len(values) == len(plain):
            last.whole(wall, values)
        else:
            last.partly(wall, values, errors)
        plain |= {name: LastValue(value, wall) for name, value in values.items()}
        plain |= {name: LastValue(plain[name].value, plain[name].wall, error) for name, error in errors.items()}
        assert {name: last.get(name) for name in "ab"} == plain
