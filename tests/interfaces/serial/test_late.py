"""Answers that come too late, many of them, from instruments that do not say what they answer: none is taken for another."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from gateway.errors import Transient
from gateway.interfaces._text import client, line
from gateway.interfaces.base import Interface
from gateway.testing import poll
from tests.integration.waiting import scaled
from tests.interfaces.modbus.bus import Bus
from tests.interfaces.serial.instruments import env, make, points, row

pytestmark = pytest.mark.alone

TIMEOUT, LATEST, TOO_LATE, REST = 0.02, 0.05, 0.07, 0.1
"""Seconds: an instrument on a busy machine that is later than the third says nothing."""


class Slow:
    """Instruments that are late every third time; ``R<address><n>`` is answered with the number of address and n alone."""

    def __init__(self, seed: int) -> None:
        self.late = 0
        self._random = random.Random(seed)

    def answer(self, data: bytes) -> Iterator[bytes]:
        """The right answer, in two pieces, when its time has come."""
        begun = time.monotonic()
        if self._random.random() < 1 / 3:
            time.sleep(self._random.uniform(TIMEOUT, LATEST))
            self.late += 1
        for request in data.decode().split("\r\n")[:-1]:
            if time.monotonic() - begun < TOO_LATE:
                yield request[1:3].encode()
                yield request[3:].encode() + b"\r\n"


def ask(interface: Interface, number: int, chance: random.Random) -> tuple[int, list[object]]:
    """One random question; how many answers came, and those that are wrong."""
    n = chance.randrange(100)
    (register,) = points(interface, row("v", r"(\d{4})", f"R{{address}}{n:02}", Type="int"))
    try:
        answer = poll(interface, [register])["v"]
    except Transient:
        return 0, []
    return 1, [] if answer == 100 * number + n else [(number, n, answer)]


@pytest.mark.long
@pytest.mark.timeout(600)
@pytest.mark.parametrize("units", [1, 2])
def test_a_late_answer_is_nobodys(units: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Alone on its line an instrument is left alone for a while, among others the line waits: both without one mistake."""
    monkeypatch.setattr(client, "_LEAST_REST", REST)
    monkeypatch.setattr(line, "QUIET", 0.01)
    slow, lent, chance = Slow(units), env(), random.Random(units)
    wanted, answers, wrong = scaled(500), 0, list[object]()
    with Bus(tmp_path, 1, answer=slow.answer) as bus:
        made = [make(bus.paths[0], lent, address=f"{n:02}", timeout=TIMEOUT, baudrate=115200) for n in range(units)]
        for interface in made:
            interface.open()
        while slow.late < wanted and not wrong:
            number = chance.randrange(units)
            came, wrong = ask(made[number], number, chance)
            answers += came
        for interface in made:
            with closing(interface):
                pass
    assert wrong == []
    assert answers > wanted / 3
    print(f"{slow.late} late answers, {answers} good ones, 0 wrong")
