"""What a request is about: the device, the point and the arguments that its topic and payload name."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from gateway.device import Device
from gateway.errors import BadRequest, UnknownDevice, UnknownPoint
from gateway.fleet import Fleet
from gateway.model import Register
from gateway.rpc import WRITING, Call, Silence
from gateway.store.device_config import Spec
from gateway.suggest import nearest
from gateway.topics import MAX_LEVELS
from gateway.values import shown

MOST_UNKNOWN = 100
"""Names that no point has, of which one request is told singly."""
HINTS = 3
"""Of so many of them it is told what they were probably meant to be, as to find that out takes long."""


class Addressing:
    """How this gateway understands names; ``in_scope`` says whether a device path falls to us at all."""

    def __init__(self, gateway_id: str, fleet: Fleet, in_scope: Callable[[str], bool]) -> None:
        self._gateway_id = gateway_id
        self._fleet = fleet
        self.in_scope = in_scope

    def concerns(self, target: tuple[str, ...]) -> bool:
        """Whether a request about this gateway or device, the levels after the method, may be for us to answer."""
        if len(target) < 2:
            return target in ((), (self._gateway_id,))
        return self._covers(target) and not self._fleet.is_others(target)

    def _covers(self, levels: tuple[str, ...]) -> bool:
        """Whether a device that these levels may begin with is in our scope."""
        return any(self.in_scope("/".join(levels[:size])) for size in range(1, min(len(levels), MAX_LEVELS) + 1))

    def for_gateway(self, call: Call, *arguments: str) -> None:
        """Nothing but this gateway is named. Raises Silence if it is another one."""
        if call.target and call.target != (self._gateway_id,):
            if len(call.target) == 1:
                raise Silence
            raise BadRequest(f'"{call.method}" asks a gateway: name its id, or nothing, after the method')
        self.no_other_arguments(call, *arguments)

    def device(self, call: Call, *arguments: str) -> tuple[Device, str]:
        """The device and the point that topic and payload name. Raises Silence if another gateway has the device."""
        levels = () if call.target == (self._gateway_id,) else call.target
        if len(levels) == 1:
            raise Silence
        named = call.arguments.get("device", "")
        if not isinstance(named, str) or (named and levels):
            raise BadRequest("name the device once, in the topic or as a text in the payload")
        if not (named or levels):
            self.no_other_arguments(call, *arguments)
            raise BadRequest("name a device after the method in the topic, or as device in the payload")
        path, point = self._find(tuple(named.split("/")) if named else levels, exact=bool(named))
        self.no_other_arguments(call, *arguments)  # not before: of another gateway's device it is no business of ours
        return self._fleet.device(path), self._point(call, point)

    def guess(self, target: tuple[str, ...], arguments: Mapping[str, Any]) -> tuple[str, str]:
        """The device and the point that a refused request was probably about; empty texts if there is no telling."""
        named = arguments.get("device") or arguments.get("devices") or "/".join(target)
        if isinstance(named, list):
            named = next((name for name in named if isinstance(name, str)), "")
        try:
            path, point = self._fleet.find(tuple(str(named).split("/")))
        except UnknownDevice:
            return "", ""
        in_payload = arguments.get("point")
        return path, in_payload if isinstance(in_payload, str) else point

    def devices(self, paths: Sequence[str]) -> None:
        """The devices that a payload names are ours. Raises Silence if none is in our scope, else UnknownDevice."""
        if not any(self.in_scope(path) for path in paths):
            raise Silence
        for path in paths:
            if not self.in_scope(path) or self._fleet.is_foreign(path) or self._fleet.spec(path) is None:
                raise UnknownDevice(f"this gateway runs no device {shown(path)}")

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

    def no_other_arguments(self, call: Call, *arguments: str) -> None:
        """Raises BadRequest for an argument that the method does not have, and for a plain value that it has no use for.

        One that only reads may be sent with any: not every client can send nothing.
        """
        plain = bool(call.payload.strip()) and not call.payload.lstrip().startswith("{")
        if plain and call.method in WRITING and "value" not in arguments:
            known = f": {', '.join(arguments)}" if arguments else "; it has none"
            raise BadRequest(f'"{call.method}" takes arguments in a JSON object, not {shown(call.payload)}{known}')
        for name in call.arguments:
            if name not in arguments:
                near = nearest(name, arguments)
                hint = f'; did you mean "{near}"?' if near else f"; known are {', '.join(arguments) or 'none'}"
                raise BadRequest(f'"{call.method}" takes no argument {shown(name)}{hint}')

    def register(self, spec: Spec, point: str) -> Register:
        """The point of that name. Raises BadRequest, UnknownPoint."""
        if not point:
            raise BadRequest("name a point after the device in the topic, or as point in the payload")
        for register in spec.registers:
            if register.name == point:
                return register
        raise self.unknown_point(spec, point)

    def no_point(self, call: Call, spec: Spec, point: str) -> None:
        """The method is about the whole device. Raises BadRequest, UnknownPoint."""
        if point:
            self.register(spec, point)
            raise BadRequest(f'"{call.method}" asks for the whole device: name no point after "{spec.path}"')

    def points(self, spec: Spec, names: Iterable[str]) -> tuple[dict[str, Register], dict[str, UnknownPoint]]:
        """The registers of these points, and the errors for those that are not there: UnknownPoint if they are over 100."""
        registers = {register.name: register for register in spec.registers}
        asked = dict.fromkeys(names)
        wrong = [name for name in asked if name not in registers]
        if len(wrong) > MOST_UNKNOWN:
            raise UnknownPoint(f'the device "{spec.path}" lacks {len(wrong)} of these points, {shown(wrong[0])} among them')
        found = {name: registers[name] for name in asked if name in registers}
        return found, {name: self.unknown_point(spec, name, number < HINTS) for number, name in enumerate(wrong)}

    def unknown_point(self, spec: Spec, point: str, hint: bool = True) -> UnknownPoint:
        """The error for a point that is not there, with the one that was probably meant."""
        near = nearest(point, [register.name for register in spec.registers]) if hint else ""
        meant = f'; did you mean "{near}"?' if near else ""
        return UnknownPoint(f'the device "{spec.path}" has no point {shown(point)}{meant}')
