from __future__ import annotations

import dataclasses
import itertools
import math
import threading
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway import device_thread
from gateway.clock import SystemClock, rfc3339
from gateway.device import Device
from gateway.device_thread import DeviceThread
from gateway.errors import (
    BadValue,
    Busy,
    ConfigFault,
    GatewayError,
    LeaseRequired,
    NotTaken,
    Rejected,
    Transient,
    Unavailable,
    UnknownDevice,
    Unreachable,
)
from gateway.interfaces.base import Environment
from gateway.jobs import ReadJob, RevertJob, WriteJob
from gateway.model import DeviceState, LastValue, PointError, Quality, Reading, Register
from gateway.ticket import Ticket
from gateway.vitals import DEVICE_PATIENCE
from gateway.worklist import QUEUE_LIMIT
from tests.fakes import FakeClock, RecordingOutlet, ScriptedInterface, TestDebt, TestWarrant, Wire, point, spec

A, B, C = (point(name, writable=True) for name in "abc")
SILENT = Transient("no answer")
UNSUPPORTED = PointError("device_rejected", "illegal data address", unsupported=True)


class Rig:
    """A device on a wire, and what it tells."""

    def __init__(self, *registers: Register, settle: float = 0.0, **options: Any) -> None:
        self.clock = FakeClock()
        self.wire = Wire()
        self.outlet = RecordingOutlet()
        self.spec = spec(self.wire, *(registers or (A, B)), **options)
        self.device = Device(self.spec, Environment(self.clock), self.outlet, phase=0.0, settle=settle)

    def poll(self, **answers: Any) -> None:
        """The next poll, of points that are asked one by one; then it is over."""
        for name, answer in answers.items():
            self.wire.expect(f"read {name}", answer if isinstance(answer, Exception) else {name: answer})
        for _ in range(max(1, len(answers)) + 1):
            if self.device.step() > self.clock.now():
                break
        assert not self.wire.script
        assert self.device._poll is None

    def next_poll(self, **answers: Any) -> None:
        """The same when it is due."""
        self.clock.advance(self.device.step() - self.clock.now())
        self.poll(**answers)

    def steps(self, count: int) -> None:
        """So many things on the wire."""
        for _ in range(count):
            self.device.step()

    def read(self, *registers: Register, deadline: float = 10.0) -> Job:
        """A client's request for these points."""
        return self.submit(lambda ticket: ReadJob(self.device.spec, registers, ticket, lambda reading: reading), deadline)

    def write(self, register: Register, value: Any, deadline: float = 10.0, **warrant: Any) -> Job:
        """A client's request to write a point."""
        return self.submit(lambda ticket: self._job(register, value, TestWarrant(ticket, self.clock, **warrant)), deadline)

    def _job(self, register: Register, value: Any, warrant: TestWarrant) -> WriteJob:
        self.warrant = warrant
        return WriteJob(self.device.spec, register, value, {}, warrant, warrant.ticket.abandon)

    def revert(self, register: Register, value: Any) -> TestDebt:
        """Something is to be given back."""
        debt = TestDebt()
        assert self.device.work.revert(RevertJob(self.device.spec, register, value, {}, debt))
        return debt

    def late(self, answer: Exception) -> None:
        """An answer that comes after all deadlines."""
        self.clock.advance(60.0)
        raise answer

    def submit(self, make: Callable[[Ticket], Any], deadline: float) -> Job:
        """A job in the device's queue."""
        job = Job(self.clock.now() + deadline)
        self.device.submit(make(job.ticket))
        return job

    @property
    def state(self) -> DeviceState:
        """The state that was told last."""
        assert self.outlet.statuses[-1] == self.device.status
        return self.outlet.statuses[-1].state


class Job:
    """A request's ticket and what it was answered."""

    def __init__(self, deadline: float) -> None:
        self.answers: list[tuple[Any, GatewayError | None]] = []
        self.ticket = Ticket(deadline, lambda result, error: self.answers.append((result, error)))

    @property
    def result(self) -> Any:
        """The result of a success."""
        [(result, error)] = self.answers
        assert error is None
        return result

    @property
    def code(self) -> str:
        """The code of a failure."""
        [(_, error)] = self.answers
        assert error is not None
        return error.code

    @property
    def data(self) -> Any:
        """The data of a failure."""
        [(_, error)] = self.answers
        assert error is not None
        return error.data


# ---- polling


def test_the_first_poll_comes_at_once() -> None:
    """A device is opened and polled as soon as it runs, told online, and next polled on its grid."""
    rig = Rig()
    rig.poll(a=1.0, b=2.0)
    assert rig.wire.log == ["open", "read a", "read b"]
    assert rig.outlet.readings == [Reading("C/B/D", rig.clock.wall(), {"a": 1.0, "b": 2.0}, {})]
    [status] = rig.outlet.statuses
    assert (status.state, status.points_ok, status.points_failed) == (DeviceState.ONLINE, 2, 0)
    assert rig.device.step() == 1_010.0


def test_one_step_is_one_request() -> None:
    """Between the requests of a poll the device comes back to look for something more urgent."""
    rig = Rig(A, B, C)
    for name in "abc":
        rig.wire.expect(f"read {name}", {name: 1.0})
    asked = []
    for _ in range(3):
        rig.device.step()
        asked.append(len(rig.wire.log) - 1)
    assert asked == [1, 2, 3]


def test_the_connection_stays_open() -> None:
    """Polls share one connection, and an unchanged state is told once."""
    rig = Rig()
    rig.poll(a=1.0, b=2.0)
    rig.next_poll(a=1.5, b=2.5)
    assert rig.wire.log.count("open") == 1
    assert (len(rig.outlet.readings), len(rig.outlet.statuses)) == (2, 1)


def test_a_partial_reading_is_published() -> None:
    """When something answered, the rest are errors, and the device is degraded with the first of them as the reason."""
    rig = Rig()
    rig.poll(a=SILENT, b=2.0)
    assert rig.outlet.readings[-1].values == {"b": 2.0}
    assert rig.outlet.readings[-1].errors == {"a": PointError("timeout", "no answer")}
    status = rig.outlet.statuses[-1]
    assert (status.state, status.points_ok, status.points_failed) == (DeviceState.DEGRADED, 1, 1)
    assert status.reason == PointError("timeout", '"a": no answer')


