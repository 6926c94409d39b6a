"""Whose the devices in our scope are, as the broker's retained statuses say."""

from __future__ import annotations

from collections.abc import Collection

import orjson

from gateway.model import Message
from gateway.ownership import Standing, standing, yields


class Claims:
    """What the statuses name, and how we stand to it; used by the manager's thread alone."""

    def __init__(self, us: str, adopt: Collection[str]) -> None:
        self._us = us
        self._adopt = frozenset(adopt)
        self._named: dict[str, str] = {}

    def forget_all(self) -> None:
        """A new connection: what is named has to be read again."""
        self._named.clear()

    def heard(self, path: str, message: Message) -> str | None:
        """A device's status on the broker: whom it names, or None."""
        name = _gateway(message.payload)
        if name is None:
            self._named.pop(path, None)
        else:
            self._named[path] = name
        return name

    def take(self, path: str) -> None:
        """The device is ours now."""
        self._named[path] = self._us

    def forget(self, path: str) -> None:
        """We have cleared the device's status: it names nobody."""
        self._named.pop(path, None)

    def named(self, path: str) -> str | None:
        """Whom the device's status names."""
        return self._named.get(path)

    def ours(self) -> list[str]:
        """The devices whose status names us."""
        return [path for path, name in self._named.items() if name == self._us]

    def standing(self, path: str, configured: str | None) -> Standing:
        """What the device is to us, by its config key and its status."""
        return standing(self._us, configured, self._named.get(path), self._adopt)

    def yields(
        self, other: str, configured: str | None, our_adopted: str | None, message: Message, ours_new: bool = False
    ) -> bool:
        """Whether a device that we run, and say to have adopted, goes to the other gateway whose status this is."""
        said = dict(message.user)
        return yields(self._us, other, configured, our_adopted, said.get("adopt"), ours_new, said.get("claim") == "new")


def _gateway(payload: bytes) -> str | None:
    try:
        status = orjson.loads(payload)
    except orjson.JSONDecodeError:
        return None
    name = status.get("gateway") if isinstance(status, dict) else None
    return name if isinstance(name, str) and name else None
