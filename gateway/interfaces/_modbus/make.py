"""Registry rows to registers; pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from sys import intern
from typing import Any

from pydantic import ValidationError

from gateway.errors import ConfigFault
from gateway.interfaces._modbus.kinds import Kind, Mod10k, Part, Text
from gateway.interfaces._modbus.limits import NO_LIMITS, Limits, Span
from gateway.interfaces._modbus.pdu import ModbusRegister, Table
from gateway.interfaces._modbus.places import MAX_ADDRESS, order_of, wire_address, write_function
from gateway.interfaces._modbus.regmap import RegisterMap
from gateway.interfaces._modbus.rows import ADDRESS, KIND, NAME, REGISTER, SAME, ModbusRow, RegisterKeys
from gateway.interfaces._modbus.sentinels import numbers
from gateway.interfaces._modbus.transform import transform
from gateway.interfaces._modbus.types import EXAMPLES, TypeOf, type_of
from gateway.interfaces._modbus.writes import check_writable
from gateway.interfaces.base import shared

_FIELDS = {str(field.alias): name for name, field in ModbusRow.model_fields.items()}
_ENCODINGS = ("ascii", "latin-1", "utf-8", "utf-16-be", "utf-16-le", "cp1252")


@dataclass(frozen=True, slots=True)
class _Shape:
    """A row's type, with the column that says it, the bits of it that count, and its order on the wire."""

    of: TypeOf
    column: str
    order: str
    mixed: bool


