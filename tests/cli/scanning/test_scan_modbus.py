"""``gateway scan modbus``, on real servers."""

from __future__ import annotations

import json
import signal
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from pymodbus import FramerType
from pymodbus.server import ModbusUdpServer
from pymodbus.simulator import DataType, SimData, SimDevice
from pyModbusTCP.server import ModbusServer
from typer.testing import CliRunner

from gateway.cli import main
from gateway.cli.check import check
from tests.interfaces.modbus.servers import PymodbusServer, ScriptedServer, libmodbus_server, reply
from tests.interfaces.modbus.test_transports import AnyServer, on_tcp


def holes(unit: int, **tables: dict[int, list[int]]) -> SimDevice:
    """A unit whose tables have values from these addresses on and nothing between."""
    blocks = []
    for name in ("coils", "discrete", "holding", "inputs"):
        kind = DataType.BITS if name in ("coils", "discrete") else DataType.REGISTERS
        given = tables.get(name, {60000: [0]})
        values = [[bool(v) for v in vs] if kind is DataType.BITS else vs for vs in given.values()]
        blocks.append([SimData(at, values=vs, datatype=kind) for at, vs in zip(given, values, strict=True)])
    return SimDevice(unit, tuple(blocks))


@pytest.fixture(scope="module")
def server() -> Iterator[PymodbusServer]:
    """Two units with gaps in their tables."""
    one = holes(3, holding={0: [7] * 10, 100: [8] * 30, 40000: [9] * 4}, inputs={5: [1] * 200})
    two = holes(9, holding={20: [5] * 4}, coils={16: [1, 0, 1]})
    with PymodbusServer(one, two) as running:
        yield running


def run(*arguments: object) -> tuple[int, str, str]:
    """The exit code, standard output and standard error of ``gateway scan modbus``."""
    outcome = CliRunner().invoke(main, ["scan", "modbus", *map(str, arguments)], env={"COLUMNS": "140"})
    return outcome.exit_code, outcome.stdout, outcome.stderr


def scanned(port: int, *arguments: object) -> dict[str, object]:
    """The JSON of a scan that went well."""
    code, out, err = run("--host", "127.0.0.1", "--port", port, "--json", "--timeout", 1, *arguments)
    assert code == 0, err
    found: dict[str, object] = json.loads(out)
    return found


def test_units_and_ranges_are_found(server: PymodbusServer):
    """Of each unit that answers, the readable ranges of each table are told, to the address."""
    result = scanned(server.port, "--units", "3,9", "--addresses", "0-300", "--step", 4)

    assert [unit["unit"] for unit in result["units"]] == [3, 9]
    assert (result["silent"], result["complete"]) == ("", True)
    ranges = [unit["ranges"] for unit in result["units"]]
    assert ranges[0]["holding"] == [[0, 9], [100, 129]]
    assert ranges[0]["input"] == [[5, 204]]
    assert ranges[1]["holding"] == [[20, 23]]
    assert ranges[1]["coil"] == [[16, 31]]


def test_landmarks_are_looked_at(server: PymodbusServer):
    """Without --addresses, maps far up are found where they often begin."""
    result = scanned(server.port, "--units", "3")

    assert result["units"][0]["ranges"]["holding"] == [[0, 9], [100, 129], [40000, 40003]]


def test_documents_can_be_used_as_they_are(server: PymodbusServer, tmp_path: Path):
    """A config and a registry are written for each unit, which ``gateway check`` finds nothing wrong with."""
    out = tmp_path / "out"
    options = ("--units", "3,9", "--addresses", "0-300", "--step", 4, "-o", out, "--under", "a/b")
    code, _, err = run("--host", "127.0.0.1", "--port", server.port, *options)
    assert code == 0, err
    lines: list[str] = []

    devices = sorted((out / "config" / "devices" / "a" / "b").iterdir())
    assert [device.name for device in devices] == ["127.0.0.1_3", "127.0.0.1_9"]
    assert check(devices, lines.append) == 0, lines
    registry = (out / "config" / "registry_configs" / "a" / "b" / "127.0.0.1_9.csv").read_text().splitlines()
    assert registry[1] == "coil_16,,FALSE,coil,bool,16,1 when it was scanned"
    assert len(registry) == 1 + 16 + 4


def test_the_table_is_for_people(server: PymodbusServer):
    """Without --json a table shows the ranges."""
    code, out, _ = run("--host", "127.0.0.1", "--port", server.port, "--units", "9", "--addresses", "20-100")

    assert code == 0
    assert "20-23" in out


def test_one_device_at_every_unit_is_shown_once(tmp_path: Path):
    """A server that does not look at the unit, as libmodbus does, is one device, and that is told."""
    process = libmodbus_server(tmp_path)
    try:
        assert process.stdout is not None
        result = scanned(int(process.stdout.readline()), "--units", "1-30", "--addresses", "0-1999")
    finally:
        process.kill()
        process.communicate()

    (unit,) = result["units"]
    assert "does not look at the unit" in unit["remarks"][0]
    assert unit["ranges"]["holding"] == [[0, 999]]
    assert unit["ranges"]["coil"] == [[0, 1999]]


