"""The last good configs: held in memory, and on disk so that the devices run with the broker down."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Protocol

import structlog

from gateway.store.state import MovedAside, StateError, StoredDevice

log = structlog.get_logger()


class Disk(Protocol):
    """Where they are kept (``store.state.StateDb``)."""

    def open(self) -> MovedAside | None:
        """Open the file."""
        ...

    def load(self) -> list[StoredDevice]:
        """Everything in it."""
        ...

    def save(self, devices: Iterable[StoredDevice]) -> None:
        """Keep these."""
        ...

    def remove(self, path: str) -> None:
        """Forget one."""
        ...

    def close(self) -> None:
        """Close the file."""
        ...


class LastGood:
    """Used on the manager's thread; ``problem`` is told what the operator should know of the disk."""

    def __init__(self, disk: Disk, problem: Callable[[str, str | None], None]) -> None:
        self._disk: Disk | None = disk
        self._problem = problem
        self._devices: dict[str, StoredDevice] = {}
        self._unsaved: dict[str, StoredDevice] = {}

    def load(self, in_scope: Callable[[str], bool]) -> None:
        """Read what the last process kept."""
        if self._disk is None:
            return
        try:
            moved = self._disk.open()
            stored = self._disk.load()
        except StateError as error:
            log.error("the state file can not be used", reason=error.message)  # noqa: TRY400  # the reason is enough
            self._problem("state_unusable", error.message)
            self._disk = None
            return
        if moved is not None:
            log.error("the state file was damaged and is set aside", file=str(moved.path), reason=moved.reason)
            self._problem("state_set_aside", f"{moved.reason}; it is kept as {moved.path.name}, and a new one was begun")
        self._devices = {device.path: device for device in stored if in_scope(device.path)}

    def close(self) -> None:
        """The last thing: let go of the disk."""
        if self._disk is not None:
            self._disk.close()

    @property
    def devices(self) -> Mapping[str, StoredDevice]:
        """All of them, by path."""
        return self._devices

    def get(self, path: str) -> StoredDevice | None:
        """The last good config of a device."""
        return self._devices.get(path)

    def accept(self, device: StoredDevice) -> StoredDevice:
        """Keep a config in place of another, whose learned facts are forgotten; the same one again changes nothing."""
        before = self._devices.get(device.path)
        if before is not None and (before.payload, before.documents) == (device.payload, device.documents):
            return before
        self._unsaved[device.path] = self._devices[device.path] = device
        return device

    def learned(self, path: str, facts: tuple[str, ...]) -> None:
        """Keep with a config what its driver has found out under it."""
        self._unsaved[path] = self._devices[path] = replace(self._devices[path], learned=facts)
        self.save()

    def forget(self, path: str) -> None:
        """The device is gone."""
        self._unsaved.pop(path, None)
        if self._devices.pop(path, None) is not None:
            self._on_disk(lambda disk: disk.remove(path))

    def save(self) -> None:
        """Write what is new to the disk."""
        if self._disk is None or not self._unsaved:
            return
        unsaved, self._unsaved = list(self._unsaved.values()), {}
        self._on_disk(lambda disk: disk.save(unsaved))

    def _on_disk(self, act: Callable[[Disk], None]) -> None:
        if self._disk is None:
            return
        try:
            act(self._disk)
        except StateError as error:
            self._problem("state_unusable", error.message)
        else:
            self._problem("state_unusable", None)