class Maker:
    """Makes the registers of one device; ``keys`` is its ``driver_config``, ``limits`` what one request may read."""

    def __init__(self, keys: RegisterKeys, limits: Limits = NO_LIMITS) -> None:
        self._keys = keys
        self._limits = limits
        self.map = RegisterMap(keys.register_map)

    def registers(self, row: ModbusRow) -> tuple[ModbusRegister, ...]:
        """The register of a row; an array is one for each element, ``name[0]`` the first. Raises ConfigFault."""
        row, column, of = self._typed(row)
        if not row.point_name and not of.pad:
            raise ConfigFault("is missing", NAME)
        table, address, place = self._place(row, of)
        of = _sized(row, of, table, column)
        self._check_end(address, of, place)
        self._check_readable(Span(table, address, address + of.count), column, place)
        if of.pad:
            return (_pad(table, address, of.count, self._function(row, of, table)),)
        one = self._one(row, _Shape(of, column, *self._order(row, of)), table, address)
        if of.times == 1:
            return (one,)
        return tuple(replace(one, name=f"{one.name}[{n}]", address=address + n * of.count) for n in range(of.times))

    def _one(self, row: ModbusRow, shape: _Shape, table: Table, address: int) -> ModbusRegister:
        of = shape.of
        own: dict[str, Any] = {"scale_register": row.scale_register, "tolerance": row.tolerance}
        if row.scale_register and row.scale_register == row.point_name:
            raise ConfigFault("a point can not be its own scale", "Scale Register")
        kind, no_value = numbers(row.no_value, of)
        own |= {"no_value": no_value, "write_only": _write_only(row, of, table)}
        register = ModbusRegister(
            **shared(row, of.raw_type, **own),
            table=table,
            address=address,
            count=of.count,
            format="" if table.bits else intern(shape.order + of.code),
            mixed=shape.mixed,
            kind=kind,
            write=self._function(row, of, table),
            read_back=(self._keys.read_back if row.read_back is None else row.read_back) and not row.write_only,
            reference=row.register_name,
            scale_kind=row.scale_register_kind,
        )
        check_writable(register)
        return register

    # ---- type

    def _typed(self, row: ModbusRow) -> tuple[ModbusRow, str, TypeOf]:
        """The row after its transform, and its type with the column that says it."""
        column, text = _one_of(row, SAME[0])
        if not text:
            if not row.pad:
                raise ConfigFault("is missing", KIND, EXAMPLES)
            text = "pad"
        of = _with_bits(row, type_of(text.strip(), column), column)
        if row.transform:
            made = transform(row.transform, of)
            if "scale" in made.columns and row.scale != 1:
                raise ConfigFault("stands beside a Transform that scales", "Scale")
            row, of = row.model_copy(update=made.columns), made.type
        if isinstance(of.kind, Mod10k) and len(of.kind.places) < of.count and row.writable:
            raise ConfigFault("mod10k48 of four registers can be read only", "Writable", "FALSE")
        return row, column, replace(of, kind=_text(row, of.kind), pad=of.pad or row.pad)

    def _order(self, row: ModbusRow, of: TypeOf) -> tuple[str, bool]:
        """The order of bytes, > or <, and whether the words are reversed."""
        order, mixed = self._base_order(row, of)
        if of.count > 1 and row.word_order:
            mixed = (row.word_order == "little") == (order == ">")
        if row.mixed_endian or row.mixed:
            mixed = not mixed
        return order, mixed and of.count > 1

    def _base_order(self, row: ModbusRow, of: TypeOf) -> tuple[str, bool]:
        if of.order:
            if row.byte_order:
                raise ConfigFault("the type says the byte order already, by > or <", "Byte Order")
            return of.order, False
        if row.byte_order:
            return row.byte_order
        if isinstance(of.kind, Text):
            return ">", False  # devices that swap the words of numbers seldom swap those of a text
        order, mixed = order_of(self._keys.byte_order)
        if self._keys.word_order:
            mixed = (self._keys.word_order == "little") == (order == ">")
        return order, mixed

    # ---- place

    def _place(self, row: ModbusRow, of: TypeOf) -> tuple[Table, int, str]:
        """Table, address on the wire, and the column that says the address."""
        column, text = _one_of(row, SAME[1])
        if not text:
            raise ConfigFault("is missing", ADDRESS)
        address, table = wire_address(text, self._keys.addressing, row.table, column)
        if table is None:
            table = _implied(of.is_bit and row.bit is None, row.writable)
        if table.bits and (not of.is_bit or row.bit):
            raise ConfigFault(f"in the table {table.name.lower()} each address is one bit", "Bit" if row.bit else "Table")
        if not table.bits and of.is_bit and row.bit is None:
            raise ConfigFault("say which bit of the register it is, 0 the lowest", "Bit", "0")
        return table, address, column

    def _check_end(self, address: int, of: TypeOf, column: str) -> None:
        if address + of.count * of.times > MAX_ADDRESS + 1:
            raise ConfigFault(f"{of.count * of.times} registers from {address} end above {MAX_ADDRESS}", column)

    def _check_readable(self, span: Span, column: str, place: str) -> None:
        """ConfigFault if the limits that the config gives keep a point from being read at all."""
        most = self._limits.most(span.table)
        if span.size > most:
            raise ConfigFault(
                f"{span.size} registers are more than the {most} that driver_config lets one request read", column
            )
        if any(hole.overlaps(span) for hole in self._limits.never):
            raise ConfigFault("lies in one of the holes that driver_config says are never read", place)

    def _function(self, row: ModbusRow, of: TypeOf, table: Table) -> int:
        if not row.writable or of.pad:
            return 0
        plain = "" if self._keys.write_multiple_registers or table.bits else "single"
        part = isinstance(of.kind, Part)
        return write_function(table, of.count, part, row.write_function or plain, "Write Function")

    # ---- all rows

    def complete(self, registers: Sequence[ModbusRegister]) -> tuple[tuple[ModbusRegister, ...], list[ConfigFault]]:
        """The points with the registers that hold their scale, and with what ``pad`` rows let be read behind them."""
        faults: list[ConfigFault] = []
        points = [register for register in registers if not register.pad]
        ends = {(pad.table, pad.address): pad.end for pad in registers if pad.pad}
        scales: dict[str, ModbusRegister | None] = {}
        known: dict[str, list[ModbusRegister]] = {}
        for point in points:
            for name in {point.name, point.reference} - {""}:
                known.setdefault(name, []).append(point)
        made = []
        for point in points:
            name = point.scale_register
            if name and name not in scales:
                try:
                    scales[name] = self._scale(name, known)
                except ConfigFault as fault:
                    scales[name] = None
                    faults.append(ConfigFault(f'"{point.name}": {fault.message}', "Scale Register", fault.suggestion))
            through = _through(point, ends)
            scale = scales[name] if name else None
            made.append(replace(point, scale_from=scale, through=through) if scale or through else point)
        return tuple(made), faults

    def _scale(self, name: str, known: dict[str, list[ModbusRegister]]) -> ModbusRegister:
        """The register that holds the scale of that name, as one that belongs to no point."""
        found = known.get(name) or self._mapped(name)
        if not found:
            raise ConfigFault(f'there is no point "{name}" to take the scale from')
        if len({(one.table, one.address, one.format, one.mixed, one.kind, one.scale) for one in found}) > 1:
            raise ConfigFault(f'"{name}" names more than one register')
        one = found[0]
        if one.type not in ("integer", "float") or one.scale_register or one.write_only:
            raise ConfigFault(f'"{name}" can not be a scale: it is no number, has a scale of its own, or is write-only')
        return replace(one, name=f"\0{name}", hidden=True, writable=False, write=0)

    def _mapped(self, name: str) -> Sequence[ModbusRegister]:
        cells = self.map.row(name)
        if cells is None:
            return ()
        try:
            return self.registers(ModbusRow.model_validate(cells | {NAME: name, REGISTER: name}))
        except ValidationError as error:
            column, message = error.errors()[0]["loc"][0], error.errors()[0]["msg"]
            raise ConfigFault(f'the register_map\'s row "{name}", column "{column}": {message}') from None
        except ConfigFault as fault:
            raise ConfigFault(f'the register_map\'s row "{name}", column "{fault.where}": {fault.message}') from None


