from __future__ import annotations

import json
import sys
import threading
from collections.abc import Callable, Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from structlog.testing import capture_logs

from gateway.clock import SystemClock
from gateway.errors import DeadlinePassed, GatewayError, ReadOnly
from gateway.model import Message, Outgoing
from gateway.payloads import MAX_BYTES
from gateway.rpc import Call, Handler, Rpc, Silence, inbox
from gateway.rpc.duplicates import Duplicates
from gateway.rpc.rate import Rate
from gateway.rpc.replies import GRACE
from gateway.topics import Topics
from gateway.vitals import Vitals
from tests.fakes import FakeClock, FakeKeeper, FakeRefusals


class Rig:
    """A dispatcher whose thread does not run, with methods that the tests name."""

    def __init__(
        self, reply_anywhere: bool = False, concerns: Callable[[tuple[str, ...]], bool] = lambda target: True
    ) -> None:
        self.clock = FakeClock()
        self.out: list[Outgoing] = []
        self.calls: list[Call] = []
        self.refusals = FakeRefusals()
        self.methods: dict[str, Handler] = {
            "ping": lambda call: call.ticket.finish("pong"),
            "get_point": self.calls.append,
            "set_point": self.calls.append,
            "refuse": self.refuse,
            "silent": self.silent,
            "crash": lambda call: 1 / 0,
        }
        duplicates = Duplicates(self.clock, FakeKeeper(), lambda problem: None)
        rate = Rate(200, 400)
        topics = Topics("edge-1", json_rpc=True)
        self.rpc = Rpc(
            topics,
            self.clock,
            self.out.append,
            self.methods,
            reply_anywhere,
            duplicates,
            rate,
            self.refusals,
            concerns,
            in_scope=lambda path: path.startswith("C/"),
        )

    def refuse(self, call: Call) -> None:
        """A method that refuses."""
        raise ReadOnly("it is not writable", point="kW")

    def silent(self, call: Call) -> None:
        """A method that concerns another gateway."""
        raise Silence

    def message(self, topic: str, payload: bytes = b"", **fields: Any) -> Message:
        """A request that comes now."""
        return Message(topic, payload, received=self.clock.now(), **fields)

    def ask(self, topic: str, payload: bytes = b"", **fields: Any) -> None:
        """A request comes and is taken."""
        self.rpc._take(self.message(topic, payload, **fields))

    def next(self) -> list[Message]:
        """What the thread would take now."""
        return self.rpc._inbox.take(self.rpc._soonest())

    def pass_time(self, seconds: float) -> None:
        """Time passes on the thread."""
        self.clock.advance(seconds)
        self.rpc._expire()

    @property
    def body(self) -> Mapping[str, Any]:
        """The one answer."""
        [answer] = self.out
        return json.loads(answer.payload)  # type: ignore[no-any-return]

    @property
    def code(self) -> str:
        """The code of the one answer, in its body and in its user property."""
        [answer] = self.out
        code = self.body["error"]["code"]
        assert answer.user == (("status", code),)
        return str(code)


@pytest.fixture
def rig() -> Rig:
    """A dispatcher."""
    return Rig()


# ---- answers


def test_a_success_has_the_shape_of_the_contract(rig: Rig) -> None:
    """Result, the request's QoS and correlation data, content type, user property, and how long it is worth sending."""
    rig.ask("rpc/alice/ping", qos=1, response_topic="replies/alice/7", correlation=b"\x00\x07")
    [answer] = rig.out
    assert rig.body == {"result": "pong", "gateway": "edge-1"}
    assert answer == Outgoing(
        "replies/alice/7",
        answer.payload,
        qos=1,
        correlation=b"\x00\x07",
        content_type="application/json",
        user=(("status", "ok"),),
        until=rig.clock.now() + 10 + GRACE,
        expendable=True,
    )


def test_only_answers_to_who_reads_may_be_dropped_first(rig: Rig) -> None:
    """The answer to a write is worth more, and so is that to a batch with a write in it."""
    calls = [{"jsonrpc": "2.0", "method": method, "id": 1, "params": {}} for method in ("ping", "get_point", "set_point")]
    rig.ask("rpc/alice/ping")
    rig.ask("rpc/alice/set_point/C/B/D/t", b"1")
    rig.ask("rpc/alice", json.dumps(calls[:2]).encode())
    rig.ask("rpc/alice", json.dumps(calls).encode())
    for call in rig.calls:
        call.ticket.finish(1.0)
    assert [answer.expendable for answer in rig.out] == [True, False, True, False]