def test_a_poll_stops_after_two_timeouts_in_a_row() -> None:
    """The points that are left are not asked for: a dead device does not take its whole interval."""
    rig = Rig(A, B, C, point("d"))
    rig.poll(a=1.0, b=SILENT, c=SILENT)
    assert rig.outlet.readings[-1].errors.keys() == {"b", "c", "d"}
    assert rig.state is DeviceState.DEGRADED


def test_a_refusal_is_an_answer() -> None:
    """A device that refuses every point is there: the reading says so."""
    rig = Rig(A)
    rig.poll(a=PointError("device_rejected", "illegal data address"))
    assert rig.outlet.readings[-1].errors.keys() == {"a"}
    assert rig.state is DeviceState.DEGRADED


def test_offline_at_once_when_nothing_answers() -> None:
    """A poll without any answer publishes no reading, closes, and says when it is tried again."""
    rig = Rig()
    rig.poll(a=SILENT, b=SILENT)
    assert rig.outlet.readings == []
    status = rig.outlet.statuses[-1]
    assert (status.state, status.reason) == (DeviceState.OFFLINE, PointError("timeout", "no answer"))
    assert status.next_try == pytest.approx(rig.clock.wall() + 0.5)
    assert (status.points_ok, status.points_failed) == (0, 2)
    assert rig.wire.log[-1] == "close"


def test_a_connection_lost_in_a_poll_publishes_what_came() -> None:
    """Values that were read before it are told, then the device is offline."""
    rig = Rig(A, B, C)
    rig.poll(a=1.0, b=Unreachable("connection reset"))
    assert rig.outlet.readings[-1].values == {"a": 1.0}
    assert rig.outlet.readings[-1].errors == dict.fromkeys("bc", PointError("timeout", "connection reset"))
    assert rig.outlet.statuses[-1].reason == PointError("device_offline", "connection reset")
    assert rig.state is DeviceState.OFFLINE


def test_a_device_without_points_is_online() -> None:
    """It is opened, has nothing to tell, and publishes nothing."""
    rig = Rig()
    rig.spec = spec(rig.wire)
    rig.device = Device(rig.spec, Environment(rig.clock), rig.outlet, 0.0)
    assert rig.device.step() == 1_010.0
    assert (rig.outlet.readings, rig.state) == ([], DeviceState.ONLINE)


def test_late_and_missed_polls_are_counted() -> None:
    """A poll that began late says how late; ticks that it slept through are missed."""
    rig = Rig(A)
    rig.poll(a=1.0)
    rig.clock.advance(10.25)
    rig.poll(a=1.0)
    rig.clock.advance(30)
    rig.poll(a=1.0)
    counters = rig.device.counters
    assert (counters.polls, counters.missed, counters.max_late) == (3, 2, 20.25)


# ---- offline


def test_attempts_back_off_up_to_half_a_minute() -> None:
    """While a device is offline the pauses grow from 0.5 s to at most 30 s; a success begins anew."""
    rig = Rig(A)
    rig.wire.down = Unreachable("connection refused")
    pauses = []
    for _ in range(12):
        until = rig.device.step()
        pauses.append(until - rig.clock.now())
        assert rig.outlet.statuses[-1].next_try == pytest.approx(rig.clock.wall() + pauses[-1])
        rig.clock.advance(pauses[-1])
    assert pauses[0] == pytest.approx(0.5)
    assert all(0.5 <= round(pause, 6) <= 30 for pause in pauses)
    assert pauses[-1] >= 15
    assert len({status.since for status in rig.outlet.statuses}) == 1
    rig.wire.down = None
    rig.poll(a=1.0)
    rig.next_poll(a=SILENT)
    assert rig.device.step() == pytest.approx(rig.clock.now() + 0.5)


@pytest.mark.parametrize("interval", [1, 60])
def test_a_device_that_was_away_for_ten_minutes_is_back_within_one_pause(interval: float) -> None:
    """Whatever its interval, it is tried after 30 s at most, some dozen times in all, and polled on the first try."""
    rig = Rig(A, interval=interval)
    rig.poll(a=1.0)
    rig.next_poll(a=SILENT)
    left = rig.clock.now()
    rig.wire.down = Unreachable("no route to host")
    while (until := rig.device.step()) < left + 600:
        assert 0 < until - rig.clock.now() <= 30
        rig.clock.advance(until - rig.clock.now())
    tries = rig.wire.log.count("open") - 1
    assert 24 <= tries <= 45  # all pauses as long as can be, as short as can be
    rig.clock.advance(left + 600 - rig.clock.now())
    rig.wire.down = None
    rig.next_poll(a=2.0)
    assert rig.clock.now() - left <= 630
    assert rig.state is DeviceState.ONLINE
    assert rig.wire.log.count("open") == tries + 2


def test_an_interface_may_want_to_be_tried_more_often(monkeypatch: pytest.MonkeyPatch) -> None:
    """What it says is the longest pause is."""
    monkeypatch.setattr(ScriptedInterface, "longest_pause", 4.0)
    rig = Rig(A)
    rig.wire.down = Unreachable("no such port")
    pauses = []
    for _ in range(8):
        pauses.append(rig.device.step() - rig.clock.now())
        rig.clock.advance(pauses[-1])
    assert 2 <= max(pauses) <= 4


def test_time_spent_offline_is_not_missed() -> None:
    """After an outage the grid goes on, and the ticks in between do not count as missed polls."""
    rig = Rig(A, interval=1)
    rig.wire.down = Unreachable("connection refused")
    rig.device.step()
    rig.clock.advance(60.25)
    rig.wire.down = None
    rig.poll(a=1.0)
    assert (rig.device.counters.missed, rig.device.step()) == (0, 1_061.0)


def test_a_device_found_again_early_keeps_its_next_tick() -> None:
    """An attempt between two ticks does not take the next poll away."""
    rig = Rig(A)
    rig.poll(a=1.0)
    rig.next_poll(a=SILENT)
    assert rig.device.step() == pytest.approx(1_010.5)
    rig.next_poll(a=1.0)
    assert rig.device.step() == 1_020.0


