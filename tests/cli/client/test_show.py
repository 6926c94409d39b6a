"""Results as lines for people."""

from __future__ import annotations

from gateway.cli.client import show


def test_a_masked_write_shows_both_values() -> None:
    """The first line is what the slot holds, as for any write; the second what is in force."""
    assert list(show.value([{"result": 21.5}])) == ["21.5"]
    assert list(show.value([{"result": None, "effective": "Auto"}])) == ["null", "in force, at a higher priority: Auto"]