def test_a_failure_has_the_shape_of_the_contract(rig: Rig) -> None:
    """Code, message and data; never a class name."""
    rig.ask("rpc/alice/refuse/C/B/D/kW")
    assert rig.body == {"error": {"code": "read_only", "message": "it is not writable", "data": {"point": "kW"}}}
    assert rig.code == "read_only"


@pytest.mark.parametrize(
    ("topic", "payload", "named"),
    [
        ("rpc/alice/ping", b"", False),
        ("rpc/alice/ping/edge-1", b"", False),
        ("rpc/alice/ping/C/B/D", b"", True),
        ("rpc/alice/ping", b'{"device": "C/B/D"}', True),
        ("rpc/alice/ping", b"21.5", False),
    ],
)
def test_an_answer_that_names_no_device_names_the_gateway(rig: Rig, topic: str, payload: bytes, named: bool) -> None:
    """Whoever asks all gateways can tell their answers apart."""
    rig.ask(topic, payload)
    assert ("gateway" in rig.body) != named


def test_a_crash_has_one_traceback(rig: Rig) -> None:
    """However often it is made to happen; one at another place has its own."""
    rig.methods["other"] = lambda call: {}["nothing"]
    with capture_logs() as logs:
        for method in ("crash", "crash", "other", "crash"):
            rig.ask(f"rpc/alice/{method}")
    assert [entry["method"] for entry in logs if entry["event"] == "a request failed"] == ["crash", "other"]
    assert len(rig.out) == 4


def test_a_crash_is_internal_without_words(rig: Rig) -> None:
    """A bug is answered, without paths, class names or tracebacks."""
    rig.ask("rpc/alice/crash")
    assert rig.code == "internal"
    assert "ZeroDivision" not in json.dumps(rig.body)


def test_silence_is_no_answer(rig: Rig) -> None:
    """A request that concerns another gateway is not answered, at the deadline neither."""
    rig.ask("rpc/alice/silent")
    rig.pass_time(100)
    assert rig.out == []


def test_a_topic_without_method_is_no_request(rig: Rig) -> None:
    """What the subscription brings beside requests is let be."""
    rig.ask("rpc")
    rig.ask("rpc/")
    rig.ask("other/alice/ping")
    assert rig.out == []
    duplicates = Duplicates(rig.clock, FakeKeeper(), print)
    plain = Rpc(Topics("edge-1"), rig.clock, rig.out.append, {}, False, duplicates, Rate(1, 1), FakeRefusals())
    plain.offer(rig.message("rpc/alice", b"{}"))
    assert len(plain._inbox) == 0
    assert rig.out == []


def test_requests_and_answers_are_counted(rig: Rig) -> None:
    """By code."""
    for method in ("ping", "ping", "refuse"):
        rig.ask(f"rpc/alice/{method}")
    assert (rig.rpc.requests, rig.rpc.answers) == (3, {"ok": 2, "read_only": 1})


# ---- where answers go


@pytest.mark.parametrize(
    ("asked", "goes_to", "code"),
    [
        (None, "replies/alice/ping/edge-1", "ok"),
        ("replies/alice", "replies/alice", "ok"),
        ("replies/alice/a/b", "replies/alice/a/b", "ok"),
        ("replies/bob", "replies/alice/ping/edge-1", "bad_request"),
        ("replies/alice2", "replies/alice/ping/edge-1", "bad_request"),
        ("replies/alice/#", "replies/alice/ping/edge-1", "bad_request"),
        ("config/devices/C/B/D", "replies/alice/ping/edge-1", "bad_request"),
        ("anything/else", "replies/alice/ping/edge-1", "bad_request"),
        ("", "replies/alice/ping/edge-1", "bad_request"),
    ],
)
def test_an_answer_stays_with_its_requester(rig: Rig, asked: str | None, goes_to: str, code: str) -> None:
    """A ResponseTopic elsewhere is refused, and the refusal goes where an answer without one goes."""
    rig.ask("rpc/alice/ping/edge-1", response_topic=asked)
    assert (rig.out[0].topic, rig.out[0].user) == (goes_to, (("status", code),))


