from __future__ import annotations

import json
from typing import Any

import pytest

from gateway import __version__
from gateway.board import Board, ConfigReport, meta_payload, will_payload
from gateway.clock import rfc3339
from gateway.model import DeviceState, DeviceStatus, Fault, Outgoing, PointError
from gateway.topics import Topics
from tests.fakes import FakeClock, point

PATH = "C/B/D"
STAMP = "2026-11-22T10:00:00.000000Z"
ACCEPTED = ConfigReport("accepted", "broker", "12ab", "fake", links={"meter.csv": "34cd"})
REJECTED = ConfigReport("rejected", "broker", "56ef", errors=(Fault("interval", "is not above 0", "60"),), error_count=7)
NO_CONFIG = PointError("misconfigured", "interval: is not above 0")


class Out(list[Outgoing]):
    """What the board has queued."""

    def take(self) -> dict[str, Any]:
        """What has come since the last time: topic -> value."""
        taken = {message.topic: json.loads(message.payload) for message in self}
        self.clear()
        return taken


@pytest.fixture
def out() -> Out:
    """What the board queues."""
    return Out()


@pytest.fixture
def board(clock: FakeClock, out: Out) -> Board:
    """A board of gateway ``edge-1`` with one device whose config is good, on an open link."""
    board = Board(Topics("edge-1"), clock, out.append, "i-1", ("C/B/#",))
    board.expect(PATH)
    board.config(PATH, ACCEPTED, meta_payload("edge-1", "fake", 10, (point("kW"),)), None, None)
    board.open()
    out.clear()
    return board


def online(clock: FakeClock, **fields: Any) -> DeviceStatus:
    """A device that does well."""
    return DeviceStatus(DeviceState.ONLINE, clock.wall(), last_reading=clock.wall(), points_ok=1, **fields)


def test_status_has_the_shape_of_the_contract(board: Board, out: Out, clock: FakeClock) -> None:
    """The status of a device has every key, known or not."""
    board.status(
        PATH,
        DeviceStatus(DeviceState.OFFLINE, clock.wall(), PointError("timeout", "no answer"), None, clock.wall() + 1, 0, 1),
    )
    assert out.take() == {
        "devices/C/B/D/status": {
            "gateway": "edge-1",
            "state": "offline",
            "since": STAMP,
            "reason": {"code": "timeout", "message": "no answer"},
            "driver": "fake",
            "last_reading": None,
            "next_try": "2026-11-22T10:00:01.000000Z",
            "points": {"ok": 0, "failed": 1},
            "reverts_pending": 0,
            "config": {
                "verdict": "accepted",
                "source": "broker",
                "orphan": False,
                "hash": "12ab",
                "links": {"meter.csv": "34cd"},
                "errors": [],
                "total_errors": 0,
                "warnings": [],
            },
        }
    }


def test_faults_are_told_with_their_total(board: Board, out: Out) -> None:
    """Where, what and how to mend it, and how many there are in all; the device runs on."""
    board.config(PATH, REJECTED, b"", None, None)
    status = out.take()["devices/C/B/D/status"]
    assert status["state"] == "starting"
    assert status["config"]["verdict"] == "rejected"
    assert status["config"]["errors"] == [{"where": "interval", "message": "is not above 0", "suggestion": "60"}]
    assert status["config"]["total_errors"] == 7


def test_meta_has_the_shape_of_the_contract() -> None:
    """A UI finds every property of every point."""
    registers = (
        point("kW", units="kW", minimum=0, maximum=5.5, writable=True, default=1.0, description="power", interval=60.0),
        point("Mode", "string", raw_type="integer", enum={0: "Off", 1: "On"}),
    )
    blank = {"units": "", "writable": False, "min": None, "max": None, "enum": None, "default": None, "description": ""}
    blank |= {"interval": None}
    assert json.loads(meta_payload("edge-1", "fake", 2.5, registers, ("a sentence",))) == {
        "gateway": "edge-1",
        "driver": "fake",
        "interval": 2.5,
        "points": {
            "kW": {"units": "kW", "type": "float", "writable": True, "min": 0, "max": 5.5, "enum": None}
            | {"default": 1.0, "description": "power", "interval": 60.0},
            "Mode": blank | {"type": "string", "enum": {"0": "Off", "1": "On"}},
        },
        "learned": ["a sentence"],
    }


