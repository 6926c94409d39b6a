"""What a device's thread tells an interface that shares its link with others."""

from __future__ import annotations

from dataclasses import replace

import pytest

from gateway.interfaces.base import GiveWay
from gateway.model import DeviceState
from tests.test_device import A, B, Rig


@pytest.fixture
def rig() -> Rig:
    """A device with two points, asked one by one."""
    return Rig()


def test_a_poll_that_gives_way_is_taken_up_after_the_request(rig: Rig) -> None:
    """A write that comes while a poll waits for the link is served first; then the poll goes on, with nothing lost."""
    rig.wire.expect("read a", GiveWay())
    rig.device.step()
    written = rig.write(B, 2.0)
    rig.wire.expect("write b=2.0", 2.0)
    rig.device.step()
    assert written.result == 2.0
    rig.wire.expect("read a", {"a": 1.0})
    rig.wire.expect("read b", {"b": 2.0})
    rig.steps(2)
    assert rig.outlet.readings[-1].values == {"a": 1.0, "b": 2.0}
    assert rig.device.status.state is DeviceState.ONLINE


def test_giving_way_on_open_is_no_failure(rig: Rig) -> None:
    """When the connection has to wait for its turn, the device is not offline for that: it opens after the request."""
    rig.wire.down = GiveWay()  # type: ignore[assignment]
    rig.device.step()
    assert rig.device.status.state is DeviceState.STARTING
    rig.wire.down = None
    rig.poll(a=1.0, b=2.0)
    assert rig.device.status.state is DeviceState.ONLINE


def test_requests_are_urgent_and_polls_are_not(rig: Rig) -> None:
    """The interface knows for whom it asks: a read or write of a client and a revert are urgent, a poll is not."""
    interface = rig.device._interface
    rig.poll(a=1.0, b=2.0)
    assert not interface.urgent
    rig.read(A)
    rig.wire.expect("read a", {"a": 1.0})
    rig.device.step()
    assert interface.urgent
    rig.next_poll(a=1.0, b=2.0)
    assert not interface.urgent
    rig.revert(A, 5.0)
    rig.wire.expect("write a=5.0", 5.0)
    rig.device.step()
    assert interface.urgent


def test_whatever_comes_nudges_the_interface(rig: Rig) -> None:
    """Requests, reverts, a new configuration and the end are told to a poll that may be waiting."""
    told: list[str] = []
    rig.device.work.alarm = lambda: told.append("nudged")
    rig.read(A)
    rig.write(A, 1.0)
    rig.revert(A, 1.0)
    rig.device.work.reconfigure(replace(rig.spec), 0.0, 0.0)
    rig.device.close()
    assert len(told) == 5
