"""Fixtures of the store's tests."""

from __future__ import annotations

import pytest

from gateway import interfaces
from tests.store.judging import Driver


@pytest.fixture
def driver(monkeypatch: pytest.MonkeyPatch):
    """The tests' own driver, under every driver_type."""
    monkeypatch.setattr(interfaces, "load", lambda _: Driver)
