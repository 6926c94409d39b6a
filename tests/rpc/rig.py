"""A dispatcher whose thread does not run, with one device point that is written."""

from __future__ import annotations

import json
from typing import Any

from gateway.model import Message, Outgoing
from gateway.rpc import Call, Rpc
from gateway.rpc.duplicates import Duplicates
from gateway.rpc.rate import Rate
from gateway.topics import Topics
from tests.fakes import FakeClock, FakeKeeper, FakeRefusals


class Rig:
    """``calls`` is what came through; what is not answered by the method waits there.

    What has one of ``others`` among its levels is another gateway's.
    """

    def __init__(self, keeper: FakeKeeper | None = None, clock: FakeClock | None = None, burst: int = 400) -> None:
        self.clock = clock or FakeClock()
        self.keeper = keeper or FakeKeeper()
        self.out: list[Outgoing] = []
        self.calls: list[Call] = []
        self.troubles: list[str | None] = []
        self.passed: list[str] = []
        self.others = {"X"}
        self.refusals = FakeRefusals()
        methods = {
            "ping": lambda call: call.ticket.finish("pong"),
            "set_point": self.calls.append,
            "get_point": self.calls.append,
            "acquire_lease": self.calls.append,
            "crash": lambda call: 1 / 0,
        }
        self.duplicates = Duplicates(self.clock, self.keeper, self.troubles.append)
        topics = Topics("edge-1", json_rpc=True)
        self.rpc = Rpc(
            topics,
            self.clock,
            self.out.append,
            methods,
            False,
            self.duplicates,
            Rate(200, burst),
            self.refusals,
            self.others.isdisjoint,
            self.passed.append,
        )
        self.duplicates.load()
        self.rpc.serve()

    def ask(self, topic: str, payload: Any = b"", **fields: Any) -> None:
        """A request comes and is taken."""
        body = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
        self.rpc._take(Message(topic, body, received=self.clock.now(), **fields))

    def idle(self) -> None:
        """The thread has nothing to do but what is due."""
        self.rpc._take()
        self.rpc._expire()

    def restarted(self) -> Rig:
        """A later process on the same disk."""
        return Rig(self.keeper, self.clock)

    @property
    def bodies(self) -> list[Any]:
        """The answers so far."""
        return [json.loads(answer.payload) for answer in self.out]

    @property
    def repeated(self) -> list[bool]:
        """Which of the answers say that they are repeated."""
        return [("duplicate", "true") in answer.user for answer in self.out]
