"""Who asks next, and which writes may still leave."""

from __future__ import annotations

import asyncio

import pytest

pytest.importorskip("bacpypes3", reason="bacpypes3 is not installed")
from gateway.interfaces._bacnet.stack.exchange import Guard  # only where the library is installed
from gateway.interfaces._bacnet.stack.failures import NotSent
from gateway.interfaces._bacnet.stack.gate import Full, Gate, Lanes
from tests.fakes import FakeClock


async def let_others_run() -> None:
    """Give every task that can run its go."""
    for _ in range(10):
        await asyncio.sleep(0)


def test_urgent_ones_go_first_and_others_in_order() -> None:
    """One at a time: a write that came last is next, reads follow in the order in which they came."""

    async def scenario() -> list[str]:
        gate, order, go = Gate(1, 10), [], asyncio.Event()

        async def visit(name: str, urgent: bool) -> None:
            async with gate.turn(urgent):
                order.append(name)
                await go.wait()

        tasks = [asyncio.create_task(visit(name, name.startswith("write"))) for name in ("a", "b", "c", "write")]
        await let_others_run()
        assert order == ["a"]
        go.set()
        await asyncio.gather(*tasks)
        return order

    assert asyncio.run(scenario()) == ["a", "write", "b", "c"]


def test_too_many_are_refused_at_once() -> None:
    """Whoever finds the queue full is told so, and does not wait."""

    async def scenario() -> None:
        gate = Gate(1, 1)
        async with gate.turn(False):
            waiting = asyncio.create_task(gate.turn(False).__aenter__())
            await let_others_run()
            with pytest.raises(Full):
                await gate.turn(False).__aenter__()
            waiting.cancel()

    asyncio.run(scenario())


def test_turn_of_one_that_gave_up_goes_to_the_next() -> None:
    """A turn is not lost with a request that was cancelled, be it at the moment when its turn came."""

    async def scenario() -> None:
        gate = Gate(1, 10)
        first = gate.turn(False)
        await first.__aenter__()
        gone = asyncio.create_task(gate.turn(False).__aenter__())
        next_ = asyncio.create_task(gate.turn(False).__aenter__())
        await let_others_run()
        await first.__aexit__(None, None, None)
        gone.cancel()
        await asyncio.wait_for(next_, 5)

    asyncio.run(scenario())


def test_silent_devices_take_no_turns_of_living_ones() -> None:
    """However many silent devices hold their turns, a device that answers is asked."""

    async def scenario() -> None:
        lanes = Lanes()

        async def hold(address: str) -> None:
            async with lanes.turn(lanes.lane(address), False):
                await asyncio.Event().wait()

        holding = [asyncio.create_task(hold(f"10.0.0.{number}")) for number in range(100)]
        await let_others_run()
        living = lanes.lane("10.0.1.1")
        living.silent = False
        async with asyncio.timeout(5), lanes.turn(living, False):
            pass
        for task in holding:
            task.cancel()

    asyncio.run(scenario())


def test_guard_lets_a_write_leave_only_in_time() -> None:
    """Before the deadline a write passes, at the deadline it does not; one that has begun is not torn."""
    clock = FakeClock()
    guard = Guard(clock.now() + 1, clock.now)
    clock.advance(0.9)
    assert guard.lets_pass()
    clock.advance(5)
    assert guard.lets_pass(), "the rest of a write that has begun"
    late = Guard(clock.now(), clock.now)
    assert not late.lets_pass()
    assert not late.sent


def test_cancelled_write_never_leaves() -> None:
    """A guard that was closed before the bytes went lets nothing pass, and whoever waits for the answer is told."""

    async def scenario() -> None:
        clock = FakeClock()
        guard = Guard(clock.now() + 10, clock.now)
        answer: asyncio.Future[object] = asyncio.get_running_loop().create_future()
        guard.watch(answer)
        guard.close()
        assert not guard.lets_pass()
        with pytest.raises(NotSent):
            await answer

    asyncio.run(scenario())
