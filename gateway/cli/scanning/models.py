"""SunSpec's own descriptions of its models, as the extra ``sunspec`` brings them: JSON files, and nothing else of it."""

from __future__ import annotations

import importlib.resources
import json
from typing import Any


class NoModels(Exception):
    """The descriptions are not installed; says what to install."""


class Models:
    """Reads the description of a model when it is asked for."""

    def __init__(self) -> None:
        self._known: dict[int, dict[str, Any] | None] = {}

    def get(self, number: int) -> dict[str, Any] | None:
        """The outermost group of a model; None if there is no such model in it. Raises NoModels."""
        if number not in self._known:
            self._known[number] = self._read(number)
        return self._known[number]

    def _read(self, number: int) -> dict[str, Any] | None:
        try:
            file = importlib.resources.files("sunspec2") / "models" / "json" / f"model_{number}.json"
        except ModuleNotFoundError:
            raise NoModels(
                'the descriptions of SunSpec\'s models are not installed: install the gateway with its extra "sunspec"'
            ) from None
        if not file.is_file():
            return None
        group: dict[str, Any] = json.loads(file.read_text("utf-8"))["group"]
        return group
