"""What the machine says about time."""

from __future__ import annotations

from gateway.clock import boot


def test_a_boot_is_known_by_its_id() -> None:
    """It is the same for each process, and fits into the mark of the outbox."""
    assert boot() == boot()
    assert 30 < len(boot()) <= 36
