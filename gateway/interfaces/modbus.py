"""Modbus on TCP, UDP, TLS and serial lines, with VOLTTRON's ``modbus`` registry; see docs/drivers/modbus.md."""

from __future__ import annotations

import re
import struct
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Annotated, Any, cast

from pydantic import BeforeValidator, Field

from gateway.allow import is_ip_address
from gateway.errors import BadValue, ConfigFault, ReadOnly, Rejected, Transient, Unreachable
from gateway.interfaces._modbus.client import NO_ANSWER, Client, tls_files
from gateway.interfaces._modbus.codec import write_query
from gateway.interfaces._modbus.config import ModbusConfig
from gateway.interfaces._modbus.limits import Span, configured
from gateway.interfaces._modbus.pdu import MAX_WRITE_REGISTERS, ModbusRegister, Query, Refusal, Table
from gateway.interfaces._modbus.plan import ModbusBatch, plan
from gateway.interfaces._modbus.planner import Planner
from gateway.interfaces._serial import need_pyserial
from gateway.interfaces._streams import words
from gateway.interfaces.base import Batch, Environment, Flag, MaySend, RegistryRow, Split, shared
from gateway.interfaces.base import Interface as Base
from gateway.model import PointError, Register, Scalar

KIND = "Modbus Register"
MAX_ADDRESS = 65535
MAYBE_DONE = (5, 11)
"""Exceptions to a write after which it may be carried out all the same: acknowledge, and no answer from the unit behind."""
MAX_TEXT = 2 * Table.HOLDING.most

_HEX = re.compile(r"0[xX][0-9a-fA-F]+")
_NUMBER = re.compile(r"([<>!])([hHiIlLqQefd])")
_TEXT = re.compile(r"[<>!=@]?([1-9]\d{0,2})s")
_NO_ORDER = re.compile(r"[=@]?([hHiIlLqQefd])")


def _address(value: object) -> object:
    """A hexadecimal number as text becomes a number; what is none, true and false too, is left to the model to refuse."""
    if isinstance(value, str) and _HEX.fullmatch(value.strip()):
        return int(value, 16)
    return str(value) if isinstance(value, bool) else value


class ModbusRow(RegistryRow):
    """One row of the registry."""

    modbus_register: str = Field(alias=KIND)
    point_address: Annotated[int, BeforeValidator(_address)] = Field(alias="Point Address", ge=0, le=MAX_ADDRESS)
    mixed_endian: Flag = Field(False, alias="Mixed Endian")