def test_requests_to_an_offline_device_are_refused_until_its_next_try() -> None:
    """Nobody waits for a device that is known to be away; nothing is sent to it."""
    rig = Rig(A)
    rig.wire.down = Unreachable("connection refused")
    rig.device.step()
    job, write = rig.read(A), rig.write(A, 1.0)
    rig.steps(2)
    assert (job.code, write.code) == ("device_offline", "device_offline")
    [(_, error)] = job.answers
    assert error is not None
    assert error.data["next_try"] == pytest.approx(0.5)
    assert rig.wire.log == ["open", "close"]


def test_a_request_may_find_the_device_again() -> None:
    """At the time of the next try a request opens the connection itself."""
    rig = Rig(A)
    rig.wire.down = Unreachable("connection refused")
    rig.clock.advance(rig.device.step() - rig.clock.now())
    rig.wire.down = None
    job = rig.read(A)
    rig.wire.expect("read a", {"a": 1.0})
    rig.device.step()
    assert job.result.values == {"a": 1.0}


def test_a_configuration_that_can_not_work_is_told_as_such() -> None:
    """A driver that finds out on opening that its config is wrong says so in the reason."""
    rig = Rig(A)
    rig.wire.down = ConfigFault("no such host", "device_address")
    rig.device.step()
    assert rig.outlet.statuses[-1].reason == PointError("misconfigured", "no such host")


# ---- timestamps


def test_the_timestamp_is_that_of_the_last_answer() -> None:
    """Waiting for answers that do not come does not make values look newer."""
    rig = Rig(A, B, C)
    started = rig.clock.wall()

    def nothing() -> None:
        rig.clock.advance(1.0)
        raise SILENT

    rig.wire.expect("read a", {"a": 1.0})
    rig.wire.expect("read b", nothing)
    rig.wire.expect("read c", nothing)
    rig.steps(3)
    assert rig.outlet.readings[-1].wall == started
    assert rig.clock.wall() == started + 2
    assert rig.device.last.get("a").wall == started


@given(st.lists(st.floats(-1e5, 1e5), max_size=60))
def test_timestamps_only_grow(steps: list[float]) -> None:
    """Whatever is done to the wall clock, each reading of a device is told with a later time than the one before."""
    rig = Rig(A)
    rig.poll(a=1.0)
    for step in steps:
        rig.clock.set_wall(rig.clock.wall() + step)
        rig.next_poll(a=1.0)
        rig.clock.set_wall(rig.clock.wall() - 10)
    told = [rfc3339(reading.wall) for reading in rig.outlet.readings]
    assert told == sorted(set(told))
    assert len(told) == len(steps) + 1


def test_timestamps_grow_while_the_clock_stands_back() -> None:
    """A clock set back once does not make two readings share a microsecond."""
    rig = Rig(A)
    rig.poll(a=1.0)
    for _ in range(50):
        rig.next_poll(a=1.0)
        rig.clock.set_wall(1_000_000_000.0)
    assert len({rfc3339(reading.wall) for reading in rig.outlet.readings}) == 51


# ---- unsupported points


def test_unsupported_points_are_left_out_and_asked_again() -> None:
    """What the device does not have stays an error without being asked for; after 60 s it is tried again."""
    rig = Rig()
    rig.poll(a=UNSUPPORTED, b=2.0)
    for _ in range(5):
        rig.next_poll(b=2.0)
        assert rig.outlet.readings[-1].errors == {"a": UNSUPPORTED}
    assert (rig.clock.now(), rig.state) == (1_050.0, DeviceState.DEGRADED)
    rig.next_poll(a=1.0, b=2.0)
    assert rig.state is DeviceState.ONLINE


def test_points_still_unsupported_wait_another_minute() -> None:
    """A second refusal leaves them out for as long again."""
    rig = Rig()
    rig.poll(a=UNSUPPORTED, b=2.0)
    rig.clock.advance(60)
    rig.poll(a=UNSUPPORTED, b=2.0)
    rig.clock.advance(59)
    rig.poll(b=2.0)


def test_points_that_stay_unsupported_are_asked_less_and_less_often() -> None:
    """After 1, 2, 4 ... minutes, hourly in the end; another refusal, or a new connection, begins with a minute again."""
    rig = Rig(A, B, interval=20)
    rig.poll(a=UNSUPPORTED, b=2.0)
    minutes = []
    while len(minutes) < 9:
        rig.clock.advance(rig.device.step() - rig.clock.now())
        again = {"a": UNSUPPORTED} if rig.clock.now() >= rig.device._rounds._ask_again else {}
        rig.poll(**again, b=2.0)
        minutes += [(rig.clock.now() - 1_000) / 60] if again else []
    assert minutes == [1, 3, 7, 15, 31, 63, 123, 183, 243]
    rig.next_poll(b=UNSUPPORTED)
    rig.clock.advance(60)
    rig.poll(a=UNSUPPORTED, b=2.0)


def test_a_new_connection_asks_for_everything() -> None:
    """After an outage it may be another device: nothing is left out."""
    rig = Rig()
    rig.poll(a=UNSUPPORTED, b=2.0)
    rig.next_poll(b=Unreachable("connection reset"))
    rig.next_poll(a=1.0, b=2.0)
    assert rig.state is DeviceState.ONLINE


def test_a_device_that_supports_nothing_is_there() -> None:
    """With every point left out nothing is asked, and the device stays degraded."""
    rig = Rig(A)
    rig.poll(a=UNSUPPORTED)
    rig.next_poll()
    assert rig.state is DeviceState.DEGRADED
    assert rig.device.last.get("a").error == UNSUPPORTED


# ---- what a driver learns


def test_what_a_driver_learns_is_told_once() -> None:
    """News are told after the poll that brought them, and again when they change."""
    rig = Rig()
    rig.poll(a=1.0, b=2.0)
    assert rig.outlet.facts == []
    rig.wire.facts = ("holding 7: refused",)
    rig.next_poll(a=1.0, b=2.0)
    rig.next_poll(a=1.0, b=2.0)
    assert rig.outlet.facts == [("holding 7: refused",)]
    rig.wire.facts = ()
    rig.next_poll(a=1.0, b=2.0)
    assert rig.outlet.facts == [("holding 7: refused",), ()]


