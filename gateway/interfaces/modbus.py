"""Modbus on TCP, UDP, TLS and serial lines, with VOLTTRON's ``modbus`` registry; see docs/drivers/modbus.md."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, cast

from gateway.errors import BadValue, ConfigFault, ReadOnly, Rejected, Transient, Unreachable
from gateway.interfaces._modbus import budget
from gateway.interfaces._modbus.client import NO_ANSWER, Client, tls_files
from gateway.interfaces._modbus.config import ModbusConfig
from gateway.interfaces._modbus.limits import configured
from gateway.interfaces._modbus.make import Maker
from gateway.interfaces._modbus.pdu import ModbusRegister, Query, Refusal, read_query
from gateway.interfaces._modbus.plan import ModbusBatch, plan, scales_first
from gateway.interfaces._modbus.planner import Planner
from gateway.interfaces._modbus.rows import ModbusRow
from gateway.interfaces._modbus.scales import Scales
from gateway.interfaces._modbus.writes import needs_before, write_query
from gateway.interfaces._ports import check_allowed
from gateway.interfaces._streams import words
from gateway.interfaces.base import Batch, Environment, MaySend, Split, Use
from gateway.interfaces.base import Interface as Base
from gateway.model import PointError, Register, Scalar

LACKING = (1, 2, 3)
"""Exceptions by which a device says that it does not have what it was asked for."""
MAYBE_DONE = (5, 11)
"""Exceptions to a write after which it may be carried out all the same: acknowledge, and no answer from the unit behind."""


class Interface(Base):
    """One unit of a Modbus device, gateway or line."""

    Config = ModbusConfig
    Row = ModbusRow

    def __init__(self, config: ModbusConfig, env: Environment) -> None:
        super().__init__(config, env)
        self._client = Client(config, env)
        self._limits = configured(config)
        self._planner = Planner(self._limits, env.clock)
        self._maker = Maker(config, self._limits)
        self._scales = Scales()

    def check(self) -> None:
        """ConfigFault if the gateway may not use that address or port, or lacks what it takes; names are resolved later."""
        check_allowed(self.config.device_address, self.config.serial, self.env.allow)
        self._maker.map.check()
        if self.config.transport == "tls":
            _check_tls(self.config)

    def link(self) -> tuple[object, ...]:
        """Protocol, endpoint and unit."""
        return ("modbus", *self.config.endpoint, self.config.slave_id)

    def shares(self) -> tuple[object, Mapping[str, object]]:
        """The endpoint, and what its devices must have in common."""
        return ("modbus", *self.config.endpoint), self.config.line()

    def target(self, register: Register) -> tuple[object, ...]:
        """Table and address."""
        place = cast(ModbusRegister, register)
        return (place.table, place.address)

    def cells(self, cells: dict[str, Any]) -> dict[str, Any]:
        """The cells of a row over those of the register map that it refers to."""
        return self._maker.map.cells(cells)

    def _register(self, row: ModbusRow) -> ModbusRegister:
        return self._maker.registers(row)[0]

    def _registers(self, row: ModbusRow) -> tuple[Register, ...]:
        return self._maker.registers(row)

    def _complete(self, registers: Sequence[Register]) -> tuple[tuple[Register, ...], list[ConfigFault]]:
        return self._maker.complete(cast(Sequence[ModbusRegister], registers))

    def _open(self) -> None:
        if not self._client.connected:
            self._client.open(self.urgent)

    def _close(self) -> None:
        self._client.close()

    def nudge(self) -> None:
        """Let a poll that waits for the link give way."""
        self._client.nudge()

    def use(self, registers: Sequence[Register]) -> Use:
        """What the plan of these registers takes: see ``_modbus.budget``."""
        queries = [cast(ModbusBatch, batch).query for batch in self.batches(registers)]
        return Use(budget.words(self.config), len(queries), budget.seconds(queries, budget.timing(self.config)))

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
        scales = cast(Sequence[ModbusRegister], batch.hidden)
        self._scales.forget(scales)
        try:
            values = batch.layout.decode(self._ask(batch.query))
            self._planner.answered(batch)
        except Refusal as refusal:
            values = self._refuse(batch, refusal)
        self._scales.keep(scales, values)
        return values

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
        lacking = refusal.code in LACKING
        if (refusal.code in (2, 3) or (refusal.code == 4 and batch.holes())) and (smaller := self._planner.refused(batch)):
            raise Split(scales_first(smaller)) from refusal
        error = PointError("device_rejected", str(refusal), unsupported=lacking)
        return dict.fromkeys((r.name for r in batch.registers), error)

    def _write(self, register: Register, raw: Scalar | None, options: Mapping[str, Any], may_send: MaySend) -> Scalar | None:
        place = cast(ModbusRegister, register)
        if not place.writable:
            raise ReadOnly(f'"{place.name}" is not writable')
        if raw is None:
            raise BadValue(f'"{place.name}" is a Modbus register: it has no null')
        before = (
            self._ask_first(_whole(place), "nothing was written: the rest of its register") if needs_before(place) else b""
        )
        query = write_query(place, raw, before)
        try:
            self._client.exchange(query, may_send, urgent=True)
        except Refusal as refusal:
            if refusal.code in MAYBE_DONE:
                raise Transient(str(refusal)) from refusal
            raise Rejected(str(refusal)) from refusal
        return self._read_back(place, raw) if place.read_back else raw

    def _read_back(self, place: ModbusRegister, raw: Scalar) -> Scalar:
        """What the device holds now; the value written if it does not tell, since the echo has confirmed the write."""
        (batch,) = plan([place])
        try:
            taken = batch.layout.decode(self._client.exchange(batch.query, urgent=True))[place.name]
        except (Refusal, Transient, Unreachable):
            return raw
        return raw if isinstance(taken, PointError) else taken

    def _scaled(self, register: Register, ask: bool = False) -> Register:
        place = cast(ModbusRegister, register)
        if not ask:
            return self._scales.apply(place)
        self._ask_scale(place)
        try:
            return self._scales.apply(place)
        except BadValue as error:
            raise Transient(f"nothing was written: {error.message}") from error

    def _ask_scale(self, place: ModbusRegister) -> None:
        assert place.scale_from is not None
        self._scales.forget([place.scale_from])
        (batch,) = plan([place.scale_from])
        data = self._ask_first(batch.query, f'nothing was written: its scale, "{place.scale_register}",')
        self._scales.keep([place.scale_from], batch.layout.decode(data))

    def _ask_first(self, query: Query, what: str) -> bytes:
        """Read what a write has to know first; a refusal for the moment is Transient, so that a revert is tried again."""
        try:
            return self._client.exchange(query, urgent=True)
        except Refusal as refusal:
            told = f"{what} can not be read: {refusal}"
            raise (Rejected(told) if refusal.code in LACKING else Transient(told)) from refusal


def _check_tls(config: ModbusConfig) -> None:
    """ConfigFault for PEM text that can not be used."""
    for key, files in (("ca", replace(tls_files(config), cert=None)), ("cert", tls_files(config))):
        try:
            files.context()
        except (OSError, ValueError) as error:
            raise ConfigFault(f"the PEM text can not be used: {words(error)}", key) from None


def _whole(place: ModbusRegister) -> Query:
    return read_query(place.table, place.address, place.count)