@pytest.mark.parametrize(
    ("asked", "open_to_it"),
    [("anything/else", True), ("replies/bob", True), ("config/x", False), ("devices/C/B/D/all", False), ("$SYS/x", False)],
)
def test_any_reply_topic_can_be_allowed(asked: str, open_to_it: bool) -> None:
    """With ``reply_topics: any`` answers go anywhere but where they could do harm."""
    rig = Rig(reply_anywhere=True)
    rig.ask("rpc/alice/ping", response_topic=asked)
    assert (rig.out[0].topic == asked) == open_to_it


# ---- what is refused before a method sees it


def test_a_retained_request_is_never_carried_out(rig: Rig) -> None:
    """It would come again on each connection."""
    rig.ask("rpc/alice/set_point/C/B/D/kW", b"1", retain=True)
    assert rig.code == "bad_request"
    assert rig.calls == []


@pytest.mark.parametrize(
    ("method", "hint"), [("get_pont", 'did you mean "get_point"?'), ("frobnicate", 'no method "frobnicate"')]
)
def test_an_unknown_method_is_told_with_a_suggestion(rig: Rig, method: str, hint: str) -> None:
    """The whole name of the nearest method, and the list of all."""
    rig.ask(f"rpc/alice/{method}/C/B/D/kW")
    assert rig.code == "unknown_method"
    assert hint in rig.body["error"]["message"]
    assert "get_point" in rig.body["error"]["data"]["methods"]


@pytest.mark.parametrize("topic", ["rpc/alice/set_point/C/B/D/kW", "rpc/alice"])
def test_a_payload_that_is_too_long_is_not_kept(rig: Rig, topic: str) -> None:
    """It is refused when it comes, with the reason that it has in any case."""
    rig.rpc.offer(Message(topic, b" " * (MAX_BYTES + 1), received=rig.clock.now()))
    assert len(rig.rpc._inbox) == 0
    rig.ask(topic, b" " * (MAX_BYTES + 1))
    first, second = (json.loads(answer.payload) for answer in rig.out)
    assert first == second
    assert "longer than the 262144 bytes" in first["error"]["message"]


def test_long_requests_that_wait_are_bounded_in_bytes(rig: Rig) -> None:
    """What is too much is answered ``busy``; what is taken makes room, and so does what was held until its deadline."""
    long = Message("rpc/alice/ping", b" " * MAX_BYTES, received=rig.clock.now())
    for _ in range(20):
        rig.rpc.offer(long)
    kept = len(rig.rpc._inbox)
    assert kept == inbox.INBOX_BYTES // (MAX_BYTES + 1000)
    assert len(rig.out) == 20 - kept
    assert json.loads(rig.out[-1].payload)["error"]["code"] == "busy"
    rig.rpc.serve()
    assert len(rig.rpc._inbox.take(0.0)) == kept
    rig.rpc.hold()
    for _ in range(kept + 1):
        rig.rpc.offer(long)
    rig.clock.advance(10)
    assert len(rig.rpc._inbox.late()) == kept
    rig.rpc.offer(long)
    assert len(rig.rpc._inbox) == 1


@pytest.mark.parametrize("topic", ["rpc/alice/get_point/C/B/D/kW", "rpc/alice"])
@pytest.mark.parametrize("answered", [False, True])
def test_nothing_that_a_request_said_is_kept(rig: Rig, topic: str, answered: bool) -> None:
    """While it waits for its device, and when it is answered while an earlier one waits, its payload is gone."""
    body = {"jsonrpc": "2.0", "method": "get_point", "id": 1, "params": {"x": "y" * 1000}}
    payload = json.dumps(body).encode()
    rig.ask("rpc/bob/get_point/C/B/D/kW")
    holders = sys.getrefcount(payload)
    rig.ask(topic, payload)
    if answered:
        rig.calls[-1].ticket.finish(1.0)
    assert sys.getrefcount(payload) == holders
    if not answered:
        rig.clock.advance(10)
        rig.rpc._expire()
    assert len(rig.out) == (1 if answered else 2)


