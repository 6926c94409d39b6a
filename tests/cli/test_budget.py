"""What ``gateway check`` says of links that devices share."""

from __future__ import annotations

from typing import Any

from gateway.cli.budget import load, report
from gateway.clock import SystemClock
from gateway.interfaces import fake as fake_driver
from gateway.interfaces.base import Environment
from gateway.interfaces.modbus import Interface
from gateway.store.device_config import DeviceConfig, Spec
from tests.interfaces.test_modbus import register

ENV = Environment(SystemClock())


def device(*addresses: int, interval: float = 1, slow: float | None = None, **keys: Any) -> Spec:
    """A device on a line of 9600 baud and 11 bits a character, with single registers; the last one may be slow."""
    given = keys if "port" in keys else {"device_address": "/dev/ttyS1", "slave_id": 1, "stopbits": 2} | keys
    registers = [register(">H", at, str(at)) for at in addresses]
    if slow:
        registers[-1] = register(">H", addresses[-1], "slow", Interval=str(slow))
    config = Interface.Config.model_validate(given)
    common = DeviceConfig(driver_type="modbus", interval=interval)
    return Spec("C/B/D", "modbus", Interface, config, tuple(registers), common, "", "")


def told(*specs: Spec) -> list[str]:
    """The lines for these devices, named a, b, ..."""
    loads = [load(name, spec, ENV) for name, spec in zip("abcd", specs, strict=False)]
    return report([one for one in loads if one is not None])


def test_devices_on_a_line_are_added_up() -> None:
    """A line of the report for each link: its devices, requests, time, and how much of all time that is."""
    assert told(device(0, 9), device(0, slave_id=2, interval=10), device(0, device_address="/dev/ttyS2")) == [
        "/dev/ttyS1 at 9600 baud: 2 devices, every point once takes 3 requests and 76 ms; polls take 5% of the time",
        "/dev/ttyS2 at 9600 baud: 1 device, every point once takes 1 request and 25 ms; polls take 3% of the time",
    ]


def test_a_line_that_can_not_fit_is_a_warning() -> None:
    """When the polls need more than all of the time, it says so and what helps."""
    first, warning = told(device(*range(0, 100, 2)), device(*range(0, 100, 2), slave_id=2))
    assert first.endswith("polls take 252% of the time")
    assert warning.startswith("/dev/ttyS1 at 9600 baud: warning: there is no such time: longer intervals")


def test_slow_points_take_less() -> None:
    """A point counts as often as it is polled."""
    assert told(device(0, 9, slow=100))[0].endswith("2 requests and 50 ms; polls take 3% of the time")


def test_a_poll_longer_than_the_shortest_interval_is_a_warning() -> None:
    """Although there is time enough in all, fast points are missed while a long poll runs."""
    registers = tuple(register(">H", at, str(at), Interval="60") for at in range(2, 200, 2))
    spec = device(0)
    both = Spec(spec.path, spec.driver_type, spec.interface, spec.config, spec.registers + registers, spec.device, "", "")
    assert told(both)[1] == (
        "/dev/ttyS1 at 9600 baud: warning: a takes 2521 ms when all its points are due, longer than its shortest interval"
        " 1 s: polls will be missed then"
    )


def test_where_nothing_is_known_nothing_is_told() -> None:
    """Over TCP without a limit there is no line, and none for a driver without links."""
    assert told(device(0, device_address="10.0.0.5", port=502)) == []
    fake = Spec(
        "C/B/F", "fake", fake_driver.Interface, fake_driver.FakeConfig(), (), DeviceConfig(driver_type="fake"), "", ""
    )
    assert told(fake) == []
