"""The last good configs: held in memory, and on disk so that the devices run with the broker down."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Protocol

import structlog

from gateway.clock import Clock
from gateway.store.state import MovedAside, StateError, StoredDevice

log = structlog.get_logger()

EVERY = 2.0
"""Seconds between two tries of what the disk has refused."""


class Disk(Protocol):
    """Where they are kept (``store.state.StateDb``)."""

    def open(self) -> MovedAside | None:
        """Open the file."""
        ...

    def load(self) -> list[StoredDevice]:
        """Everything in it."""
        ...

    def peek(self) -> list[StoredDevice]:
        """What can be read of it, though it can not be opened."""
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
    """Used on the manager's thread; ``problem`` is told what the operator should know of the disk.

    What the disk refuses is kept in mind, and tried again by ``retry``.
    """

    def __init__(self, disk: Disk, clock: Clock, problem: Callable[[str, str | None], None]) -> None:
        self._disk = disk
        self._clock = clock
        self._problem = problem
        self._in_scope: Callable[[str], bool] = lambda path: True
        self._devices: dict[str, StoredDevice] = {}
        self._unsaved: dict[str, StoredDevice] = {}
        self._unremoved: set[str] = set()
        self._ready = False
        self._troubled = False
        self._next_try = 0.0

    def load(self, in_scope: Callable[[str], bool]) -> None:
        """Read what the last process kept, if need be without being able to write it."""
        self._in_scope = in_scope
        self._on_disk(self._open)
        if not self._ready:
            self._know(self._disk.peek())

    def close(self) -> None:
        """The last thing: let go of the disk."""
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
            self._unremoved.add(path)
            self.save()

    def save(self) -> None:
        """Have on disk what is new, and no more what is gone."""
        if self._unsaved or self._unremoved:
            self._on_disk(self._write)

    def retry(self) -> bool:
        """Try again what the disk has refused, if it is time; whether devices have come to light that it had kept."""
        now = self._clock.now()
        if not self._troubled or now < self._next_try:
            return False
        known = len(self._devices)
        self._on_disk(self._write)
        return len(self._devices) > known

    def _open(self) -> None:
        moved = self._disk.open()
        stored = self._disk.load()
        self._ready = True
        if moved is not None:
            log.error("the state file was damaged and is set aside", file=str(moved.path), reason=moved.reason)
            self._problem("state_set_aside", f"{moved.reason}; it is kept as {moved.path.name}, and a new one was begun")
        self._know(stored)

    def _know(self, stored: Iterable[StoredDevice]) -> None:
        """What was accepted or removed since is newer than what the disk had."""
        for device in stored:
            if self._in_scope(device.path) and device.path not in self._unremoved:
                self._devices.setdefault(device.path, device)

    def _write(self) -> None:
        if not self._ready:
            self._open()
        for path in sorted(self._unremoved - self._unsaved.keys()):
            self._disk.remove(path)
        self._disk.save(self._unsaved.values())
        self._unsaved.clear()
        self._unremoved.clear()

    def _on_disk(self, act: Callable[[], None]) -> None:
        try:
            act()
        except StateError as error:
            self._ready, self._next_try = False, self._clock.now() + EVERY  # looked at anew: it may be damaged
            if not self._troubled:
                log.error("the state file can not be used", reason=error.message)  # noqa: TRY400  # the reason is enough
            self._problem("state_unusable", error.message)
            self._troubled = True
            return
        if self._troubled:
            self._problem("state_unusable", None)
            log.info("the state file can be used again")
        self._troubled = False
