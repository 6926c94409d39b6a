"""The actuator's thread: lets time pass, announces leases, beats the hearts of controllers."""

from __future__ import annotations

import structlog

from gateway.actuator.collectors import Collectors
from gateway.actuator.desk import Desk
from gateway.actuator.journal import JournalError
from gateway.actuator.mender import Mender
from gateway.actuator.writes import Heartbeat
from gateway.clock import Clock
from gateway.device import Device
from gateway.errors import GatewayError, RequestError
from gateway.fleet import Fleet
from gateway.jobs import WriteJob
from gateway.settings import Actuator
from gateway.values import coerce
from gateway.vitals import Vitals
from gateway.worker import Bell, Worker

log = structlog.get_logger()

LONGEST_WAIT = 1.0
"""Seconds: slots begin by the wall clock, which may be set at any time."""


class Clerk:
    """One thread; ``wake`` may be called from any other."""

    def __init__(
        self, settings: Actuator, clock: Clock, desk: Desk, fleet: Fleet, collectors: Collectors, mender: Mender
    ) -> None:
        self._settings = settings
        self._clock = clock
        self._desk = desk
        self._fleet = fleet
        self._collectors = collectors
        self._mender = mender
        self._bell = Bell()
        self._next_announcement = 0.0
        self._next_heartbeat = 0.0
        self._beat = 0
        self._worker = Worker("actuator", self._turn, lambda: self._bell.over, finish=self._finish)

    @property
    def name(self) -> str:
        """The thread's name."""
        return self._worker.name

    def start(self, vitals: Vitals) -> None:
        """Begin."""
        self._worker.start(vitals)

    def wake(self) -> None:
        """Something has changed that may be due now."""
        self._bell.ring()

    def stop(self, timeout: float) -> bool:
        """End after telling what has happened up to now; whether the thread ended in time."""
        self._bell.end()
        return self._worker.join(timeout)

    def _turn(self) -> None:
        self._wait(self.work())

    def _finish(self) -> None:
        self.work()

    def _wait(self, until: float) -> None:
        now = self._clock.now()
        pause = max(0.0, min(until - now, LONGEST_WAIT))
        self._worker.pulse.due = now + pause
        self._bell.wait(pause)

    def work(self) -> float:
        """Do what is due; the boot clock time when something is again."""
        due = self._advance()
        now = self._clock.now()
        if now >= self._next_announcement:
            self._next_announcement = now + self._settings.announce_interval
            self._desk.announce()
        if now >= self._next_heartbeat and not self._bell.over:
            self._next_heartbeat = now + self._settings.heartbeat_interval
            self._heartbeats()
        self._collectors.sweep()
        self._mender.work()
        return min(due, self._next_announcement, self._next_heartbeat)

    def _advance(self) -> float:
        try:
            return self._desk.advance()
        except JournalError as error:
            self._desk.records.unusable(error)
            return self._clock.now() + LONGEST_WAIT

    def _heartbeats(self) -> None:
        """1 and 0 by turns, as long as the gateway is well; a device that is away misses its beats."""
        self._beat = 1 - self._beat
        for path in self._fleet.paths():
            try:
                self._heartbeat(self._fleet.device(path))
            except GatewayError as error:
                log.debug("no heartbeat", device=path, reason=error.message)

    def _heartbeat(self, device: Device) -> None:
        spec = device.spec
        register = next((r for r in spec.registers if r.name == spec.device.heart_beat_point), None)
        if register is None:
            return
        try:
            value = coerce(register, self._beat)
        except RequestError:
            return  # told when the configuration was judged
        beat = Heartbeat(self._desk, spec, register, value, self._fleet.is_ours, self._next_heartbeat, self._clock)
        device.submit(WriteJob(spec, register, value, {}, beat))