def test_gateway_status_has_the_shape_of_the_contract(board: Board, out: Out) -> None:
    """The gateway says who it is, how it does, and what is wrong."""
    board.problem("orphans", "two of them")
    board.owned_by_other(["C/B/X"])
    assert out.take()["gateways/edge-1/status"] == {
        "state": "online",
        "contract": 1,
        "instance": "i-1",
        "started": STAMP,
        "version": __version__,
        "scope": ["C/B/#"],
        "health": "degraded",
        "problems": [{"code": "orphans", "message": "two of them"}],
        "owned_by_other": ["C/B/X"],
    }
    board.problem("orphans", None)
    assert out.take()["gateways/edge-1/status"]["health"] == "ok"


def test_the_will_says_offline() -> None:
    """What the broker tells of a gateway that is gone."""
    assert json.loads(will_payload()) == {"state": "offline", "contract": 1}


def test_everything_is_retained_at_qos_1(board: Board, out: Out) -> None:
    """Whoever comes later sees it too."""
    board.open()
    assert {message.topic for message in out} == {"devices/C/B/D/status", "devices/C/B/D/meta", "gateways/edge-1/status"}
    assert {(message.qos, message.retain, message.expiry) for message in out} == {(1, True, None)}


def test_only_changes_are_published(board: Board, out: Out, clock: FakeClock) -> None:
    """The same status, meta or problem again is no news."""
    status = online(clock)
    board.status(PATH, status)
    assert out.take().keys() == {"devices/C/B/D/status"}
    board.status(PATH, status)
    board.config(PATH, ACCEPTED, meta_payload("edge-1", "fake", 10, (point("kW"),)), None, None)
    board.problem("orphans", None)
    assert out.take() == {}
    board.retell(PATH)
    assert out.take().keys() == {"devices/C/B/D/status", "devices/C/B/D/meta"}


def test_nothing_goes_out_while_the_link_is_down(board: Board, out: Out, clock: FakeClock) -> None:
    """Changes wait for ``open``, which publishes everything again; the gateway's own status may go before."""
    board.close()
    board.status(PATH, online(clock))
    board.problem("x", "y")
    assert out.take() == {}
    board.tell_gateway(early=True)
    assert out.take().keys() == {"gateways/edge-1/status"}
    board.open()
    taken = out.take()
    assert taken.keys() == {"devices/C/B/D/status", "devices/C/B/D/meta", "gateways/edge-1/status"}
    assert taken["devices/C/B/D/status"]["state"] == "online"


def test_a_device_without_a_verdict_is_not_told(board: Board, out: Out, clock: FakeClock) -> None:
    """What an expected device says is kept until its config is judged."""
    board.expect("C/B/E")
    board.status("C/B/E", online(clock))
    assert out.take() == {}
    board.config("C/B/E", ACCEPTED, b"", None, None)
    assert out.take()["devices/C/B/E/status"]["state"] == "online"


def test_a_forgotten_device_is_silent(board: Board, out: Out, clock: FakeClock) -> None:
    """What its thread says while it ends is not published."""
    board.forget(PATH)
    board.status(PATH, online(clock))
    board.retell(PATH)
    assert out.take() == {}
    assert board.states() == {}


def test_an_adoption_is_a_user_property_of_the_status(board: Board, out: Out) -> None:
    """The other gateway sees that its device is adopted; meta says nothing of it."""
    board.config(PATH, REJECTED, b'{"gateway":"edge-1"}', "edge-0", None)
    assert {m.topic: m.user for m in out} == {"devices/C/B/D/status": (("adopt", "edge-0"),), "devices/C/B/D/meta": ()}


