from __future__ import annotations

import pytest

from gateway.cli.client.asking import Asker, NoAnswer, Request
from gateway.cli.mqttclient import Message
from gateway.payloads import dump
from gateway.topics import Topics
from tests.fakes import FakeClock

TOPICS = Topics("", "site")


class Stub:
    """A client whose broker sends what ``script`` makes of a request, and says whether somebody listens."""

    def __init__(self, clock, script, listened=True):
        self.clock, self.script, self.listened = clock, script, listened
        self.filters, self.sent, self.coming = [], [], []

    def subscribe(self, topic_filter):
        """See MqttClient."""
        self.filters.append(topic_filter)

    def publish(self, topic, payload, *, reply):
        """See MqttClient."""
        self.sent.append((topic, payload, reply))
        self.coming = list(self.script(reply))
        return self.listened

    def message(self, timeout):
        """See MqttClient; time passes when there is none."""
        if self.coming:
            return self.coming.pop(0)
        self.clock.advance(timeout)
        return None


def answer(reply, correlation=None, **body):
    """An answer to a request, or one with another mark."""
    return Message(reply.topic, dump(body), False, reply.correlation if correlation is None else correlation)


def status(gateway, state):
    """What a gateway's status topic holds."""
    return Message(TOPICS.gateway_status(gateway), dump({"gateway": gateway, "state": state}), True)


def asked(script, request=None, listened=True):
    """What an asker makes of a script: the answers, and the stub with what was sent."""
    clock = FakeClock()
    stub = Stub(clock, script, listened)
    request = request or Request("list_leases", (), every=True)
    return Asker(stub, TOPICS, "alice", 2.5, clock).ask(request), stub


def test_a_request_says_where_and_by_when_its_answer_is_wanted():
    """The topic names requester and method; the answer comes below ``replies/alice``, marked, within whole seconds."""
    answers, stub = asked(lambda reply: [answer(reply, result=1)], Request("get_point", ["C", "B", "D", "p"], b"x"))
    [(topic, payload, reply)] = stub.sent
    assert (topic, payload, reply.expiry) == ("site/rpc/alice/get_point/C/B/D/p", b"x", 3)
    assert stub.filters == [reply.topic]
    assert reply.topic.startswith("site/replies/alice/")
    assert answers.bodies == [{"result": 1}]


def test_an_answer_with_another_mark_is_not_taken():
    """What somebody else plants on the topic, or what is no JSON with our mark missing, is not the answer."""
    answers, _ = asked(
        lambda reply: [answer(reply, b"other", result=1), Message(reply.topic, b"{", False), answer(reply, result=2)],
        Request("get_point", ["C", "B", "D", "p"]),
    )
    assert answers.bodies == [{"result": 2}]


def test_all_that_are_online_are_waited_for():
    """Two online and one offline make two answers; nothing is waited for after them."""
    answers, stub = asked(
        lambda reply: [
            status("a", "online"),
            status("b", "online"),
            status("c", "offline"),
            answer(reply, gateway="b", result=[]),
            status("b", "online"),
            answer(reply, gateway="a", result=[]),
            answer(reply, gateway="late", result=[]),
        ]
    )
    assert ([body["gateway"] for body in answers.bodies], answers.missing, len(stub.coming)) == (["b", "a"], [], 1)


def test_one_that_goes_offline_is_not_waited_for():
    """A gateway whose status turns to offline meanwhile is none that is missing."""
    answers, _ = asked(
        lambda reply: [
            status("a", "online"),
            status("b", "online"),
            answer(reply, gateway="a", result=[]),
            status("b", "offline"),
        ]
    )
    assert answers.missing == []


def test_one_that_is_silent_is_missing():
    """A gateway that is online and does not answer in time is named by its status topic."""
    answers, _ = asked(lambda reply: [status("a", "online"), status("b", "online"), answer(reply, gateway="a", result=[])])
    assert answers.missing == ["site/gateways/b/status"]


@pytest.mark.parametrize(("listened", "said"), [(True, "no answer to"), (False, "no gateway listens to")])
def test_nobody_answers(listened, said):
    """Silence is an error that says whether anybody listened."""
    with pytest.raises(NoAnswer, match=f"{said} site/rpc/alice/list_leases"):
        asked(lambda reply: [], listened=listened)
