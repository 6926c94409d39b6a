from __future__ import annotations

import re
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.allow import Allow
from gateway.clock import SystemClock
from gateway.errors import ConfigFault, Transient, Unreachable
from gateway.interfaces._modbus.config import ModbusConfig
from gateway.interfaces._modbus.frames import RtuFraming
from gateway.interfaces.base import Environment
from gateway.interfaces.modbus import Interface
from gateway.model import PointError
from gateway.testing import poll, read_one
from tests.fakes import FakeClock, Gate
from tests.integration.waiting import PATIENCE
from tests.interfaces.modbus.bus import Bus, slaves, socat_pair
from tests.interfaces.modbus.servers import need
from tests.interfaces.test_modbus import many, register

BAUD = 19200
RTU = RtuFraming()


def env() -> Environment:
    """One that lets tests use any path."""
    return Environment(SystemClock(), Allow(serial_ports=("/*", "/**")))


def unit(path: Path, number: int, env: Environment, **keys: object) -> Interface:
    """An interface to a unit on a port, not yet open."""
    given = {"device_address": str(path), "slave_id": number, "baudrate": BAUD} | keys
    return Interface(ModbusConfig.model_validate(given), env)


@pytest.fixture(scope="module")
def line(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bus]:
    """A line of 19200 baud with libmodbus slaves 11, 12 and 13."""
    folder = tmp_path_factory.mktemp("line")
    with Bus(folder, 4, BAUD) as bus, slaves(folder, bus, 11, 12, 13):
        yield bus


