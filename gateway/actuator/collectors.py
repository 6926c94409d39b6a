"""Devices that only give back: for what was written under a configuration that no device runs on any more."""

from __future__ import annotations

import threading
from dataclasses import replace

from gateway.device import Device
from gateway.device_thread import DeviceThread
from gateway.interfaces.base import Environment
from gateway.jobs import RevertJob
from gateway.model import DeviceStatus, Reading
from gateway.store.device_config import Spec


class _Mute:
    """Nobody is told of the polls of a device without points."""

    def reading(self, spec: Spec, reading: Reading) -> None:
        """There is none."""

    def status(self, path: str, status: DeviceStatus) -> None:
        """The status topic belongs to the device that runs."""

    def learned(self, spec: Spec, facts: tuple[str, ...]) -> None:
        """Nothing is read, so nothing is learned."""

    def ended(self, path: str) -> None:
        """Nothing is left of it."""


class Collectors:
    """At most one for each device and connection; it ends when what it was begun for is given back or given up."""

    def __init__(self, env: Environment) -> None:
        self._env = env
        self._lock = threading.RLock()
        self._running: list[tuple[Spec, DeviceThread]] = []
        self._stopped = False

    def queue(self, job: RevertJob) -> bool:
        """Take a revert that no running device can do; False once everything stops."""
        with self._lock:
            if self._stopped:
                return False
            for spec, thread in self._running:
                if spec.path == job.spec.path and job.fits(spec) and thread.device.work.revert(job):
                    return True
            self._start(job)
            return True

    def stop(self, deadline: float) -> list[str]:
        """End all of them by that boot clock time; the names of threads that did not."""
        with self._lock:
            self._stopped = True
            threads = [thread for _, thread in self._running]
        for thread in threads:
            thread.stop(drain_until=deadline)
        return [thread.name for thread in threads if not thread.join(max(0.0, deadline - self._env.clock.now()) + 0.5)]

    def late(self, now: float) -> list[str]:
        """The names of the threads that have shown no sign of life for too long at that boot clock time."""
        with self._lock:
            return [thread.name for _, thread in self._running if thread.late(now)]

    def _start(self, job: RevertJob) -> None:
        bare = replace(job.spec, registers=())
        thread = DeviceThread(Device(bare, self._env, _Mute(), 0.0), self._forget)
        self._running.append((bare, thread))
        thread.device.work.revert(job)
        thread.start()

    def sweep(self) -> None:
        """End those that have nothing left to do."""
        with self._lock:
            for _, thread in self._running:
                if not thread.device.work.has_reverts:
                    thread.stop()

    def _forget(self, path: str) -> None:
        with self._lock:
            self._running = [
                (spec, thread) for spec, thread in self._running if spec.path != path or not thread.device.closing
            ]
