from __future__ import annotations

import threading
from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest

from gateway import fleet as module
from gateway.device import Device
from gateway.errors import Misconfigured, Unavailable, UnknownDevice
from gateway.fleet import Fleet
from gateway.interfaces.base import Environment
from gateway.jobs import ReadJob
from gateway.model import DeviceState
from gateway.ticket import Ticket
from tests.fakes import FakeClock, RecordingOutlet, ScriptedInterface, StillThread, Wire, point, spec

A = point("a", writable=True)
NEVER = 0.0


class Bus(ScriptedInterface):
    """A driver whose devices with one wire's name share a link, and whose registers are told apart by their units."""

    def link(self) -> tuple[object, ...]:
        """By the wire."""
        return (self.config.name,)

    def shares(self):
        """The bus, and how many registers it reads at a time."""
        return self.config.name, {"batch": self.config.batch}

    def target(self, register: Any) -> object:
        """By the units."""
        return register.units


@pytest.fixture
def ended() -> list[str]:
    """The devices that have ended."""
    return []


@pytest.fixture
def fleet(monkeypatch: pytest.MonkeyPatch, env: Environment, ended: list[str]) -> Fleet:
    """A fleet whose threads never run."""
    monkeypatch.setattr(module, "DeviceThread", StillThread)
    return Fleet(env, RecordingOutlet(), ended.append)


def thread(fleet: Fleet, path: str = "C/B/D") -> StillThread:
    """The thread of a device."""
    return fleet._threads[path]  # type: ignore[return-value]


def run(fleet: Fleet, *registers: Any, path: str = "C/B/D", settle: float = NEVER, at: float = 0.0, **options: Any) -> Any:
    """Run a device with these points; its specification."""
    made = spec(Wire(), *(registers or (A,)), path=path, **options)
    fleet.run(made, settle, at)
    return made


class Hasty:
    """A keeper in whose hands everything is stopped while a device is being started."""

    def __init__(self, fleet: Fleet) -> None:
        self.stopper = threading.Thread(target=fleet.stop_all, args=(0.0,))

    def runs(self, device: Device) -> None:
        """The end comes, as far as it can."""
        self.stopper.start()
        self.stopper.join(0.1)


# ---- running


def test_a_device_runs_until_it_has_ended(fleet: Fleet, ended: list[str]) -> None:
    """It is found from its start to its stop; the thread may take longer."""
    made = run(fleet)
    assert (fleet.spec("C/B/D"), fleet.device("C/B/D").spec) == (made, made)
    assert fleet.stop("C/B/D")
    assert fleet.spec("C/B/D") is None
    with pytest.raises(UnknownDevice):
        fleet.device("C/B/D")
    thread(fleet).end()
    assert ended == ["C/B/D"]
    fleet.has_ended("C/B/D")
    assert not fleet.stop("C/B/D")


def test_the_same_specification_changes_nothing(fleet: Fleet) -> None:
    """An equal fingerprint needs no reconnect: the device does not even hear of it."""
    made = run(fleet)
    run(fleet)
    assert fleet.device("C/B/D").work.reload is None
    assert fleet.device("C/B/D").spec is made


def test_another_specification_reloads_at_its_time(fleet: Fleet, clock: FakeClock) -> None:
    """The same thread goes on with it from then on."""
    run(fleet)
    device = fleet.device("C/B/D")
    made = run(fleet, point("b"), at=clock.now() + 3)
    assert fleet.device("C/B/D") is device
    assert device.work.reload is not None
    assert (device.work.reload[0], device.work.reload[2]) == (made, clock.now() + 3)


def test_a_device_wanted_again_starts_when_the_old_one_has_ended(fleet: Fleet) -> None:
    """Never two threads for one device; the new one keeps the pause of its claim."""
    run(fleet)
    fleet.stop("C/B/D")
    old = thread(fleet)
    fleet.settle("C/B/D", 1_007.0)
    made = run(fleet, point("b"), settle=1_007.0)
    assert thread(fleet) is old
    fleet.has_ended("C/B/D")
    assert thread(fleet) is not old
    assert (fleet.device("C/B/D").spec, fleet.device("C/B/D").work.writes_from) == (made, 1_007.0)


def test_a_new_claim_holds_writes_back(fleet: Fleet) -> None:
    """Also those of a device that runs already."""
    run(fleet, settle=1_005.0)
    assert fleet.device("C/B/D").work.writes_from == 1_005.0
    fleet.settle("C/B/D", 1_009.0)
    assert fleet.device("C/B/D").work.writes_from == 1_009.0


