from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from typing import Any

import pytest
from pymodbus.pdu import bit_message, register_message

from gateway.errors import DeadlinePassed, NotTaken, Rejected, Transient
from gateway.interfaces._modbus.pdu import ModbusRegister
from gateway.interfaces._modbus.writes import write_query
from gateway.model import PointError, Scalar
from gateway.testing import poll
from tests.fakes import Gate
from tests.interfaces.modbus.making import interface_of, one, several
from tests.interfaces.modbus.servers import PymodbusServer, ScriptedServer, device, reply


def writable(type_name: str = "uint16", **columns: Any) -> ModbusRegister:
    """A writable register."""
    return one(type_name, Writable="TRUE", **columns)


class Registers:
    """Holding registers behind a scripted server; each request's function is kept in ``asked``."""

    def __init__(self, *words: int, change: Callable[[int], int] = lambda word: word) -> None:
        self.words = list(words)
        self.asked: list[int] = []
        self.change = change

    def __call__(self, request: bytes) -> list[bytes]:
        """Answer a request."""
        pdu = request[7:]
        self.asked.append(pdu[0])
        at = int.from_bytes(pdu[1:3], "big")
        if pdu[0] == 3:
            words = self.words[at : at + int.from_bytes(pdu[3:5], "big")]
            return [reply(request, bytes((3, 2 * len(words))) + b"".join(w.to_bytes(2, "big") for w in words))]
        if pdu[0] == 22:
            keep, put = int.from_bytes(pdu[3:5], "big"), int.from_bytes(pdu[5:7], "big")
            self.words[at] = self.words[at] & keep | put & ~keep & 0xFFFF
            return [reply(request, pdu)]
        data = pdu[3:] if pdu[0] == 6 else pdu[6:]
        for n in range(0, len(data), 2):
            self.words[at + n // 2] = self.change(int.from_bytes(data[n : n + 2], "big"))
        return [reply(request, pdu[:5])]


def written(held: Registers, register: ModbusRegister, value: Scalar, gate: Gate | None = None) -> Scalar | None:
    """Write a value to a scripted device; what is answered."""
    with ScriptedServer(held) as server, closing(interface_of(server.port, retries=3)) as interface:
        interface.open()
        return interface.write(register, value, {}, gate or Gate())


@pytest.mark.parametrize(
    ("register", "value", "pdu"),
    [
        (writable("bool", Table="coil", Address="7"), True, b"\x05\x00\x07\xff\x00"),
        (writable("bool", Table="coil", Address="7", Write_Function="multiple"), True, b"\x0f\x00\x07\x00\x01\x01\x01"),
        (writable("bool", Table="coil", Address="7", Write_Function="multiple"), False, b"\x0f\x00\x07\x00\x01\x01\x00"),
        (writable(Address="7"), 258, b"\x10\x00\x07\x00\x01\x02\x01\x02"),
        (writable(Address="7", Write_Function="single"), 258, b"\x06\x00\x07\x01\x02"),
        (writable(Address="7", write_multiple_registers=False), 258, b"\x06\x00\x07\x01\x02"),
        (writable(Address="7", write_multiple_registers=False, Write_Function="multiple"), 1, b"\x10\0\x07\0\x01\x02\0\x01"),
        (writable("bool", Bit="3", Write_Function="mask"), True, b"\x16\x00\x00\xff\xf7\x00\x08"),
        (writable("bool", Bit="3", Write_Function="mask"), False, b"\x16\x00\x00\xff\xf7\x00\x00"),
        (writable("uint8h", Write_Function="mask"), 0xAB, b"\x16\x00\x00\x00\xff\xab\x00"),
        (writable("uint8h", Write_Function="mask", Byte_Order="DCBA"), 0xAB, b"\x16\x00\x00\xff\x00\x00\xab"),
    ],
)
def test_each_function_has_its_request(register: ModbusRegister, value: Scalar, pdu: bytes) -> None:
    """The request of a write is that of its function, to the byte."""
    assert write_query(register, value).pdu == pdu


def test_requests_are_those_of_another_library() -> None:
    """Pymodbus asks the same."""
    single = register_message.WriteSingleRegisterRequest(address=9, registers=[513])
    assert write_query(writable(Address="9", Write_Function="single"), 513).pdu == b"\x06" + single.encode()
    mask = register_message.MaskWriteRegisterRequest(address=9, and_mask=0xFF0F, or_mask=0x50)
    assert write_query(writable(Address="9", Bit="4-7", Write_Function="mask"), 5).pdu == b"\x16" + mask.encode()
    coils = bit_message.WriteMultipleCoilsRequest(address=9, bits=[True])
    assert (
        write_query(writable("bool", Table="coil", Address="9", Write_Function="multiple"), True).pdu
        == b"\x0f" + coils.encode()
    )


@pytest.mark.parametrize("function", ["", "single", "mask"])
def test_a_bit_is_written_and_the_others_stay(function: str) -> None:
    """One bit or some are changed, by reading and writing the register or by a mask, with one claim."""
    held, gate = Registers(0xA5F0), Gate()
    register = writable(Bit="4-7", Write_Function=function)
    assert written(held, register, 3, gate) == 3
    assert held.words == [0xA530]
    assert gate.calls == 1
    assert held.asked == ([22, 3] if function == "mask" else [3, {"": 16, "single": 6}[function], 3])


@pytest.mark.parametrize(("refused", "error"), [(2, Rejected), (4, Transient), (6, Transient)])
def test_a_refused_read_before_a_write_lasts_or_not(refused: int, error: type[Exception]) -> None:
    """What the device does not have is a refusal of the write; what it can not do now may be tried again."""
    gate = Gate()
    with pytest.raises(error, match="nothing was written: the rest of its register can not be read"):
        written(lambda request: [reply(request, bytes((0x83, refused)))], writable("bool", Bit="1"), True, gate)  # type: ignore[arg-type]
    assert gate.calls == 0


@pytest.mark.parametrize("code", [0x90, 0x96])
def test_a_refused_write_of_a_bit_is_sent_once(code: int) -> None:
    """Whichever request of a write is refused, nothing is sent after it."""
    asked: list[int] = []

    def answer(request: bytes) -> list[bytes]:
        asked.append(request[7])
        if request[7] | 0x80 == code:
            return [reply(request, bytes((code, 4)))]
        return [reply(request, b"\x03\x02\x00\x00")]

    with pytest.raises(Rejected, match="server device failure"):
        written(answer, writable("bool", Bit="1", Write_Function="mask" if code == 0x96 else ""), True)  # type: ignore[arg-type]
    assert asked == {0x90: [3, 16], 0x96: [22]}[code]


@pytest.mark.parametrize("code", [10, 11])
def test_a_bit_behind_a_silent_unit_is_not_written(code: int) -> None:
    """When a serial gateway says that the unit does not answer, nothing was claimed, and that is what is told."""
    gate = Gate()
    with pytest.raises(Transient, match="nothing was written"):
        written(lambda request: [reply(request, bytes((0x83, code)))], writable("bool", Bit="1"), True, gate)  # type: ignore[arg-type]
    assert gate.calls == 0


def test_a_bit_with_texts() -> None:
    """A bit may have texts for its two states."""
    held = Registers(0xFFFD)
    assert written(held, writable("bool", Bit="1", Enum="0=Auto;1=Hand"), "Hand") == "Hand"
    assert held.words == [0xFFFF]


def test_a_bit_is_not_written_when_it_may_not_be() -> None:
    """The right to write is asked after the register was read; without it nothing is written."""

    class Shut(Gate):
        def __call__(self) -> None:
            super().__call__()
            raise DeadlinePassed("too late")

    held = Registers(0)
    with pytest.raises(DeadlinePassed):
        written(held, writable("bool", Bit="1"), True, Shut())
    assert (held.asked, held.words) == ([3], [0])


@pytest.mark.parametrize("function", ["single", "multiple"])
def test_a_silent_device_is_written_once(function: str) -> None:
    """No function's write is ever repeated."""
    with (
        ScriptedServer(lambda request: []) as server,
        closing(interface_of(server.port, retries=3, timeout=0.05)) as interface,
    ):
        interface.open()
        with pytest.raises(Transient):
            interface.write(writable(Write_Function=function), 1, {}, Gate())
        assert len(server.requests) == 1


@pytest.mark.parametrize("columns", [{"Read_Back": "FALSE"}, {"read_back": False}, {"Write_Only": "TRUE"}])
def test_a_write_may_go_without_its_read(columns: dict[str, Any]) -> None:
    """Where a row or the device says so, or a point is write-only, the answer is what was written."""
    held = Registers(0, change=lambda word: 5)
    assert written(held, writable(**columns), 7) == 7
    assert held.asked == [16]


def test_a_row_may_read_back_where_the_device_does_not() -> None:
    """Read Back in a row goes before read_back of the device."""
    held = Registers(0, change=lambda word: 5)
    assert written(held, writable(Read_Back="TRUE", read_back=False), 7) == 5


@pytest.mark.parametrize(("taken", "good"), [(215, True), (220, True), (210, True), (221, False), (0, False)])
def test_tolerance_is_in_engineering_units(taken: int, good: bool) -> None:
    """What the device holds after a write may be so far from it, and no further."""
    register = writable("int16", Scale="0.1", Tolerance="0.5")
    held = Registers(0, change=lambda word: taken)
    if good:
        assert written(held, register, 21.5) == taken / 10
    else:
        with pytest.raises(NotTaken, match="not within the Tolerance"):
            written(held, register, 21.5)
    assert held.asked == [16, 3]


def test_a_write_only_point_is_never_read() -> None:
    """A poll of a device leaves its write-only points out."""
    rows = [
        {"Volttron Point Name": "a", "Type": "uint16", "Address": "0", "Table": "holding"},
        {"Volttron Point Name": "b", "Type": "uint16", "Address": "1", "Writable": "TRUE", "Write Only": "TRUE"},
    ]
    interface = interface_of()
    (batch,) = interface.batches(several(interface, rows))
    assert [r.name for r in batch.registers] == ["a"]


# --- scales in registers

SCALED = [
    {
        "Volttron Point Name": "amps",
        "Type": "uint16",
        "Address": "0",
        "Writable": "TRUE",
        "Scale Register": "sf",
        "No Value": "sunspec",
    },
    {"Volttron Point Name": "sf", "Type": "int16", "Address": "50", "Writable": "TRUE", "No Value": "sunspec"},
]


@pytest.mark.parametrize(
    ("kind", "scale", "raw", "value"),
    [
        *(("power", 0xFFFE, 12345, 123.45), ("power", 0, 7, 7.0), ("power", 2, 7, 700.0), ("divisor", 20, 4000, 200.0)),
        *(("divisor", 49, 49, 1.0), ("factor", 3, 7, 21.0), ("factor", 0xFFFF, 7, -7.0)),
    ],
)
def test_a_scale_from_a_register(kind: str, scale: int, raw: int, value: float) -> None:
    """The value is that of the point by its scale, and a write of it gives the same register."""
    rows = [SCALED[0] | {"Scale Register Kind": kind}, SCALED[1]]
    with (
        PymodbusServer(device(1, holding=[raw, *[0] * 49, scale, 0])) as server,
        closing(interface_of(server.port)) as interface,
    ):
        interface.open()
        amps, sf = several(interface, rows)
        answer = poll(interface, [amps, sf])
        assert answer["amps"] == value
        assert isinstance(answer["amps"], float)
        server.set(1, 3, 0, [0])
        assert interface.write(amps, value, {}, Gate()) == value
        assert server.get(1, 3, 0) == [raw]


def test_a_scale_is_read_with_its_point() -> None:
    """A request for the point alone reads its scale too, first, and does not show it; another scale counts at once."""
    with PymodbusServer(device(1, holding=[5, *[0] * 49, 1, 0])) as server, closing(interface_of(server.port)) as interface:
        interface.open()
        amps, _ = several(interface, SCALED)
        assert [value for batch in interface.batches([amps]) for value in interface.read(batch).items()] == [("amps", 50.0)]
        server.set(1, 3, 50, [2])
        assert [value for batch in interface.batches([amps]) for value in interface.read(batch).items()] == [("amps", 500.0)]
        server.set(1, 3, 50, [0])
        assert interface.write(amps, 9.0, {}, Gate()) == 9.0
        assert server.get(1, 3, 0) == [9]


@pytest.mark.parametrize(("scale", "words"), [(0x8000, "stands for no value"), (99, "no power of ten")])
def test_a_point_without_its_scale_is_an_error(scale: int, words: str) -> None:
    """When the scale says that it is none, the point is an error and not written, while the others go on."""
    with (
        PymodbusServer(device(1, holding=[5, *[0] * 49, scale, 0])) as server,
        closing(interface_of(server.port)) as interface,
    ):
        interface.open()
        amps, sf = several(interface, SCALED)
        answer = poll(interface, [amps, sf])["amps"]
        assert isinstance(answer, PointError)
        assert words in answer.message
        with pytest.raises(Transient, match=f"nothing was written: .*{words}"):
            interface.write(amps, 1.0, {}, Gate())
        assert server.get(1, 3, 0) == [5]


def test_a_scale_of_an_earlier_poll_does_not_count() -> None:
    """When the scale can not be read any more, its point is an error, although its own register can."""
    lost: list[bool] = []

    def answer(request: bytes) -> list[bytes]:
        at = int.from_bytes(request[8:10], "big")
        if at == 50 and lost:
            return [reply(request, b"\x83\x04")]
        return [reply(request, b"\x03\x02\x00\x01")]

    with ScriptedServer(answer) as server, closing(interface_of(server.port)) as interface:
        interface.open()
        amps, _ = several(interface, SCALED)
        (first, second) = interface.batches([amps])
        assert interface.read(first) == {}
        assert interface.read(second) == {"amps": 10.0}
        lost.append(True)
        (first, second) = interface.batches([amps])
        assert interface.read(first) == {}
        error = interface.read(second)["amps"]
        assert isinstance(error, PointError)
        assert "server device failure" in error.message
        with pytest.raises(Transient, match='nothing was written: its scale, "sf", can not be read: server device failure'):
            interface.write(amps, 1.0, {}, Gate())