def test_a_new_claim_is_a_user_property_of_the_status(board: Board, out: Out, clock: FakeClock) -> None:
    """Until it is settled the status says so, for other gateways; the payload does not."""
    board.claim(PATH, True)
    board.claim("C/B/unknown", True)
    board.status(PATH, online(clock))
    board.claim(PATH, False)
    board.retell(PATH)
    assert [m.user for m in out if m.topic == "devices/C/B/D/status"] == [(("claim", "new"),), ()]


def test_misconfigured_until_there_is_a_good_config(board: Board, out: Out, clock: FakeClock) -> None:
    """A device that never had a good config is misconfigured since then, and starting as soon as it has one."""
    board.expect("C/B/E")
    board.config("C/B/E", REJECTED, b"", None, NO_CONFIG)
    status = out.take()["devices/C/B/E/status"]
    assert (status["state"], status["reason"]["code"], status["since"]) == ("misconfigured", "misconfigured", STAMP)
    clock.advance(5)
    board.config("C/B/E", REJECTED, b"", None, PointError("misconfigured", "another fault"))
    status = out.take()["devices/C/B/E/status"]
    assert (status["reason"]["message"], status["since"]) == ("another fault", STAMP)
    board.config("C/B/E", ACCEPTED, b"", None, None)
    status = out.take()["devices/C/B/E/status"]
    assert (status["state"], status["reason"]) == ("starting", None)
    assert board.states() == {"C/B/D": DeviceState.STARTING, "C/B/E": DeviceState.STARTING}


def test_a_clean_stop_rewrites_everything(board: Board, out: Out, clock: FakeClock) -> None:
    """Devices are told offline, then the gateway; what was wrong with a config stays; then all is silent."""
    board.status(PATH, online(clock))
    board.expect("C/B/E")
    board.config("C/B/E", REJECTED, b"", None, NO_CONFIG)
    out.clear()
    board.stopped()
    assert [message.topic for message in out] == ["devices/C/B/D/status", "gateways/edge-1/status"]
    taken = out.take()
    device = taken["devices/C/B/D/status"]
    assert (device["state"], device["reason"]["code"], device["last_reading"]) == ("offline", "unavailable", STAMP)
    assert device["points"] == {"ok": 0, "failed": 1}
    assert taken["gateways/edge-1/status"]["state"] == "offline"
    board.status(PATH, online(clock))
    board.problem("x", "y")
    assert out.take() == {}


def test_a_status_tells_the_newest_reading_as_of_its_message(board: Board, out: Out, clock: FakeClock) -> None:
    """A verdict, a new connection and a clean stop tell when the device was last read; a reading alone tells nothing."""
    board.status(PATH, online(clock))
    out.clear()

    def told_after(seconds: float) -> object:
        return out.take().get("devices/C/B/D/status", {}).get("last_reading") == rfc3339(clock.wall() - seconds)

    clock.advance(100)
    board.reading(PATH, clock.wall())
    board.reading("C/B/unknown", clock.wall())
    board.config(PATH, ACCEPTED, b"", None, None)
    assert out.take() == {}
    clock.advance(1)
    board.config(PATH, REJECTED, b"", None, None)
    assert told_after(1)
    board.reading(PATH, clock.wall())
    board.close()
    clock.advance(5)
    board.open()
    assert told_after(5)
    board.reading(PATH, clock.wall())
    clock.advance(3)
    board.stopped()
    assert told_after(3)


def test_a_displaced_gateway_says_nothing_more(board: Board, out: Out, clock: FakeClock) -> None:
    """The topics belong to the other process now, also at the stop."""
    board.displaced("another process has our id")
    board.status(PATH, online(clock))
    board.problem("x", "y")
    board.stopped()
    assert out.take() == {}
    assert (board.health, board.problems()["displaced"]) == ("displaced", "another process has our id")
