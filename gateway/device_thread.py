"""The thread of a device."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import structlog

from gateway.device import Device
from gateway.vitals import DEVICE_PATIENCE

log = structlog.get_logger()

RESTART = 1.0
"""Seconds that a device's thread lives at least, so that one that fails at once is not begun anew without a pause."""


class DeviceThread:
    """The thread of a device; ``ended`` is called on it, last of all."""

    def __init__(self, device: Device, ended: Callable[[str], None]) -> None:
        self.device = device
        self._ended = ended
        self._told = ""
        self._thread = threading.Thread(target=self._run, name=f"device:{device.spec.path}", daemon=True)

    def start(self) -> None:
        """Begin polling."""
        self._thread.start()

    def stop(self, abandon: bool = False, drain_until: float = 0.0) -> None:
        """Ask the thread to end after the request in flight and, until that time, its reverts; any number of times."""
        self.device.close(abandon, drain_until)

    def join(self, timeout: float) -> bool:
        """Wait for the end; whether it came."""
        self._thread.join(timeout)
        return not self._thread.is_alive()

    def late(self, now: float) -> bool:
        """Whether there was no sign of life for longer than any request may take; ``now`` is boot clock seconds."""
        return now > self.device.due + DEVICE_PATIENCE and self._thread.is_alive()

    @property
    def name(self) -> str:
        """The thread's name."""
        return self._thread.name

    def _run(self) -> None:
        began = time.monotonic()
        if not self._guarded(self._work) or not self._guarded(self.device.finish):
            self._guarded(self.device.finish)  # whoever waits has an answer all the same
            threading.Event().wait(max(0.0, RESTART - (time.monotonic() - began)))
        self._ended(self.device.spec.path)

    def _work(self) -> None:
        device = self.device
        while not device.over:
            try:
                device.wait(device.step())
            except Exception as error:
                if repr(error) != self._told:
                    log.exception("a driver failed", device=device.spec.path, driver=device.spec.driver_type)
                self._told = repr(error)
                device.crashed(error)

    def _guarded(self, act: Callable[[], None]) -> bool:
        """Whether it went well. If not, the device ends, and begins anew if it is still wanted."""
        try:
            act()
        except Exception:
            log.exception("the thread of a device failed", device=self.device.spec.path)
            return False
        return True
