from __future__ import annotations

import csv
import json
import struct
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from gateway.allow import Allow
from gateway.errors import BadValue, ConfigFault, OutOfRange, ReadOnly, Rejected, Transient, Unreachable
from gateway.interfaces import load
from gateway.interfaces._modbus.pdu import EXCEPTIONS, ModbusRegister, Table
from gateway.interfaces.base import Environment, RegistryRow, Split
from gateway.interfaces.modbus import Interface, ModbusConfig, ModbusRow
from gateway.model import PointError, Register, Scalar
from gateway.testing import InterfaceContract, Peer, poll, read_one, registers_of
from tests.fakes import FakeClock, Gate
from tests.interfaces.modbus.servers import RESET, Answer, PymodbusServer, ScriptedServer, device, reply

DOCS = Path(__file__).parents[2] / "docs"
SAMPLE = DOCS / "samples" / "modbus"
REFERENCE = "".join((DOCS / "drivers" / page).read_text() for page in ("modbus.md", "modbus-registers.md"))
CASE_M = {"H": 0, "I": 1, "Q": 3, "h": 7, "i": 8, "f": 10, "q": 12}
"""The layout of VOLTTRON's own tests; its little-endian half lies 100 higher."""


def row(kind: str, address: object, name: str = "P", *, writable: bool = True, **columns: Any) -> dict[str, Any]:
    """A raw row, as a CSV gives it; other columns are written with ``_`` for the space."""
    cells = {"Volttron Point Name": name, "Modbus Register": kind, "Point Address": address, "Writable": str(writable)}
    return cells | {column.replace("_", " "): cell for column, cell in columns.items()}


def interface_of(port: int = 502, **config: Any) -> Interface:
    """An interface to a port of this machine, not yet open."""
    keys = {"device_address": "127.0.0.1", "port": port, "slave_id": 1, "timeout": 10} | config
    return Interface(ModbusConfig.model_validate(keys), Environment(FakeClock()))


def register(*args: Any, **columns: Any) -> ModbusRegister:
    """The register of a row."""
    made = interface_of().register(ModbusRow.model_validate(row(*args, **columns)))
    assert isinstance(made, ModbusRegister)
    return made


def many(*places: tuple[str, int], writable: bool = True, **columns: Any) -> list[Register]:
    """Registers named by their format and address."""
    return [register(kind, address, f"{kind}@{address}", writable=writable, **columns) for kind, address in places]


@contextmanager
def serving(*devices, **config: Any) -> Iterator[tuple[Interface, PymodbusServer]]:
    """A server with these units, and an open interface to unit 1."""
    with PymodbusServer(*devices) as server, closing(interface_of(server.port, **config)) as interface:
        interface.open()
        yield interface, server


@contextmanager
def scripted(answer: Answer, **config: Any) -> Iterator[tuple[Interface, ScriptedServer]]:
    """A server that answers what the test says, and an interface to it."""
    with ScriptedServer(answer) as server, closing(interface_of(server.port, **config)) as interface:
        yield interface, server


class ModbusPeer(Peer):
    """A pymodbus server with a few registers of each table."""

    def __init__(self) -> None:
        rows = [row("BOOL", 0, "coil 0"), row("BOOL", 9, "coil 9"), row("BOOL", 1, "contact", writable=False)]
        rows += [
            row(">H", 0, "word"),
            row(">f", 1, "float"),
            row(">h", 3, "tenths", Scale="0.5"),
            row(">H", 4, "mode", Enum="0=Off;1=On"),
            row("<i", 5, "swapped", Mixed_Endian="TRUE"),
            row("8s", 7, "text"),
        ]
        rows += [row(">q", 0, "input", writable=False), row(">H", 8, "another", writable=False)]
        self.server = PymodbusServer(device(1, coils=[0] * 20, discrete=[0, 1], holding=[0] * 30, inputs=[5] * 20))
        self.start()
        super().__init__(
            Interface, {"device_address": "127.0.0.1", "port": self.server.port, "slave_id": 1, "timeout": 5}, rows
        )

    def start(self) -> None:
        """Serve."""
        self.server.start()
        self.up = True

    def stop(self) -> None:
        """Close the port and every connection."""
        if self.up:
            self.server.stop()
        self.up = False


