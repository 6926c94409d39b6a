from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from gateway.model import Message
from gateway.store.state import StoredDevice
from gateway.sync.identity import ASK_AGAIN, DOUBT, SILENT
from tests.sync.rig import NEWER, OURS, FakeBroker, Rig
from tests.test_manager import config

STATUS = "gateways/edge-1/status"
ALIVE = Message(STATUS, json.dumps(NEWER).encode())


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
    assert rig.clock.now() - begun >= SILENT
    assert asked == [[]] * (1 + round(SILENT / ASK_AGAIN))
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


@pytest.fixture
def cut(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """``cut(seconds)``: from now on the data link lasts no longer each time that it is there."""
    take, left = rig.coordinator._inbox.take, [0.0]

    def begin(seconds: float) -> None:
        def until_cut(timeout: float) -> list[Any]:
            if not rig.data.connected:
                left[0] = seconds
                return take(timeout)
            before = rig.clock.now()
            events = take(min(timeout, left[0]))
            left[0] -= rig.clock.now() - before
            rig.data.connected = left[0] > 1e-6
            return events

        left[0] = seconds
        monkeypatch.setattr(rig.coordinator._inbox, "take", until_cut)

    return begin


def test_the_dead_one_is_known_although_the_link_is_lost_again_and_again(
    rig: Rig, broker: FakeBroker, cut: Callable[[float], None]
) -> None:
    """Several processes that wait for a dead one cut each other's data link: the time of listening adds up."""
    broker.put(STATUS, NEWER)
    cut(0.4)
    begun = rig.clock.now()
    while not rig.control.connected:
        assert rig.fleet.paths() == []
        rig.connect()
        rig.turn(3)  # some seconds go by without a link
        assert rig.clock.now() - begun < 20 * SILENT
    assert rig.clock.now() - begun >= SILENT


def test_without_a_broker_the_doubt_ends(rig: Rig, broker: FakeBroker, cut: Callable[[float], None]) -> None:
    """The link is lost while we ask, and does not come back: the devices run from disk, later than else."""
    broker.put(STATUS, NEWER)
    cut(0.4)
    begun = rig.clock.now()
    rig.connect()
    while not rig.fleet.paths():
        rig.turn(1)
        assert rig.clock.now() - begun < 2 * DOUBT
    assert rig.clock.now() - begun >= DOUBT
    assert not rig.coordinator.let_in()


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
