"""The newest value of each point, kept cheaply: a poll that brought everything is stored whole."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from types import MappingProxyType

from gateway.model import LastValue, PointError, Quality, Scalar

GOOD: Mapping[str, Quality] = MappingProxyType({})


class LastValues:
    """Written by one thread, read by any."""

    def __init__(self) -> None:
        self._whole: tuple[Mapping[str, Scalar], float] = ({}, 0.0)
        self._single: dict[str, LastValue] = {}

    def whole(self, wall: float, values: Mapping[str, Scalar]) -> None:
        """Every point has a value, and no error."""
        self._whole = (values, wall)  # one value, so that nobody sees new values under an old time
        self._single = {}

    def partly(
        self,
        wall: float,
        values: Mapping[str, Scalar],
        errors: Mapping[str, PointError],
        quality: Mapping[str, Quality] = GOOD,
    ) -> None:
        """Some points have a new value or a new error; the others stay."""
        self._single.update((name, LastValue(value, wall, None, quality.get(name))) for name, value in values.items())
        self._single.update((name, replace(self.get(name), error=error)) for name, error in errors.items())

    def failed(self, names: Iterable[str], error: PointError) -> None:
        """These points could not be had; their last values stay."""
        self.partly(0.0, {}, dict.fromkeys(names, error))

    def get(self, name: str) -> LastValue:
        """The last good value of a point, and the error if the newest try failed."""
        single = self._single.get(name)
        if single is not None:
            return single
        values, wall = self._whole
        return LastValue(values[name], wall) if name in values else LastValue()