class TestContract(InterfaceContract):
    """What every interface must do."""

    @pytest.fixture
    def peer(self) -> Iterator[ModbusPeer]:
        """The far side."""
        peer = ModbusPeer()
        yield peer
        peer.stop()


# --- configuration ---


def test_defaults() -> None:
    """Only the address is required; port 502, unit 0, one second and no retries are VOLTTRON's or the plainest."""
    config = ModbusConfig.model_validate({"device_address": "10.0.0.5"})
    assert (config.port, config.slave_id, config.timeout, config.retries) == (502, 0, 1, 0)


@pytest.mark.parametrize("key", ["slave_id", "unit_id", "device_id"])
def test_the_unit_has_three_names(key: str) -> None:
    """VOLTTRON's slave_id, and what other programs call it, mean the same; two of them at once are a fault."""
    assert ModbusConfig.model_validate({"device_address": "plc-1", key: "255"}).slave_id == 255
    with pytest.raises(ValidationError):
        ModbusConfig.model_validate({"device_address": "plc-1", "slave_id": 1, "unit_id": 1, "device_id": 1})


def test_endian_is_a_named_fault() -> None:
    """VOLTTRON's drivers do not mean the same by endian, so one has to say which it is."""
    with pytest.raises(ValidationError) as raised:
        ModbusConfig.model_validate({"device_address": "plc-1", "endian": "little"})
    (fault,) = raised.value.errors()
    assert fault["loc"] == ("endian",)
    assert "word_order: little for CDAB, or byte_order: DCBA" in fault["msg"]


@pytest.mark.parametrize(
    "wrong",
    [
        {"device_address": ""},
        {"device_address": "10.0.0.300"},
        {"device_address": "10.0.0.5:502"},
        {"device_address": "/dev/../etc/passwd"},
        {"device_address": "/dev/tty USB"},
        {"device_address": "two words"},
        {"port": 0},
        {"port": 65536},
        {"slave_id": 256},
        {"slave_id": -1},
        {"timeout": 0},
        {"timeout": "NaN"},
        {"retries": -1},
        {"timout": 3},
    ],
)
def test_a_wrong_config_is_refused(wrong: dict[str, Any]) -> None:
    """Each wrong value is a fault at its key."""
    with pytest.raises(ValidationError) as raised:
        ModbusConfig.model_validate({"device_address": "10.0.0.5"} | wrong)
    assert raised.value.errors()[0]["loc"] == tuple(wrong)


@pytest.mark.parametrize("host", ["10.0.0.5", "fe80::1%eth0", "plc-1", "plc_1.site.example", "plc.", " 10.0.0.5 "])
def test_a_host_may_be_an_address_or_a_name(host: str) -> None:
    """IPv4, IPv6 with a zone, and names are taken, without the spaces around them."""
    assert ModbusConfig.model_validate({"device_address": host}).device_address == host.strip()


def test_an_address_that_may_not_be_asked_is_a_config_fault() -> None:
    """An IP address outside the allowed networks is found without a network; a name is not looked up for that."""
    strict = Environment(FakeClock(), Allow(networks=("10.0.0.0/8",)))
    with pytest.raises(ConfigFault, match=r"allow\.networks") as raised:
        Interface(ModbusConfig(device_address="127.0.0.1"), strict).check()
    assert raised.value.where == "device_address"
    Interface(ModbusConfig(device_address="10.1.2.3"), strict).check()
    Interface(ModbusConfig(device_address="localhost"), strict).check()


def test_link_and_target_tell_what_is_written() -> None:
    """Equal links and targets mean the same register of the same unit."""
    assert interface_of().link() == interface_of(timeout=3).link()
    assert interface_of().link() != interface_of(slave_id=2).link()
    targets = [
        interface_of().target(r) for r in (register(">H", 5), register("<h", 5), register("BOOL", 5), register(">H", 6))
    ]
    assert targets[0] == targets[1]
    assert len(set(targets)) == 3


