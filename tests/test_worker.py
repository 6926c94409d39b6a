from __future__ import annotations

import threading

import pytest

from gateway import worker as worker_module
from gateway.clock import SystemClock
from gateway.vitals import Vitals
from gateway.worker import Bell, Worker


def test_a_worker_begins_turns_and_finishes(monkeypatch: pytest.MonkeyPatch) -> None:
    """A failure of any step is told and ends nothing: the next turn comes, and at the end it is missed no more."""
    monkeypatch.setattr(worker_module, "PAUSE", 0.0)
    log: list[str] = []
    vitals = Vitals(SystemClock())

    def step(name: str) -> None:
        log.append(name)
        if len(log) in (1, 2, 3, 5):
            raise ValueError(name)

    worker = Worker(
        "w",
        lambda: step("turn"),
        lambda: log.count("turn") == 3,
        begin=lambda: step("begin"),
        finish=lambda: step("finish"),
        failed=lambda: log.append("failed"),
    )
    worker.start(vitals)
    assert worker.join(10)
    assert log == ["begin", "failed", "turn", "failed", "turn", "failed", "turn", "finish"]
    assert vitals._pulses == set()


def test_a_worker_that_never_began_has_ended() -> None:
    """Nobody waits for it."""
    assert Worker("w", lambda: None, lambda: True).join(0)


def test_a_worker_that_hangs_is_named() -> None:
    """Joining it comes to nothing, and its name is known."""
    hang = threading.Event()
    worker = Worker("w", lambda: hang.wait(10) and None, hang.is_set)
    worker.start(Vitals(SystemClock()))
    assert not worker.join(0.05)
    assert worker.name == "w"
    hang.set()
    assert worker.join(10)


LONG = 60.0
"""Seconds that no test waits: who waits so long has missed what should end it."""


@pytest.mark.timeout(10)
def test_a_bell_that_has_rung_is_not_waited_for() -> None:
    """What rang before the wait ends it at once, and once only; its end ends every wait, and lingers for nothing."""
    bell = Bell()
    bell.ring()
    bell.wait(LONG)
    bell.wait(0.0)
    bell.end()
    bell.ring()
    bell.wait(LONG, linger=LONG)
    bell.wait(LONG)
    assert bell.over


@pytest.mark.timeout(10)
def test_a_bell_wakes_who_waits() -> None:
    """Another thread that waits goes on when it rings."""
    bell = Bell()
    waiting = threading.Thread(target=bell.wait, args=(LONG,))
    waiting.start()
    bell.ring()
    waiting.join(5)
    assert not waiting.is_alive()
