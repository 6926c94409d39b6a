"""Refusals in the audit log: one event each, and numbers when there are too many."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from gateway.actuator import refusals as module
from gateway.actuator.audit import Audit, AuditEvent
from gateway.actuator.refusals import Refusals
from gateway.addressing import Addressing
from gateway.fleet import Fleet
from gateway.interfaces.base import Environment
from gateway.rpc import Call
from gateway.ticket import Ticket
from tests.fakes import FakeClock, RecordingOutlet


class Rig:
    """A gateway without devices, and what it tells."""

    def __init__(self, clock: FakeClock, folder: Path) -> None:
        self.clock = clock
        self.told: list[AuditEvent] = []
        fleet = Fleet(Environment(clock), RecordingOutlet(), lambda path: None)
        audit = Audit(folder / "audit.jsonl", "edge-1", clock, lambda event, payload: self.told.append(event))
        self.woken = 0
        self.refusals = Refusals(audit, Addressing("edge-1", fleet, lambda path: True), clock)
        self.refusals.wake = self._wake

    def _wake(self) -> None:
        self.woken += 1

    def refuse(self, who: str, times: int = 1, code: str = "busy", **arguments: Any) -> None:
        """So many requests are refused at this moment, and flushed."""
        call = Call(who, "set_point", ("C", "B", "D", "p"), "1", arguments, Ticket(0.0, lambda *_: None), "id-7")
        for _ in range(times):
            self.refusals.tell(call, code)
        self.refusals.flush()

    def counts(self) -> dict[tuple[str | None, str], int]:
        """What was told as numbers."""
        return {(e.requester, e.outcome): e.new["count"] for e in self.told if isinstance(e.new, dict)}


@pytest.fixture
def rig(clock: FakeClock, tmp_path: Path) -> Rig:
    """Nothing was refused yet."""
    return Rig(clock, tmp_path)


def test_a_refusal_is_told_with_what_is_known(rig: Rig) -> None:
    """Who, what for, under which lease and id."""
    rig.refuse("eve", code="leased_by_other", lease="t1")
    assert rig.told == [AuditEvent("refused", "", "leased_by_other", "eve", "t1", new="set_point", id="id-7")]
    assert rig.woken == 1


def test_a_flood_is_told_as_numbers(rig: Rig) -> None:
    """So many one by one, the others once a second with their number: none is lost, and others are told as ever."""
    rig.refuse("eve", 1000)
    rig.refuse("eve", 500, "bad_value")
    assert len(rig.told) == module.ONE_BY_ONE[1]
    rig.clock.advance(module.COUNTED_FOR)
    rig.refusals.flush()
    assert rig.counts() == {("eve", "busy"): 980, ("eve", "bad_value"): 500}
    rig.refuse("bob")
    assert rig.told[-1].requester == "bob"
    rig.refuse("eve", 10)  # as many as came in meanwhile are told one by one
    assert len(rig.told) == 20 + 2 + 1 + 2


def test_what_is_counted_is_told_at_the_end(rig: Rig) -> None:
    """A gateway that stops does not wait for the second to be over."""
    rig.refuse("eve", 30)
    rig.refusals.flush(last=True)
    assert rig.counts() == {("eve", "busy"): 10}


def test_many_requesters_are_a_flood_too(rig: Rig) -> None:
    """Above what all may have together, refusals are counted; only some names are kept apart."""
    for number in range(1000):
        rig.refuse(f"r{number}")
    assert len(rig.told) == module.OF_ALL[1]
    rig.refusals.flush(last=True)
    assert len(rig.counts()) == module.MANY + 1
    assert rig.counts()[None, "busy"] == 1000 - module.OF_ALL[1] - module.MANY
    assert sum(rig.counts().values()) == 800


def test_an_event_of_a_device_keeps_to_the_same_bounds(rig: Rig) -> None:
    """What a device's thread refuses is told with its point, and counted when there are too many."""
    for _ in range(25):
        rig.refusals.event(AuditEvent("refused", "C/B/D", "busy", "eve", point="p"))
    rig.refusals.flush(last=True)
    assert rig.told[0].point == "p"
    assert rig.counts() == {("eve", "busy"): 5}