# --- registry ---


@pytest.mark.parametrize(
    ("kind", "writable", "table"),
    [
        ("BOOL", True, Table.COIL),
        ("bool", False, Table.DISCRETE_INPUT),
        (">H", True, Table.HOLDING),
        (">H", False, Table.INPUT),
        ("8s", True, Table.HOLDING),
        ("8s", False, Table.INPUT),
    ],
)
def test_the_table_is_implied(kind: str, writable: bool, table: Table) -> None:
    """BOOL or not, and Writable, say which of the four tables it is, as in VOLTTRON."""
    assert register(kind, 0, writable=writable).table == table


@pytest.mark.parametrize(
    ("kind", "raw_type", "count"),
    [
        *((">H", "integer", 1), ("!h", "integer", 1), ("<l", "integer", 2), (">Q", "integer", 4), (">e", "float", 1)),
        *((" >f ", "float", 2), ("<d", "float", 4), ("8s", "string", 4), (">250s", "string", 125), ("BOOL", "boolean", 1)),
    ],
)
def test_formats(kind: str, raw_type: str, count: int) -> None:
    """A struct format of one value says the type and how many registers it takes."""
    made = register(kind, 0, writable=False)
    assert (made.raw_type, made.count) == (raw_type, count)


@pytest.mark.parametrize(
    ("kind", "suggestion"),
    [
        *(("H", ">H"), ("@f", ">f"), ("=q", ">q"), ("7s", "8s"), ("252s", "250s")),
        *((kind, "BOOL, ") for kind in (">2H", ">B", "?", "", ">HH", "uint17", "s", "0s")),
    ],
)
def test_a_format_that_can_not_work_is_a_fault(kind: str, suggestion: str) -> None:
    """A format without byte order, of half a register, or of two values is a fault with a suggestion."""
    with pytest.raises(ConfigFault) as raised:
        register(kind, 0, writable=False)
    assert raised.value.where == "Modbus Register"
    assert raised.value.suggestion.startswith(suggestion)


def test_a_text_must_fit_one_write() -> None:
    """A writable text has at most the 246 bytes that one request can write."""
    assert register("246s", 0).count == 123
    with pytest.raises(ConfigFault, match="at most 246 characters"):
        register("248s", 0)


@pytest.mark.parametrize(
    ("text", "address"), [(7, 7), ("12", 12), (" 12 ", 12), ("0x51A", 0x51A), ("0X51a", 0x51A), (65535, 65535)]
)
def test_addresses(text: object, address: int) -> None:
    """An address is a number, or text that is one, decimal or hexadecimal (case M9)."""
    assert register(">H", text).address == address


@pytest.mark.parametrize("text", [-1, 465537, "40001x", "0x", "0xFFFFF", "1.5", True, "", "ten"])
def test_a_wrong_address_is_refused(text: object) -> None:
    """What is no address from 0 to 65535 is a fault at its column."""
    with pytest.raises(ValidationError) as raised:
        register(">H", text)
    assert raised.value.errors()[0]["loc"] == ("Point Address",)


def test_an_address_beyond_the_wire_is_a_fault() -> None:
    """There are 65,536 addresses; a number above is one of a manual, which has to be said by addressing."""
    with pytest.raises(ConfigFault, match="65536 is above 65535"):
        register(">H", 65536)


def test_a_value_ends_at_the_last_address() -> None:
    """A register of several words may not reach beyond address 65535."""
    assert register(">I", 65534).end == 65536
    with pytest.raises(ConfigFault) as raised:
        register(">I", 65535)
    assert raised.value.where == "Point Address"


# --- reading and writing ---


