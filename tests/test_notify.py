from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.notify import Notifier


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[socket.socket]:
    """The service manager's socket."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.bind(str(tmp_path / "notify"))
        sock.settimeout(10)
        yield sock


def test_what_is_told_are_lines(manager: socket.socket, tmp_path: Path) -> None:
    """One datagram, KEY=value in each line; a value has no line of its own."""
    Notifier(str(tmp_path / "notify")).tell(READY="1", STATUS="all\nis well")
    assert manager.recv(1000) == b"READY=1\nSTATUS=all is well"


def test_names_of_the_abstract_kind_work() -> None:
    """An address that begins with @ is no file."""
    name = f"gateway-test-{os.getpid()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.bind(f"\0{name}")
        Notifier(f"@{name}").tell(READY="1")
        assert sock.recv(1000) == b"READY=1"


def test_a_manager_that_is_gone_is_no_failure(tmp_path: Path) -> None:
    """Neither is one that does not exist."""
    Notifier(str(tmp_path / "nobody")).tell(READY="1")
    Notifier().tell(READY="1")


def test_a_manager_that_does_not_read_is_not_waited_for(manager: socket.socket, tmp_path: Path) -> None:
    """When its buffer is full, it hears less."""
    notifier = Notifier(str(tmp_path / "notify"))
    for _ in range(10_000):
        notifier.tell(WATCHDOG="1")
    assert manager.recv(1000) == b"WATCHDOG=1"


@pytest.mark.parametrize(
    ("environ", "watchdog"),
    [
        ({}, None),
        ({"WATCHDOG_USEC": "30000000"}, 30.0),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": str(os.getpid())}, 30.0),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "1"}, None),
        ({"WATCHDOG_USEC": "0"}, None),
        ({"WATCHDOG_USEC": "soon"}, None),
    ],
)
def test_the_watchdog_is_as_the_manager_says(environ: dict[str, str], watchdog: float | None) -> None:
    """If it is meant for us."""
    assert Notifier.from_environment(environ).watchdog == watchdog
