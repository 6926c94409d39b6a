"""VOLTTRON's own acceptance cases for modbus_tk, its documents against servers of other makers.

Cases M1 to M3 and M9 are in test_modbus.py: they need no register map.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from pyModbusTCP.server import ModbusServer

from gateway.interfaces.base import Environment, Interface
from gateway.model import Register, Scalar
from gateway.store.compile import compile_device
from gateway.store.faults import line
from gateway.testing import poll
from tests.fakes import FakeClock, Gate
from tests.interfaces.modbus.servers import libmodbus_server, need
from tests.interfaces.modbus.test_peers import mbpoll

SAMPLE = Path(__file__).parents[3] / "docs" / "samples" / "modbus_tk"
HEAD = "Register Name,Address,Type,Units,Writable,Default Value,Transform,Table,Mixed Endian"


@pytest.fixture(scope="module")
def server() -> Iterator[ModbusServer]:
    """A pyModbusTCP server, whose registers are all 0 at first."""
    server = ModbusServer("127.0.0.1", 0, no_block=True)
    server.start()
    yield server
    server.stop()


@pytest.fixture
def port(server: ModbusServer) -> int:
    """The port of that server, its registers and coils 0 again."""
    server.data_bank.set_holding_registers(0, [0] * 2000)
    server.data_bank.set_coils(0, [False] * 2000)
    return int(server._service.server_address[1])


def device_of(port: int, rows: list[str], **config: Any) -> tuple[Interface, dict[str, Register]]:
    """An open device of VOLTTRON's documents: a register map with these rows, and a registry that names each of them."""
    names = [row.partition(",")[0] for row in rows]
    registry = "\n".join(["Volttron Point Name,Register Name", *(f"{name},{name}" for name in names)])
    given = {"device_address": "127.0.0.1", "port": port, "register_map": "config://map", "timeout": 5} | config
    document = {"driver_type": "modbus_tk", "driver_config": given, "registry_config": "config://registry"}
    documents = {"map": "\n".join([HEAD, *rows]).encode(), "registry": registry.encode()}
    verdict = compile_device("C/B/D", json.dumps(document).encode(), documents, Environment(FakeClock()), None)
    assert verdict.spec is not None, [line(fault) for fault in verdict.errors]
    interface = verdict.spec.interface(verdict.spec.config, Environment(FakeClock()))
    interface.open()
    return interface, {register.name: register for register in verdict.spec.registers}


def write(interface: Interface, register: Register, value: Scalar) -> Scalar | None:
    """Write a value as the gateway does."""
    return interface.write(register, value, {}, Gate())


M1 = {">H": 65535, ">I": 2**32 - 1, ">Q": 2**64 - 1, ">h": -32768, ">i": -(2**31), ">f": -1234.0, ">q": -(2**63)}
PLACES = {"H": 0, "I": 1, "Q": 3, "h": 7, "i": 8, "f": 10, "q": 12}


@pytest.mark.parametrize("endian", ["big", "little"])
@pytest.mark.parametrize("mixed", ["", "TRUE"])
def test_named_types(port: int, endian: str, mixed: str) -> None:
    """M1 to M3 with modbus_tk's type names: all 0, then what was written; mbpoll's words are those of the wire."""
    names = {"H": "uint16", "I": "uint32", "Q": "uint64", "h": "int16", "i": "int32", "f": "float", "q": "int64"}
    rows = [f"{names[code]},{at},{names[code]},,TRUE,,,,{mixed}" for code, at in PLACES.items()]
    interface, points = device_of(port, rows, endian=endian)
    with closing(interface):
        assert set(poll(interface, list(points.values())).values()) == {0}
        wanted = {names[kind[1]]: value for kind, value in M1.items()}
        for name, value in wanted.items():
            assert write(interface, points[name], value) == value
        assert poll(interface, list(points.values())) == wanted
    first = {("big", ""): "0xC49A", ("big", "TRUE"): "0x4000", ("little", ""): "0x0040", ("little", "TRUE"): "0x9AC4"}
    assert mbpoll(port, "4:hex", 10) == [first[endian, mixed]]


def test_m4_scale_bool_string_and_defaults(port: int) -> None:
    """A scaled register, a coil and a text; null goes back to the defaults, 0 and false like any other."""
    rows = ["scaled,0,uint16,,TRUE,0,scale(10),,", "flag,16,bool,,TRUE,FALSE,,,", "text,17,string[12],,TRUE,hello world!,,,"]
    interface, points = device_of(port, rows)
    with closing(interface):
        assert [points[name].default for name in points] == [0, False, "hello world!"]
        assert write(interface, points["scaled"], 10) == 10
        assert mbpoll(port, "4", 0) == ["1"]
        assert write(interface, points["flag"], True) is True
        for point in points.values():
            assert point.default is not None
            assert write(interface, point, point.default) == point.default
        assert poll(interface, list(points.values())) == {"scaled": 0, "flag": False, "text": "hello world!"}


@pytest.mark.parametrize(("transform", "scale", "raw"), [("scale_reg", 20, 4000), ("scale_reg_pow_10", -1, 2000)])
def test_m5_m6_scale_registers(port: int, transform: str, scale: int, raw: int) -> None:
    """The current is scaled by another register, both ways, and goes back to its default 0."""
    rows = ["SF,0,int16,,TRUE,,,,", f"current,1,uint16,A,TRUE,0,{transform}(SF),,"]
    interface, points = device_of(port, rows)
    with closing(interface):
        write(interface, points["SF"], scale)
        assert write(interface, points["current"], 200) == 200
        assert mbpoll(port, "4", 1) == [str(raw)]
        assert poll(interface, list(points.values())) == {"SF": scale, "current": 200}
        assert write(interface, points["current"], 0) == 0