@pytest.mark.parametrize("mixed", ["", "TRUE"])
def test_every_format_is_written_and_read_back(mixed: str) -> None:
    """Cases M1 to M3: all 0 at first; each extreme is taken, and the next poll brings what was written."""
    most = {"H": 65535, "I": 2**32 - 1, "Q": 2**64 - 1, "h": -32768, "i": -(2**31), "f": -1234.0, "q": -(2**63)}
    least = {"H": 0, "I": 0, "Q": 0, "h": 32767, "i": 2**31 - 1, "f": 1.0, "q": 2**63 - 1}
    columns = {"Mixed_Endian": mixed} if mixed else {}
    big = many(*((f">{code}", at) for code, at in CASE_M.items()), **columns)
    little = many(*((f"<{code}", at + 100) for code, at in CASE_M.items()), **columns)
    with serving(device(1, holding=[0] * 200)) as (interface, _):
        assert poll(interface, big + little) == {r.name: 0 for r in big + little}
        wanted = dict(zip([r.name for r in big + little], [*most.values(), *least.values()], strict=True))
        for point in big + little:
            assert interface.write(point, wanted[point.name], {}, Gate()) == wanted[point.name]
        assert poll(interface, big + little) == wanted


def test_mixed_endian_on_the_wire() -> None:
    """A mixed value lies in the registers with its low word first."""
    with serving(device(1, holding=[0] * 10)) as (interface, server):
        interface.write(register(">I", 2, Mixed_Endian="TRUE"), 0x00010002, {}, Gate())
        assert server.get(1, 3, 2, 2) == [2, 1]


def test_the_four_tables_are_apart() -> None:
    """The same address in four tables is four values."""
    points = [register("BOOL", 1, "coil"), register("BOOL", 1, "contact", writable=False)]
    points += [register(">H", 1, "holding"), register(">H", 1, "input", writable=False)]
    with serving(device(1, coils=[0, 1], discrete=[1, 0], holding=[0, 30], inputs=[0, 40])) as (interface, _):
        assert poll(interface, points) == {"coil": True, "contact": False, "holding": 30, "input": 40}


def test_nested_and_overlapping_registers() -> None:
    """Points within points are read together and all have their own value."""
    points = many((">Q", 0), (">H", 1), (">I", 2), (">I", 3), ("<H", 4), ("4s", 1))
    words = [0x4142, 0x4344, 0x4546, 0x4748, 0x494A]
    with serving(device(1, holding=words)) as (interface, _):
        assert len(interface.batches(points)) == 1
        assert poll(interface, points) == {
            ">Q@0": 0x4142434445464748,
            ">H@1": 0x4344,
            ">I@2": 0x45464748,
            ">I@3": 0x4748494A,
            "<H@4": 0x4A49,
            "4s@1": "CDEF",
        }


def test_150_coils() -> None:
    """More coils than fit a byte, or VOLTTRON's 100, have each their own value."""
    points = many(*(("BOOL", n) for n in range(150)))
    states = [n % 3 == 0 or n > 140 for n in range(150)]
    with serving(device(1, coils=states)) as (interface, _):
        assert len(interface.batches(points)) == 1
        assert list(poll(interface, points).values()) == states


def test_126_registers_are_two_requests() -> None:
    """A map longer than one request can be is read in two, every value in its place."""
    points = many(*((">H", n) for n in range(126)))
    with serving(device(1, holding=range(126))) as (interface, _):
        assert len(interface.batches(points)) == 2
        assert list(poll(interface, points).values()) == list(range(126))


def test_a_float_that_is_no_number_is_that_points_error() -> None:
    """NaN and infinity are errors of their points, the neighbours have values."""
    words = struct.unpack(">6H", struct.pack(">fff", float("nan"), float("-inf"), 1.5))
    with serving(device(1, inputs=words)) as (interface, _):
        answer = poll(interface, many((">f", 0), (">f", 2), (">f", 4), writable=False))
    assert answer.pop(">f@4") == 1.5
    assert [error.code for error in answer.values() if isinstance(error, PointError)] == ["bad_value", "bad_value"]