def test_a_device_that_has_every_address(tmp_path: Path):
    """Of a server that answers at each address, as pyModbusTCP's does, the first ones of each table become points."""
    with socket.create_server(("127.0.0.1", 0)) as unused:
        port = unused.getsockname()[1]
    server = ModbusServer("127.0.0.1", port, no_block=True)
    server.start()
    try:
        options = ("--units", "1", "--addresses", "0-2999", "-o", tmp_path)
        code, _, err = run("--host", "127.0.0.1", "--port", port, *options)
    finally:
        server.stop()

    assert code == 1
    assert "holding: 3000 addresses can be read, the first 500 became points: see --addresses" in err
    registry = (tmp_path / "config" / "registry_configs" / "campus" / "building" / "127.0.0.1_1.csv").read_text()
    assert len(registry.splitlines()) == 1 + 4 * 500


def test_nobody_there_is_two():
    """A port that nobody listens on, and units that all keep silent, are no success."""
    with socket.create_server(("127.0.0.1", 0)) as unused:
        closed = unused.getsockname()[1]
    code, _, err = run("--host", "127.0.0.1", "--port", closed)
    assert (code, err) == (2, f"can not connect to 127.0.0.1:{closed}: Connection refused\n")

    with ScriptedServer(lambda _: []) as silent:
        outcome = run("--host", "127.0.0.1", "--port", silent.port, "--units", "1-3", "--timeout", 0.05)
    assert outcome[:2] == (2, "nobody answers\n")


def test_a_unit_that_only_fails_is_told(server: PymodbusServer, tmp_path: Path):
    """A server may answer with failures for units that it lacks: they are told, cost little, and are not written."""
    result = scanned(server.port, "--units", "4-6", "-o", tmp_path / "out")

    assert [unit["remarks"] for unit in result["units"]] == [
        ["answers each read with server device failure: it may be a gateway, and nobody behind it"]
    ] * 3
    assert result["requests"] <= 3 * 6
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((), "give either --host or --serial"),
        (("--host", "h", "--serial", "/dev/ttyUSB0"), "give either --host or --serial"),
        (("--host", "h", "--units", "5-1"), "--units"),
        (("--host", "h", "--units", "1-300"), "--units"),
        (("--host", "h", "--addresses", "x"), "--addresses"),
    ],
)
def test_options_that_can_not_be_used_are_two(arguments: tuple[str, ...], words: str):
    """An option that makes no sense is told by its name."""
    code, _, err = run(*arguments)

    assert code == 2
    assert words in err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--host", "8.8.8.8"), "allow.networks"),
        (("--host", "no host"), "device_address"),
        (("--host", "h", "--port", "0"), "port"),
    ],
)
def test_a_link_that_may_not_be_asked_is_two(arguments: tuple[str, ...], words: str):
    """The allow-lists and the rules of a device config hold for a scan."""
    code, _, err = run(*arguments)

    assert code == 2
    assert words in err


def test_settings_give_the_allow_lists(tmp_path: Path, server: PymodbusServer):
    """With --settings its networks count, so loopback can be forbidden too."""
    settings = tmp_path / "settings.yaml"
    settings.write_text('broker: {url: "mqtt://h"}\nallow: {networks: ["10.0.0.0/8"]}\n')
    code, _, err = run("--host", "127.0.0.1", "--port", server.port, "--settings", settings)

    assert code == 2
    assert "allow.networks" in err


class Plain:
    """Answers reads of holding registers 0 to 9, refuses the rest; ``identity`` is the PDU that answers function 43."""

    def __init__(self, identity: bytes = b"\xab\x01") -> None:
        self.identity = identity
        self.functions: set[int] = set()

    def __call__(self, request: bytes) -> list[bytes]:
        """The reply to a request."""
        function = request[7]
        self.functions.add(function)
        if function == 0x2B:
            return [reply(request, self.identity)]
        address, count = struct.unpack(">HH", request[8:12])
        if function == 3 and address + count <= 10:
            return [reply(request, bytes((3, 2 * count)) + bytes(2 * count))]
        return [reply(request, bytes((function | 0x80, 2 if function == 3 else 1)))]


def test_a_device_that_says_what_it_is():
    """The objects of read device identification are told by their names, in as many replies as it takes."""
    first = b"\x2b\x0e\x02\x82\xff\x01\x01\x00\x04Acme"
    rest = b"\x2b\x0e\x02\x82\x00\x00\x02\x01\x03X-1\x02\x03v 2"
    device = Plain()

    def answer(request: bytes) -> list[bytes]:
        device.identity = rest if request[7] == 0x2B and request[10] == 1 else first
        return device(request)

    with ScriptedServer(answer) as server:
        result = scanned(server.port, "--units", "1", "--addresses", "0-20")

    assert result["units"][0]["identity"] == {"vendor": "Acme", "product_code": "X-1", "revision": "v 2"}