@pytest.mark.parametrize(
    "payload",
    [b"{", b'{"a": 1, "a": 2}', b'{"a": NaN}', b"\xff", b'{"a":' + b"[" * 100_000, b" " * (MAX_BYTES + 1)],
)
def test_a_bad_payload_is_refused_with_its_reason(rig: Rig, payload: bytes) -> None:
    """No method sees it."""
    rig.ask("rpc/alice/get_point/C/B/D/kW", payload)
    assert rig.code == "bad_request"
    assert rig.body["error"]["message"].startswith("the payload is refused: ")
    assert rig.calls == []


def test_a_write_of_unknown_age_is_not_carried_out(rig: Rig) -> None:
    """After a pause of our own a write may be older than its deadline: ``timeout``; reads are served."""
    rig.ask("rpc/alice/set_point/C/B/D/kW", b"1", suspect=True)
    assert rig.code == "timeout"
    rig.ask("rpc/alice/get_point/C/B/D/kW", suspect=True)
    assert [call.method for call in rig.calls] == ["get_point"]


def test_a_call_has_what_topic_and_payload_say(rig: Rig) -> None:
    """An object carries arguments, anything else is left to the method."""
    rig.ask("rpc/alice/get_point/C/B/D/Fan/Speed", b'{"priority": 8}')
    rig.ask("rpc/alice/set_point/C/B/D/kW", b"21.5")
    first, second = rig.calls
    assert (first.requester, first.method, first.target) == ("alice", "get_point", ("C", "B", "D", "Fan", "Speed"))
    assert (first.arguments, second.arguments, second.payload) == ({"priority": 8}, {}, "21.5")


@pytest.mark.parametrize(
    ("payload", "fields", "code"),
    [
        (b"1", {"retain": True}, "bad_request"),
        (b"1", {"response_topic": "config/devices/C/B/D"}, "bad_request"),
        (b"{", {}, "bad_request"),
        (b"1", {"suspect": True}, "timeout"),
        (b"1", {"expiry": 0}, "timeout"),
    ],
)
def test_a_refusal_of_a_write_is_told_once(rig: Rig, payload: bytes, fields: dict[str, Any], code: str) -> None:
    """Whatever is wrong with it; that of a read is not."""
    rig.ask("rpc/alice/set_point/C/B/D/kW", payload, **fields)
    assert rig.refusals.told == [("set_point", code)]
    rig.ask("rpc/alice/get_point/C/B/D/kW", payload, **fields)
    assert len(rig.refusals.told) == 1


def test_what_the_method_refuses_is_told_too(rig: Rig) -> None:
    """By the same way, also a failure of ours; what is carried out is not told here, and another's request neither."""
    rig.methods |= {"set_points": rig.refuse, "revert_point": lambda call: 1 / 0, "revert_device": rig.silent}
    for method in ("set_points", "revert_point", "revert_device", "set_point", "refuse"):
        rig.ask(f"rpc/alice/{method}/C/B/D")
    assert rig.refusals.told == [("set_points", "read_only"), ("revert_point", "internal")]


def test_refusals_before_the_payload_is_read_are_told(rig: Rig) -> None:
    """Too much of one requester, a stopping gateway, and a deadline that came while requests were held back."""
    for _ in range(401):
        rig.rpc.offer(rig.message("rpc/alice/set_point/C/B/D/kW", b"1", expiry=5))
    rig.rpc.offer(rig.message("rpc/alice/get_point/C/B/D/kW"))
    assert rig.refusals.told == [("set_point", "busy")]
    rig.clock.advance(6)
    rig.pass_time(0)
    assert rig.refusals.told[1:] == [("set_point", "timeout")] * 400
    rig.rpc.refuse_all()
    rig.ask("rpc/alice/acquire_lease/C/B/D", b'{"duration": 5}')
    assert rig.refusals.told[-1] == ("acquire_lease", "unavailable")


# ---- deadlines


