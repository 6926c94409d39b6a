"""Writing requests that come twice: carried out once, answered alike."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from gateway.actuator.journal import JournalError
from gateway.model import Message
from gateway.rpc import duplicates as module
from gateway.rpc.calls import WRITING
from tests.integration.waiting import scaled
from tests.rpc.rig import Rig

SET = "rpc/alice/set_point/C/B/D/kW"
SET_RPC = {"jsonrpc": "2.0", "id": 1, "method": "set_point", "params": {"device": "C/B/D", "point": "kW", "value": 1}}


@pytest.fixture
def rig() -> Rig:
    """A dispatcher."""
    return Rig()


def test_a_repeated_request_is_carried_out_once(rig: Rig):
    """It has the first answer again, on its own ResponseTopic, with its own correlation data, and says so."""
    rig.ask(SET, b"1", correlation=b"c")
    rig.calls[0].ticket.finish(1.0)
    rig.ask(SET, b"1", correlation=b"c", response_topic="replies/alice/again", qos=1)

    assert len(rig.calls) == 1
    assert rig.bodies == [{"result": 1.0}] * 2
    assert rig.repeated == [False, True]
    assert (rig.out[1].topic, rig.out[1].qos, rig.out[1].correlation) == ("replies/alice/again", 1, b"c")


def test_a_refusal_is_repeated_too(rig: Rig):
    """The first answer is an error: so is the second, with the same words."""
    rig.ask(SET, b"1", correlation=b"c")
    rig.clock.advance(2)
    rig.calls[0].ticket.finish(error=module.LOST)
    rig.ask(SET, b"1", correlation=b"c")

    assert rig.bodies[0] == rig.bodies[1]
    assert rig.bodies[0]["error"]["code"] == "outcome_unknown"


def test_a_repeated_request_waits_for_the_first(rig: Rig):
    """While the first one is being carried out the second waits for the same answer."""
    for _ in range(3):
        rig.ask(SET, b"1", correlation=b"c")
    assert (len(rig.calls), rig.out) == (1, [])
    rig.calls[0].ticket.finish(1.0)

    assert rig.bodies == [{"result": 1.0}] * 3
    assert sorted(rig.repeated) == [False, True, True]


def test_a_repeated_request_has_its_own_deadline(rig: Rig):
    """If that comes first the outcome is unknown: nobody can say that nothing was sent."""
    rig.ask(SET, b"1", correlation=b"c", expiry=30)
    rig.ask(SET, b"1", correlation=b"c", expiry=3)
    rig.clock.advance(3)
    rig.idle()
    assert [body["error"]["code"] for body in rig.bodies] == ["outcome_unknown"]
    rig.calls[0].ticket.finish(1.0)
    assert rig.bodies[1:] == [{"result": 1.0}]


@pytest.mark.parametrize(
    ("topic", "payload", "correlation"),
    [
        (SET, b"2", b"c"),
        (SET, b"1 ", b"c"),
        ("rpc/alice/set_point/C/B/D/kVA", b"1", b"c"),
        ("rpc/bob/set_point/C/B/D/kW", b"1", b"c"),
        (SET, b"1", b"d"),
        (SET, b"1", b""),
        (SET, b"1", None),
    ],
)
def test_any_other_request_is_new(rig: Rig, topic: str, payload: bytes, correlation: bytes | None):
    """A constant correlation id swallows nothing that differs, and without one there are no duplicates."""
    rig.ask(SET, b"1", correlation=correlation if correlation in (b"", None) else b"c")
    rig.ask(topic, payload, correlation=correlation)
    assert len(rig.calls) == 2


def test_the_latest_request_under_an_id_counts(rig: Rig):
    """1, 2, 1 under one id are three requests: the last one is no repetition of the first."""
    for payload in (b"1", b"2", b"1", b"1"):
        rig.ask(SET, payload, correlation=b"c")
    assert [call.payload for call in rig.calls] == ["1", "2", "1"]


def test_after_the_deadline_a_request_is_new(rig: Rig):
    """The window is that of the first request."""
    rig.ask(SET, b"1", correlation=b"c", expiry=20)
    rig.calls[0].ticket.finish(1.0)
    rig.clock.advance(19.9)
    rig.ask(SET, b"1", correlation=b"c")
    assert len(rig.calls) == 1
    rig.clock.advance(0.1)
    rig.ask(SET, b"1", correlation=b"c")
    assert len(rig.calls) == 2


def test_reads_are_never_answered_from_memory(rig: Rig):
    """Each is carried out, whatever its id."""
    for _ in range(2):
        rig.ask("rpc/alice/get_point/C/B/D/kW", correlation=b"c")
    assert len(rig.calls) == 2
    assert rig.keeper.rows == {}
    assert not WRITING & {"get_point", "get_points", "scrape_all", "last", "ping", "list_leases", "get_override_devices"}


def test_leases_are_taken_once(rig: Rig):
    """A method that gives a lease is one that writes."""
    for _ in range(2):
        rig.ask("rpc/alice/acquire_lease/C/B/D", {"duration": 60}, correlation=b"c")
    assert len(rig.calls) == 1


def test_json_rpc_requests_are_known_by_their_id(rig: Rig):
    """With equal parameters, in any order; in a batch too, and beside a request by topic with such an id."""
    rig.ask("rpc/alice", SET_RPC)
    rig.ask("rpc/alice", json.dumps(SET_RPC, sort_keys=True).encode())
    rig.ask("rpc/alice", [SET_RPC, SET_RPC | {"id": "1"}])
    assert len(rig.calls) == 2
    for call in rig.calls:
        call.ticket.finish(1.0)

    assert [body["result"] for body in rig.bodies[:2] + rig.bodies[2]] == [1.0] * 4
    assert sorted(rig.repeated) == [False, False, True]  # of the batch, one is new


def test_notifications_are_never_duplicates(rig: Rig):
    """They have no id."""
    notification = {name: value for name, value in SET_RPC.items() if name != "id"}
    for _ in range(2):
        rig.ask("rpc/alice", notification)
    assert len(rig.calls) == 2


def test_a_request_is_on_disk_before_it_is_carried_out(rig: Rig):
    """And its answer soon after."""
    rig.rpc._methods["set_point"] = lambda call: seen.extend(rig.keeper.seen())  # type: ignore[index]
    seen: list[Any] = []
    rig.ask(SET, b"1", correlation=b"c")
    assert [(row.requester, row.answer) for row in seen] == [("alice", None)]


def test_a_restart_repeats_the_answer(rig: Rig):
    """A later process answers what an earlier one has answered, within the same window."""
    rig.ask(SET, b"1", correlation=b"c")
    rig.calls[0].ticket.finish(1.0)
    rig.idle()
    assert rig.passed == ["after_answer"]
    later = rig.restarted()
    later.ask(SET, b"1", correlation=b"c")

    assert (later.calls, later.bodies, later.repeated) == ([], [{"result": 1.0}], [True])
    later.clock.advance(10)
    later.ask(SET, b"1", correlation=b"c")
    assert len(later.calls) == 1


def test_a_restart_in_between_is_an_unknown_outcome(rig: Rig):
    """A write whose end was lost is not carried out again, and answered with what is known."""
    rig.ask(SET, b"1", correlation=b"c")
    later = rig.restarted()
    later.ask(SET, b"1", correlation=b"c")
    later.ask(SET, b"2", correlation=b"c")

    assert later.bodies[0]["error"]["code"] == "outcome_unknown"
    assert [call.payload for call in later.calls] == ["2"]


def test_without_a_journal_duplicates_are_known_until_a_restart(rig: Rig):
    """Requests are carried out and told apart all the same, it is told once, and caught up when there is room again."""
    rig.keeper.failure = JournalError("the disk is full")
    rig.ask(SET, b"1", correlation=b"c")
    rig.ask(SET, b"1", correlation=b"c")
    rig.calls[0].ticket.finish(1.0)
    rig.idle()
    assert (len(rig.calls), len(rig.out), rig.troubles) == (1, 2, ["the disk is full"])
    rig.keeper.failure = None
    rig.idle()
    assert rig.troubles == ["the disk is full", None]
    assert [row.answer is not None for row in rig.keeper.seen()] == [True]


def test_a_journal_that_comes_late_is_read_late(rig: Rig):
    """What an earlier process has seen is known then, and what this one has seen since is not mixed up with it."""
    rig.ask(SET, b"1", correlation=b"old")
    rig.calls[0].ticket.finish(1.0)
    rig.idle()
    rig.keeper.failure = JournalError("the disk is full")
    later = rig.restarted()
    later.ask(SET, b"2", correlation=b"new")
    rig.keeper.failure = None
    later.idle()
    assert later.troubles[-1] is None
    later.ask(SET, b"1", correlation=b"old")
    assert (len(later.calls), later.bodies) == (1, [{"result": 1.0}])
    later.calls[0].ticket.finish(2.0)
    assert later.bodies[-1] == {"result": 2.0}


def test_what_is_over_is_forgotten(rig: Rig, monkeypatch: pytest.MonkeyPatch):
    """After the deadline, and beyond the newest of a requester; on disk too."""
    monkeypatch.setattr(module, "NEWEST", 3)
    for n in range(5):
        rig.ask(SET, b"1", correlation=b"%d" % n)
    rig.ask("rpc/bob/set_point/C/B/D/kW", b"1", correlation=b"0")
    assert len(rig.keeper.rows) == 4
    rig.ask(SET, b"1", correlation=b"0")
    rig.ask(SET, b"1", correlation=b"4")
    assert len(rig.calls) == 7
    rig.clock.advance(60)
    rig.idle()
    assert rig.keeper.rows == {}
    assert rig.duplicates._seen == {}


def test_long_answers_are_bounded_in_bytes(rig: Rig):
    """Who has too many of them held is refused before anything is written, until their deadlines; others are served."""
    long = {"values": {}, "errors": {"x" * (1 << 20): 1}}
    for n in range(16):
        rig.ask(SET, b"1", correlation=b"%d" % n)
        rig.calls[-1].ticket.finish(long)
    for n in (0, 16, 0):  # one that comes again takes no more, also as another request under its id
        rig.ask(SET, b"1", correlation=b"%d" % n)
    assert (len(rig.calls), rig.repeated[-3:]) == (16, [True, False, True])
    assert rig.bodies[-2]["error"]["code"] == "busy"
    assert rig.refusals.told == [("set_point", "busy")]
    rig.ask("rpc/bob/set_point/C/B/D/kW", b"1", correlation=b"0")
    assert len(rig.calls) == 17
    rig.clock.advance(60)
    rig.idle()
    rig.ask(SET, b"1", correlation=b"16")
    assert len(rig.calls) == 18
    assert rig.duplicates._bytes == {"alice": module.OVERHEAD}


def test_what_takes_the_place_of_another_takes_its_room(rig: Rig, monkeypatch: pytest.MonkeyPatch):
    """Under one id, and beyond the newest: what is held is what counts."""
    monkeypatch.setattr(module, "NEWEST", 2)
    for n in (0, 0, 1, 1, 2, 2):
        rig.ask(SET, b"%d" % len(rig.calls), correlation=b"%d" % n)
    for call in rig.calls:
        call.ticket.finish(1.0)
    held = rig.duplicates._seen["alice"].values()
    assert len(held) == 2
    assert rig.duplicates._bytes == {"alice": sum(seen.size for seen in held)}


def test_a_request_that_others_answer_is_not_held(rig: Rig):
    """Nobody waits for an answer that is not ours to give."""
    rig.ask(SET, b"1", correlation=b"c")
    rig.ask(SET, b"1", correlation=b"c")
    rig.calls[0].ticket.abandon()
    rig.clock.advance(60)
    rig.idle()
    assert rig.out == []
    assert rig.keeper.rows == {}


def test_what_another_gateway_was_asked_is_not_done_again_when_its_device_is_ours(rig: Rig):
    """A device may have moved between a request and its repetition: nobody here knows whether it was carried out."""
    rig.others.add("D")
    rig.ask(SET, b"1", correlation=b"c")
    rig.ask(SET, b"2", correlation=b"c", response_topic="elsewhere/x")
    assert (rig.out, rig.keeper.rows) == ([], {})
    rig.others.clear()
    rig.ask(SET, b"2", correlation=b"c")
    assert rig.bodies[-1]["error"]["code"] == "outcome_unknown"
    assert (rig.repeated, rig.calls) == ([True], [])
    rig.ask(SET, b"1", correlation=b"c")
    assert len(rig.calls) == 1  # the latest under its id was another
    rig.others.add("D")
    rig.ask(SET, b"3", correlation=b"c")
    assert rig.keeper.rows == {}  # nor does the disk know another any more
    rig.clock.advance(11)
    rig.others.clear()
    rig.ask(SET, b"3", correlation=b"c")
    assert len(rig.calls) == 2


def test_a_repetition_of_unknown_age_has_its_answer(rig: Rig):
    """It is not carried out anyway; a new one of unknown age is refused, and may come again."""
    rig.ask(SET, b"1", correlation=b"c")
    rig.calls[0].ticket.finish(1.0)
    rig.ask(SET, b"1", correlation=b"c", suspect=True)
    rig.ask(SET, b"2", correlation=b"c", suspect=True)
    assert rig.bodies[1] == {"result": 1.0}
    assert rig.bodies[2]["error"]["code"] == "timeout"
    rig.ask(SET, b"1", correlation=b"c")
    assert len(rig.calls) == 1


def test_messages_that_wait_together_are_on_disk_together(rig: Rig):
    """One write to the disk for all, and among them duplicates are found as well."""
    writes: list[int] = []
    record = rig.keeper.record
    rig.keeper.record = lambda new, gone=(): (writes.append(len(list(new))), record(new, gone))  # type: ignore[assignment,func-returns-value]
    now = rig.clock.now()
    rig.rpc._take(*(Message(SET, b"1", received=now, correlation=b"%d" % (n % 5)) for n in range(20)))
    assert (len(rig.calls), writes) == (5, [5])


class Deliveries(RuleBasedStateMachine):
    """Requests of a few ids that come once or more, with answers, deadlines, restarts and a full disk in any order."""

    def __init__(self) -> None:
        super().__init__()
        self.rig = Rig()
        self.sent = 0
        self.finished = 0
        self.done: dict[int, tuple[bytes, float]] = {}

    @rule(id=st.integers(0, 2), value=st.sampled_from([b"1", b"2"]), times=st.integers(1, 3), expiry=st.integers(1, 20))
    def send(self, id: int, value: bytes, times: int, expiry: int) -> None:
        """The same request comes some times; it is carried out if it is new, else not."""
        last = self.done.get(id)
        new = last is None or last[0] != value or self.rig.clock.now() >= last[1]
        before = len(self.rig.calls)
        for _ in range(times):
            self.rig.ask(SET, value, correlation=b"%d" % id, expiry=expiry)
            self.sent += 1
        assert len(self.rig.calls) - before == new
        if new:
            self.done[id] = (value, self.rig.clock.now() + expiry)

    @rule(pick=st.integers(0, 100))
    def finish(self, pick: int) -> None:
        """A device is done with one of the writes."""
        if self.rig.calls:
            self.rig.calls[pick % len(self.rig.calls)].ticket.finish(self.finished)
            self.finished += 1

    @rule(seconds=st.floats(0, 15))
    def wait(self, seconds: float) -> None:
        """Time passes."""
        self.rig.clock.advance(seconds)
        self.rig.idle()

    @rule(full=st.booleans())
    def disk(self, full: bool) -> None:
        """The disk has room or not."""
        self.rig.keeper.failure = JournalError("full") if full else None

    @rule()
    def restart(self) -> None:
        """The process is killed; what it had not answered is never answered by it. The disk has had room by then."""
        self.rig.keeper.failure = None
        self.rig.idle()
        self.sent = 0
        self.rig = self.rig.restarted()

    @invariant()
    def nothing_twice(self) -> None:
        """No request has more than one answer."""
        assert len(self.rig.out) <= self.sent

    def teardown(self) -> None:
        """In the end each request has exactly one."""
        self.rig.clock.advance(60)
        self.rig.idle()
        assert len(self.rig.out) == self.sent


def test_random_deliveries():
    """Whatever the order: no write is carried out twice within its window, and each request has exactly one answer."""
    runs = settings(max_examples=scaled(10_000), stateful_step_count=10, deadline=None, suppress_health_check=[*HealthCheck])
    run_state_machine_as_test(Deliveries, settings=runs)
