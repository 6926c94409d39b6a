"""What each request method does; called on the dispatcher's thread, never waits."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from gateway.actuator.writes import Write
from gateway.board import Board, point_meta
from gateway.clock import Clock, rfc3339
from gateway.device import Device
from gateway.errors import BadRequest, BadValue, LeaseLost, LeaseRequired, PointFailed, ReadOnly, UnknownDevice, UnknownPoint
from gateway.fleet import Fleet
from gateway.jobs import ReadJob, WriteJob
from gateway.model import LastValue, Reading, Register, Scalar
from gateway.payloads import BadPayload, parse
from gateway.readings import error_payload, reading_payload
from gateway.rpc import Call, Handler, Silence
from gateway.store.device_config import Spec
from gateway.suggest import nearest
from gateway.values import coerce, shown


class Methods:
    """The methods of one gateway; ``in_scope`` says whether a device path falls to us at all."""

    def __init__(
        self,
        gateway_id: str,
        clock: Clock,
        fleet: Fleet,
        board: Board,
        in_scope: Callable[[str], bool],
        lease_required: bool,
    ) -> None:
        self._gateway_id = gateway_id
        self._clock = clock
        self._fleet = fleet
        self._board = board
        self._in_scope = in_scope
        self._lease_required = lease_required

    def concerns(self, target: tuple[str, ...]) -> bool:
        """Whether a request about this gateway or device, the levels after the method, may be for us to answer."""
        if len(target) < 2:
            return target in ((), (self._gateway_id,))
        return self._covers(target) and not self._fleet.is_others(target)

    def _covers(self, levels: tuple[str, ...]) -> bool:
        """Whether a device that these levels may begin with is in our scope."""
        return any(self._in_scope("/".join(levels[:size])) for size in range(1, len(levels) + 1))

    def table(self) -> Mapping[str, Handler]:
        """Method name -> what carries it out."""
        return {
            "ping": self.ping,
            "list_devices": self.list_devices,
            "list_points": self.list_points,
            "get_point": self.get_point,
            "get_points": self.get_points,
            "scrape_all": self.scrape_all,
            "last": self.last,
            "set_point": self.set_point,
        }

    # ---- about the gateway

    def ping(self, call: Call) -> None:
        """Whether the gateway is there."""
        self._for_gateway(call)
        call.ticket.finish("pong")

    def list_devices(self, call: Call) -> None:
        """``{path: state}`` of the devices that this gateway runs."""
        self._for_gateway(call)
        call.ticket.finish({path: state.value for path, state in self._board.states().items()})

    # ---- reading

    def list_points(self, call: Call) -> None:
        """The points of a device, as in its meta."""
        device, point = self._device(call, "device")
        self._no_point(call, device.spec, point)
        call.ticket.finish({register.name: point_meta(register) for register in device.spec.registers})

    def get_point(self, call: Call) -> None:
        """One point, read from the device now: its value."""
        device, point = self._device(call, "device", "point")
        spec = device.spec  # once: it may change meanwhile
        register = self._register(spec, point)

        def value(reading: Reading) -> Scalar:
            if error := reading.errors.get(register.name):
                raise PointFailed(error.code, error.message)
            return reading.values[register.name]

        device.submit(ReadJob(spec, (register,), call.ticket, value))

    def get_points(self, call: Call) -> None:
        """Some points of one device, read now: an object like a reading."""
        device, point = self._device(call, "device", "points")
        points = call.arguments.get("points")
        if point or not isinstance(points, list) or not points or not all(isinstance(name, str) for name in points):
            raise BadRequest('name the points in the payload: {"points": ["a", "b"]}')
        spec = device.spec
        registers = tuple(self._register(spec, name) for name in dict.fromkeys(points))
        device.submit(ReadJob(spec, registers, call.ticket, reading_payload))

    def scrape_all(self, call: Call) -> None:
        """Every point of one device, read now: an object like a reading."""
        device, point = self._device(call, "device")
        spec = device.spec
        self._no_point(call, spec, point)
        readable = tuple(register for register in spec.registers if not register.write_only)
        device.submit(ReadJob(spec, readable, call.ticket, reading_payload))

    def last(self, call: Call) -> None:
        """The last good value of a point, without asking the device; of every point if none is named."""
        device, point = self._device(call, "device", "point")
        if point:
            call.ticket.finish(self._last(device.last.get(self._register(device.spec, point).name)))
        else:
            call.ticket.finish({r.name: self._last(device.last.get(r.name)) for r in device.spec.registers})

    # ---- writing

    def set_point(self, call: Call) -> None:
        """Write one point: the value that the device took. ``null`` relinquishes, or goes back to the default."""
        device, point = self._device(call, "device", "point", "value", "priority", "lease", "fence")
        spec = device.spec
        register = self._register(spec, point)
        value = self._value(call, spec, register)
        if call.arguments.keys() & {"lease", "fence"}:
            raise LeaseLost(f'no lease is in force on "{spec.path}"')
        if self._lease_needed(spec):
            raise LeaseRequired(f'"{spec.path}" may be written under a lease only')
        options = {name: call.arguments[name] for name in ("priority",) if name in call.arguments}
        if unknown := options.keys() - spec.interface.write_options:
            raise BadRequest(f"a {spec.driver_type} device has no {', '.join(sorted(unknown))}")

        def guard() -> None:
            if self._fleet.is_foreign(spec.path):
                raise UnknownDevice(f'"{spec.path}" has gone to another gateway; ask again')

        warrant = Write(call.ticket, self._clock, guard)
        device.submit(WriteJob(spec, register, value, options, warrant, call.ticket.abandon))

    def _value(self, call: Call, spec: Spec, register: Register) -> Scalar | None:
        if not register.writable:
            raise ReadOnly(f'"{register.name}" is not writable')
        given = call.arguments.get("value", _MISSING) if call.arguments else _plain(call.payload, register)
        if given is _MISSING:
            raise BadRequest('there is no value: send it as the payload, or as {"value": ...}')
        if given is not None:
            return coerce(register, given)
        if "priority" in spec.interface.write_options:
            return None
        if register.default is None:
            raise BadValue(f'"{register.name}" has no Default Value in the registry that null could go back to')
        return register.default

    def _lease_needed(self, spec: Spec) -> bool:
        own = spec.device.lease_required
        return self._lease_required if own is None else own

    # ---- what a request names

    def _for_gateway(self, call: Call) -> None:
        if call.target and call.target != (self._gateway_id,):
            if len(call.target) == 1:
                raise Silence
            raise BadRequest(f'"{call.method}" asks a gateway: name its id, or nothing, after the method')
        self._no_other_arguments(call)

    def _device(self, call: Call, *arguments: str) -> tuple[Device, str]:
        """The device and the point that topic and payload name. Raises Silence if another gateway has the device."""
        levels = () if call.target == (self._gateway_id,) else call.target
        if len(levels) == 1:
            raise Silence
        named = call.arguments.get("device", "")
        if not isinstance(named, str) or (named and levels):
            raise BadRequest("name the device once, in the topic or as a text in the payload")
        if not (named or levels):
            self._no_other_arguments(call, *arguments)
            raise BadRequest("name a device after the method in the topic, or as device in the payload")
        path, point = self._find(tuple(named.split("/")) if named else levels, exact=bool(named))
        self._no_other_arguments(call, *arguments)  # not before: of another gateway's device it is no business of ours
        return self._fleet.device(path), self._point(call, point)

    def _find(self, levels: tuple[str, ...], exact: bool) -> tuple[str, str]:
        if not self._covers(levels):
            raise Silence
        path, point = self._fleet.find(levels)
        if self._fleet.is_foreign(path):
            raise Silence
        if exact and point:
            raise UnknownDevice(f'no device is configured at "{"/".join(levels)}"')
        return path, point

    def _point(self, call: Call, in_topic: str) -> str:
        in_payload = call.arguments.get("point", "")
        if not isinstance(in_payload, str) or (in_payload and in_topic):
            raise BadRequest("name the point once, in the topic or as a text in the payload")
        return in_topic or in_payload

    def _no_other_arguments(self, call: Call, *arguments: str) -> None:
        for name in call.arguments:
            if name not in arguments:
                near = nearest(name, arguments)
                hint = f'; did you mean "{near}"?' if near else f"; known are {', '.join(arguments) or 'none'}"
                raise BadRequest(f'"{call.method}" takes no argument {shown(name)}{hint}')

    def _register(self, spec: Spec, point: str) -> Register:
        if not point:
            raise BadRequest("name a point after the device in the topic, or as point in the payload")
        for register in spec.registers:
            if register.name == point:
                return register
        raise self._unknown_point(spec, point)

    def _no_point(self, call: Call, spec: Spec, point: str) -> None:
        """The method is about the whole device."""
        if point:
            self._register(spec, point)
            raise BadRequest(f'"{call.method}" asks for the whole device: name no point after "{spec.path}"')

    def _unknown_point(self, spec: Spec, point: str) -> UnknownPoint:
        near = nearest(point, [register.name for register in spec.registers])
        hint = f'; did you mean "{near}"?' if near else ""
        return UnknownPoint(f'the device "{spec.path}" has no point {shown(point)}{hint}')

    def _last(self, last: LastValue) -> dict[str, Any]:
        wall = last.wall
        return {
            "value": last.value,
            "timestamp": None if wall is None else rfc3339(wall),
            "age": None if wall is None else round(max(0.0, self._clock.wall() - wall), 3),
            "error": error_payload(last.error) if last.error else None,
        }


_MISSING = object()


def _plain(payload: str, register: Register) -> Any:
    """The value of a payload that is no object: JSON, or for a text or enum point the text itself."""
    if not payload.strip() or payload.lstrip().startswith("{"):
        return _MISSING
    textual = register.type == "string"
    if textual and not payload.startswith('"') and payload.strip() != "null":
        return payload
    try:
        return parse(payload)
    except BadPayload as error:
        if textual:
            raise BadValue(f"{shown(payload)} begins like JSON and is none: {error}") from None
        return payload  # coerce refuses it, and says what the point takes
