"""Fixtures for tests of what is deployed: those of a whole gateway on a real broker."""

from __future__ import annotations

from tests.integration.conftest import broker, own_broker, site

__all__ = ["broker", "own_broker", "site"]
