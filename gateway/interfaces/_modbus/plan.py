"""Which requests read which registers; pure.

Registers of one table that touch, overlap or lie within each other are read together, as many as one request may. A value is
never split, and nothing is read that no point asked for.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from gateway.interfaces._modbus.codec import BitLayout, WordLayout, layout
from gateway.interfaces._modbus.pdu import ModbusRegister, Query, Table, read_query
from gateway.interfaces.base import Batch


class Span(NamedTuple):
    """Addresses of a table, from ``start`` to before ``end``."""

    table: Table
    start: int
    end: int

    def contains(self, other: Span) -> bool:
        """Whether all of the other lies in this one."""
        return self.table == other.table and self.start <= other.start and other.end <= self.end


@dataclass(frozen=True)
class ModbusBatch(Batch):
    """Registers that one request reads, with that request and the way to decode its reply."""

    registers: tuple[ModbusRegister, ...]
    span: Span
    query: Query
    layout: BitLayout | WordLayout


def plan(registers: Sequence[ModbusRegister], refused: Collection[Span] = ()) -> list[ModbusBatch]:
    """The batches that read these registers, each once.

    A batch that holds a span in ``refused`` is split until none does or one register is left: what the device refused
    once it will refuse again.
    """
    runs: list[list[ModbusRegister]] = []
    end = 0
    for register in sorted(registers, key=lambda r: (r.table, r.address, -r.count)):
        if runs and _joins(runs[-1][0], end, register):
            runs[-1].append(register)
            end = max(end, register.end)
        else:
            runs.append([register])
            end = register.end
    return [part for run in runs for part in _unrefused(_batch(run), refused)]


def halves(batch: ModbusBatch, refused: Collection[Span] = ()) -> list[ModbusBatch]:
    """Two batches or more with half of the registers each, for a batch that the device refused."""
    middle = len(batch.registers) // 2
    return plan(batch.registers[:middle], refused) + plan(batch.registers[middle:], refused)


def _joins(first: ModbusRegister, end: int, register: ModbusRegister) -> bool:
    fits = max(end, register.end) - first.address <= first.table.most
    return register.table == first.table and register.address <= end and fits


def _unrefused(batch: ModbusBatch, refused: Collection[Span]) -> list[ModbusBatch]:
    if len(batch.registers) > 1 and any(batch.span.contains(span) for span in refused):
        return halves(batch, refused)
    return [batch]


def _batch(run: Sequence[ModbusRegister]) -> ModbusBatch:
    span = Span(run[0].table, run[0].address, max(r.end for r in run))
    query = read_query(span.table, span.start, span.end - span.start)
    return ModbusBatch(tuple(run), span, query, layout(run, span.start, span.end))
