from __future__ import annotations

import pytest

from gateway.suggest import MAX_NAME, nearest

KNOWN = ["get_point", "get_points", "SpaceTemp"]


@pytest.mark.parametrize(
    ("word", "meant"),
    [("get_pont", "get_point"), ("spacetemp", "SpaceTemp"), (" SpaceTmp", "SpaceTemp"), ("Outside", ""), ("", "")],
)
def test_the_nearest_name_is_found_in_any_case(word: str, meant: str) -> None:
    """A slip gives the name as it is written, anything else nothing."""
    assert nearest(word, KNOWN) == meant


def test_long_words_are_not_compared() -> None:
    """What a client sends can not make the comparison costly."""
    assert nearest("x" * MAX_NAME, ["x" * MAX_NAME]) == "x" * MAX_NAME
    assert nearest("x" * (MAX_NAME + 1), ["x" * MAX_NAME]) == ""


def test_nearness_can_be_asked_for() -> None:
    """A caller may be content with less."""
    assert nearest("point", ["get_point"], near=0.6) == "get_point"
    assert nearest("point", ["get_point"]) == ""
