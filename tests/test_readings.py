from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.model import Outgoing, PointError, Quality, Reading, Register
from gateway.readings import Shaper, plain
from gateway.topics import Topics
from tests.fakes import Wire, point, spec

WALL = 1_795_341_600.25
STAMP = "2026-11-22T10:00:00.250000Z"
KW = point("kW", units="kW", deadband=0.5)
MODE = point("Mode", "string")
FAN = point("Fan/Speed", "integer")
ON = point("On", "boolean")
GONE = PointError("device_rejected", "illegal data address", unsupported=True)


def shaper(*registers: Register, **device: Any) -> Shaper:
    """What shapes the readings of a device with these options."""
    return Shaper(spec(Wire(), *(registers or (KW, MODE, FAN, ON)), **device), Topics("edge-1"))


def reading(wall: float = WALL, errors: dict[str, PointError] | None = None, **values: Any) -> Reading:
    """What a poll brought."""
    return Reading("C/B/D", wall, values, errors or {})


def told(shaper: Shaper, reading: Reading) -> dict[str, Any]:
    """What is published: topic -> value."""
    return {message.topic: json.loads(message.payload) for message in shaper.messages(reading)}


def test_a_reading_has_both_objects_always() -> None:
    """The reading on ``all`` has timestamp, values and errors, also when there are none."""
    assert told(shaper(), reading(kW=12.5)) == {
        "devices/C/B/D/all": {"timestamp": STAMP, "values": {"kW": 12.5}, "errors": {}}
    }
    assert told(shaper(), reading(errors={"kW": GONE})) == {
        "devices/C/B/D/all": {
            "timestamp": STAMP,
            "values": {},
            "errors": {"kW": {"code": "device_rejected", "message": "illegal data address"}},
        }
    }


def test_a_plain_reading_has_no_mqtt_properties() -> None:
    """QoS 1, not retained, no expiry; the outage buffer gets the same payload."""
    [message] = shaper().messages(reading(kW=12.5))
    assert message == Outgoing(
        "devices/C/B/D/all", message.payload, replay_topic="devices/C/B/D/replay", replay=message.payload
    )


def test_readings_that_are_not_durable_are_not_kept() -> None:
    """They have nothing that could be replayed."""
    [message] = shaper(durable=False).messages(reading(kW=12.5))
    assert message == Outgoing("devices/C/B/D/all", message.payload)


def test_volttron_payload() -> None:
    """On request values, metadata with true types, and the time, as VOLTTRON's drivers publish; the replay is ours."""
    it = shaper(payload="volttron", timezone="Europe/Berlin")
    [message] = it.messages(reading(kW=12.5, On=True, errors={"Mode": GONE}))
    assert json.loads(message.payload) == [
        {"kW": 12.5, "On": True},
        {
            "kW": {"units": "kW", "type": "float", "tz": "Europe/Berlin"},
            "On": {"units": "", "type": "boolean", "tz": "Europe/Berlin"},
        },
        {"TimeStamp": STAMP},
    ]
    assert message.replay is not None
    assert json.loads(message.replay)["errors"].keys() == {"Mode"}


@pytest.mark.parametrize(
    ("value", "payload"), [(21.5, b"21.5"), (5, b"5"), (True, b"true"), (False, b"false"), (0, b"0"), ("Auto", b"Auto")]
)
def test_plain_values_are_bare(value: Any, payload: bytes) -> None:
    """A point topic carries nothing but the value; texts have no quotes."""
    assert plain(value) == payload


def test_point_topics_are_silent_for_points_in_error() -> None:
    """A plain point topic has no way to tell an error."""
    it = shaper(publish_depth_first=True, publish_depth_first_all=False)
    messages = it.messages(reading(kW=1.5, **{"Fan/Speed": 3}, errors={"Mode": GONE}))
    assert [(m.topic, m.payload) for m in messages] == [
        ("devices/C/B/D/kW", b"1.5"),
        ("devices/C/B/D/Fan/Speed", b"3"),
    ]
    assert all(message.replay is None for message in messages)


def test_json_point_topics_tell_value_or_error() -> None:
    """``point_payload: "json"`` gives the time with the value or the error."""
    it = shaper(publish_depth_first=True, point_payload="json")
    messages = told(it, reading(kW=1.5, errors={"Mode": GONE}))
    assert messages["devices/C/B/D/kW"] == {"timestamp": STAMP, "value": 1.5}
    assert messages["devices/C/B/D/Mode"] == {
        "timestamp": STAMP,
        "error": {"code": "device_rejected", "message": "illegal data address"},
    }
    assert "devices/C/B/D/all" in messages


def test_a_point_that_can_not_stand_in_a_topic_has_none() -> None:
    """It is in the whole reading alone."""
    it = shaper(point("a+b"), point("c#"), point("/d"), publish_depth_first=True)
    assert list(told(it, reading(**{"a+b": 1, "c#": 2, "/d": 3}))) == ["devices/C/B/D/all"]