class Interface(Base):
    """One unit of a Modbus device, gateway or line."""

    Config = ModbusConfig
    Row = ModbusRow

    def __init__(self, config: ModbusConfig, env: Environment) -> None:
        super().__init__(config, env)
        self._client = Client(config, env)
        self._limits = configured(config)
        self._planner = Planner(self._limits, env.clock)

    def check(self) -> None:
        """ConfigFault if the gateway may not use that address or port, or lacks what it takes; names are resolved later."""
        host = self.config.device_address
        if self.config.transport == "serial":
            if not self.env.allow.serial_port(host):
                raise ConfigFault(f"{host} fits no pattern of the setting allow.serial_ports", "device_address")
            need_pyserial()
        elif is_ip_address(host) and not self.env.allow.address(host):
            raise ConfigFault(f"{host} is in no network of the setting allow.networks", "device_address")
        if self.config.transport == "tls":
            _check_tls(self.config)

    def link(self) -> tuple[object, ...]:
        """Protocol, endpoint and unit."""
        return ("modbus", *self.config.endpoint, self.config.slave_id)

    def target(self, register: Register) -> tuple[object, ...]:
        """Table and address."""
        place = cast(ModbusRegister, register)
        return (place.table, place.address)

    def _register(self, row: ModbusRow) -> ModbusRegister:
        kind, raw_type, count = _kind(row.modbus_register.strip())
        table = _table(raw_type, row.writable)
        if row.point_address + count > MAX_ADDRESS + 1:
            raise ConfigFault(f"{count} registers from {row.point_address} end above {MAX_ADDRESS}", "Point Address")
        self._check_readable(Span(table, row.point_address, row.point_address + count))
        if row.writable and count > MAX_WRITE_REGISTERS:
            raise ConfigFault(f"one request writes at most {2 * MAX_WRITE_REGISTERS} characters", KIND)
        place: dict[str, Any] = {"table": table, "address": row.point_address, "count": count, "format": kind}
        return ModbusRegister(**shared(row, raw_type), **place, mixed=row.mixed_endian)

    def _check_readable(self, span: Span) -> None:
        """ConfigFault if the limits that the config gives keep a point from being read at all."""
        most = self._limits.most(span.table)
        if span.size > most:
            raise ConfigFault(
                f"{span.size} registers are more than the {most} that driver_config lets one request read", KIND
            )
        if any(hole.overlaps(span) for hole in self._limits.never):
            raise ConfigFault("lies in one of the holes that driver_config says are never read", "Point Address")

    def _open(self) -> None:
        if not self._client.connected:
            self._client.open(self.urgent)

    def _close(self) -> None:
        self._client.close()

    def nudge(self) -> None:
        """Let a poll that waits for the link give way."""
        self._client.nudge()

    def learned(self) -> tuple[str, ...]:
        """What the device was found to refuse: see ``_modbus.learned``."""
        return self._planner.facts

    def recall(self, facts: Sequence[str]) -> None:
        """Go on with what was learned before."""
        self._planner.recall(facts)

    def _plan(self, registers: Sequence[Register]) -> list[Batch]:
        return list(self._planner.batches(cast(Sequence[ModbusRegister], registers)))

    def _read(self, batch: Batch) -> dict[str, Scalar | PointError]:
        assert isinstance(batch, ModbusBatch)
        try:
            data = self._ask(batch.query)
        except Refusal as refusal:
            return self._refuse(batch, refusal)
        self._planner.answered(batch)
        return batch.layout.decode(data)

    def _ask(self, query: Query) -> bytes:
        for _ in range(self.config.retries):
            try:
                return self._client.exchange(query, urgent=self.urgent)
            except (Transient, Unreachable):
                continue
        return self._client.exchange(query, urgent=self.urgent)

    def _refuse(self, batch: ModbusBatch, refusal: Refusal) -> dict[str, Scalar | PointError]:
        if refusal.code in NO_ANSWER:
            raise Transient(str(refusal)) from refusal
        lacking = refusal.code in (1, 2, 3)
        if (refusal.code in (2, 3) or (refusal.code == 4 and batch.holes())) and (smaller := self._planner.refused(batch)):
            raise Split(smaller) from refusal
        error = PointError("device_rejected", str(refusal), unsupported=lacking)
        return dict.fromkeys((r.name for r in batch.registers), error)

    def _write(self, register: Register, raw: Scalar | None, options: Mapping[str, Any], may_send: MaySend) -> Scalar | None:
        place = cast(ModbusRegister, register)
        if not place.writable:
            raise ReadOnly(f'"{place.name}" is not writable')
        if raw is None:
            raise BadValue(f'"{place.name}" is a Modbus register: it has no null')
        query = write_query(place, raw)
        try:
            self._client.exchange(query, may_send, urgent=True)
        except Refusal as refusal:
            if refusal.code in MAYBE_DONE:
                raise Transient(str(refusal)) from refusal
            raise Rejected(str(refusal)) from refusal
        return self._read_back(place, raw)

    def _read_back(self, place: ModbusRegister, raw: Scalar) -> Scalar:
        """What the device holds now; the value written if it does not tell, since the echo has confirmed the write."""
        (batch,) = plan([place])
        try:
            taken = batch.layout.decode(self._client.exchange(batch.query, urgent=True))[place.name]
        except (Refusal, Transient, Unreachable):
            return raw
        return raw if isinstance(taken, PointError) else taken


def _check_tls(config: ModbusConfig) -> None:
    """ConfigFault for PEM text that can not be used."""
    for key, files in (("ca", replace(tls_files(config), cert=None)), ("cert", tls_files(config))):
        try:
            files.context()
        except (OSError, ValueError) as error:
            raise ConfigFault(f"the PEM text can not be used: {words(error)}", key) from None


def _table(raw_type: str, writable: bool) -> Table:
    """The table that VOLTTRON implies by type and Writable."""
    if raw_type == "boolean":
        return Table.COIL if writable else Table.DISCRETE_INPUT
    return Table.HOLDING if writable else Table.INPUT


def _kind(text: str) -> tuple[str, str, int]:
    """Format, raw type and number of addresses of a ``Modbus Register`` cell. Raises ConfigFault."""
    if text.upper() == "BOOL":
        return "", "boolean", 1
    if match := _NUMBER.fullmatch(text):
        kind = match[1].replace("!", ">") + match[2]
        return kind, "float" if match[2] in "efd" else "integer", struct.calcsize(kind) // 2
    if match := _TEXT.fullmatch(text):
        return _text_kind(int(match[1]))
    if match := _NO_ORDER.fullmatch(text):
        raise ConfigFault(f'"{text}" lacks the byte order: > high byte first, < low byte first', KIND, ">" + match[1])
    raise ConfigFault(f'"{text}" is neither BOOL nor the struct format of one value', KIND, "BOOL, >H, >i, >f, 8s")


def _text_kind(size: int) -> tuple[str, str, int]:
    if size % 2 or size > MAX_TEXT:
        best = min(size + size % 2, MAX_TEXT)
        raise ConfigFault(f"a text has an even number of bytes, at most {MAX_TEXT}", KIND, f"{best}s")
    return f"{size}s", "string", size // 2