def test_text_that_can_not_be_told_is_that_points_error() -> None:
    """A text that is not ASCII is an error, the register beside it has its value."""
    with serving(device(1, holding=[0xFFFE, 7])) as (interface, _):
        answer = poll(interface, many(("2s", 0), (">H", 1)))
    assert answer[">H@1"] == 7
    assert isinstance(answer["2s@0"], PointError)


def test_two_units_behind_one_address() -> None:
    """Two interfaces with the same host and port and other units have other values."""
    point = register(">H", 0)
    with serving(device(1, holding=[11]), device(2, holding=[22])) as (one, server):
        two = interface_of(server.port, slave_id=2)
        two.open()
        two.write(point, 23, {}, Gate())
        assert (read_one(one, point), read_one(two, point)) == (11, 23)
        two.close()


def test_scale_and_enum_are_applied_both_ways() -> None:
    """A scaled register takes engineering units to the wire, and an enum its text."""
    tenths, mode = register(">h", 0, "t", Scale="0.1"), register(">H", 1, "m", Enum="0=Off;2=Auto")
    with serving(device(1, holding=[0, 0])) as (interface, server):
        assert interface.write(tenths, 21.5, {}, Gate()) == 21.5
        assert interface.write(mode, "Auto", {}, Gate()) == "Auto"
        assert server.get(1, 3, 0, 2) == [215, 2]


def test_a_value_that_does_not_fit_is_refused_before_it_is_sent() -> None:
    """Out of range, no text for it, null, or a read-only point: an error, and not one byte to the device."""
    interface = interface_of(1)
    gate = Gate()
    for point, value, error in [
        (register(">H", 0), 70000, OutOfRange),
        (register(">H", 0), -1, OutOfRange),
        (register("4s", 0), "12345", OutOfRange),
        (register("4s", 0), "ü", BadValue),
        (register(">H", 0), None, BadValue),
        (register(">H", 0, writable=False), 1, ReadOnly),
        (register("BOOL", 0, writable=False), True, ReadOnly),
    ]:
        with pytest.raises(error):
            interface.write(point, value, {}, gate)
    assert gate.calls == 0


def test_the_value_taken_is_what_the_device_then_holds() -> None:
    """A device that clamps is believed: its value after the write is the answer."""

    def clamping(request: bytes) -> list[bytes]:
        return [reply(request, request[7:12] if request[7] == 16 else b"\x03\x02\x00\x32")]

    with scripted(clamping) as (interface, _):
        assert interface.write(register(">H", 0), 99, {}, Gate()) == 50


@pytest.mark.parametrize("second", [b"", RESET, b"\x83\x02", b"\x03\x02\xff\xff\xff"])
def test_a_confirmed_write_is_good_without_its_read_back(second: bytes) -> None:
    """When the device confirms a write and then does not tell what it holds, the value written is the answer."""

    def answer(request: bytes) -> list[bytes]:
        if request[7] == 16:
            return [reply(request, request[7:12])]
        return [second if second in (b"", RESET) else reply(request, second)]

    with scripted(answer) as (interface, server):
        assert interface.write(register(">H", 0), 99, {}, Gate()) == 99
        assert [request[7] for request in server.requests] == [16, 3]


@pytest.mark.parametrize("code", [*EXCEPTIONS, 7, 200])
def test_a_refused_write_is_sent_once(code: int) -> None:
    """An exception to a write is Rejected, or Transient if it may be carried out yet, in the specification's words."""
    kind = Transient if code in (5, 11) else Rejected
    with scripted(lambda request: [reply(request, bytes([request[7] | 0x80, code]))], retries=3) as (interface, server):
        with pytest.raises(kind, match=EXCEPTIONS.get(code, f"exception code {code}")):
            interface.write(register("BOOL", 0), False, {}, Gate())
        assert len(server.requests) == 1


@pytest.mark.parametrize(("kind", "value"), [("BOOL", True), (">I", 7)])
def test_a_write_with_a_wrong_echo_is_not_confirmed(kind: str, value: Scalar) -> None:
    """When the echo names another address, the outcome is not known: Transient, and sent once."""

    def shifted(request: bytes) -> list[bytes]:
        return [reply(request, request[7:9] + bytes([request[9] + 1]) + request[10:12])]

    with scripted(shifted, retries=3) as (interface, server):
        with pytest.raises(Transient, match="was due"):
            interface.write(register(kind, 0), value, {}, Gate())
        assert len(server.requests) == 1


