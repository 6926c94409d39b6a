from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.interfaces.modbus import Interface
from gateway.model import PointError
from gateway.testing import poll
from tests.fakes import Gate
from tests.interfaces.modbus.servers import libmodbus_server, need
from tests.interfaces.test_modbus import interface_of, many, register


@pytest.fixture(scope="module")
def port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """The port of a libmodbus server: inputs hold 1000 + address, every third contact is closed."""
    need("gcc")
    with libmodbus_server(Path(tmp_path_factory.mktemp("libmodbus"))) as process:
        assert process.stdout is not None
        yield int(process.stdout.readline())
        process.kill()


@pytest.fixture
def interface(port: int) -> Iterator[Interface]:
    """An open interface to that server; it serves one connection at a time."""
    interface = interface_of(port)
    interface.open()
    yield interface
    interface.close()


def mbpoll(port: int, table: str, address: int, count: int = 1) -> list[str]:
    """What mbpoll reads, as text."""
    need("mbpoll")
    ask = ["mbpoll", "-m", "tcp", "-p", str(port), "-a", "1", "-t", table, "-0", "-r", str(address), "-c", str(count), "-1"]
    told = subprocess.run([*ask, "127.0.0.1"], capture_output=True, text=True, check=True).stdout
    return re.findall(r"^\[\d+\]:\s+(\S+)", told, re.MULTILINE)


def test_libmodbus_serves_all_tables(interface: Interface) -> None:
    """A server of another maker gives what it holds: registers and bits, in as few requests as the limits let."""
    words = many(*((">H", n) for n in range(126)), writable=False)
    bits = many(*(("BOOL", n) for n in range(2000)), writable=False)
    assert [len(b.registers) for b in interface.batches(words + bits)] == [2000, 125, 1]
    answer = poll(interface, words + bits)
    assert [answer[r.name] for r in words] == [1000 + n for n in range(126)]
    assert [answer[r.name] for r in bits[:1000]] == [n % 3 == 0 for n in range(1000)]


def test_libmodbus_refuses_what_it_lacks(interface: Interface) -> None:
    """Its illegal data address costs that register only."""
    answer = poll(interface, many((">H", 998), (">H", 999), (">H", 1000), writable=False))
    assert answer.pop(">H@1000") == PointError("device_rejected", "illegal data address", unsupported=True)
    assert answer == {">H@998": 1998, ">H@999": 1999}


@pytest.mark.parametrize(
    ("kind", "value", "table", "told"),
    [
        (">H", 65535, "4:hex", "0xFFFF"),
        (">H", 0, "4:hex", "0x0000"),
        (">h", -2, "4:hex", "0xFFFE"),
        (">i", -2, "4:int", "-2"),
        (">f", 21.5, "4:float", "21.5"),
        ("BOOL", True, "0", "1"),
        ("BOOL", False, "0", "0"),
    ],
)
def test_mbpoll_reads_what_was_written(
    interface: Interface, port: int, kind: str, value: float, table: str, told: str
) -> None:
    """A client of another maker reads back what we wrote; 0 and false are values like any other."""
    mixed = {} if kind in ("BOOL", ">H", ">h") else {"Mixed_Endian": "TRUE"}  # mbpoll takes the low word first
    assert interface.write(register(kind, 40, **mixed), value, {}, Gate()) == value
    interface.close()
    assert mbpoll(port, table, 40) == [told]