@pytest.mark.parametrize(("expiry", "deadline"), [(None, 10), (0, 0), (3, 3), (60, 60), (61, 60), (4_000_000, 60)])
def test_the_deadline_is_the_message_expiry(rig: Rig, expiry: int | None, deadline: float) -> None:
    """10 s if none is given, 60 s at most, counted from the arrival; then the dispatcher answers."""
    rig.ask("rpc/alice/get_point/C/B/D/kW", expiry=expiry)
    assert rig.calls[0].ticket.deadline == rig.clock.now() + deadline
    if deadline:
        rig.pass_time(deadline - 0.001)
        assert rig.out == []
    rig.pass_time(0.001)
    assert rig.code == "timeout"


def test_after_a_claim_the_deadline_is_an_unknown_outcome(rig: Rig) -> None:
    """The write has left, and the later end is not a second answer."""
    rig.ask("rpc/alice/set_point/C/B/D/kW", b"1")
    rig.calls[0].ticket.claim(rig.clock.now())
    rig.pass_time(10)
    assert rig.code == "outcome_unknown"
    assert not rig.calls[0].ticket.finish(1)
    assert len(rig.out) == 1


def test_answered_requests_have_no_deadline_left(rig: Rig) -> None:
    """Nothing is kept of what is done."""
    rig.ask("rpc/alice/get_point/C/B/D/kW")
    rig.calls[0].ticket.finish(21.5)
    rig.pass_time(0)
    assert rig.rpc._deadlines == []


def test_requests_wait_while_it_is_not_known_whose_the_devices_are(rig: Rig) -> None:
    """They are served then, or answered at their deadline."""
    for expiry in (5, 8):
        rig.rpc.offer(rig.message("rpc/alice/ping", expiry=expiry))
    rig.clock.advance(5)
    assert rig.rpc._inbox.pause(rig.rpc._soonest()) == 0.0
    assert rig.next() == []
    rig.pass_time(0)
    assert rig.code == "timeout"
    rig.rpc.serve()
    [message] = rig.next()
    assert message.expiry == 8


def test_a_backlog_is_not_carried_out_late(rig: Rig) -> None:
    """A write that waited in the inbox until its deadline never leaves, and is answered ``timeout``."""
    rig.rpc.serve()
    rig.rpc.offer(rig.message("rpc/alice/set_point/C/B/D/kW", b"1"))
    rig.clock.advance(10)
    rig.rpc._take(*rig.next())
    assert (rig.calls, rig.code) == ([], "timeout")
    assert rig.refusals.told == [("set_point", "timeout")]


@pytest.mark.parametrize(
    ("topic", "payload"),
    [
        ("rpc/alice/get_point/C/B/X/kW", b""),
        ("rpc/alice/get_point/C/B/X/kW", b"{"),
        ("rpc/alice/no_such/C/B/X/kW", b""),
        ("rpc/alice/get_point", b'{"device": "C/B/X", "nonsense": 1}'),
    ],
)
def test_what_concerns_another_gateway_is_not_answered(topic: str, payload: bytes) -> None:
    """Whatever is wrong with the request or with us: the other's answer is the only one."""
    rig = Rig(concerns=lambda target: "X" not in target)
    rig.ask(topic, payload, retain=True)
    rig.rpc.offer(rig.message(topic, payload))
    rig.pass_time(10)
    rig.rpc.refuse_all()
    rig.ask(topic, payload)
    assert rig.out == []
    rig.ask("rpc/alice/ping")
    assert rig.code == "unavailable"


@pytest.mark.parametrize(
    ("payload", "answered"),
    [
        (b'{"devices": ["X/B/a", "X/B/b"]}', False),
        (b'{"devices": ["X/B/a", "C/B/b"]}', True),
        (b'{"requests": [["X/B/a", "t", "t"]]}', False),
        (b'{"requests": ["/C/B/a/", "t", "t"]}', True),
        (b'{"devices": [], "requests": 5}', True),
        (b'{"devices": [5, null]}', True),
    ],
)
def test_a_list_of_devices_concerns_us_if_one_is_in_scope(rig: Rig, payload: bytes, answered: bool) -> None:
    """Whatever is wrong with the request or with us, a gateway in whose scope none falls says nothing."""
    rig.ask("rpc/alice/set_point", payload, retain=True)
    assert len(rig.out) == answered
    rig.rpc.refuse_all()
    rig.ask("rpc/alice/set_point", payload)
    assert len(rig.out) == 2 * answered