@pytest.mark.parametrize("identity", [b"\xab\x01", b"\x2b", b"\x2b\x0e\x02\x82\x00\x00\x09\x01\x60X", b"\x03\x02\x00\x01"])
def test_a_device_that_does_not_or_says_nonsense(identity: bytes):
    """A device without that function, or with a broken answer to it, is scanned all the same."""
    with ScriptedServer(Plain(identity)) as server:
        result = scanned(server.port, "--units", "1", "--addresses", "0-20", "--timeout", 0.2)

    assert result["units"][0]["identity"] == {}
    assert result["units"][0]["ranges"] == {"holding": [[0, 9]]}


def test_nothing_is_ever_written():
    """A scan sends reads alone, and one request for a table whose function the device does not know."""
    device = Plain()
    with ScriptedServer(device) as server:
        scanned(server.port, "--units", "1")
        sent = [request[7] for request in server.requests]

    assert device.functions == {1, 2, 3, 4, 0x2B}
    assert [sent.count(function) for function in (1, 2, 4)] == [1, 1, 1]


def test_a_gateway_that_says_that_nobody_is_there():
    """Exceptions 10 and 11 come from a gateway, so the unit behind it is not there; a busy one is asked again."""
    seen: dict[int, int] = {}

    def answer(request: bytes) -> list[bytes]:
        unit = request[6]
        seen[unit] = seen.get(unit, 0) + 1
        if unit in (1, 2):
            return [reply(request, bytes((request[7] | 0x80, 9 + unit)))]
        if unit == 3 and seen[3] == 1:
            return [reply(request, bytes((request[7] | 0x80, 6)))]
        return Plain()(request)

    with ScriptedServer(answer) as server:
        result = scanned(server.port, "--units", "1-3", "--addresses", "0-20")

    assert result["silent"] == "1-2"
    assert result["units"][0]["ranges"] == {"holding": [[0, 9]]}


def test_a_device_that_falls_silent_is_left():
    """After some addresses without an answer a table is left, and what was found is kept."""

    def answer(request: bytes) -> list[bytes]:
        address, count = struct.unpack(">HH", request[8:12]) if request[7] != 0x2B else (0, 1)
        return [] if address + count > 10 else Plain()(request)

    with ScriptedServer(answer) as server:
        result = scanned(server.port, "--units", "1", "--addresses", "0-60", "--timeout", 0.05)

    assert result["units"][0]["ranges"]["holding"][0][0] == 0
    assert result["units"][0]["remarks"] == ["holding: it stopped answering, so there may be more"]


def test_ctrl_c_leaves_what_was_found(tmp_path: Path):
    """An interrupted scan shows and writes what it got to, and says that there may be more."""

    def slow(request: bytes) -> list[bytes]:
        if request[7] == 4:
            time.sleep(0.05)  # so that there is a scan to interrupt
            count = request[11]
            return [reply(request, bytes((4, 2 * count)) + bytes(2 * count))]
        return Plain()(request)

    with ScriptedServer(slow) as server:
        command = [sys.executable, "-m", "gateway", "scan", "modbus", "--host", "127.0.0.1", "--port", str(server.port)]
        scan = subprocess.Popen(
            [*command, "--units", "5", "--json", "-o", str(tmp_path)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # a shell's background jobs ignore it
        )
        while not any(request[7] == 4 for request in list(server.requests)):
            time.sleep(0.01)
            assert scan.poll() is None
        scan.send_signal(signal.SIGINT)
        out, err = scan.communicate(timeout=20)

    assert scan.returncode == 130
    assert err.splitlines()[-1] == "stopped: there may be more than this"
    assert json.loads(out)["complete"] is False
    assert json.loads(out)["units"][0]["ranges"]["holding"] == [[0, 9]]
    assert (tmp_path / "config" / "devices" / "campus" / "building" / "127.0.0.1_5").is_file()


@pytest.mark.parametrize(
    ("make", "options"),
    [
        (on_tcp(FramerType.RTU), ("--framing", "rtu")),
        (on_tcp(FramerType.ASCII), ("--framing", "ascii")),
        (lambda s: ModbusUdpServer(list(s.devices), address=("127.0.0.1", s.port)), ("--transport", "udp")),
    ],
    ids=["rtu over tcp", "ascii over tcp", "udp"],
)
def test_every_transport_can_be_scanned(make: Callable[[AnyServer], Any], options: tuple[str, ...]):
    """What a device config may name as transport and framing, a scan may too."""
    with AnyServer(make) as server:
        result = scanned(server.port, "--units", "1", "--addresses", "0-40", *options)

    assert result["units"][0]["ranges"]["holding"] == [[0, 29]]
