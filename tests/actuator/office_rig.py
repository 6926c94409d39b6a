"""A whole actuator with one device whose thread the test moves, and a clock that stands still."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from gateway import fleet as fleet_module
from gateway.actuator import collectors as collectors_module
from gateway.actuator.notices import Notices
from gateway.actuator.office import Office
from gateway.addressing import Addressing
from gateway.board import Board
from gateway.errors import GatewayError
from gateway.fleet import Fleet
from gateway.interfaces.base import Environment
from gateway.model import Outgoing, Register
from gateway.rpc import Call
from gateway.settings import Actuator
from gateway.ticket import Ticket
from gateway.topics import Topics
from tests.fakes import FakeClock, RecordingOutlet, StillThread, Wire, point, spec

PATH = "C/B/D"
P = point("p", writable=True)
Q = point("q", writable=True, default=77.0)


class Answer:
    """What a request was answered."""

    def __init__(self, deadline: float) -> None:
        self.given: list[tuple[Any, GatewayError | None]] = []
        self.ticket = Ticket(deadline, lambda result, error: self.given.append((result, error)))

    @property
    def result(self) -> Any:
        """The result, or the code of the refusal; None if there is no answer."""
        if not self.given:
            return None
        [(result, error)] = self.given
        return result if error is None else error.code


class OfficeRig:
    """The office of gateway ``edge-1``; ``told`` is what went out."""

    def __init__(self, clock: FakeClock, state: Path, monkeypatch: pytest.MonkeyPatch, **rules: Any) -> None:
        monkeypatch.setattr(fleet_module, "DeviceThread", StillThread)
        monkeypatch.setattr(collectors_module, "DeviceThread", StillThread)
        self.clock = clock
        self.wire = Wire()
        self.told: list[Outgoing] = []
        self.env = Environment(clock)
        topics = Topics("edge-1")
        self.fleet = Fleet(self.env, RecordingOutlet(), lambda path: None)
        self.board = Board(topics, clock, self.told.append, "i", ("#",))
        notices = Notices(topics, self.told.append, self.told.append)
        names = Addressing("edge-1", self.fleet, lambda path: True)
        settings = Actuator(**rules)
        self.office = Office(settings, "edge-1", self.env, state, None, self.fleet, self.board, notices, names)
        self.desk = self.office.desk
        self.methods = self.office.table()

    def open(self) -> OfficeRig:
        """Take over what the journal holds."""
        self.desk.open()
        return self

    def run(self, *registers: Register, **options: Any) -> OfficeRig:
        """Run the device, with ``p`` and ``q`` if no points are given."""
        self.fleet.run(spec(self.wire, *(registers or (P, Q)), path=PATH, **options), 0.0, self.clock.now())
        return self

    def ask(self, method: str, who: str = "ops", point: str = "", plain: str = "", **arguments: Any) -> Answer:
        """A request about the device, carried out as far as the dispatcher's thread goes."""
        answer = Answer(self.clock.now() + 10.0)
        about_gateway = method in ("set_override_on", "set_override_off", "clear_overrides", "request_new_schedule")
        target = () if about_gateway else (*PATH.split("/"), *((point,) if point else ()))
        call = Call(who, method, target, plain, arguments, answer.ticket)
        try:
            self.methods[method](call)
        except GatewayError as error:
            answer.ticket.finish(error=error)
            self.office.refusals.tell(call, error.code)
        return answer

    def step(self, *asked: tuple[str, Any]) -> None:
        """The device's thread does one thing, in which exactly this is asked of the wire."""
        for question, reply in asked:
            self.wire.expect(question, reply)
        device = self.fleet.running(PATH)
        assert device is not None
        device.step()
        assert not self.wire.script

    def write(self, name: str, value: float, who: str = "ops") -> Any:
        """The answer to a leased write of a point; the first one of ``p`` finds 3 there."""
        answer = self.ask("set_point", who, name, value=value)
        first = name == "p" and not self.desk.reverts.is_open((PATH, "p", None))
        self.step(*([("read p", {"p": 3.0})] if first else []), (f"write {name}={value}", value))
        return answer.result

    def pass_time(self, seconds: float = 0.0) -> None:
        """Let time pass, and the clerk look."""
        self.clock.advance(seconds)
        self.desk.advance()

    def events(self) -> list[tuple[str, str]]:
        """The events that were told: kind and outcome."""
        self.office.refusals.flush()
        bodies = [json.loads(m.payload) for m in self.told if m.topic.startswith("actuator" + "/events/")]
        return [(body["event"], body["outcome"]) for body in bodies]


RigMaker = Callable[..., OfficeRig]