def test_an_unanswered_write_is_sent_once() -> None:
    """Whatever retries says, a write is never repeated."""
    with scripted(lambda request: [], retries=3, timeout=0.05) as (interface, server):
        gate = Gate()
        with pytest.raises(Transient, match="no answer"):
            interface.write(register(">H", 0), 1, {}, gate)
        assert (gate.calls, len(server.requests)) == (1, 1)


def test_an_unanswered_read_is_repeated_as_often_as_asked() -> None:
    """With retries 2 the third try counts; with none the first."""
    seen: list[bytes] = []

    def third(request: bytes) -> list[bytes]:
        seen.append(request)
        return [reply(request, b"\x03\x02\x00\x05")] if len(seen) % 3 == 0 else []

    with scripted(third, retries=2, timeout=0.05) as (interface, _):
        assert read_one(interface, register(">H", 0)) == 5
    with scripted(third, timeout=0.05) as (interface, _), pytest.raises(Transient):
        read_one(interface, register(">H", 0))


def test_a_reset_amid_a_poll_costs_that_request_only() -> None:
    """When the device resets the connection between two requests of a poll, the next one works again."""
    count = iter(range(9))

    def answer(request: bytes) -> list[bytes]:
        return [RESET] if next(count) == 1 else [reply(request, b"\x03\x02\x00" + request[9:10])]

    with scripted(answer) as (interface, _):
        first, second = interface.batches(many((">H", 1), (">H", 3)))
        assert interface.read(first) == {">H@1": 1}
        with pytest.raises(Unreachable, match="broke"):
            interface.read(second)
        assert interface.read(second) == {">H@3": 3}


# --- refusals ---


def test_an_illegal_address_does_not_lose_its_neighbours() -> None:
    """A register that the device does not have is the only error; the others have values, also when it is asked again."""
    served = device(1, holding=range(40))
    points = many(*((">H", n) for n in range(41)))
    with serving(served) as (interface, _):
        answer = poll(interface, points)
        error = answer.pop(">H@40")
        assert error == PointError("device_rejected", "illegal data address", unsupported=True)
        assert list(answer.values()) == list(range(40))
        assert poll(interface, points) == answer | {">H@40": error}


def test_what_was_refused_is_remembered() -> None:
    """Also on a new connection, and by an interface that recalls what this one has learned."""

    def at_most_30(request: bytes) -> list[bytes]:
        count = int.from_bytes(request[10:12], "big")
        return [reply(request, b"\x83\x03" if count > 30 else bytes([3, 2 * count]) + bytes(2 * count))]

    points = many(*((">H", n) for n in range(100)))
    with scripted(at_most_30) as (interface, server):
        assert interface.learned() == ()
        for _ in range(6):
            interface.open()
            assert set(poll(interface, points).values()) == {0}
            interface.close()
        assert interface.learned() == ("holding 0-30: too long, 30 are not",)
        assert interface.learned() is interface.learned()
        again = interface_of(server.port)
        again.recall(interface.learned())
        assert [len(b.registers) for b in again.batches(points)] == [30, 30, 30, 10]


def test_small_holes_are_read_over_if_the_config_says_so() -> None:
    """With max_gap registers that no point names are read along, and those of holes are not; the values are right."""
    points = many((">H", 0), (">I", 3), (">H", 7), (">H", 20))
    with serving(device(1, holding=range(30)), max_gap=2) as (interface, _):
        assert [len(b.registers) for b in interface.batches(points)] == [3, 1]
        assert list(poll(interface, points).values()) == [0, 0x00030004, 7, 20]
    apart = interface_of(max_gap=2, holes=[["holding", 1, 1], ["input", 5, 6]])
    assert [len(b.registers) for b in apart.batches(points)] == [1, 2, 1]


