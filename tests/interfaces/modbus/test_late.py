"""Replies that come too late, thousands of them: never is one taken for another."""

from __future__ import annotations

import random
import time
from collections.abc import Iterable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from gateway.allow import Allow
from gateway.clock import SystemClock
from gateway.errors import Transient, Unreachable
from gateway.interfaces._modbus import line
from gateway.interfaces._modbus.client import Client
from gateway.interfaces._modbus.config import ModbusConfig
from gateway.interfaces._modbus.frames import AsciiFraming, Framing, RtuFraming
from gateway.interfaces._modbus.pdu import Table, read_query
from gateway.interfaces.base import Environment
from tests.integration.waiting import scaled
from tests.interfaces.modbus.bus import Bus
from tests.interfaces.modbus.servers import ScriptedServer, reply

pytestmark = pytest.mark.alone

TIMEOUT, REST, LATEST = 0.004, 0.012, 0.008
TOO_LATE = 0.010
"""A device on a busy machine that is later than this says nothing: the line is left alone for no longer."""
COUNTS = {"socket": 10_000, "rtu": 10_000, "ascii": 1_000}
FRAMINGS: dict[str, type[Framing]] = {"rtu": RtuFraming, "ascii": AsciiFraming}


class Slow:
    """A device that is late every other time, by a random time; a register holds its unit and address."""

    def __init__(self, seed: int) -> None:
        self.late = 0
        self._random = random.Random(seed)

    def pdu(self, unit: int, pdu: bytes) -> bytes | None:
        """The right answer, when its time has come."""
        if self._random.random() < 1 / 2:
            begun = time.monotonic()
            time.sleep(self._random.uniform(TIMEOUT, LATEST))
            if time.monotonic() - begun > TOO_LATE:
                return None
            self.late += 1
        start, count = int.from_bytes(pdu[1:3], "big"), int.from_bytes(pdu[3:5], "big")
        values = [unit << 8 | n & 0xFF for n in range(start, start + count)]
        return bytes((pdu[0], 2 * count)) + b"".join(value.to_bytes(2, "big") for value in values)


def ask(clients: dict[int, Client], count: int, seed: int) -> tuple[int, list[Any]]:
    """Ask random units for random registers; how many answers came, and those that were wrong."""
    chance, answers, wrong = random.Random(seed), 0, []
    for _ in range(count):
        unit, start, size = chance.choice(list(clients)), chance.randrange(200), chance.choice([1, 1, 1, 2])
        try:
            data = clients[unit].exchange(read_query(Table.HOLDING, start, size))
        except (Transient, Unreachable):
            continue
        answers += 1
        wanted = b"".join((unit << 8 | n).to_bytes(2, "big") for n in range(start, start + size))
        if data != wanted:
            wrong.append((unit, start, data))
    return answers, wrong


def run(slow: Slow, keys: dict[str, Any], late: int) -> None:
    """Two units on one link, asked until enough replies were late."""
    env = Environment(SystemClock(), Allow(serial_ports=("/**",)))
    made = {n: Client(ModbusConfig.model_validate(keys | {"slave_id": n, "timeout": TIMEOUT}), env) for n in (1, 2)}
    wanted, answers, seed = scaled(late), 0, 1
    with closing(made[1]), closing(made[2]):
        while slow.late < wanted:
            more, wrong = ask(made, 100, seed)
            assert wrong == []
            answers, seed = answers + more, seed + 1
    assert answers > wanted / 10
    print(f"{slow.late} late replies, {answers} answers, 0 wrong")


@pytest.mark.long
@pytest.mark.timeout(900)
@pytest.mark.parametrize("framing", ["socket", "rtu", "ascii"])
def test_late_replies_on_tcp(framing: str) -> None:
    """10,000 late replies on TCP, numbered or not: none is taken for the answer to another request."""
    slow = Slow(7)

    def answer(request: bytes) -> Iterable[bytes]:
        if framing != "socket":
            return framed(FRAMINGS[framing](), request, slow)
        pdu = slow.pdu(request[6], request[7:])
        return [reply(request, pdu)] if pdu else []

    with ScriptedServer(answer) as server:
        run(slow, {"device_address": "127.0.0.1", "port": server.port, "framing": framing}, COUNTS[framing])


@pytest.mark.long
@pytest.mark.timeout(900)
@pytest.mark.parametrize("framing", ["rtu", "ascii"])
def test_late_replies_on_a_serial_line(framing: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """10,000 late replies on a line, where nothing tells which request they answer: none is taken for another."""
    monkeypatch.setattr(line, "_LEAST_REST", REST)
    slow = Slow(8)

    def answer(request: bytes) -> Iterator[bytes]:
        yield from framed(FRAMINGS[framing](), request, slow)

    with Bus(tmp_path, 1, answer=answer) as bus:
        run(slow, {"device_address": str(bus.paths[0]), "framing": framing, "baudrate": 115200}, COUNTS[framing])


def framed(framing: Framing, request: bytes, slow: Slow) -> list[bytes]:
    """The reply to a frame without a number, if there is one."""
    body = request[:-2] if isinstance(framing, RtuFraming) else bytes.fromhex(request.split(b":")[-1].decode())[:-1]
    pdu = slow.pdu(body[0], body[1:])
    return [framing.request(body[0], pdu)] if pdu else []
