"""What each request method that writes a device does; called on the dispatcher's thread, never waits for a device."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gateway.actuator.arguments import checked, fence_of, flag_of, priority_of, slot_of, text_of, value_of, writable
from gateway.actuator.asking import Claim
from gateway.actuator.audit import AuditEvent
from gateway.actuator.desk import Desk
from gateway.actuator.group import Group
from gateway.actuator.reverts import Done, OpenPoint, goal
from gateway.actuator.writes import Write
from gateway.addressing import Addressing
from gateway.clock import Clock
from gateway.device import Device
from gateway.errors import BadRequest, BadValue, RequestError
from gateway.jobs import WriteJob
from gateway.model import Register, Scalar
from gateway.rpc import Call, Handler, error_body
from gateway.store.device_config import Spec

_LEASE = ("priority", "lease", "task_id", "fence")


class WriteMethods:
    """The methods by which points are written and given back."""

    def __init__(self, clock: Clock, names: Addressing, desk: Desk, lease_required: bool) -> None:
        self._clock = clock
        self._names = names
        self._desk = desk
        self._lease_required = lease_required

    def table(self) -> Mapping[str, Handler]:
        """Method name -> what carries it out."""
        return {
            "set_point": self.set_point,
            "set_points": self.set_points,
            "revert_point": self.revert_point,
            "revert_device": self.revert_device,
        }

    def set_point(self, call: Call) -> None:
        """Write one point: the value that the device took. ``null`` relinquishes, or goes back to what was there."""
        device, point = self._names.device(call, "device", "point", "value", *_LEASE)
        spec = device.spec  # once: it may change meanwhile
        register = self._names.register(spec, point)
        value = value_of(call, register)
        claim, priority = self._claim(call, spec), slot_of(register, priority_of(call, spec))
        self._desk.check(claim)
        if value is None:
            self._null(call, device, spec, claim, register, priority)
        else:
            self._submit(call, device, [self._write(call, spec, claim, register, value, priority, call.ticket.finish)])

    def set_points(self, call: Call) -> None:
        """Write several points: nothing is written if any fails its check."""
        device, point = self._names.device(call, "device", "values", *_LEASE)
        spec = device.spec
        given = call.arguments.get("values")
        if point or not isinstance(given, dict) or not given:
            raise BadRequest('name points and values in the payload: {"values": {"a": 1, "b": 2}}')
        claim, named = self._claim(call, spec), priority_of(call, spec)
        self._desk.check(claim)
        values, errors = self._checked(spec, given, named)
        if errors:
            first = next(iter(errors.values()))["code"]
            event = AuditEvent("refused", spec.path, first, call.requester, claim.task_id, new=call.method, id=call.id)
            self._desk.refusals.event(event)
            call.ticket.finish({"values": {}, "errors": errors})
            return
        group = Group(call.ticket, given)
        writes = {
            register.name: self._write(call, spec, claim, register, value, priority, group.done(register.name))
            for register, value, priority in values
        }
        group.sent = lambda name: writes[name].sent
        self._submit(call, device, list(writes.values()))

    def _checked(
        self, spec: Spec, given: dict[str, Any], named: int | None
    ) -> tuple[list[tuple[Register, Scalar | None, int | None]], dict[str, Any]]:
        values: list[tuple[Register, Scalar | None, int | None]] = []
        errors = {}
        registers, unknown = self._names.points(spec, given)
        for name, value in given.items():
            try:
                if name in unknown:
                    raise unknown[name]
                register = registers[name]
                wanted = self._or_default(register, checked(register, value))
                values.append((register, wanted, slot_of(register, named)))
            except RequestError as error:
                errors[name] = error_body(error)
        return values, errors

    def _or_default(self, register: Register, value: Scalar | None) -> Scalar | None:
        if value is not None or register.priority is not None:
            return value
        if register.default is None:
            raise BadValue(f'"{register.name}" has no Default Value that null could go back to; use revert_point')
        return register.default

    # ---- giving back

    def revert_point(self, call: Call) -> None:
        """Give one point back: the value that it has then; ``null`` where there is nothing to go back to."""
        device, point = self._names.device(call, "device", "point", *_LEASE)
        spec = device.spec
        register = self._names.register(spec, point)
        writable(register)
        claim, priority = self._claim(call, spec), priority_of(call, spec)
        self._desk.check(claim)
        self._submit(call, device, self._given_back(call, spec, claim, register, priority, call.ticket.finish))

    def revert_device(self, call: Call) -> None:
        """Give back all that can be; with ``abandon`` give up what could not be given back so far."""
        if flag_of(call, "abandon", False):
            self._abandon(call)
            return
        device, point = self._names.device(call, "device", "abandon", *_LEASE)
        spec = device.spec
        self._names.no_point(call, spec, point)
        claim, priority = self._claim(call, spec), priority_of(call, spec)
        self._desk.check(claim)
        registers = [register for register in spec.registers if self._can_go_back(spec, register)]
        registers = [register for register in registers if priority is None or register.priority is not None]
        for register in registers:
            slot_of(register, priority)
        if not registers:
            call.ticket.finish({"values": {}, "errors": {}})
        group = Group(call.ticket, [register.name for register in registers])
        writes = [
            write
            for register in registers
            for write in self._given_back(call, spec, claim, register, priority, group.done(register.name))
        ]
        self._submit(call, device, writes)

    def _abandon(self, call: Call) -> None:
        """Give up what is due, also on a device that does not run here any more."""
        path = text_of(call, "device") or "/".join(call.target)
        if path not in self._desk.reverts.devices():
            device, point = self._names.device(call, "device", "abandon", *_LEASE)
            self._names.no_point(call, device.spec, point)
            path = device.spec.path
        call.ticket.finish({"abandoned": self._desk.reverts.abandon(path)})

    def _can_go_back(self, spec: Spec, register: Register) -> bool:
        if not register.writable:
            return False
        known = register.priority is not None or register.default is not None
        return known or bool(self._open(spec, register, None))

    def _open(self, spec: Spec, register: Register, priority: int | None) -> list[OpenPoint]:
        points = [p for p in self._desk.reverts.points(spec.path) if p.entry.point == register.name]
        return [p for p in points if priority is None or p.entry.priority in (priority, None)]

    def _null(self, call: Call, device: Device, spec: Spec, claim: Claim, register: Register, priority: int | None) -> None:
        if not self._can_go_back(spec, register):
            raise BadValue(f'"{register.name}" has no Default Value in the registry that null could go back to')
        self._submit(call, device, self._given_back(call, spec, claim, register, priority, call.ticket.finish))

    def _given_back(
        self, call: Call, spec: Spec, claim: Claim, register: Register, priority: int | None, done: Done
    ) -> list[Write]:
        """What is open goes back by the road of reverts, at once; else the write of what the point goes back to."""
        points = self._open(spec, register, priority)
        priority = slot_of(register, priority)
        value, _ = goal(register, priority, None)
        if points:
            call.ticket.doubt()
            points[-1].done.append(done)
            self._desk.reverts.start(spec.path, points)
        elif value is None and priority is None:
            done(None, None)
        else:
            return [self._write(call, spec, claim, register, value, priority, done, "revert")]
        return []

    # ---- the road

    def _claim(self, call: Call, spec: Spec) -> Claim:
        own = spec.device.lease_required
        required = self._lease_required if own is None else own
        return Claim(spec.path, call.requester, text_of(call, "lease", "task_id"), fence_of(call), required)

    def _write(
        self,
        call: Call,
        spec: Spec,
        claim: Claim,
        register: Register,
        value: Scalar | None,
        priority: int | None,
        done: Done,
        kind: str = "write",
    ) -> Write:
        return Write(self._desk, self._clock, claim, spec, register, value, priority, call.ticket, call.id, done, kind)

    def _submit(self, call: Call, device: Device, writes: list[Write]) -> None:
        if not writes:
            return
        device.submit(
            *(
                WriteJob(
                    write.spec,
                    write.register,
                    write.value,
                    {} if write.priority is None else {"priority": write.priority},
                    write,
                    call.ticket.abandon,
                )
                for write in writes
            )
        )