def test_devices_are_spread(fleet: Fleet) -> None:
    """Many devices with one interval do not fall due together."""
    for number in range(100):
        run(fleet, path=f"C/B/D{number}", interval=10)
    phases = sorted(still.device._phase for still in fleet._threads.values())  # type: ignore[attr-defined]
    assert max(after - before for before, after in pairwise(phases)) < 0.2


def test_stopping_names_threads_that_did_not(fleet: Fleet, clock: FakeClock) -> None:
    """Each is asked to end, and who hangs is told."""
    run(fleet, path="C/B/D")
    run(fleet, path="C/B/E")
    thread(fleet, "C/B/E").stuck = True
    assert fleet.stop_all(clock.now() + 5) == ["device:C/B/E"]
    assert thread(fleet, "C/B/D").device.closing


def test_counters_outlive_their_devices(fleet: Fleet) -> None:
    """The sum never goes down when a device is removed."""
    run(fleet, path="C/B/D")
    run(fleet, path="C/B/E")
    for path in ("C/B/D", "C/B/E"):
        counters = fleet.device(path).counters
        counters.polls, counters.missed, counters.failures, counters.max_late = 5, 2, 1, 0.25
    fleet.stop("C/B/D")
    fleet.has_ended("C/B/D")
    total = fleet.counters()
    assert (total.polls, total.missed, total.failures, total.max_late) == (10, 4, 2, 0.25)


# ---- finding


@pytest.mark.parametrize(
    ("levels", "found"),
    [
        ("C/B/D", ("C/B/D", "")),
        ("C/B/D/a", ("C/B/D", "a")),
        ("C/B/D/Fan/Speed", ("C/B/D", "Fan/Speed")),
        ("C/B/D/Sub/a", ("C/B/D/Sub", "a")),
        ("C/B/D/Sub", ("C/B/D/Sub", "")),
        ("C/B/X/a", ("C/B/X", "a")),
        ("C/B/M/a", ("C/B/M", "a")),
    ],
)
def test_the_longest_path_that_fits_is_found(fleet: Fleet, levels: str, found: tuple[str, str]) -> None:
    """The rest is the point, which may hold slashes; foreign and misconfigured devices have paths too."""
    run(fleet)
    run(fleet, path="C/B/D/Sub")
    fleet.foreign(["C/B/X"])
    fleet.misconfigured("C/B/M")
    assert fleet.find(tuple(levels.split("/"))) == found


@pytest.mark.parametrize("levels", ["C", "C/B", "C/B/E", "c/b/d/a", "C/B/"])
def test_nothing_else_is_found(fleet: Fleet, levels: str) -> None:
    """A path that is not configured is an error, in another case too."""
    run(fleet)
    with pytest.raises(UnknownDevice):
        fleet.find(tuple(levels.split("/")))


def test_a_misconfigured_device_is_told_as_such(fleet: Fleet) -> None:
    """It is known, but nothing can be asked of it until it runs."""
    fleet.misconfigured("C/B/D")
    with pytest.raises(Misconfigured):
        fleet.device("C/B/D")
    run(fleet)
    assert fleet.device("C/B/D").status.state is DeviceState.STARTING
    fleet.misconfigured("C/B/E")
    fleet.stop("C/B/E")
    with pytest.raises(UnknownDevice):
        fleet.device("C/B/E")


def test_a_misconfigured_device_does_not_hide_a_point(fleet: Fleet) -> None:
    """What a running device has is found, although a config that can not work stands at its topic."""
    run(fleet, point("Fan/Speed"))
    fleet.misconfigured("C/B/D/Fan")
    assert fleet.find(("C", "B", "D", "Fan", "Speed")) == ("C/B/D", "Fan/Speed")
    assert fleet.find(("C", "B", "D", "Fan", "Other")) == ("C/B/D/Fan", "Other")


# ---- what may not be


