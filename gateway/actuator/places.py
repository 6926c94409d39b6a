"""Where reverts are carried out: by the device that runs, or by a collector if none reaches what was written."""

from __future__ import annotations

from gateway.actuator.collectors import Collectors
from gateway.actuator.desk import Desk
from gateway.actuator.reverts import OpenPoint
from gateway.device import Device
from gateway.fleet import Fleet
from gateway.jobs import RevertJob
from gateway.store.device_config import Spec


class Places:
    """The fleet's keeper, and what reverts are handed to; any thread may call."""

    def __init__(self, gateway_id: str, desk: Desk, fleet: Fleet, collectors: Collectors) -> None:
        self._gateway_id = gateway_id
        self._desk = desk
        self._fleet = fleet
        self._collectors = collectors
        self._known = False

    # ---- for reverts

    def queue(self, job: RevertJob) -> bool:
        """Give a revert to the device, or to a collector once it is known which devices run; whether there is anybody."""
        device = self._fleet.running(job.spec.path)
        if device is not None and job.fits(device.spec) and device.work.revert(job):
            return True
        if self._fleet.is_foreign(job.spec.path) or not (device or self._known):
            return False  # another gateway's, or it may yet start
        return self._collectors.queue(job)

    def known(self) -> None:
        """It is known which devices run: what is due on others is collected."""
        self._known = True
        self._desk.drop_strangers(self._gateway_id)
        for path in self._desk.reverts.devices():
            self._desk.reverts.queue(path)

    # ---- for the fleet

    def runs(self, device: Device) -> None:
        """What is due on a device is the first thing that it does."""
        self._desk.reverts.tell(device.spec.path)
        self._desk.reverts.queue(device.spec.path)

    def changes(self, device: Device, spec: Spec) -> None:
        """What was written under a row or connection that goes is given back before the new configuration is in force."""
        points = [p for p in self._desk.reverts.points(device.spec.path) if not p.due and not _stays(p, spec)]
        if points:
            self._desk.reverts.start(device.spec.path, points)

    def ends(self, path: str) -> None:
        """What is open is given back before the device ends."""
        self._desk.drop(path, self._gateway_id)


def _stays(point: OpenPoint, spec: Spec) -> bool:
    """Whether a point is reached under the new configuration as under the one that it was written under."""
    same = next((r for r in spec.registers if r.name == point.register.name), None) == point.register
    return same and point.spec.interface is spec.interface and point.spec.config == spec.config