def test_a_full_inbox_is_busy(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    """One request too many is answered at once; the others wait."""
    monkeypatch.setattr(inbox, "INBOX_LIMIT", 2)
    for _ in range(3):
        rig.rpc.offer(rig.message("rpc/alice/ping"))
    assert rig.code == "busy"
    assert len(rig.rpc._inbox) == 2


def test_a_stopping_gateway_is_unavailable(rig: Rig) -> None:
    """What waits and what comes is answered, held or not."""
    rig.rpc.offer(rig.message("rpc/alice/ping"))
    rig.rpc.refuse_all()
    rig.rpc._take(*rig.next())
    assert rig.code == "unavailable"


def test_a_stop_answers_what_devices_have_in_hand(rig: Rig) -> None:
    """A device that hangs leaves nobody without an answer: a write that was sent is not known, the rest is refused."""
    for number, method in enumerate(["get_point", "set_point", "set_point", "ping"]):
        rig.ask(f"rpc/alice/{method}/C/B/D/kW", b"1", correlation=bytes([number]))
    rig.calls[1].ticket.claim(rig.clock.now())
    rig.rpc._finish()
    assert {answer.correlation: answer.user[0][1] for answer in rig.out} == {
        b"\x00": "unavailable",
        b"\x01": "outcome_unknown",
        b"\x02": "unavailable",
        b"\x03": "ok",
    }
    with pytest.raises(DeadlinePassed):
        rig.calls[2].ticket.claim(rig.clock.now())
    assert len(rig.out) == 4


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["ping", "get_point", "set_point", "refuse", "crash", "no_such"]),
            st.sampled_from([b"", b"1", b"{", b'{"device": "C/B/D"}', b"\xff"]),
            st.booleans(),
            st.sampled_from([None, 0, 5, 100]),
            st.sampled_from([None, "replies/alice/x", "replies/bob"]),
        ),
        max_size=20,
    )
)
def test_every_request_has_exactly_one_answer(requests: list[Any]) -> None:
    """Whatever is asked, however it ends, after the longest deadline each has its one answer."""
    rig = Rig()
    for number, (method, payload, retain, expiry, reply) in enumerate(requests):
        more = {"retain": retain, "expiry": expiry, "response_topic": reply, "correlation": bytes([number])}
        rig.ask(f"rpc/alice/{method}/C/B/D/kW", payload, **more)
    rig.pass_time(60)
    for call in rig.calls:
        call.ticket.finish(error=GatewayError("late"))
    assert sorted(answer.correlation for answer in rig.out if answer.correlation) == [
        bytes([number]) for number in range(len(requests))
    ]
    assert all(answer.topic.startswith("replies/alice/") for answer in rig.out)


# ---- the thread


def test_the_thread_answers_and_ends() -> None:
    """On a real thread: a request, one that runs into its deadline, and the stop that refuses what is left."""
    answered: list[Outgoing] = []
    some = threading.Condition()

    def put(message: Outgoing) -> None:
        with some:
            answered.append(message)
            some.notify_all()

    methods = {"ping": lambda call: call.ticket.finish("pong"), "hang": lambda call: None}
    clock = SystemClock()
    duplicates = Duplicates(clock, FakeKeeper(), lambda problem: None)
    rpc = Rpc(Topics("edge-1"), clock, put, methods, False, duplicates, Rate(200, 400), FakeRefusals())
    rpc.start(Vitals(clock))
    rpc.serve()
    for method in ("ping", "hang"):
        rpc.offer(Message(f"rpc/alice/{method}", b"", received=clock.now(), expiry=0 if method == "hang" else None))
    with some:
        assert some.wait_for(lambda: len(answered) == 2, timeout=10)
    assert sorted(answer.user[0][1] for answer in answered) == ["ok", "timeout"]
    assert rpc.name == "requests"
    rpc.hold()
    rpc.offer(Message("rpc/alice/ping", b"", received=clock.now()))
    assert rpc.stop(10)
    assert answered[-1].user == (("status", "unavailable"),)