@pytest.mark.parametrize(
    ("device", "expiry"),
    [
        ({"retain": True}, 30),
        ({"retain": True, "interval": 0.05}, 1),
        ({"retain": True, "expiry": 7}, 7),
        ({"retain": True, "expiry": 0}, None),
        ({"retain": False}, None),
    ],
)
def test_what_is_retained_expires(device: dict[str, Any], expiry: int | None) -> None:
    """A retained reading or point expires after three intervals, as asked, or with 0 never."""
    messages = shaper(publish_depth_first=True, **device).messages(reading(kW=1))
    assert len(messages) == 2
    assert {(m.retain, m.expiry) for m in messages} == {(device["retain"], expiry)}


def test_qos_is_the_device_option() -> None:
    """Who wants QoS 0 gets it."""
    assert {m.qos for m in shaper(qos=0, publish_depth_first=True).messages(reading(kW=1))} == {0}


# ---- report on change


def changes(it: Shaper, wall: float, **values: Any) -> dict[str, Any] | None:
    """The values of the reading that is published, or None."""
    messages = told(it, reading(wall, **values))
    return messages["devices/C/B/D/all"]["values"] if messages else None


def test_only_changes_are_told() -> None:
    """With ``on_change`` a reading holds what has changed, and nothing is published if nothing has."""
    it = shaper(on_change=True)
    assert changes(it, WALL, kW=1.0, On=True) == {"kW": 1.0, "On": True}
    assert changes(it, WALL + 1, kW=1.0, On=True) is None
    assert changes(it, WALL + 2, kW=1.0, On=False) == {"On": False}


def test_the_deadband_counts_from_what_was_told() -> None:
    """A value that creeps is told when it has left the deadband of the last one told."""
    it = shaper(on_change=True)
    assert changes(it, WALL, kW=1.0) == {"kW": 1.0}
    assert changes(it, WALL + 1, kW=1.4) is None
    assert changes(it, WALL + 2, kW=1.5) is None
    assert changes(it, WALL + 3, kW=1.6) == {"kW": 1.6}


def test_no_point_is_silent_for_too_long() -> None:
    """After ``max_silence`` an unchanged point is told all the same; so it is when the clock was set back."""
    it = shaper(on_change={"max_silence": 60})
    assert changes(it, WALL, kW=1.0) == {"kW": 1.0}
    assert changes(it, WALL + 59, kW=1.0) is None
    assert changes(it, WALL + 60, kW=1.0) == {"kW": 1.0}
    assert changes(it, WALL - 3600, kW=1.0) == {"kW": 1.0}


def test_an_error_is_a_change_and_so_is_its_end() -> None:
    """A point that fails is told once, and its value again when it is back."""
    it = shaper(on_change=True)
    assert changes(it, WALL, kW=1.0) == {"kW": 1.0}
    assert told(it, reading(WALL + 1, errors={"kW": GONE}))["devices/C/B/D/all"]["errors"].keys() == {"kW"}
    assert told(it, reading(WALL + 2, errors={"kW": GONE})) == {}
    assert changes(it, WALL + 3, kW=1.0) == {"kW": 1.0}


@given(st.lists(st.tuples(st.floats(0.1, 40), st.floats(-2, 2)), min_size=1, max_size=40))
def test_a_reader_is_never_further_off_than_the_deadband(steps: list[tuple[float, float]]) -> None:
    """Whoever keeps the last value told knows the point to its deadband, and hears of it within the silence."""
    it, wall, known, heard = shaper(on_change={"max_silence": 60}), WALL, 0.0, WALL
    for number, (pause, value) in enumerate(steps):
        wall += pause
        new = changes(it, wall, kW=value)
        assert number or new
        if new:
            known, heard = new["kW"], wall
        assert abs(known - value) <= KW.deadband
        assert wall - heard < 60


def test_a_value_that_the_device_doubts_has_a_quality() -> None:
    """``quality`` stands in the reading only if there is something to say, and in a point's JSON."""
    it = shaper(publish_depth_first=True, point_payload="json")
    doubtful = replace(reading(kW=1.0, Mode="On"), quality={"kW": Quality(("fault", "overridden"), "open-loop")})
    out = told(it, doubtful)
    quality = {"flags": ["fault", "overridden"], "reliability": "open-loop"}
    assert out["devices/C/B/D/all"]["quality"] == {"kW": quality}
    assert out["devices/C/B/D/kW"]["quality"] == quality
    assert "quality" not in out["devices/C/B/D/Mode"]


def test_a_change_of_quality_is_a_change() -> None:
    """With report on change a point is told again when the device begins to doubt its value, and when it ends."""
    it = shaper(on_change=True)
    fault = {"kW": Quality(("fault",))}
    assert changes(it, WALL, kW=1.0) == {"kW": 1.0}
    [topic] = told(it, replace(reading(WALL + 1, kW=1.0), quality=fault))
    assert told(it, replace(reading(WALL + 2, kW=1.0), quality=fault)) == {}
    assert told(it, reading(WALL + 3, kW=1.0))[topic]["values"] == {"kW": 1.0}
    assert told(it, reading(WALL + 4, kW=1.0)) == {}