def test_m7_single_writes(port: int) -> None:
    """Without multiple writes, registers go by function 6 and coils by 5."""
    interface, points = device_of(port, ["word,0,uint16,,TRUE,,,,", "flag,1,bool,,TRUE,,,,"], write_multiple_registers=False)
    with closing(interface):
        assert write(interface, points["word"], 6530) == 6530
        assert write(interface, points["flag"], True) is True
        assert poll(interface, list(points.values())) == {"word": 6530, "flag": True}
    assert (mbpoll(port, "4", 0), mbpoll(port, "0", 1)) == (["6530"], ["1"])


def test_m8_addresses_of_a_manual(port: int) -> None:
    """With addressing address the numbers from 40001 and from 1 are registers and coils; 0 is written like any value."""
    rows = ["speed,40012,uint16,,TRUE,9600,,,", "flag,5,bool,,TRUE,,,,", "input,30003,uint16,,FALSE,,,,"]
    interface, points = device_of(port, rows, addressing="address")
    with closing(interface):
        assert write(interface, points["speed"], 9600) == 9600
        assert (mbpoll(port, "4", 11), write(interface, points["flag"], True), mbpoll(port, "0", 4)) == (
            ["9600"],
            True,
            ["1"],
        )
        assert write(interface, points["speed"], 0) == 0
        assert poll(interface, list(points.values())) == {"speed": 0, "flag": True, "input": 0}


def test_a_point_of_a_holding_register_may_be_read_only(port: int, server: ModbusServer) -> None:
    """With Table the holding register of a read-only point is read, and not written."""
    server.data_bank.set_holding_registers(30, [77])
    interface, points = device_of(port, ["value,30,uint16,,FALSE,,,analog_output_holding_registers,"])
    with closing(interface):
        assert poll(interface, list(points.values())) == {"value": 77}
        assert not points["value"].writable


def test_the_unit_is_1_unless_said() -> None:
    """A modbus_tk config without slave_id asks unit 1, as there; a modbus config asks unit 0."""
    config = {"device_address": "127.0.0.1"}
    for kind, unit in (("modbus_tk", 1), ("modbus", 0)):
        document = {"driver_type": kind, "driver_config": config, "registry_config": []}
        verdict = compile_device("C/B/D", json.dumps(document).encode(), {}, Environment(FakeClock()), None)
        assert verdict.spec is not None
        assert verdict.spec.config.slave_id == unit  # type: ignore[attr-defined]


def test_libmodbus_takes_every_function(tmp_path: Path) -> None:
    """A server of another maker takes functions 6, 15, 16 and 22, and mbpoll reads what they wrote."""
    need("gcc")
    rows = "Volttron Point Name,Type,Table,Address,Bit,Writable,Write Function\n"
    rows += (
        "six,uint16,holding,0,,TRUE,single\nsixteen,uint16,holding,1,,TRUE,multiple\nfifteen,bool,coil,2,,TRUE,multiple\n"
    )
    rows += "mask,bool,holding,3,4,TRUE,mask\nchanged,uint8h,holding,3,,TRUE,\n"
    with libmodbus_server(tmp_path) as process:
        assert process.stdout is not None
        port = int(process.stdout.readline())
        config = {"device_address": "127.0.0.1", "port": port, "slave_id": 1}
        document = {"driver_type": "modbus", "driver_config": config, "registry_config": "config://r"}
        verdict = compile_device(
            "C/B/D", json.dumps(document).encode(), {"r": rows.encode()}, Environment(FakeClock()), None
        )
        assert verdict.spec is not None, verdict.errors
        interface = verdict.spec.interface(verdict.spec.config, Environment(FakeClock()))
        with closing(interface):
            interface.open()
            for point, value in zip(verdict.spec.registers, [6, 16, True, True, 0xAB], strict=True):
                assert write(interface, point, value) == value
        assert mbpoll(port, "4:hex", 0, 4) == ["0x0006", "0x0010", "0x0000", "0xAB10"]
        assert mbpoll(port, "0", 2) == ["1"]
        process.kill()


def test_the_sample_works(port: int, server: ModbusServer) -> None:
    """The sample documents are valid, and read a device as their descriptions say."""
    document = json.loads((SAMPLE / "device.json").read_text())
    document["driver_config"] |= {"device_address": "127.0.0.1", "port": port}
    documents = {name: (SAMPLE / name).read_bytes() for name in ("map.csv", "registry.csv")}
    verdict = compile_device("C/B/D", json.dumps(document).encode(), documents, Environment(FakeClock()), None)
    assert verdict.spec is not None, verdict.errors
    server.data_bank.set_holding_registers(0x100, [100, 1234, 0x8000 + 950, 1, 12])
    server.data_bank.set_holding_registers(0x110, [215])
    interface = verdict.spec.interface(verdict.spec.config, Environment(FakeClock()))
    with closing(interface):
        interface.open()
        wanted = {"PhaseCurrent": 12.34, "PowerFactor": -0.95, "Energy": 10012, "Setpoint": 21.5}
        assert poll(interface, list(verdict.spec.registers)) == wanted