def test_a_driver_recalls_what_its_spec_says() -> None:
    """What an earlier run has learned is given to the interface before it is opened, and is no news."""
    rig = Rig()
    known = dataclasses.replace(rig.spec, learned=("holding 7: refused",))
    rig.device = Device(known, Environment(rig.clock), rig.outlet, phase=0.0)
    rig.wire.log.clear()
    rig.poll(a=1.0, b=2.0)
    assert rig.wire.recalled[-1] == ("holding 7: refused",)
    assert rig.outlet.facts == []


# ---- last values


def test_last_values_follow_polls_and_reads() -> None:
    """What a client's read brought counts too; an offline device keeps its last values beside the error."""
    rig = Rig()
    rig.poll(a=1.0, b=2.0)
    first = rig.clock.wall()
    rig.clock.advance(1)
    rig.read(A)
    rig.poll(a=1.5)
    assert rig.device.last.get("a") == LastValue(1.5, first + 1)
    rig.next_poll(a=SILENT, b=SILENT)
    assert rig.device.last.get("b") == LastValue(2.0, first, PointError("timeout", "no answer"))


# ---- jobs


def test_writes_before_reads_before_the_poll() -> None:
    """Between two requests of a poll what clients want comes first, writes before reads."""
    rig = Rig(A, B)
    rig.wire.expect("read a", {"a": 1.0})
    rig.device.step()
    read, write = rig.read(A), rig.write(B, 5.0)
    rig.wire.expect("write b=5.0", 5.0)
    rig.wire.expect("read a", {"a": 1.5})
    rig.wire.expect("read b", {"b": 5.0})
    rig.steps(3)
    assert write.result == 5.0
    assert read.result.values == {"a": 1.5}
    assert rig.outlet.readings[-1].values == {"a": 1.0, "b": 5.0}


def test_jobs_do_not_wait_for_the_next_poll() -> None:
    """An idle device serves at once."""
    rig = Rig(A)
    rig.poll(a=1.0)
    job = rig.read(A)
    rig.wire.expect("read a", {"a": 2.0})
    rig.device.step()
    assert job.result == Reading("C/B/D", rig.clock.wall(), {"a": 2.0}, {})
    assert len(rig.outlet.readings) == 1


def test_a_long_read_lets_others_in_between() -> None:
    """A read of many batches makes room after each: a write, then another client's read."""
    rig = Rig(A, B)
    rig.poll(a=1.0, b=1.0)
    long, short = rig.read(A, B), rig.read(B)
    rig.wire.expect("read a", {"a": 1.0})
    rig.device.step()
    write = rig.write(A, 3.0)
    rig.wire.expect("write a=3.0", 3.0)
    rig.wire.expect("read b", {"b": 1.0})
    rig.wire.expect("read b", {"b": 1.5})
    rig.steps(3)
    assert (write.result, short.result.values, long.result.values) == (3.0, {"b": 1.0}, {"a": 1.0, "b": 1.5})


def test_an_answered_job_is_not_begun() -> None:
    """What the dispatcher has answered at the deadline is not asked of the device any more."""
    rig = Rig(A)
    rig.poll(a=1.0)
    jobs = [rig.read(A), rig.write(A, 1.0)]
    for job in jobs:
        job.ticket.expire()
    rig.device.step()
    assert rig.wire.log == ["open", "read a"]
    assert [job.code for job in jobs] == ["timeout", "timeout"]


def test_a_read_that_brings_part_is_a_reading() -> None:
    """Points that failed are errors in the answer, the others have values."""
    rig = Rig(A, B)
    rig.poll(a=1.0, b=1.0)
    job = rig.read(A, B)
    rig.wire.expect("read a", SILENT)
    rig.wire.expect("read b", {"b": 2.0})
    rig.steps(2)
    assert (job.result.values, job.result.errors) == ({"b": 2.0}, {"a": PointError("timeout", "no answer")})


@pytest.mark.parametrize(
    ("error", "code", "state"),
    [(SILENT, "timeout", DeviceState.ONLINE), (Unreachable("reset"), "device_offline", DeviceState.OFFLINE)],
)
def test_a_read_without_any_answer_fails(error: Exception, code: str, state: DeviceState) -> None:
    """A timeout is the request's alone; a lost connection is the device's."""
    rig = Rig(A)
    rig.poll(a=1.0)
    job = rig.read(A)
    rig.poll(a=error)
    assert (job.code, rig.state) == (code, state)


def test_a_connection_lost_by_a_read_ends_the_poll_under_way() -> None:
    """What the poll had brought is published with the rest as errors, and counts as the last values."""
    rig = Rig(A, B, C)
    rig.poll(a=UNSUPPORTED, b=2.0, c=3.0)
    rig.clock.advance(10)
    rig.wire.expect("read b", {"b": 2.5})
    rig.device.step()
    job = rig.read(C)
    rig.wire.expect("read c", Unreachable("reset"))
    rig.device.step()
    assert job.code == "device_offline"
    reading = rig.outlet.readings[-1]
    assert reading.values == {"b": 2.5}
    assert reading.errors == {"a": UNSUPPORTED, "c": PointError("timeout", "reset")}
    assert rig.device.last.get("b").value == 2.5


def test_a_full_queue_is_busy() -> None:
    """So many requests may wait, not more; those that wait are served."""
    rig = Rig(A)
    jobs = [rig.read(A) if number % 2 else rig.write(A, 1.0) for number in range(QUEUE_LIMIT)]
    with pytest.raises(Busy):
        rig.read(A)
    with pytest.raises(Busy):
        rig.write(A, 1.0)
    assert all(job.answers == [] for job in jobs)


# ---- writes