@pytest.mark.parametrize(
    ("above", "below", "collides"),
    [
        ("Fan", "C/B/D/Fan", True),
        ("Fan/Speed", "C/B/D/Fan", True),
        ("Fan/Speed", "C/B/D/Fan/Speed", True),
        ("Fan/Speed", "C/B/D/Fan/Speed/Deep", False),
        ("Fan", "C/B/D/Fan/Speed", False),
        ("Fans", "C/B/D/Fan", False),
        ("Fan", "C/B/E/Fan", False),
    ],
)
def test_a_path_may_not_begin_a_point_of_another(fleet: Fleet, above: str, below: str, collides: bool) -> None:
    """A device at another's path plus the beginning of one of its points is a fault, whichever comes first."""
    upper, lower = spec(Wire(), point(above)), spec(Wire(), A, path=below)
    fleet.run(upper, NEVER, 0.0)
    assert (fleet.collision(lower) is not None) == collides
    fleet.stop("C/B/D")
    fleet.run(lower, NEVER, 0.0)
    assert (fleet.collision(upper) is not None) == collides
    fleet.stop(below)
    assert fleet.collision(upper) is None


def on_bus(fleet: Fleet, path: str, bus: str, *registers: Any) -> Any:
    """Run a device on this bus."""
    made = replace(spec(Wire(name=bus), *registers, path=path), interface=Bus)
    fleet.run(made, NEVER, 0.0)
    return made


def test_two_writers_of_one_register_are_rivals(fleet: Fleet) -> None:
    """Only writable points on the same link and register count, and only while both run."""
    first = on_bus(fleet, "C/B/D", "line 1", point("a", units="40001", writable=True), point("b", units="40002"))
    on_bus(fleet, "C/B/E", "line 1", point("x", units="40001", writable=True), point("y", units="40002", writable=True))
    on_bus(fleet, "C/B/F", "line 2", point("z", units="40001", writable=True))
    assert fleet.sharing.rivals(first) == {"C/B/E": ["a"]}
    fleet.stop("C/B/E")
    assert fleet.sharing.rivals(first) == {}


def test_a_driver_without_links_has_no_rivals(fleet: Fleet) -> None:
    """Devices in memory share nothing."""
    made = run(fleet)
    run(fleet, path="C/B/E")
    assert fleet.sharing.rivals(made) == {}


def test_a_foreign_device_is_known(fleet: Fleet) -> None:
    """Whose it is can be asked; the newest list counts."""
    fleet.foreign(["C/B/X"])
    assert fleet.is_foreign("C/B/X")
    fleet.foreign([])
    assert not fleet.is_foreign("C/B/X")


def test_a_device_given_up_is_foreign_at_once(fleet: Fleet) -> None:
    """Nothing is answered for it from then on, also while its thread still ends; nor are its points, or those above it."""
    run(fleet)
    run(fleet, path="C/B/D/Sub")
    fleet.give_up("C/B/D/Sub", abandon=True)
    assert fleet.is_foreign("C/B/D/Sub")
    assert fleet.spec("C/B/D/Sub") is None
    assert fleet.is_others(("C", "B", "D", "Sub", "a"))
    assert not fleet.is_others(("C", "B", "D", "a"))
    assert not fleet.is_others(("C", "B", "X", "a"))
    assert not fleet.is_others(("C",))


def test_a_stopped_device_takes_no_jobs(fleet: Fleet) -> None:
    """Its client is told at once."""
    run(fleet)
    device = fleet.device("C/B/D")
    fleet.stop("C/B/D")
    with pytest.raises(Unavailable):
        device.submit(ReadJob(device.spec, (A,), Ticket(1.0, lambda *_: None), lambda reading: reading))


def test_two_devices_that_want_their_line_otherwise_clash(fleet: Fleet) -> None:
    """Each is told of the other and what differs, until they agree."""
    first = on_bus(fleet, "C/B/D", "line 1")
    second = on_bus(fleet, "C/B/E", "line 1")
    assert fleet.sharing.clashes(first) == {}
    second = replace(second, config=Wire(name="line 1", batch=2))
    fleet.run(second, NEVER, 0.0)
    assert fleet.sharing.clashes(first) == {"C/B/E": ["batch"]}
    assert fleet.sharing.clashes(second) == {"C/B/D": ["batch"]}
    fleet.stop("C/B/E")
    assert fleet.sharing.clashes(first) == {}


def test_a_stop_finds_no_thread_that_has_not_begun(
    monkeypatch: pytest.MonkeyPatch, env: Environment, ended: list[str]
) -> None:
    """A stop that comes while a device is being started waits for that, and then ends the device like any other."""
    fleet = Fleet(env, RecordingOutlet(), ended.append)
    keeper = Hasty(fleet)
    monkeypatch.setattr(fleet, "keeper", keeper)
    fleet.run(spec(Wire()), NEVER, 0.0)  # without points: nothing is asked on its thread
    keeper.stopper.join(10)
    assert fleet._threads["C/B/D"].join(10)
    assert ended == ["C/B/D"]