def test_a_device_may_have_smaller_limits() -> None:
    """max_registers and max_bits divide what would be read at once."""
    small = interface_of(max_registers=2, max_bits=3)
    points = many(*((">H", n) for n in range(5)), *(("BOOL", n) for n in range(7)))
    assert [b.registers[0].name for b in small.batches(points)] == ["BOOL@0", "BOOL@3", "BOOL@6", ">H@0", ">H@2", ">H@4"]


@pytest.mark.parametrize(
    ("config", "kind", "column"),
    [({"max_registers": 2}, ">q", "Modbus Register"), ({"holes": [["holding", 6, 9]]}, ">I", "Point Address")],
)
def test_a_point_that_may_not_be_read_is_a_fault(config: dict[str, Any], kind: str, column: str) -> None:
    """A value longer than one request may be, or in a hole that is never read, is a fault of its row."""
    with pytest.raises(ConfigFault) as raised:
        interface_of(**config).register(ModbusRow.model_validate(row(kind, 5)))
    assert raised.value.where == column


@pytest.mark.parametrize(
    ("kind", "columns", "column"),
    [
        (">H", {"Default_Value": "70000"}, "Default Value"),
        (">H", {"Default_Value": "6554", "Scale": "0.1"}, "Default Value"),
        (">h", {"Default_Value": "-32769"}, "Default Value"),
        (">f", {"Default_Value": "1e39"}, "Default Value"),
        ("4s", {"Default_Value": "hello"}, "Default Value"),
        (">H", {"Enum": "0=Off;65536=On"}, "Enum"),
    ],
)
def test_what_can_not_be_written_is_a_fault(kind: str, columns: dict[str, str], column: str) -> None:
    """A Default Value or a number of the Enum that a writable register can not hold; a read-only one uses neither."""
    with pytest.raises(ConfigFault) as raised:
        register(kind, 5, **columns)
    assert raised.value.where == column
    assert register(kind, 5, writable=False, **columns)


@pytest.mark.parametrize(
    "wrong",
    [
        *({"max_gap": -1}, {"max_registers": 0}, {"max_registers": 126}, {"max_bits": 2001}, {"holes": [["holding", 5]]}),
        *({"holes": [["drawer", 5, 6]]}, {"holes": [["coil", 6, 5]]}, {"holes": [["coil", 0, 65536]]}),
    ],
)
def test_wrong_limits_are_refused(wrong: dict[str, Any]) -> None:
    """Each is a fault at its key."""
    with pytest.raises(ValidationError) as raised:
        ModbusConfig.model_validate({"device_address": "10.0.0.5"} | wrong)
    assert raised.value.errors()[0]["loc"][0] == next(iter(wrong))


def test_a_function_that_the_device_lacks_is_no_reason_to_split() -> None:
    """Illegal function concerns the whole table: every point of the batch is unsupported after one request."""
    with scripted(lambda request: [reply(request, bytes([request[7] | 0x80, 1]))]) as (interface, server):
        error = PointError("device_rejected", EXCEPTIONS[1], unsupported=True)
        assert poll(interface, many((">H", 1), (">H", 2))) == {">H@1": error, ">H@2": error}
        assert len(server.requests) == 1


@pytest.mark.parametrize("code", [2, 3])
def test_what_the_device_lacks_is_unsupported(code: int) -> None:
    """Illegal address or value: a batch is split, a single register is an unsupported point."""
    with scripted(lambda request: [reply(request, bytes([request[7] | 0x80, code]))]) as (interface, _):
        (batch,) = interface.batches(many((">H", 1), (">H", 2)))
        with pytest.raises(Split) as split:
            interface.read(batch)
        for part in split.value.batches:
            (error,) = interface.read(part).values()
            assert error == PointError("device_rejected", EXCEPTIONS[code], unsupported=True)


