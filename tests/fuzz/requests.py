"""Requests of hostile bytes: each is answered once, with a result or with a reason."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch

from gateway import fleet as fleet_module
from gateway.actuator import collectors as collectors_module
from gateway.actuator.notices import Notices
from gateway.actuator.office import Office
from gateway.addressing import Addressing
from gateway.board import Board
from gateway.errors import TABLE
from gateway.fleet import Fleet
from gateway.interfaces.base import Environment
from gateway.methods import Methods
from gateway.model import Message, Outgoing
from gateway.rpc import Rpc
from gateway.rpc.duplicates import Duplicates
from gateway.rpc.rate import Rate
from gateway.settings import Actuator
from gateway.store.compile import compile_device
from gateway.topics import Topics
from tests.fakes import FakeClock, FakeKeeper, RecordingOutlet, StillThread
from tests.fuzz.hostile import reasoned

PATH = "C/B/D"
CODES = set(TABLE) - {"internal"}
REGISTRY = b"""Point Name,Volttron Point Name,Writable,Starting Value,Type,Min,Max,Enum
t,t,TRUE,1.5,float,0,100,
Fan/n,Fan/n,TRUE,3,integer,,,
on,on,TRUE,false,boolean,,,
mode,mode,TRUE,0,integer,,,0=Off;1=Auto
fixed,fixed,FALSE,5,float,,,
"""
DOCUMENT = b'{"driver_type": "fake", "registry_config": "config://r"}'


class Desk:
    """A gateway with one device, whose threads take a step when they are told to."""

    def __init__(self, state: Path) -> None:
        self.clock = FakeClock()
        self.out: list[Outgoing] = []
        env = Environment(self.clock)
        topics = Topics("edge-1", json_rpc=True)
        self.fleet = Fleet(env, RecordingOutlet(), lambda path: None)
        board = Board(topics, self.clock, lambda message: None, "i-1", ("#",))
        names = Addressing("edge-1", self.fleet, lambda path: True)
        notices = Notices(topics, lambda message: None, lambda message: None)
        self.office = Office(Actuator(), "edge-1", env, state, None, self.fleet, board, notices, names)
        self.office.desk.open()
        methods = {**Methods(self.clock, self.fleet, board, names).table(), **self.office.table()}
        duplicates = Duplicates(self.clock, FakeKeeper(), lambda problem: None)
        self.rpc = Rpc(
            topics,
            self.clock,
            self.out.append,
            methods,
            False,
            duplicates,
            Rate(1000, 1000),
            self.office.refusals,
            names.concerns,
        )
        verdict = compile_device(PATH, DOCUMENT, {"r": REGISTRY}, env, None)
        assert verdict.spec is not None
        self.fleet.run(verdict.spec, 0.0, self.clock.now())
        board.expect(PATH)

    def answers(self, message: Message) -> list[Outgoing]:
        """What a message is answered, at its deadline at the latest; then all leases have ended."""
        self.out.clear()
        self.rpc._take(message)
        self._work()
        self.clock.advance(100.0)
        self.rpc._expire()
        self._work()
        return self.out

    def _work(self) -> None:
        device = self.fleet.running(PATH)
        assert device is not None
        for _ in range(4):
            device.step()
        self.office.desk.advance()
        self.office.refusals.flush()


@contextmanager
def still() -> Iterator[None]:
    """Threads of devices do not run meanwhile."""
    with (
        patch.object(fleet_module, "DeviceThread", StillThread),
        patch.object(collectors_module, "DeviceThread", StillThread),
    ):
        yield


class Requests:
    """A target whose gateway lives as long as the run."""

    def __init__(self) -> None:
        self._state: tempfile.TemporaryDirectory[str] | None = None
        self._desk: Desk | None = None

    def topic(self, data: bytes) -> None:
        """Four lines: what stands after ``rpc/``, ResponseTopic, correlation data, and the payload, which may be several."""
        parts = data.split(b"\n", 3)
        about, response, correlation, payload = (*parts, *[b""] * (4 - len(parts)))
        self._ask(f"rpc/{_text(about)}", payload, _text(response), correlation)

    def json_rpc(self, data: bytes) -> None:
        """A payload on the bare topic."""
        self._ask("rpc/alice", data, "", b"")

    def _ask(self, topic: str, payload: bytes, response: str, correlation: bytes) -> None:
        with still():
            desk = self._desk = self._desk or self._open()
            message = Message(
                topic,
                payload,
                received=desk.clock.now(),
                qos=1,
                response_topic=response or None,
                correlation=correlation or None,
            )
            answers = desk.answers(message)
        assert len(answers) <= 1
        for answer in answers:
            assert answer.topic.startswith("replies/" + topic.split("/")[1])
            body = json.loads(answer.payload)
            for one in body if isinstance(body, list) else [body]:
                _check(one)

    def _open(self) -> Desk:
        self._state = tempfile.TemporaryDirectory(ignore_cleanup_errors=True)
        return Desk(Path(self._state.name))


def _text(data: bytes) -> str:
    """As a broker lets text through: UTF-8 without NUL (MQTT 5.0, 1.5.4)."""
    return data.decode("utf-8", "replace").replace("\0", "\ufffd")


def _check(body: dict[str, Any]) -> None:
    """An answer in either form is a result, or a code of the table and a reason."""
    if "error" not in body:
        assert "result" in body
        return
    error = body["error"]
    code = error["data"]["code"] if "jsonrpc" in body else error["code"]
    assert code in CODES, error
    assert reasoned(error["message"]), error
