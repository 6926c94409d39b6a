"""Whose the devices in our scope are, as the broker's retained statuses say."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import orjson

from gateway.model import Message
from gateway.ownership import Standing, standing, yields


class Claims:
    """What the statuses name, and how we stand to it; used by the manager's thread alone."""

    def __init__(self, us: str, adopt: Collection[str]) -> None:
        self._us = us
        self._adopt = frozenset(adopt)
        self._named: dict[str, str] = {}
        self._left: set[str] = set()

    def forget_all(self) -> None:
        """A new connection: what is named has to be read again."""
        self._named.clear()
        self._left.clear()

    def heard(self, path: str, message: Message) -> str | None:
        """A device's status on the broker: whom it names, or None."""
        status = _status(message.payload)
        name = _gateway(status)
        self._left.discard(path)
        if name is not None and _stopped(status):
            self._left.add(path)
        if name is None:
            self._named.pop(path, None)
        else:
            self._named[path] = name
        return name

    def released(self, path: str) -> None:
        """The gateway that had the device has let go of it."""
        self._left.add(path)

    def has_left(self, path: str) -> bool:
        """Whether the gateway that is named is known to be at the device no more: it has let go of it, or was stopped."""
        return path in self._left

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


def gateway_in(payload: bytes) -> str | None:
    """The gateway that a retained message of a device or lease names, or None."""
    return _gateway(_status(payload))


def _status(payload: bytes) -> dict[str, Any]:
    try:
        status = orjson.loads(payload)
    except orjson.JSONDecodeError:
        return {}
    return status if isinstance(status, dict) else {}


def _stopped(status: dict[str, Any]) -> bool:
    """Whether it is the status that a gateway leaves behind when it is stopped."""
    reason = status.get("reason")
    return status.get("state") == "offline" and isinstance(reason, dict) and reason.get("code") == "unavailable"


def _gateway(status: dict[str, Any]) -> str | None:
    name = status.get("gateway")
    return name if isinstance(name, str) and name else None
