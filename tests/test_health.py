from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from gateway import healthfile
from gateway.board import Board
from gateway.health import INTERVAL, RENEWED, Health
from gateway.notify import Notifier
from gateway.topics import Topics
from gateway.vitals import PATIENCE, Vitals
from tests.fakes import FakeClock


@dataclass
class Link:
    """A connection to the broker."""

    connected: bool = True
    reason: str = ""


@dataclass
class Manager(Notifier):
    """A service manager that keeps what it is told."""

    watchdog: float | None = None
    told: list[dict[str, str]] = field(default_factory=list)

    def tell(self, **values: str) -> None:
        """Keep it."""
        self.told.append(values)


class Rig:
    """A gateway that one can look at."""

    def __init__(self, folder: Path, clock: FakeClock, watchdog: float | None = None) -> None:
        self.clock = clock
        self.folder = folder
        self.vitals = Vitals(clock)
        self.board = Board(Topics("edge-1"), clock, lambda message: None, "i-1", ("#",))
        self.first, self.link = Link(), Link()
        self.manager = Manager(watchdog)
        self.health = Health(folder, "edge-1", clock, self.vitals, self.board, [self.first, self.link], self.manager)
        self.vitals.patience = self.health.patience
        self.pulse = self.vitals.begin("manager")

    def look(self) -> dict[str, str]:
        """A look after one interval; what the service manager is told."""
        self.clock.advance(self.health.interval)
        self.health.look()
        return self.manager.told[-1]

    def report(self) -> dict[str, Any]:
        """The health file."""
        found = healthfile.read([self.folder])
        assert found is not None
        return found

    def fault(self, strict: bool = False) -> str | None:
        """What ``gateway health`` says is wrong."""
        return healthfile.fault(self.report(), self.clock.now(), strict)


@pytest.fixture
def rig(tmp_path: Path, clock: FakeClock) -> Rig:
    """A gateway under a watchdog of 30 seconds."""
    return Rig(tmp_path, clock, 30.0)


def test_ready_is_told_without_a_broker(rig: Rig) -> None:
    """The core runs; what is missing stands in the status."""
    rig.link.connected, rig.link.reason = False, "Connection refused"
    rig.health.begin()
    assert rig.manager.told[0] == {"READY": "1"}
    assert rig.manager.told[1] == {
        "WATCHDOG": "1",
        "STATUS": "no devices; no connection to the broker: Connection refused",
    }
    assert rig.fault() is None
    assert rig.fault(strict=True) == "no connection to the broker: Connection refused"
    rig.first.connected, rig.first.reason, rig.link.reason = False, "", "gone"
    assert rig.look()["STATUS"] == "no devices; no connection to the broker: not yet"


def test_the_watchdog_hears_of_us_twice_in_its_interval(rig: Rig) -> None:
    """And no thread may be silent for longer than that."""
    assert (rig.health.interval, rig.health.patience) == (15.0, 15.0)


def test_without_a_watchdog_the_file_is_renewed(tmp_path: Path, clock: FakeClock) -> None:
    """Every few seconds."""
    health = Rig(tmp_path, clock).health
    assert (health.interval, health.patience) == (INTERVAL, PATIENCE)


def test_a_silent_thread_withholds_the_watchdog(rig: Rig) -> None:
    """The status names it, and so do the gateway's problems and the health file; it is well again when the thread is."""
    assert "WATCHDOG" in rig.look()
    told = rig.look()
    assert "WATCHDOG" not in told
    assert "manager" in told["STATUS"]
    assert "manager" in rig.board.problems()["thread_stuck"]
    assert rig.fault() == "no sign of life of: manager"
    rig.pulse.due = rig.clock.now()
    assert "WATCHDOG" in rig.look()
    assert rig.board.problems() == {}
    assert rig.fault() is None


def test_problems_are_no_reason_to_restart(rig: Rig) -> None:
    """They are told, and with strict they count."""
    rig.board.problem("orphans", "not on the broker: C/B/D")
    assert rig.look() == {"WATCHDOG": "1", "STATUS": "no devices; not on the broker: C/B/D"}
    assert rig.fault() is None
    assert rig.fault(strict=True) == "its health is degraded"


def test_a_displaced_gateway_lives_on(rig: Rig) -> None:
    """A restart would only displace the other process."""
    rig.board.displaced("displaced: another process has this gateway's id")
    rig.link.connected = False
    assert rig.look() == {"WATCHDOG": "1", "STATUS": "no devices; displaced: another process has this gateway's id"}
    assert rig.fault() is None
    assert rig.fault(strict=True) is not None


def test_a_report_that_is_not_renewed_does_not_count(rig: Rig) -> None:
    """Whatever the wall clock says; neither does one from before a reboot."""
    rig.look()
    rig.clock.set_wall(0)
    rig.clock.advance(RENEWED * rig.health.interval)
    assert rig.fault() is None
    rig.clock.advance(0.1)
    assert "hangs or is gone" in (rig.fault() or "")
    assert "before this machine was started" in (healthfile.fault(rig.report(), 1.0, False) or "")


def test_a_stop_is_told(rig: Rig) -> None:
    """While it lasts the gateway is not healthy, and then there is no file."""
    rig.health.begin()
    rig.health.stopping()
    assert rig.manager.told[-1]["STOPPING"] == "1"
    assert rig.fault() == "it is stopping"
    rig.health.stopped()
    assert healthfile.read([rig.folder]) is None
    rig.health.stopped()


def test_a_folder_that_can_not_be_written_is_no_failure(rig: Rig) -> None:
    """The watchdog hears of us all the same."""
    rig.health._folder = rig.folder / "none"
    assert "WATCHDOG" in rig.look()
    rig.health.stopped()


def test_a_shorter_report_leaves_nothing_of_a_longer_one(rig: Rig) -> None:
    """It is written in place."""
    rig.pulse.due = float("inf")
    rig.board.problem("orphans", "x" * 1000)
    rig.look()
    rig.board.problem("orphans", None)
    rig.look()
    assert json.loads((rig.folder / healthfile.NAME).read_text())["problems"] == []


def test_the_newest_report_counts(tmp_path: Path) -> None:
    """A file that is none is passed over."""
    for name, at in (("a", 1.0), ("b", 2.0)):
        (tmp_path / name).mkdir()
        healthfile.write(tmp_path / name, {"at": at})
    (tmp_path / "c").mkdir()
    (tmp_path / "c" / healthfile.NAME).write_text("[]")
    assert healthfile.read([tmp_path / name for name in "abcd"]) == {"at": 2.0}


def test_half_a_report_is_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is just being written; if it stays so, there is none."""
    path = tmp_path / healthfile.NAME
    path.write_text('{"at": 1')
    monkeypatch.setattr(healthfile.time, "sleep", lambda seconds: path.write_text('{"at": 1}'))
    assert healthfile.read([tmp_path]) == {"at": 1}
    path.write_text('{"at": 1')
    monkeypatch.setattr(healthfile.time, "sleep", lambda seconds: None)
    assert healthfile.read([tmp_path]) is None


def test_a_runtime_directory_goes_before_the_state(tmp_path: Path) -> None:
    """A service manager that makes several names the first."""
    assert healthfile.directory({}, tmp_path) == tmp_path
    assert healthfile.directory({"RUNTIME_DIRECTORY": "/run/a:/run/b"}, tmp_path) == Path("/run/a")