def test_a_write_answers_with_what_the_device_took() -> None:
    """The value comes from the device, not from the request."""
    rig = Rig(A)
    job = rig.write(A, 5.0)
    rig.wire.expect("write a=5.0", 4.5)
    rig.device.step()
    assert job.result == 4.5


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (SILENT, "outcome_unknown"),
        (Unreachable("reset"), "outcome_unknown"),
        (Rejected("illegal value"), "device_rejected"),
        (NotTaken("it holds 4"), "device_rejected"),
        (BadValue("the device holds 7, which is not in the Enum"), "outcome_unknown"),
    ],
)
def test_what_becomes_of_a_write_that_left(error: Exception, code: str) -> None:
    """Only a refusal by the device is a plain failure; it is never sent twice."""
    rig = Rig(A)
    job = rig.write(A, 5.0)
    rig.wire.expect("write a=5.0", error)
    if code == "outcome_unknown":
        rig.wire.expect("read a", {"a": 5.0})
    rig.device.step()
    assert job.code == code
    assert rig.wire.log.count("write a=5.0") == 1
    assert job.data == ({"read_back": 5.0} if code == "outcome_unknown" else {})


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (Transient("no slot"), "timeout"),
        (Unreachable("reset"), "device_offline"),
        (BadValue("too long"), "bad_value"),
    ],
)
def test_a_write_that_did_not_leave_fails_with_its_own_code(error: Exception, code: str) -> None:
    """Before the bytes go nothing is unknown."""
    rig = Rig(A)
    rig.wire.unsent = error
    job = rig.write(A, 5.0)
    rig.device.step()
    assert job.code == code
    assert (rig.device.status.state is DeviceState.OFFLINE) == isinstance(error, Unreachable)


def test_a_write_after_its_deadline_does_not_leave() -> None:
    """Also when nobody has answered it yet."""
    rig = Rig(A)
    job = rig.write(A, 5.0, deadline=10.0)
    rig.clock.advance(10.0)
    rig.device.step()
    assert job.code == "timeout"
    assert not [asked for asked in rig.wire.log if asked.startswith("write")]


def test_the_guard_is_asked_right_before_the_bytes() -> None:
    """Who may not write any more does not: the guard's word is the answer, and the claim is not taken."""
    rig = Rig(A)

    def guard() -> None:
        assert rig.wire.log == ["open"]
        raise LeaseRequired("the lease has ended")

    job = rig.write(A, 5.0, guard=guard)
    rig.device.step()
    assert job.code == "lease_required"
    assert not job.ticket.claimed
    assert rig.wire.log == ["open"]


def test_nothing_is_written_before_the_claim_is_settled() -> None:
    """Until it is known whose the device is, reads and polls go on and writes wait."""
    rig = Rig(A, settle=1_001.0)
    write, read = rig.write(A, 5.0), rig.read(A)
    rig.wire.expect("read a", {"a": 1.0})
    rig.device.step()
    assert read.result.values == {"a": 1.0}
    rig.poll(a=1.0)
    assert write.answers == []
    assert rig.device.step() == 1_001.0
    rig.clock.advance(1)
    rig.wire.expect("write a=5.0", 5.0)
    rig.device.step()
    assert write.result == 5.0


def test_a_device_that_another_gateway_may_be_at_is_not_asked() -> None:
    """Until the other has let go of it, or its time is over, nothing is polled, read, written or given back."""
    rig = Rig(A)
    rig.device.work.hold(1_011.0)
    read = rig.read(A)
    assert rig.device.step() == 1_011.0
    rig.device.wait(rig.clock.now())
    assert rig.wire.log == []
    rig.device.work.hold(0.0)
    rig.wire.expect("read a", {"a": 1.0})
    rig.device.step()
    assert read.result.values == {"a": 1.0}


def test_null_goes_to_the_driver() -> None:
    """A write of nothing is the driver's to understand."""
    rig = Rig(A)
    job = rig.write(A, None)
    rig.wire.expect("write a=None", None)
    rig.device.step()
    assert job.result is None


def test_values_are_scaled_on_the_way() -> None:
    """The driver gets raw values, the client engineering ones."""
    scaled = point("a", raw_type="integer", scale=0.5, offset=10, writable=True)
    rig = Rig(scaled)
    job = rig.write(scaled, 15.0)
    rig.wire.expect("write a=10", 12)
    rig.device.step()
    assert job.result == 16.0


# ---- a new specification


def test_a_reload_closes_and_opens() -> None:
    """With a new config the device starts anew, on a new connection, and is polled at once."""
    rig = Rig(A)
    rig.poll(a=1.0)
    new = spec(rig.wire, B)
    rig.device.work.reconfigure(new, 0.0, rig.clock.now())
    rig.device.step()
    assert (rig.device.spec, rig.state) == (new, DeviceState.STARTING)
    assert rig.device.last.get("a") == LastValue()
    rig.poll(b=2.0)
    assert rig.wire.log == ["open", "read a", "close", "open", "read b"]
    assert rig.outlet.readings[-1].values == {"b": 2.0}
    assert rig.state is DeviceState.ONLINE


def test_a_reload_waits_for_its_time() -> None:
    """A reload that is spread over the interval comes when it is due, not before, and wakes the thread for it."""
    rig = Rig(A)
    rig.poll(a=1.0)
    rig.device.work.reconfigure(spec(rig.wire, B), 0.0, rig.clock.now() + 3)
    assert rig.device.step() == 1_003.0
    assert rig.device.spec is rig.spec
    rig.clock.advance(3)
    rig.device.step()
    assert rig.device.spec is not rig.spec


def test_jobs_of_an_old_specification_are_refused() -> None:
    """What was checked against the old points is not carried out on the new ones, also in the middle of a read."""
    rig = Rig(A, B)
    rig.poll(a=1.0, b=1.0)
    begun = rig.read(A, B)
    rig.wire.expect("read a", {"a": 1.0})
    rig.device.step()
    waiting = rig.write(A, 5.0)
    rig.device.work.reconfigure(spec(rig.wire, A), 0.0, rig.clock.now())
    rig.steps(3)
    assert (begun.code, waiting.code) == ("busy", "busy")
    assert not rig.wire.script


def test_counters_and_timestamps_survive_a_reload() -> None:
    """They are the device's, not the specification's."""
    rig = Rig(A)
    rig.poll(a=1.0)
    rig.clock.advance(30)
    rig.poll(a=1.0)
    rig.device.work.reconfigure(spec(rig.wire, A, interval=5), 0.0, rig.clock.now())
    rig.clock.set_wall(0.0)
    rig.device.step()
    rig.poll(a=1.0)
    assert (rig.device.counters.polls, rig.device.counters.missed) == (3, 2)
    assert rig.outlet.readings[-1].wall > rig.outlet.readings[-2].wall


# ---- crashes and the end


def crash(rig: Rig) -> None:
    """What the thread does with a bug in the driver."""
    with pytest.raises(ZeroDivisionError) as caught:
        rig.device.step()
    rig.device.crashed(caught.value)


