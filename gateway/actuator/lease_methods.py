"""What each request method about leases, overrides and the audit log does; called on the dispatcher's thread."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from gateway.actuator.arguments import flag_of, text_of
from gateway.actuator.desk import Desk
from gateway.actuator.model import Outcome
from gateway.actuator.requests import Info, named_devices
from gateway.addressing import Addressing
from gateway.errors import BadRequest, GatewayError, LeaseLost
from gateway.fleet import Fleet
from gateway.rpc import Call, Handler
from gateway.values import shown

MAX_EVENTS = 1000
CODES: dict[str, str] = {
    Info.CONFLICTS_WITH_EXISTING_SCHEDULES: "leased_by_other",
    Info.TOO_MANY_SLOTS: "busy",
    Info.TASK_ID_DOES_NOT_EXIST: "lease_lost",
    Info.AGENT_ID_TASK_ID_MISMATCH: "lease_lost",
}
"""What the audit log says of VOLTTRON's failures; the others are ``bad_request``."""


class LeaseMethods:
    """The methods by which devices are reserved and shut off."""

    def __init__(self, names: Addressing, desk: Desk, fleet: Fleet) -> None:
        self._names = names
        self._desk = desk
        self._fleet = fleet

    def table(self) -> Mapping[str, Handler]:
        """Method name -> what carries it out."""
        return {
            "request_new_schedule": self.request_new_schedule,
            "request_cancel_schedule": self.request_cancel_schedule,
            "acquire_lease": self.acquire_lease,
            "renew_lease": self.renew_lease,
            "release_lease": self.release_lease,
            "set_override_on": self.set_override_on,
            "set_override_off": self.set_override_off,
            "clear_overrides": self.clear_overrides,
            "list_leases": self.list_leases,
            "get_override_devices": self.get_override_devices,
            "get_override_patterns": self.get_override_patterns,
            "list_events": self.list_events,
        }

    # ---- schedules

    def request_new_schedule(self, call: Call) -> None:
        """VOLTTRON's method: ``{"result", "info", "data"}``."""
        arguments = call.arguments
        paths = named_devices(arguments.get("requests"))
        if paths:
            self._names.devices(paths)
        self._names.for_gateway(call, "task_id", "priority", "requests")
        outcome = self._desk.request(
            arguments.get("task_id"), call.requester, arguments.get("priority"), arguments.get("requests")
        )
        self._answer(call, outcome)

    def request_cancel_schedule(self, call: Call) -> None:
        """VOLTTRON's method: ``{"result", "info", "data"}``; with ``keep`` what the task has written stays."""
        self._names.for_gateway(call, "task_id", "keep")
        keep = flag_of(call, "keep", False)
        self._answer(call, self._desk.cancel(call.arguments.get("task_id"), call.requester, keep))

    def _answer(self, call: Call, outcome: Outcome) -> None:
        """A failure is a result to VOLTTRON's programs, and a refusal to the audit log."""
        if not outcome.ok:
            self._desk.refusals.tell(call, CODES.get(outcome.info.partition(":")[0], "bad_request"))
        call.ticket.finish(outcome.answer())

    # ---- leases

    def acquire_lease(self, call: Call) -> None:
        """Devices from now on: ``{"task_id", "devices", "from", "until", "fence"}``."""
        paths = self._devices(call, "duration", "priority")
        arguments = call.arguments
        priority = arguments.get("priority", "LOW")
        call.ticket.finish(self._desk.acquire(call.requester, paths, arguments.get("duration"), priority))

    def renew_lease(self, call: Call) -> None:
        """A new end, counted from now: an answer like that of ``acquire_lease``."""
        task = self._task(call, "duration")
        call.ticket.finish(self._desk.renew(task, call.requester, call.arguments.get("duration")))

    def release_lease(self, call: Call) -> None:
        """The end, and with it the reverts; with ``keep`` what was written stays."""
        task, keep = self._task(call, "keep"), flag_of(call, "keep", False)
        self._desk.release(task, call.requester, keep)
        call.ticket.finish(None)

    def list_leases(self, call: Call) -> None:
        """The tasks, with their slots in force and to come; of one device if it is named."""
        paths = self._devices(call) if self._names_device(call) else None
        if paths is None:
            self._names.for_gateway(call)
        tasks = self._desk.tasks()
        call.ticket.finish(tasks if paths is None else [task for task in tasks if _about(task, paths)])

    def _devices(self, call: Call, *arguments: str) -> list[str]:
        """The devices that the topic or the payload names."""
        given = call.arguments.get("devices")
        if given is None:
            device, point = self._names.device(call, "device", *arguments)
            self._names.no_point(call, device.spec, point)
            return [device.spec.path]
        if not isinstance(given, list) or not given or not all(isinstance(path, str) for path in given):
            raise BadRequest('devices is a list of device paths: {"devices": ["campus/building/device"]}')
        self._names.devices(given)
        self._names.for_gateway(call, "devices", *arguments)
        return given

    def _names_device(self, call: Call) -> bool:
        return len(call.target) > 1 or "device" in call.arguments or "devices" in call.arguments

    def _task(self, call: Call, *arguments: str) -> str:
        """The task that is named, or the requester's on the device that is."""
        if not self._names_device(call):
            self._names.for_gateway(call, "lease", "task_id", *arguments)
            named = text_of(call, "lease", "task_id")
            if named is None:
                raise BadRequest("name the task as task_id, or its device in the topic")
            return named
        [path, *_] = self._devices(call, "lease", "task_id", *arguments)
        named = text_of(call, "lease", "task_id")
        lease = next((lease for lease in self._desk.leases() if lease.device == path), None)
        if named is None and (lease is None or lease.holder != call.requester):
            raise LeaseLost(f"{call.requester} holds no lease on {path}")
        return named or (lease.task_id if lease else "")

    # ---- overrides

    def set_override_on(self, call: Call) -> None:
        """Nobody writes the devices under a pattern: ``{"pattern", "until"}``."""
        self._names.for_gateway(call, "pattern", "duration", "failsafe_revert")
        failsafe, duration = flag_of(call, "failsafe_revert", True), call.arguments.get("duration", 0)
        pattern = call.arguments.get("pattern")
        self._desk.override(pattern, duration, failsafe, call.requester, self._fleet.paths())
        call.ticket.finish({"pattern": pattern, "until": self._desk.patterns().get(str(pattern))})

    def set_override_off(self, call: Call) -> None:
        """Take back exactly this pattern."""
        self._names.for_gateway(call, "pattern")
        self._desk.lift(str(call.arguments.get("pattern", "")), call.requester)
        call.ticket.finish(None)

    def clear_overrides(self, call: Call) -> None:
        """Take back all patterns."""
        self._names.for_gateway(call)
        self._desk.lift(None, call.requester)
        call.ticket.finish(None)

    def get_override_devices(self, call: Call) -> None:
        """The devices that are overridden."""
        self._names.for_gateway(call)
        call.ticket.finish(self._desk.overridden(self._fleet.paths()))

    def get_override_patterns(self, call: Call) -> None:
        """``{pattern: end}``; null where there is none."""
        self._names.for_gateway(call)
        call.ticket.finish(self._desk.patterns())

    # ---- the audit log

    def list_events(self, call: Call) -> None:
        """The newest events of the audit log, newest last."""
        path = None
        if self._names_device(call):
            device, point = self._names.device(call, "device", "since", "limit")
            self._names.no_point(call, device.spec, point)
            path = device.spec.path
        else:
            self._names.for_gateway(call, "since", "limit")
        call.ticket.finish(self._desk.audit.list(_since(call), _limit(call), path))


def _about(task: dict[str, Any], paths: list[str]) -> bool:
    return any(slot.get("device") in paths for slot in task.get("slots", []))


def _since(call: Call) -> float | None:
    given = text_of(call, "since")
    if given is None:
        return None
    try:
        moment = datetime.fromisoformat(given)
    except ValueError:
        raise _no_time(given) from None
    if moment.tzinfo is None:
        raise _no_time(given)
    return moment.timestamp()


def _no_time(given: str) -> GatewayError:
    return BadRequest(f"since is a time with a zone such as 2026-11-22T10:00:00Z, not {shown(given)}")


def _limit(call: Call) -> int:
    given = call.arguments.get("limit", 100)
    if not isinstance(given, int) or isinstance(given, bool) or not 1 <= given <= MAX_EVENTS:
        raise BadRequest(f"limit is a whole number from 1 to {MAX_EVENTS}, not {shown(given)}")
    return given
