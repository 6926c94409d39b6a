"""What each request method that only reads does; called on the dispatcher's thread, never waits."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from gateway.addressing import Addressing
from gateway.board import Board, point_meta
from gateway.clock import Clock, rfc3339
from gateway.errors import BadRequest, PointFailed
from gateway.fleet import Fleet
from gateway.jobs import ReadJob
from gateway.model import LastValue, PointError, Reading, Register, Scalar
from gateway.readings import error_payload, quality_payload, reading_payload
from gateway.rpc import Call, Handler
from gateway.store.device_config import Spec


class Methods:
    """The methods of one gateway that change nothing."""

    def __init__(self, clock: Clock, fleet: Fleet, board: Board, names: Addressing) -> None:
        self._clock = clock
        self._fleet = fleet
        self._board = board
        self._names = names

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
        }

    # ---- about the gateway

    def ping(self, call: Call) -> None:
        """Whether the gateway is there."""
        self._names.for_gateway(call)
        call.ticket.finish("pong")

    def list_devices(self, call: Call) -> None:
        """``{path: state}`` of the devices that this gateway runs."""
        self._names.for_gateway(call)
        call.ticket.finish({path: state.value for path, state in self._board.states().items()})

    # ---- reading

    def list_points(self, call: Call) -> None:
        """The points of a device, as in its meta."""
        device, point = self._names.device(call, "device")
        self._names.no_point(call, device.spec, point)
        spec = device.spec
        known = spec.interface.described(spec.registers, device.facts)
        call.ticket.finish({register.name: point_meta(register) for register in known})

    def get_point(self, call: Call) -> None:
        """One point, read from the device now: its value."""
        device, point = self._names.device(call, "device", "point")
        spec = device.spec  # once: it may change meanwhile
        register = self._names.register(spec, point)

        def value(reading: Reading) -> Scalar:
            if error := reading.errors.get(register.name):
                raise PointFailed(error.code, error.message)
            return reading.values[register.name]

        device.submit(ReadJob(spec, (register,), call.ticket, value))

    def get_points(self, call: Call) -> None:
        """Some points of one device, read now: an object like a reading; a name that is unknown is an error in it."""
        device, point = self._names.device(call, "device", "points")
        points = call.arguments.get("points")
        if point or not isinstance(points, list) or not points or not all(isinstance(name, str) for name in points):
            raise BadRequest('name the points in the payload: {"points": ["a", "b"]}')
        spec = device.spec
        registers, unknown = self._known(spec, points)

        def result(reading: Reading) -> dict[str, Any]:
            return reading_payload(replace(reading, errors={**reading.errors, **unknown}))

        device.submit(ReadJob(spec, registers, call.ticket, result))

    def _known(self, spec: Spec, points: list[str]) -> tuple[tuple[Register, ...], dict[str, PointError]]:
        """The points that there are, and what is wrong with the others. Raises UnknownPoint if there are too few of them."""
        found, wrong = self._names.points(spec, points)
        if wrong and not found:
            raise next(iter(wrong.values()))
        return tuple(found.values()), {name: PointError(error.code, error.message) for name, error in wrong.items()}

    def scrape_all(self, call: Call) -> None:
        """Every point of one device, read now: an object like a reading."""
        device, point = self._names.device(call, "device")
        spec = device.spec
        self._names.no_point(call, spec, point)
        readable = tuple(register for register in spec.registers if not register.write_only)
        device.submit(ReadJob(spec, readable, call.ticket, reading_payload))

    def last(self, call: Call) -> None:
        """The last good value of a point, without asking the device; of every point if none is named."""
        device, point = self._names.device(call, "device", "point")
        if point:
            call.ticket.finish(self._last(device.last.get(self._names.register(device.spec, point).name)))
        else:
            call.ticket.finish({r.name: self._last(device.last.get(r.name)) for r in device.spec.registers})

    def _last(self, last: LastValue) -> dict[str, Any]:
        wall = last.wall
        told = {
            "value": last.value,
            "timestamp": None if wall is None else rfc3339(wall),
            "age": None if wall is None else round(max(0.0, self._clock.wall() - wall), 3),
            "error": error_payload(last.error) if last.error else None,
        }
        return told | {"quality": quality_payload(last.quality)} if last.quality else told