def test_three_slaves_on_one_line(line: Bus) -> None:
    """Three devices of another maker share a line, polled by a thread each; nobody ever has another's values."""
    lent = env()
    points = many(*((">H", n) for n in range(10)), writable=False)
    wrong: list[object] = []

    def run(number: int) -> None:
        interface = unit(line.paths[0], number, lent)
        interface.open()
        for _ in range(10):
            answer = poll(interface, points)
            if list(answer.values()) != [1000 * number + n for n in range(10)]:
                wrong.append(answer)
        interface.close()

    threads = [threading.Thread(target=run, args=(number,)) for number in (11, 12, 13)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_a_slave_says_what_it_lacks(line: Bus) -> None:
    """An exception comes over RTU as over TCP."""
    interface = unit(line.paths[0], 11, env())
    answer = poll(interface, many((">H", 999), (">H", 1000), writable=False))
    assert answer == {
        ">H@999": 11999,
        ">H@1000": PointError("device_rejected", "illegal data address", unsupported=True),
    }
    interface.close()


@pytest.mark.parametrize(
    ("kind", "value", "table", "told"), [(">H", 0, "4", "0"), (">H", 1234, "4", "1234"), ("BOOL", True, "0", "1")]
)
def test_mbpoll_reads_what_was_written(line: Bus, kind: str, value: int, table: str, told: str) -> None:
    """A client of another maker reads what we wrote."""
    need("mbpoll")
    interface = unit(line.paths[0], 12, env())
    assert interface.write(register(kind, 40), value, {}, Gate()) == value
    interface.close()
    ask = ["mbpoll", "-m", "rtu", "-b", str(BAUD), "-P", "none", "-a", "12", "-t", table, "-0", "-r", "40", "-c", "1", "-1"]
    out = subprocess.run([*ask, str(line.paths[0])], capture_output=True, text=True, check=True).stdout
    assert re.findall(r"^\[40\]:\s+(\S+)", out, re.MULTILINE) == [told]


# --- scripted bytes ---


def good(request: bytes) -> bytes:
    """The right reply: each register holds its address."""
    start, count = int.from_bytes(request[2:4], "big"), int.from_bytes(request[4:6], "big")
    words = b"".join(n.to_bytes(2, "big") for n in range(start, start + count))
    return RTU.request(request[0], bytes((request[1], len(words))) + words)


def test_one_byte_at_a_time_and_noise_before(tmp_path: Path) -> None:
    """A reply in single bytes, after noise that nobody asked for, is taken, and its value is right."""

    def answer(request: bytes) -> Iterator[bytes]:
        yield b"\xff\x00"
        for byte in good(request):
            yield bytes((byte,))

    with Bus(tmp_path, 1, answer=answer) as bus:
        interface = unit(bus.paths[0], 1, env())
        interface.open()
        bus.say(b"\x01\x03\x02\xde\xad")
        assert poll(interface, many((">H", 7), (">H", 8))) == {">H@7": 7, ">H@8": 8}
        interface.close()


def test_a_local_echo(tmp_path: Path) -> None:
    """With echo, what was sent is expected back first; without, that is told, and with it a line without echo is silent."""

    def answer(request: bytes) -> Iterator[bytes]:
        yield request
        yield good(request)

    with Bus(tmp_path, 1, answer=answer) as bus:
        with_echo = unit(bus.paths[0], 1, env(), echo=True)
        assert read_one(with_echo, register(">H", 7)) == 7
        with_echo.close()
        without = unit(bus.paths[0], 1, env())
        with pytest.raises(Transient, match="set echo to true"):
            read_one(without, register(">H", 7))
        without.close()
    with Bus(tmp_path, 1, answer=lambda request: iter([good(request)])) as bus:
        silent = unit(bus.paths[0], 1, env(), echo=True, timeout=0.1)
        with pytest.raises(Transient, match="no answer of unit 1"):
            read_one(silent, register(">H", 7))
        silent.close()


def test_a_dead_unit_leaves_the_line_to_the_others(tmp_path: Path) -> None:
    """After a unit did not answer the others are asked at once, and it rests meanwhile, also from a second try."""
    lent, clock = env(), SystemClock()
    with Bus(tmp_path, 1, answer=lambda request: iter([good(request)] if request[0] == 13 else [])) as bus:
        dead, live = unit(bus.paths[0], 77, lent, timeout=0.2), unit(bus.paths[0], 13, lent)
        dead.open()
        live.open()
        with pytest.raises(Transient, match=r"no answer within 0\.2 s"):
            read_one(dead, register(">H", 5))
        begin = clock.now()
        assert read_one(live, register(">H", 5)) == 5
        assert clock.now() - begin < 0.1 * PATIENCE
        with pytest.raises(Transient, match=r"no answer within 0\.2 s"):
            read_one(dead, register(">H", 5))
        assert clock.now() - begin >= 1
        dead.close()
        assert read_one(live, register(">H", 5)) == 5
        live.close()


# --- the port ---


def test_a_port_is_ours_alone(tmp_path: Path) -> None:
    """A second gateway, with links of its own, is told that somebody has the port; after close it may have it."""
    with Bus(tmp_path, 1, answer=lambda request: iter([good(request)])) as bus:
        first, second = unit(bus.paths[0], 1, env()), unit(bus.paths[0], 1, env())
        first.open()
        with pytest.raises(Unreachable, match="another program has it"):
            second.open()
        first.close()
        second.open()
        assert read_one(second, register(">H", 7)) == 7
        second.close()


def test_a_port_that_is_not_there(tmp_path: Path) -> None:
    """A missing port is Unreachable, in words."""
    with pytest.raises(Unreachable, match="none can not be opened: No such file or directory"):
        unit(tmp_path / "none", 1, env()).open()


def test_rs485_needs_a_port_that_has_it(tmp_path: Path) -> None:
    """Where the kernel can not switch the transceiver, the port is refused and let go."""
    with Bus(tmp_path, 1) as bus:
        with pytest.raises(Unreachable, match="can not be opened"):
            unit(bus.paths[0], 1, env(), rs485={"delay_before_tx": 0.001}).open()
        without = unit(bus.paths[0], 1, env())
        without.open()
        without.close()


def test_a_port_must_be_allowed(tmp_path: Path) -> None:
    """A path outside of allow.serial_ports is a fault of device_address, and so is the lack of pyserial."""
    with pytest.raises(ConfigFault, match=r"allow\.serial_ports") as raised:
        unit(tmp_path / "port", 1, Environment(FakeClock())).check()
    assert raised.value.where == "device_address"


def test_without_pyserial_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the package is missing, the fault says what to install."""
    monkeypatch.setitem(__import__("sys").modules, "serial", None)
    with pytest.raises(ConfigFault, match=r"gateway\[serial\]"):
        unit(Path("/dev/ttyUSB0"), 1, env()).check()


def test_a_port_that_was_unplugged_works_when_it_is_back(tmp_path: Path) -> None:
    """When the port vanishes that is told; when it is back, by the same name, the next open has it again."""
    lent = env()
    with socat_pair(tmp_path) as (near, _, process):
        interface = unit(near, 1, lent, timeout=0.2)
        interface.open()
        process.terminate()
        process.wait(10)
        with pytest.raises(Unreachable):
            read_one(interface, register(">H", 7))
        with pytest.raises(Unreachable):
            read_one(interface, register(">H", 7))
        interface.close()
    with Bus(tmp_path, 1, answer=lambda request: iter([good(request)])) as bus:
        (tmp_path / "near").symlink_to(bus.paths[0].readlink())
        interface.open()
        assert read_one(interface, register(">H", 7)) == 7
        interface.close()


def test_two_devices_must_agree_on_the_line(tmp_path: Path) -> None:
    """The second device with other line settings is told which differ, and the first one goes on."""
    lent = env()
    with Bus(tmp_path, 1, answer=lambda request: iter([good(request)])) as bus:
        first, second = unit(bus.paths[0], 1, lent), unit(bus.paths[0], 2, lent, baudrate=9600, parity="even")
        first.open()
        with pytest.raises(Unreachable, match="with another baudrate, parity: make them the same"):
            second.open()
        second.close()
        assert read_one(first, register(">H", 7)) == 7
        first.close()
        second.open()
        second.close()