def test_a_crash_marks_the_device_and_it_goes_on() -> None:
    """A bug in a driver takes the device offline with the code ``internal``, without its words; later it is tried again."""
    rig = Rig(A)
    rig.wire.expect("read a", ZeroDivisionError("secret"))
    crash(rig)
    status = rig.outlet.statuses[-1]
    assert status.reason is not None
    assert (status.state, status.reason.code) == (DeviceState.OFFLINE, "internal")
    assert "secret" not in status.reason.message
    assert rig.device.counters.failures == 1
    rig.next_poll(a=1.0)
    assert rig.state is DeviceState.ONLINE


def test_a_crash_answers_the_job_in_hand() -> None:
    """Its client hears of it at once; the jobs that wait are not touched."""
    rig = Rig(A)
    rig.poll(a=1.0)
    job, other = rig.read(A), rig.read(A)
    rig.wire.expect("read a", ZeroDivisionError())
    crash(rig)
    assert job.code == "internal"
    assert other.answers == []


def test_a_crash_after_the_bytes_went_is_an_unknown_outcome() -> None:
    """A write that left may have been carried out, whatever the driver did then."""
    rig = Rig(A)
    job = rig.write(A, 5.0)
    rig.wire.expect("write a=5.0", ZeroDivisionError())
    crash(rig)
    assert job.code == "outcome_unknown"


def test_the_end_answers_what_waits() -> None:
    """A device that is stopped takes no more, answers the rest ``unavailable`` and lets go of the connection."""
    rig = Rig(A)
    jobs = [rig.read(A), rig.write(A, 1.0)]
    rig.device.close()
    with pytest.raises(Unavailable):
        rig.read(A)
    rig.device.finish()
    assert [job.code for job in jobs] == ["unavailable", "unavailable"]
    assert rig.wire.log == ["close"]


def test_what_waits_for_a_device_given_up_is_not_answered() -> None:
    """The gateway that has the device now has the same requests."""
    rig = Rig(A)
    jobs = [rig.read(A), rig.write(A, 1.0)]
    rig.device.close(abandon=True)
    rig.device.close()
    rig.device.finish()
    assert [job.answers for job in jobs] == [[], []]
    assert all(job.ticket.answered for job in jobs)


# ---- waiting


class StillCondition:
    """A condition that notes how long somebody would wait."""

    def __init__(self) -> None:
        self.waits: list[float] = []

    def __enter__(self) -> None: ...
    def __exit__(self, *_: object) -> None: ...
    def notify(self) -> None:
        """Nobody waits."""

    def wait(self, timeout: float) -> None:
        """Do not wait."""
        self.waits.append(timeout)


@pytest.mark.parametrize(
    ("meanwhile", "waits"),
    [
        (lambda rig: None, [10.0]),
        (lambda rig: rig.read(A), []),
        (lambda rig: rig.device.close(), []),
        (lambda rig: rig.device.work.reconfigure(rig.spec, 0.0, 1_000.0), [0.0]),
        (lambda rig: rig.device.work.reconfigure(rig.spec, 0.0, 1_004.0), [4.0]),
        (lambda rig: rig.write(A, 1.0), [5.0]),
    ],
)
def test_what_comes_before_the_wait_is_not_slept_through(meanwhile: Callable[[Rig], object], waits: list[float]) -> None:
    """Whatever comes between a step and the wait after it shortens the wait; a write waits for the claim to settle."""
    rig = Rig(A, settle=1_005.0)
    rig.poll(a=1.0)
    until = rig.device.step()
    condition = rig.device.work._changed = StillCondition()  # type: ignore[assignment]
    meanwhile(rig)
    rig.device.wait(until)
    assert condition.waits == waits


# ---- what is looked at before and after a write


def test_the_present_value_is_read_before_the_write() -> None:
    """Where it is wanted, it is read on the device's thread, right before, and handed over before the bytes go."""
    rig = Rig(A)
    job = rig.write(A, 5.0, wants=True)
    rig.wire.expect("read a", {"a": 3.0})
    rig.wire.expect("write a=5.0", 5.0)
    rig.device.step()
    assert (job.result, rig.warrant.recorded) == (5.0, [3.0])


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        (SILENT, "timeout"),
        (Unreachable("reset"), "device_offline"),
        ({"a": UNSUPPORTED}, "device_rejected"),
    ],
)
def test_without_the_present_value_nothing_is_written(answer: Any, code: str) -> None:
    """A write that could not be given back is refused."""
    rig = Rig(A)
    job = rig.write(A, 5.0, wants=True)
    rig.wire.expect("read a", answer)
    rig.device.step()
    assert (job.code, rig.warrant.recorded, rig.warrant.sent) == (code, [], False)


def test_a_read_back_that_fails_is_left_out() -> None:
    """The outcome is unknown all the same, and the device is offline if its connection is gone."""
    rig = Rig(A)
    job = rig.write(A, 5.0)
    rig.wire.expect("write a=5.0", Unreachable("reset"))
    rig.wire.expect("read a", Unreachable("reset"))
    rig.device.step()
    assert (job.code, job.data, rig.state) == ("outcome_unknown", {}, DeviceState.OFFLINE)


def test_after_the_deadline_nobody_looks() -> None:
    """The answer is not waited for any more: no request is spent on it."""
    rig = Rig(A)
    job = rig.write(A, 5.0)
    rig.wire.expect("write a=5.0", lambda: rig.late(SILENT))
    rig.device.step()
    assert (job.code, rig.wire.log) == ("outcome_unknown", ["open", "write a=5.0"])


# ---- reverts


def test_a_revert_comes_before_everything() -> None:
    """It is the next request, before a write that came earlier, a read, a new configuration and the rest of a poll."""
    rig = Rig(A)
    rig.write(A, 5.0)
    rig.read(A)
    rig.device.work.reconfigure(spec(rig.wire, A, B), 0.0, 0.0)
    debt = rig.revert(A, 1.0)
    rig.wire.expect("write a=1.0", 1.0)
    rig.device.step()
    assert (debt.ends, debt.claims) == ([(1.0, None)], 1)


