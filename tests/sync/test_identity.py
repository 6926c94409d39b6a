from __future__ import annotations

import json
from itertools import count
from typing import Any

import pytest

from gateway.model import Message
from gateway.store.state import StoredDevice
from gateway.sync.identity import ANSWER, ASKS
from tests.sync.rig import NEWER, OURS, FakeBroker, Rig
from tests.test_manager import config

STATUS = "gateways/edge-1/status"
ALIVE = Message(STATUS, json.dumps(NEWER).encode())
FAR = 5 * ANSWER * ASKS


@pytest.fixture
def rig(rig: Rig) -> Rig:
    """A coordinator that is not connected, and whose disk knows a device."""
    rig.disk.devices["C/B/D"] = StoredDevice("C/B/D", config(), "edge-1", {}, 0.0)
    rig.manager.load(lambda path: True)
    return rig


def test_somebody_newer_with_our_id_who_answers_keeps_us_out(rig: Rig, broker: FakeBroker) -> None:
    """The control link is not let in, nothing runs, it is told where one looks, and the loop does not spin."""
    broker.put(STATUS, NEWER)
    broker.answer = ALIVE
    rig.connect()
    rig.turn()
    assert not rig.control.connected
    assert rig.doors == ["hold", "leave"]
    assert rig.fleet.paths() == []
    assert rig.sent() == {}
    assert rig.board.health == "displaced"
    assert str(NEWER["started"]) in rig.problems()["displaced"]
    assert rig.coordinator._pause() > 0.5


def test_somebody_newer_who_comes_later_displaces_us(rig: Rig) -> None:
    """We hear of it on the data link, once."""
    rig.connect()
    for state in ("online", "offline"):
        rig.data.hear(Message(STATUS, json.dumps({**NEWER, "state": state}).encode()))
        rig.turn(1)
    assert rig.doors.count("leave") == 1
    assert rig.board.health == "displaced"


@pytest.fixture
def asked(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """The devices that ran at each time that our status was asked for."""
    seen: list[list[str]] = []
    subscribe = rig.data.subscribe

    def asking(*args: Any, **keys: Any) -> None:
        seen.append(rig.fleet.paths())
        subscribe(*args, **keys)

    monkeypatch.setattr(rig.data, "subscribe", asking)
    return seen


def test_what_is_retained_of_a_dead_process_keeps_nobody_out(rig: Rig, broker: FakeBroker, asked: list[list[str]]) -> None:
    """It is asked for some seconds, in which the device that may be its is left alone; then it counts for nothing."""
    broker.put(STATUS, NEWER)
    begun = rig.clock.now()
    rig.connect()
    assert ANSWER * ASKS <= rig.clock.now() - begun <= FAR
    assert asked == [[]] * (1 + ASKS)
    assert rig.control.connected
    assert rig.fleet.paths() == ["C/B/D"]
    assert rig.doors[-3:] == ["online", "serve", "open_data"]
    assert rig.sent()[STATUS]["instance"] == OURS[1]
    assert set(rig.problems()) == {"orphans"}


def test_a_status_that_comes_late_is_no_sign_of_life(rig: Rig) -> None:
    """Some brokers send what is retained after what was published since."""
    rig.connect()
    rig.data.hear(Message(STATUS, json.dumps(NEWER).encode(), retain=True))
    rig.turn()
    assert rig.doors == ["online", "serve", "open_data"]


def lose_each(rig: Rig, monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    """Let the data link be lost each time that our status is asked for so often."""
    subscribe, times = rig.data.subscribe, count(1)

    def losing(*args: Any, **keys: Any) -> None:
        rig.data.connected = next(times) % number != 0
        subscribe(*args, **keys)

    monkeypatch.setattr(rig.data, "subscribe", losing)


def test_the_dead_one_is_known_although_the_link_is_lost_in_between(
    rig: Rig, broker: FakeBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Several processes that wait for a dead one cut each other's data link: each time asked without an answer counts."""
    broker.put(STATUS, NEWER)
    lose_each(rig, monkeypatch, 3)
    for _ in range(ASKS - 1):
        rig.connect()
        assert not rig.control.connected
    rig.connect()
    assert rig.control.connected


def test_without_a_broker_nobody_is_in_doubt(rig: Rig, broker: FakeBroker, monkeypatch: pytest.MonkeyPatch) -> None:
    """The link is lost while we ask: nothing is known any more, and the devices run from disk."""
    broker.put(STATUS, NEWER)
    lose_each(rig, monkeypatch, 2)
    rig.connect()
    assert not rig.control.connected
    rig.turn()
    assert rig.fleet.paths() == ["C/B/D"]


def test_who_asks_is_answered(rig: Rig) -> None:
    """Another process of our id looks: our status is told again, and not for what we have published ourselves."""
    rig.connect()
    rig.sent()
    for nonce in (b'{"nonce":"%s-d-7"}' % OURS[1].encode(), b'{"mark":true}', b"[]", b"{"):
        rig.control.hear(Message(rig.topics.sentinel(), nonce))
    rig.turn()
    assert rig.sent() == {}
    rig.control.hear(Message(rig.topics.sentinel(), b'{"nonce":"another-d-0"}'))
    rig.turn()
    assert rig.sent()[STATUS]["instance"] == OURS[1]


def test_who_is_displaced_answers_nobody(rig: Rig) -> None:
    """The topic is the other one's."""
    rig.connect()
    rig.data.hear(ALIVE)
    rig.turn(1)
    rig.sent()
    rig.control.hear(Message(rig.topics.sentinel(), b'{"nonce":"another-d-0"}'))
    rig.turn()
    assert rig.sent() == {}
