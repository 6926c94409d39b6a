"""Any cells at all: a row is made into registers that work, or refused in words."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from gateway.errors import BadValue, ConfigFault, RequestError
from gateway.interfaces._modbus.codec import decode, encode
from gateway.interfaces._modbus.kinds import Part
from gateway.interfaces._modbus.plan import plan
from gateway.interfaces._modbus.rows import TITLES
from gateway.interfaces._modbus.types import ALIASES, NAMES
from gateway.interfaces._modbus.writes import needs_before, write_query
from gateway.model import PointError
from gateway.values import from_raw, to_raw
from tests.interfaces.modbus.making import interface_of, made

WORDS = [
    "",
    "0",
    "1",
    "-1",
    "3",
    "17",
    "40001",
    "0x8000",
    "65535",
    "1e400",
    "nan",
    "9" * 5000,
    "TRUE",
    "FALSE",
    "sunspec",
    "ABCD",
]
WORDS += [
    "little",
    "power",
    "mask",
    "single",
    "0-7",
    "4",
    "2",
    "0=Off;1=On",
    "scale(0.1)",
    "scale_reg(P)",
    "mod10k48(true)",
    "pad[3]",
]
WORDS += [
    "array(uint32, 4)",
    "string[6]",
    "8s",
    ">H",
    "<d",
    "H",
    "utf-16-be",
    "ü",
    "\0",
    "holding",
    "coil",
    "input",
    "(((((",
    "config://x",
]
TYPES = st.sampled_from([*NAMES, *ALIASES, ">H", "<d", "string[6]", "array(int16, 3)", "pad", "8s"])
CELLS = st.dictionaries(st.sampled_from(sorted(TITLES.values())), st.sampled_from(WORDS) | st.text(max_size=8), max_size=6)
CONFIGS = st.fixed_dictionaries(
    {
        "addressing": st.sampled_from(["offset", "offset_plus", "address"]),
        "byte_order": st.sampled_from(["ABCD", "CDAB", "BADC"]),
    },
    optional={"write_multiple_registers": st.booleans(), "read_back": st.booleans()},
)


@given(CELLS, TYPES, CONFIGS)
def test_any_row_is_made_or_refused(cells: dict[str, str], kind: str, config: dict[str, Any]) -> None:
    """Nothing but a fault of the configuration comes of a row that can not work."""
    try:
        made({"Type": kind} | cells, **config)
    except (ConfigFault, ValidationError):
        pass


SOME = {
    "Bit": ["", "0", "3-9", "15"],
    "Byte Order": ["", "ABCD", "CDAB", "DCBA", "BADC"],
    "Scale": ["", "0.1", "-3", "1000"],
    "Offset": ["", "0.5", "-40"],
    "Precision": ["", "0", "2"],
    "No Value": ["", "sunspec", "0"],
    "Write Function": ["", "single", "multiple", "mask"],
    "Table": ["holding", "coil", ""],
    "String Encoding": ["", "utf-8", "utf-16-le"],
    "Count": ["", "2", "4"],
}


@given(TYPES, st.fixed_dictionaries({title: st.sampled_from(words) for title, words in SOME.items()}), st.data())
def test_what_is_made_works(kind: str, cells: dict[str, str], data: st.DataObject) -> None:
    """Whatever the registers hold is a value or an error of the point, and a value that is read can be written."""
    try:
        registers = made({"Type": kind, "Writable": "TRUE"} | {k: v for k, v in cells.items() if v})
    except (ConfigFault, ValidationError):
        return
    points, _ = interface_of().complete(registers)
    for register in points[:3]:
        (batch,) = plan([register])  # type: ignore[list-item]
        size = batch.query.length - 2
        wire = data.draw(st.binary(min_size=size, max_size=size))
        raw = batch.layout.decode(wire)[register.name]
        if isinstance(raw, PointError):
            continue
        try:
            value = from_raw(register, raw)
            again = to_raw(register, value)
            query = write_query(batch.registers[0], again, wire)
        except (BadValue, RequestError):
            continue
        assert query.length > 0
        if register.scaled or register.precision is not None or register.table.bits:
            continue
        if not needs_before(batch.registers[0]) and not isinstance(batch.registers[0].kind, Part):
            assert decode(batch.registers[0], encode(batch.registers[0], again)) == raw