def test_a_revert_that_times_out_is_repeated() -> None:
    """At most five seconds pass between two tries, and the device's reads and polls go on meanwhile."""
    rig = Rig(A)
    debt = rig.revert(A, 1.0)
    tried = []
    for _ in range(6):
        rig.wire.expect("write a=1.0", SILENT)
        while rig.wire.script:
            if rig.device.work.next_revert(rig.clock.now()) is None:
                rig.clock.advance(0.1)
            else:
                tried.append(rig.clock.now())
                rig.device.step()
    assert all(b - a <= 5.2 for a, b in itertools.pairwise(tried))
    assert debt.ends == []
    rig.poll(a=2.0)
    rig.clock.advance(5.0)
    rig.wire.expect("write a=1.0", 1.0)
    rig.device.step()
    assert debt.ends == [(1.0, None)]


def test_a_refused_revert_is_over() -> None:
    """The device says no: it is told and not asked again."""
    rig = Rig(A)
    debt = rig.revert(A, 1.0)
    rig.wire.expect("write a=1.0", Rejected("illegal value"))
    rig.device.step()
    [(_, error)] = debt.ends
    assert error is not None
    assert error.code == "device_rejected"
    assert rig.device.work.next_revert(rig.clock.now() + 100) is None


def test_a_revert_tries_an_offline_device_at_once() -> None:
    """The pause of polls does not hold it back."""
    rig = Rig(A)
    rig.wire.down = Unreachable("no route")
    rig.device.step()
    assert rig.state is DeviceState.OFFLINE
    rig.wire.down = None
    debt = rig.revert(A, 1.0)
    rig.wire.expect("write a=1.0", 1.0)
    rig.device.step()
    assert debt.ends == [(1.0, None)]


def test_one_mute_point_does_not_hold_up_the_others() -> None:
    """A revert without an answer gives way to the next one; after two in a row all wait."""
    rig = Rig(A, B, C)
    debts = [rig.revert(point, 1.0) for point in (A, B, C)]
    rig.wire.expect("write a=1.0", SILENT)
    rig.wire.expect("write b=1.0", 1.0)
    rig.wire.expect("write c=1.0", 1.0)
    rig.steps(3)
    assert [len(debt.ends) for debt in debts] == [0, 1, 1]


def test_a_revert_waits_for_the_claim_to_settle() -> None:
    """A device that may be another gateway's is not written."""
    rig = Rig(A, settle=1_005.0)
    rig.poll(a=2.0)
    debt = rig.revert(A, 1.0)
    rig.device.step()
    assert debt.claims == 0
    rig.clock.advance(5.0)
    rig.wire.expect("write a=1.0", 1.0)
    rig.device.step()
    assert debt.claims == 1


def test_a_new_configuration_waits_for_reverts() -> None:
    """For ten seconds; then it is in force, and a revert that its connection does not fit is somebody else's."""
    rig = Rig(A)
    rig.poll(a=2.0)
    debt = rig.revert(A, 1.0)
    rig.wire.expect("write a=1.0", SILENT)
    other = Wire("other")
    rig.device.work.reconfigure(spec(other, A), 0.0, rig.clock.now())
    rig.device.step()
    rig.clock.advance(0.2)
    rig.device.step()
    assert rig.device.spec is rig.spec
    rig.wire.script.clear()
    rig.clock.advance(10.0)
    rig.wire.expect("write a=1.0", SILENT)
    while rig.device.spec is rig.spec:
        rig.device.step()
    assert debt.strandings == 1


def test_the_end_waits_for_reverts() -> None:
    """A device that is being stopped takes no request and polls no more, but gives back until its time is over."""
    rig = Rig(A, B)
    rig.poll(a=2.0, b=2.0)
    first, second = rig.revert(A, 1.0), rig.revert(B, 1.0)
    rig.device.close(drain_until=rig.clock.now() + 3.0)
    with pytest.raises(Unavailable):
        rig.write(A, 5.0)
    rig.wire.expect("write a=1.0", 1.0)
    rig.wire.expect("write b=1.0", SILENT)
    rig.steps(2)
    assert not rig.device.over
    rig.clock.advance(3.0)
    assert rig.device.over
    rig.device.finish()
    assert (first.ends, second.ends, second.strandings) == ([(1.0, None)], [], 1)


def test_who_ends_waits_for_its_reverts_whatever_configuration_came() -> None:
    """A new configuration that was due wakes nobody who is being stopped: the thread waits for the next try of a revert."""
    rig = Rig(A, B)
    rig.poll(a=2.0, b=2.0)
    rig.revert(A, 1.0)
    rig.device.work.reconfigure(spec(rig.wire, B), 0.0, rig.clock.now())
    rig.device.close(drain_until=rig.clock.now() + 60.0)
    rig.clock.advance(11.0)
    rig.wire.expect("write a=1.0", SILENT)
    assert rig.device.step() > rig.clock.now()


def test_a_revert_that_is_not_wanted_any_more_is_left_out() -> None:
    """Given up meanwhile: nothing is sent."""
    rig = Rig(A)
    rig.revert(A, 1.0).over = True
    rig.wire.expect("read a", {"a": 2.0})
    rig.device.step()
    assert rig.wire.log == ["open", "read a"]


def test_a_bug_in_the_driver_does_not_lose_a_revert() -> None:
    """It is tried again after a pause."""
    rig = Rig(A)
    debt = rig.revert(A, 1.0)
    rig.wire.expect("write a=1.0", ZeroDivisionError())
    with pytest.raises(ZeroDivisionError):
        rig.device.step()
    rig.device.crashed(ZeroDivisionError())
    rig.clock.advance(1.0)
    rig.wire.expect("write a=1.0", 1.0)
    rig.device.step()
    assert debt.ends == [(1.0, None)]


# ---- the thread


def test_the_thread_polls_serves_and_ends() -> None:
    """On a real thread: a poll, a request, a crash that it survives, and an end that is told."""
    rig = Rig(A)
    online, crashed, ended = threading.Event(), threading.Event(), threading.Event()

    class Outlet(RecordingOutlet):
        def status(self, path: str, status: Any) -> None:
            (crashed if status.state is DeviceState.OFFLINE else online).set()

    device = Device(rig.spec, Environment(SystemClock()), Outlet(), 0.0)
    thread = DeviceThread(device, lambda path: ended.set())
    rig.wire.expect("read a", {"a": 1.0})
    thread.start()
    assert online.wait(10)
    answered: list[Any] = []
    done = threading.Event()

    def answer(result: Any, error: GatewayError | None) -> None:
        answered.append((result, error))
        done.set()

    rig.wire.expect("read a", ZeroDivisionError("a bug"))
    device.submit(ReadJob(rig.spec, (A,), Ticket(SystemClock().now() + 10, answer), lambda reading: reading))
    assert done.wait(10)
    assert answered[0][1].code == "internal"
    assert crashed.wait(10)
    thread.stop()
    thread.stop()
    assert thread.join(10)
    assert ended.is_set()
    assert rig.wire.log[-1] == "close"