def _one_of(row: ModbusRow, titles: Sequence[str]) -> tuple[str, str]:
    """The one of these columns that is filled, and its text."""
    filled = [(title, getattr(row, _FIELDS[title])) for title in titles if getattr(row, _FIELDS[title])]
    if len(filled) > 1 and len({text for _, text in filled}) > 1:
        raise ConfigFault(f'says something else than "{filled[0][0]}"', filled[1][0], "keep one of them")
    return filled[0] if filled else (titles[0], "")


def _implied(bit: bool, writable: bool) -> Table:
    """The table that VOLTTRON implies by type and Writable."""
    if bit:
        return Table.COIL if writable else Table.DISCRETE_INPUT
    return Table.HOLDING if writable else Table.INPUT


def _with_bits(row: ModbusRow, of: TypeOf, column: str) -> TypeOf:
    """The type when only some bits of it count."""
    if row.bit is None:
        return of
    low, high = row.bit
    word = TypeOf("integer", 1, "H") if of.is_bit else of
    if word.raw_type != "integer" or not word.code or word.times > 1:
        raise ConfigFault("bits are of one whole number of 16, 32 or 64 bits", column, "uint16")
    if high >= 16 * word.count:
        raise ConfigFault(f"there are only the bits 0 to {16 * word.count - 1}", "Bit")
    signed = word.code.islower() and high > low
    raw_type = "boolean" if low == high else "integer"
    return replace(word, raw_type=raw_type, code="", kind=Part(low, high - low + 1, signed))


def _sized(row: ModbusRow, of: TypeOf, table: Table, column: str) -> TypeOf:
    """The type with what Count says: how many registers, or bits, the row takes."""
    if of.count == 0:
        if row.count is None or row.count > Table.HOLDING.most:
            raise ConfigFault(
                "a text needs its length: string[bytes], or Count registers, at most 125", column, "string[16]"
            )
        return replace(of, count=row.count)
    if row.count is None or row.count == of.count * of.times:
        return of
    if of.pad:
        return replace(of, count=row.count)
    fits = row.count % of.count == 0 and of.times == 1 and of.raw_type != "string" and not (of.is_bit and not table.bits)
    if not fits:
        raise ConfigFault(f"{row.count} is no multiple of the {of.count} registers of this type", "Count", str(of.count))
    return replace(of, times=row.count // of.count)


def _text(row: ModbusRow, kind: Kind | None) -> Kind | None:
    if not isinstance(kind, Text):
        return kind
    encoding = row.string_encoding.strip().lower().replace("_", "-")
    encoding = {"latin1": "latin-1", "iso-8859-1": "latin-1", "utf8": "utf-8", "utf-16": "utf-16-be"}.get(encoding, encoding)
    if encoding not in _ENCODINGS:
        raise ConfigFault(f'"{row.string_encoding}" is not known', "String Encoding", ", ".join(_ENCODINGS))
    return replace(kind, encoding=encoding, pad=b" " if row.padding == "space" else b"\0")


def _write_only(row: ModbusRow, of: TypeOf, table: Table) -> bool:
    if row.write_only and not row.writable:
        raise ConfigFault("nothing is left of a point that is neither read nor written", "Write Only", "FALSE")
    if row.write_only and row.scale_register == "" and isinstance(of.kind, Part) and row.write_function != "mask":
        raise ConfigFault("to write part of a register the rest is read first, unless by a mask", "Write Function", "mask")
    if row.write_only and row.tolerance is not None:
        raise ConfigFault("a point that is not read back has no tolerance", "Tolerance")
    return row.write_only


def _pad(table: Table, address: int, count: int, write: int) -> ModbusRegister:
    place: dict[str, Any] = {"table": table, "address": address, "count": count, "format": ">", "write": write}
    return ModbusRegister(name="", type="integer", raw_type="integer", pad=True, **place)


def _through(point: ModbusRegister, ends: dict[tuple[Table, int], int]) -> int:
    at = point.end
    while (point.table, at) in ends:
        at = ends[point.table, at]
    return at - point.end