@pytest.mark.parametrize("code", [4, 5, 6, 7, 8, 200])
def test_a_refusal_for_the_moment_is_each_points_error(code: int) -> None:
    """Other exceptions are an error of every point of the batch, and none is left out of the next poll."""
    with scripted(lambda request: [reply(request, bytes([request[7] | 0x80, code]))]) as (interface, _):
        error = PointError("device_rejected", EXCEPTIONS.get(code, f"exception code {code}"))
        assert poll(interface, many((">H", 1), (">H", 2))) == {">H@1": error, ">H@2": error}


def test_a_failure_over_holes_is_asked_again_without_them() -> None:
    """A device that answers exception 4 where it has no registers loses no value; without holes, 4 is for the moment."""

    def answer(request: bytes) -> list[bytes]:
        start, count = int.from_bytes(request[8:10], "big"), int.from_bytes(request[10:12], "big")
        lacks = start <= 2 < start + count
        return [reply(request, b"\x83\x04" if lacks else bytes([3, 2 * count]) + bytes(2 * count))]

    with scripted(answer, max_gap=4) as (interface, server):
        assert poll(interface, many((">H", 0), (">H", 5))) == {">H@0": 0, ">H@5": 0}
        assert interface.learned() == ("holding 1-4: not read over",)
        error = PointError("device_rejected", EXCEPTIONS[4])
        assert poll(interface, many((">H", 1), (">H", 2))) == {">H@1": error, ">H@2": error}
        assert len(server.requests) == 4


@pytest.mark.parametrize("code", [10, 11])
def test_a_gateway_without_its_device_is_no_answer(code: int) -> None:
    """When a serial gateway says that the unit behind it does not answer, that is Transient, on the same connection."""
    with scripted(lambda request: [reply(request, bytes([request[7] | 0x80, code]))]) as (interface, server):
        for _ in range(2):
            with pytest.raises(Transient, match=EXCEPTIONS[code]):
                read_one(interface, register(">H", 0))
        assert len(server.connections) == 1


# --- documents ---


def sample_rows() -> list[dict[str, Any]]:
    """The rows of the sample registry, empty cells left out."""
    with (SAMPLE / "registry.csv").open(newline="") as file:
        return [{column: cell for column, cell in row.items() if cell} for row in csv.DictReader(file)]


def test_the_sample_works() -> None:
    """The sample config and registry are valid, and read a device as their notes say."""
    sample: Mapping[str, Any] = json.loads((SAMPLE / "device.json").read_text())
    assert load(sample["driver_type"]) is Interface
    config = sample["driver_config"] | {"device_address": "127.0.0.1"}
    inputs = [0] * 100 + [*struct.unpack(">2H", struct.pack(">f", 21.25)), 0x4567, 0x0123, 0x0200, 0, 0, 0]
    text = [*struct.unpack(">8H", b"AHU-1".ljust(16, b"\0"))]
    served = device(1, coils=[1], discrete=[0, 0, 0, 1], holding=[0] * 10 + [215, 2] + [0] * 8 + text, inputs=inputs)
    with serving(served, **{k: v for k, v in config.items() if k != "port"}) as (interface, _):
        assert poll(interface, registers_of(interface, sample_rows())) == {
            "FanCommand": True,
            "FilterAlarm": True,
            "SpaceTemperatureSetpoint": 21.5,
            "OccupancyMode": "Auto",
            "Nameplate": "AHU-1",
            "SpaceTemperature": 21.25,
            "Energy": 190887.43,
            "Runtime": 2,
        }


def test_every_key_and_column_is_described() -> None:
    """The reference names every key and its other names, every column, every exception in use, and holds the sample."""
    keys = set(ModbusConfig.model_fields) | {"unit_id", "device_id"}
    common = {f.alias for f in RegistryRow.model_fields.values()}
    columns = {f.alias for f in ModbusRow.model_fields.values() if f.alias and f.alias not in common}
    assert [word for word in sorted(keys | columns) if f"`{word}`" not in REFERENCE] == []
    assert [words for words in EXCEPTIONS.values() if words not in REFERENCE] == []
    assert (SAMPLE / "device.json").read_text() in REFERENCE
    assert (SAMPLE / "registry.csv").read_text() in REFERENCE
