"""The keys of a device config that are not its driver's."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from gateway.interfaces.base import MAX_INTERVAL
from gateway.store.device_config import DeviceConfig


def config(**keys: Any) -> DeviceConfig:
    """A device config with these keys."""
    return DeviceConfig.model_validate({"driver_type": "fake"} | keys)


def test_the_defaults_are_volttrons():
    """A config with a driver alone polls each minute and publishes `all`."""
    made = config()

    assert (made.interval, made.qos, made.payload, made.point_payload) == (60, 1, "object", "plain")
    assert (made.publish_depth_first_all, made.publish_depth_first, made.retain) == (True, False, False)
    assert (made.on_change, made.expiry, made.gateway, made.lease_required) == (None, None, None, None)


@given(st.floats(0.05, MAX_INTERVAL))
def test_an_interval_may_be_text(seconds: float):
    """An interval within its limits is the same as a number and as text."""
    assert config(interval=seconds).interval == config(interval=str(seconds)).interval == seconds


@given(st.floats().filter(lambda seconds: not 0.05 <= seconds <= MAX_INTERVAL))
def test_an_interval_out_of_range_is_refused(seconds: float):
    """No interval outside 0.05 s to 31 days is taken, nor one that is no finite number."""
    with pytest.raises(ValidationError):
        config(interval=seconds)


@pytest.mark.parametrize(
    ("value", "silence"),
    [(True, 600), ("true", 600), ({}, 600), ({"max_silence": 5}, 5), (False, 0), ("False", 0), (None, 0)],
)
def test_on_change_is_a_flag_or_a_silence(value: object, silence: float):
    """on_change is switched on by true or by an object with the longest silence."""
    made = config(on_change=value)

    assert (made.max_silence, bool(made.on_change)) == (silence, silence > 0)


@pytest.mark.parametrize(
    "keys",
    [
        {"on_change": 5},
        {"on_change": {"max_silence": 0}},
        {"on_change": {"silence": 5}},
        {"gateway": ""},
        {"gateway": "a/b"},
        {"gateway": "#"},
        {"qos": 2},
        {"payload": "xml"},
        {"expiry": -1},
        {"expiry": 2**32},
        {"driver_type": ""},
        {"colour": "red"},
    ],
    ids=str,
)
def test_what_does_not_fit_is_refused(keys: dict[str, Any]):
    """A value that a key can not have is an error."""
    with pytest.raises(ValidationError):
        config(**keys)