def test_the_end_is_told_also_when_closing_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    """A driver that can not even close does not keep its device from being replaced."""
    rig = Rig(A)
    told: list[str] = []
    thread = DeviceThread(rig.device, told.append)
    rig.device.close()
    monkeypatch.setattr(rig.device, "finish", lambda: 1 / 0)
    monkeypatch.setattr(device_thread, "RESTART", 0.0)
    thread._run()
    assert told == ["C/B/D"]


def test_a_failure_outside_of_the_driver_ends_the_device(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who waits is answered, the driver lets go, and the end is told, so that the device begins anew."""
    rig = Rig(A)
    told: list[str] = []
    thread = DeviceThread(rig.device, told.append)
    job = rig.read(A)
    monkeypatch.setattr(rig.device, "step", lambda: 1 / 0)
    monkeypatch.setattr(rig.device, "crashed", lambda error: [].pop())
    monkeypatch.setattr(device_thread, "RESTART", 0.0)
    thread._run()
    assert job.code == "unavailable"
    assert rig.wire.log[-1] == "close"
    assert told == ["C/B/D"]


def test_a_thread_that_is_silent_is_late(monkeypatch: pytest.MonkeyPatch) -> None:
    """It says before each wait when it is due, and before each step that it lives; one that has ended is not late."""
    rig = Rig(A)
    thread = DeviceThread(rig.device, lambda path: None)
    monkeypatch.setattr(thread._thread, "is_alive", lambda: True)
    monkeypatch.setattr(rig.device.work, "wait", lambda until: None)
    assert not thread.late(rig.clock.now())  # it has not had its first turn yet
    rig.wire.expect("read a", {"a": 1.0})
    rig.device.wait(rig.device.step())
    due = rig.device.due
    assert due == rig.device._rounds.due
    assert not thread.late(due + DEVICE_PATIENCE)
    assert thread.late(due + DEVICE_PATIENCE + 1)
    rig.clock.advance(due - rig.clock.now() + DEVICE_PATIENCE + 1)
    rig.wire.expect("read a", {"a": 1.0})
    rig.device.step()
    assert not thread.late(rig.clock.now())
    monkeypatch.setattr(thread._thread, "is_alive", lambda: False)
    assert not thread.late(float("inf"))


def test_a_stranger_is_told_the_guards_words() -> None:
    """The answer to a write of a device that has gone to another gateway is the guard's error."""
    rig = Rig(A)

    def guard() -> None:
        raise UnknownDevice("it has gone")

    job = rig.write(A, 5.0, guard=guard)
    rig.device.step()
    assert job.code == "unknown_device"


# ---- what a device tells by itself


def test_what_a_device_tells_is_published_at_once() -> None:
    """A notice wakes the thread and is told with only its points, later than the reading before; the next poll stays due."""
    rig = Rig()
    rig.poll(a=1.0, b=2.0)
    rig.wire.told = [(A, 5.0)]
    rig.device._interface.wake()
    rig.device.wait(rig.clock.now() + 3600)
    assert rig.device.step() == 1_010.0
    assert rig.outlet.readings[1:] == [Reading("C/B/D", rig.clock.wall() + 1e-6, {"a": 5.0}, {})]
    assert rig.device.last.get("a").value == 5.0
    rig.device.crashed(RuntimeError("a bug"))
    assert rig.outlet.statuses[-1].last_reading == rig.outlet.readings[-1].wall


def test_no_change_is_lost_when_several_are_told_together() -> None:
    """Each value of a point stands in a reading of its own, in the order in which they came; errors among them."""
    rig = Rig()
    rig.poll(a=1.0, b=2.0)
    rig.wire.told = [(A, 5.0), (B, 6.0), (A, 7.0), (B, math.inf)]
    rig.device._interface.wake()
    rig.device.step()
    assert [reading.values for reading in rig.outlet.readings[1:]] == [{"a": 5.0, "b": 6.0}, {"a": 7.0}]
    assert rig.outlet.readings[-1].errors["b"].code == "bad_value"
    assert len({reading.wall for reading in rig.outlet.readings}) == 3


def test_a_poll_does_not_bring_back_what_it_read_before_a_notice() -> None:
    """What a poll under way has read already is replaced by what the device told since."""
    rig = Rig()
    rig.wire.expect("read a", {"a": 1.0})
    rig.device.step()
    rig.wire.told = [(A, 5.0)]
    rig.device._interface.wake()
    rig.wire.expect("read b", {"b": 2.0})
    rig.device.step()
    assert [reading.values for reading in rig.outlet.readings] == [{"a": 5.0}, {"a": 5.0, "b": 2.0}]


def test_a_device_that_is_not_connected_tells_nothing() -> None:
    """What still comes from a connection that was given up is not taken for a value."""
    rig = Rig()
    rig.wire.down = Unreachable("away")
    rig.device.step()
    rig.device._interface.wake()
    rig.wire.told = [(A, 5.0)]
    rig.device.step()
    assert rig.outlet.readings == []


def test_what_a_device_says_against_its_values_goes_with_them() -> None:
    """The quality of points that were read stands in the reading and in the last values, of no others."""
    rig = Rig()
    fault = Quality(("fault",), "open-loop")
    rig.device._interface.quality = {"a": fault}
    rig.poll(a=1.0, b=2.0)
    assert rig.outlet.readings[-1].quality == {"a": fault}
    assert rig.device.last.get("a").quality == fault
    assert rig.device.last.get("b").quality is None
    job = rig.read(B)
    rig.wire.expect("read b", {"b": 2.0})
    rig.device.step()
    assert job.result.quality == {}
    rig.device._interface.quality = {}
    rig.next_poll(a=1.0, b=2.0)
    assert rig.outlet.readings[-1].quality == {}
    assert rig.device.last.get("a").quality is None
