"""Which requests read which registers; pure.

Registers of one table that touch, overlap, lie within each other, or have a small enough hole between them are read
together, as many as one request may. From the left each request takes all that it can: as a part of an allowed request is
allowed too, no other division into runs of neighbours has fewer. A value is never split.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from gateway.interfaces._modbus.codec import BitLayout, WordLayout, layout
from gateway.interfaces._modbus.limits import NO_LIMITS, Limits, Span
from gateway.interfaces._modbus.pdu import ModbusRegister, Query, read_query
from gateway.interfaces.base import Batch


@dataclass(frozen=True)
class ModbusBatch(Batch):
    """Registers that one request reads, with that request and the way to decode its reply."""

    registers: tuple[ModbusRegister, ...]
    span: Span
    query: Query
    layout: BitLayout | WordLayout

    def holes(self) -> list[Span]:
        """What the request reads although no point of the batch asks for it."""
        found, end = [], self.span.start
        for register in self.registers:
            if register.address > end:
                found.append(Span(self.span.table, end, register.address))
            end = max(end, register.end)
        return found


def plan(registers: Sequence[ModbusRegister], limits: Limits = NO_LIMITS) -> list[ModbusBatch]:
    """The batches that read these registers, each once."""
    runs: list[list[ModbusRegister]] = []
    end = named = 0
    for register in sorted(registers, key=lambda r: (r.table, r.address, -r.count)):
        if runs and _joins(runs[-1][0], end, register, limits, named - end):
            runs[-1].append(register)
            end = max(end, register.end)
            named = max(named, register.end + register.through)
        else:
            runs.append([register])
            end, named = register.end, register.end + register.through
    return [_batch(run) for run in runs]


def parts(batch: ModbusBatch, limits: Limits = NO_LIMITS) -> list[ModbusBatch]:
    """Smaller batches for one of two registers or more that the device refused: without holes, or else two halves."""
    if batch.holes():
        return plan(batch.registers, limits.without_holes())
    middle = len(batch.registers) // 2
    return plan(batch.registers[:middle], limits) + plan(batch.registers[middle:], limits)


def scales_first(batches: Sequence[ModbusBatch]) -> list[ModbusBatch]:
    """The batches that bring scales before those that only need them."""
    return sorted(batches, key=lambda batch: not batch.hidden)


def _joins(first: ModbusRegister, end: int, register: ModbusRegister, limits: Limits, named: int) -> bool:
    if register.table != first.table:
        return False
    span = Span(first.table, first.address, max(end, register.end))
    if span.size > limits.most(span.table):
        return False
    hole = Span(first.table, end, register.address)
    return (hole.size <= 0 or limits.bridges(hole, named)) and not limits.parts(span, register.address)


def _batch(run: Sequence[ModbusRegister]) -> ModbusBatch:
    span = Span(run[0].table, run[0].address, max(r.end for r in run))
    query = read_query(span.table, span.start, span.size)
    return ModbusBatch(tuple(run), span, query, layout(run, span.start, span.end))
