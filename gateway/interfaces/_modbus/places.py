"""Where a point is: table, address, byte order, and by which function it is written; pure.

Sources: [AP] MODBUS Application Protocol Specification V1.1b3. The numbers from 40001 and from 400001 are those of Modicon's
manuals: the first digit says the table, and the first place is 1.
"""

from __future__ import annotations

import re

from gateway.errors import ConfigFault
from gateway.interfaces._modbus.pdu import (
    MASK_REGISTER,
    MAX_WRITE_REGISTERS,
    WRITE_COIL,
    WRITE_COILS,
    WRITE_REGISTER,
    WRITE_REGISTERS,
    Table,
)

MAX_ADDRESS = 65535

TABLES = {
    "coil": Table.COIL,
    "coils": Table.COIL,
    "discrete_output_coils": Table.COIL,
    "discrete_output": Table.COIL,
    "discrete": Table.DISCRETE_INPUT,
    "discrete_input": Table.DISCRETE_INPUT,
    "discrete_inputs": Table.DISCRETE_INPUT,
    "discrete_input_contacts": Table.DISCRETE_INPUT,
    "holding": Table.HOLDING,
    "holding_register": Table.HOLDING,
    "holding_registers": Table.HOLDING,
    "analog_output_holding_registers": Table.HOLDING,
    "input": Table.INPUT,
    "input_register": Table.INPUT,
    "input_registers": Table.INPUT,
    "analog_input_registers": Table.INPUT,
}
"""The names of tables: ours, VOLTTRON's, and those of other programs."""

ORDERS = {
    "abcd": (">", False),
    "cdab": (">", True),
    "dcba": ("<", False),
    "badc": ("<", True),
    "big": (">", False),
    "little": ("<", False),
    "big-swap": ("<", True),
    "little-swap": (">", True),
    "abcdefgh": (">", False),
    "ghefcdab": (">", True),
    "hgfedcba": ("<", False),
    "badcfehg": ("<", True),
    "ab": (">", False),
    "ba": ("<", False),
}
"""The names of byte orders, each as the order of all bytes and whether the 16-bit words are reversed before that."""

_DIGITS = {Table.COIL: 0, Table.DISCRETE_INPUT: 1, Table.INPUT: 3, Table.HOLDING: 4}
_NUMBER = re.compile(r"0[xX][0-9a-fA-F]+|\d+")


def table_of(name: str) -> Table:
    """The table of that name. Raises ValueError."""
    found = TABLES.get(re.sub(r"[\s-]+", "_", name.strip().lower()))
    if found is None:
        raise ValueError("write coil, discrete_input, holding or input")
    return found


def order_of(name: str) -> tuple[str, bool]:
    """The byte order of that name. Raises ValueError."""
    found = ORDERS.get(re.sub(r"[\s_]+", "-", name.strip().lower()))
    if found is None:
        raise ValueError("write ABCD, DCBA, BADC or CDAB")
    return found


def number_of(text: str) -> int:
    """A decimal or hexadecimal number. Raises ValueError."""
    if not _NUMBER.fullmatch(text):
        raise ValueError("not a whole number from 0, decimal or hexadecimal")
    return int(text, 16) if text[:2] in ("0x", "0X") else int(text)


def wire_address(text: str, addressing: str, table: Table | None, column: str) -> tuple[int, Table | None]:
    """The address on the wire, from 0, and the table if the number tells it. Raises ConfigFault.

    ``addressing`` is offset (the address itself), offset_plus (one more) or address (40001-style).
    """
    number = number_of(text)
    if addressing == "address":
        number, table = _modicon(text, number, table, column)
    elif addressing == "offset_plus":
        number -= 1
    if number < 0:
        raise ConfigFault("addresses are counted from 1, as addressing says", column, "1")
    if number > MAX_ADDRESS:
        raise ConfigFault(f"{text} is above {MAX_ADDRESS}", column)
    return number, table


def _modicon(text: str, number: int, table: Table | None, column: str) -> tuple[int, Table]:
    """The address and table of a number such as 40001, 400001, 00001 or 1."""
    base = 100_000 if number > 99_999 or (len(text) == 6 and text.isdecimal()) else 10_000
    digit, place = divmod(number, base)
    told = {digits: known for known, digits in _DIGITS.items()}.get(digit)
    if told is None or place == 0:
        raise ConfigFault(f"{text} is not the number of a register such as 40001 or 400001, as addressing says", column)
    if table is not None and table is not told:
        raise ConfigFault(f"{text} is in the table {told.name.lower()}, not in {table.name.lower()}", column)
    return place - 1, told


def write_function(table: Table, count: int, part: bool, word: str, column: str) -> int:
    """The function that writes a value: ``word`` is single, multiple or mask, "" the plainest. Raises ConfigFault."""
    if table in (Table.DISCRETE_INPUT, Table.INPUT):
        raise ConfigFault(f"the table {table.name.lower()} can not be written", "Writable", "FALSE")
    if word == "mask":
        if not part or count != 1:
            raise ConfigFault("only bits and bytes of one register are written by a mask", column, "multiple")
        return MASK_REGISTER
    if table is Table.COIL:
        return WRITE_COILS if word == "multiple" else WRITE_COIL
    if word == "single" and count > 1:
        raise ConfigFault(f"a value of {count} registers can not be written one register at a time", column, "multiple")
    if count > MAX_WRITE_REGISTERS:
        raise ConfigFault(f"one request writes at most {2 * MAX_WRITE_REGISTERS} characters", "Writable", "FALSE")
    return WRITE_REGISTER if word == "single" else WRITE_REGISTERS
