from __future__ import annotations

import pytest

from gateway.clock import Clock
from gateway.errors import Rejected, Transient, Unreachable
from gateway.interfaces.base import Batch, Interface, Split
from gateway.model import PointError
from gateway.sweep import Sweep
from tests.fakes import FakeClock, ScriptedInterface, Wire, point

A, B, C, D = (point(name) for name in "abcd")
REFUSED = PointError("device_rejected", "illegal data address")
TIMEOUT = PointError("timeout", "no answer")


@pytest.fixture
def wire() -> Wire:
    """The device."""
    return Wire()


@pytest.fixture
def interface(wire: Wire, env) -> Interface:
    """Its driver."""
    return ScriptedInterface(wire, env)


def sweep(interface: Interface, clock: Clock, *registers) -> Sweep:
    """A sweep over these registers, asked for one by one."""
    return Sweep(interface.batches(registers), clock)


def run(sweep: Sweep, interface: Interface) -> Sweep:
    """The sweep when it is done."""
    while not sweep.done:
        sweep.step(interface)
    return sweep


def test_each_step_is_one_request(wire: Wire, interface: Interface, clock: FakeClock) -> None:
    """A step asks for the next batch and no other."""
    wire.expect("read a", {"a": 1.0})
    wire.expect("read b", {"b": 2.0})
    it = sweep(interface, clock, A, B)
    it.step(interface)
    assert (wire.log, it.done, it.values) == (["read a"], False, {"a": 1.0})
    it.step(interface)
    assert (wire.log, it.done, it.values) == (["read a", "read b"], True, {"a": 1.0, "b": 2.0})


def test_a_refused_point_is_an_error_of_its_own(wire: Wire, interface: Interface, clock: FakeClock) -> None:
    """A refusal counts as an answer and leaves the other points alone."""
    wire.expect("read a", {"a": REFUSED})
    wire.expect("read b", {"b": 2.0})
    it = run(sweep(interface, clock, A, B), interface)
    assert (it.values, it.errors) == ({"b": 2.0}, {"a": REFUSED})
    assert it.answered
    assert it.trouble is None


def test_two_timeouts_in_a_row_end_it(wire: Wire, interface: Interface, clock: FakeClock) -> None:
    """After two requests without an answer the rest is not asked for, and is told as timed out."""
    wire.expect("read a", {"a": 1.0})
    wire.expect("read b", Transient("no answer"))
    wire.expect("read c", Transient("no answer"))
    it = run(sweep(interface, clock, A, B, C, D), interface)
    assert (it.values, it.errors) == ({"a": 1.0}, {"b": TIMEOUT, "c": TIMEOUT, "d": TIMEOUT})
    assert it.answered
    assert not it.lost


def test_an_answer_between_two_timeouts_lets_it_go_on(wire: Wire, interface: Interface, clock: FakeClock) -> None:
    """Only timeouts in a row end a sweep."""
    wire.expect("read a", Transient("no answer"))
    wire.expect("read b", {"b": 2.0})
    wire.expect("read c", Transient("no answer"))
    wire.expect("read d", {"d": 4.0})
    it = run(sweep(interface, clock, A, B, C, D), interface)
    assert (it.values, it.errors) == ({"b": 2.0, "d": 4.0}, {"a": TIMEOUT, "c": TIMEOUT})


def test_a_lost_connection_ends_it_at_once(wire: Wire, interface: Interface, clock: FakeClock) -> None:
    """Nothing more is asked on a connection that is gone; what was read stays."""
    wire.expect("read a", {"a": 1.0})
    wire.expect("read b", Unreachable("connection reset"))
    it = run(sweep(interface, clock, A, B, C), interface)
    assert it.values == {"a": 1.0}
    assert it.errors == dict.fromkeys("bc", PointError("timeout", "connection reset"))
    assert it.lost
    assert isinstance(it.trouble, Unreachable)


def test_silence_is_no_answer(wire: Wire, interface: Interface, clock: FakeClock) -> None:
    """When nothing came at all the sweep says that the device did not answer, and why."""
    wire.expect("read a", Transient("no answer"))
    it = run(sweep(interface, clock, A), interface)
    assert not it.answered
    assert isinstance(it.trouble, Transient)


def test_a_split_batch_comes_next_in_order(wire: Wire, interface: Interface, clock: FakeClock) -> None:
    """The smaller batches of one that the device refused take its place, before the rest."""
    wire.batch = 2
    wire.expect("read a,b", Split([Batch((A,)), Batch((B,))]))
    wire.expect("read a", {"a": 1.0})
    wire.expect("read b", {"b": REFUSED})
    wire.expect("read c", {"c": 3.0})
    it = run(sweep(interface, clock, A, B, C), interface)
    assert (it.values, it.errors) == ({"a": 1.0, "c": 3.0}, {"b": REFUSED})


def test_a_split_is_an_answer(wire: Wire, interface: Interface, clock: FakeClock) -> None:
    """A device that refuses a batch as a whole is there: timeouts before and after it are not in a row."""
    wire.batch = 2
    wire.expect("read a,b", Transient("no answer"))
    wire.expect("read c,d", Split([Batch((C,)), Batch((D,))]))
    wire.expect("read c", Transient("no answer"))
    wire.expect("read d", {"d": 4.0})
    assert run(sweep(interface, clock, A, B, C, D), interface).values == {"d": 4.0}


def test_the_time_is_that_of_the_last_answer(wire: Wire, interface: Interface, clock: FakeClock) -> None:
    """Seconds spent waiting for answers that do not come do not make the values look newer."""
    started = clock.wall()

    def answer():
        clock.advance(0.25)
        return {"a": 1.0}

    def nothing():
        clock.advance(1.0)
        raise Transient("no answer")

    wire.expect("read a", answer)
    wire.expect("read b", nothing)
    wire.expect("read c", nothing)
    assert run(sweep(interface, clock, A, B, C), interface).wall == started + 0.25


def test_an_empty_sweep_is_done(interface: Interface, clock: FakeClock) -> None:
    """A device without points has nothing to be asked."""
    it = sweep(interface, clock)
    assert it.done
    assert not it.answered


def test_other_errors_are_not_swallowed(wire: Wire, interface: Interface, clock: FakeClock) -> None:
    """A bug in a driver comes out."""
    wire.expect("read a", ValueError("a bug"))
    with pytest.raises(ValueError, match="a bug"):
        sweep(interface, clock, A).step(interface)


def test_a_refusal_is_an_answer(wire: Wire, interface: Interface, clock: FakeClock) -> None:
    """A batch that the device rejects fails under that code, and counts as heard from."""
    wire.expect("read a", Rejected("the device says no"))
    it = sweep(interface, clock, A)
    it.step(interface)
    assert it.answered
    assert it.errors == {"a": PointError("device_rejected", "the device says no")}


def test_what_is_read_for_others_is_no_point(wire: Wire, interface: Interface, clock: FakeClock) -> None:
    """A hidden register that is lost with the connection is no error of any point."""
    hidden = point("scale", hidden=True)
    wire.expect("read scale", Unreachable("connection reset"))
    it = run(sweep(interface, clock, hidden, A), interface)
    assert list(it.errors) == ["a"]
