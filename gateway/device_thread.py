"""The thread of a device."""

from __future__ import annotations

import threading
from collections.abc import Callable

import structlog

from gateway.device import Device

log = structlog.get_logger()


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

    @property
    def name(self) -> str:
        """The thread's name."""
        return self._thread.name

    def _run(self) -> None:
        device = self.device
        while not device.over:
            try:
                device.wait(device.step())
            except Exception as error:
                if repr(error) != self._told:
                    log.exception("a driver failed", device=device.spec.path, driver=device.spec.driver_type)
                self._told = repr(error)
                device.crashed(error)
        try:
            device.finish()
        finally:
            self._ended(device.spec.path)
