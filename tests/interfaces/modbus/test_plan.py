from __future__ import annotations

from itertools import pairwise
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from gateway.interfaces._modbus.pdu import ModbusRegister, Table
from gateway.interfaces._modbus.plan import ModbusBatch, Span, halves, plan
from tests.interfaces.modbus.test_codec import word


def point(table: Table, address: int, count: int, name: str = "P") -> ModbusRegister:
    """A point with that place; what it holds is of no matter here."""
    place: dict[str, Any] = {"table": table, "address": address, "count": count, "format": f"{2 * count}s"}
    if table.bits:
        place |= {"count": 1, "format": ""}
    return ModbusRegister(name=name, type="string", raw_type="string", **place)


@st.composite
def maps(draw: st.DrawFn) -> list[ModbusRegister]:
    """Register maps: dense and sparse, with overlaps and nests, in any order, in all tables."""
    width = draw(st.sampled_from([20, 300, 3000]))
    places = st.tuples(st.sampled_from(Table), st.integers(0, width), st.sampled_from([1, 1, 1, 2, 4, 50, 125]))
    return [point(*place, f"P{n}") for n, place in enumerate(draw(st.lists(places, max_size=120)))]


SPANS = st.lists(
    st.tuples(st.sampled_from(Table), st.integers(0, 300), st.integers(1, 60)).map(lambda s: Span(s[0], s[1], s[1] + s[2])),
    max_size=4,
)


def covered(batch: ModbusBatch) -> set[int]:
    """The addresses that the points of a batch ask for."""
    return {at for register in batch.registers for at in range(register.address, register.end)}


@given(maps(), SPANS)
def test_every_register_is_read_once_and_nothing_else(registers: list[ModbusRegister], refused: list[Span]) -> None:
    """Each register is whole in one batch of its table, no batch is too long, and no address is read that none asked for."""
    batches = plan(registers, refused)
    assert sorted(r.name for b in batches for r in b.registers) == sorted(r.name for r in registers)
    for batch in batches:
        table, start, end = batch.span
        assert {r.table for r in batch.registers} == {table}
        assert covered(batch) == set(range(start, end))
        assert end - start <= (2000 if table.bits else 125)
        assert batch.query.pdu == bytes([table, *start.to_bytes(2, "big"), *(end - start).to_bytes(2, "big")])


@given(maps())
def test_no_two_batches_could_be_one(registers: list[ModbusRegister]) -> None:
    """Neighbours are apart only if they do not touch, or would be too long together."""
    for one, other in pairwise(plan(registers)):
        touch = one.span.table == other.span.table and other.span.start <= one.span.end
        assert not touch or max(one.span.end, other.span.end) - one.span.start > one.span.table.most


@given(maps(), SPANS)
def test_what_was_refused_is_not_asked_for_again(registers: list[ModbusRegister], refused: list[Span]) -> None:
    """No batch of two registers or more holds all of a refused span."""
    for batch in plan(registers, refused):
        assert len(batch.registers) == 1 or not any(batch.span.contains(span) for span in refused)


@given(maps())
def test_halves_are_the_whole(registers: list[ModbusRegister]) -> None:
    """The parts of a refused batch hold its registers in the same order, each part fewer than all."""
    for batch in plan(registers):
        if len(batch.registers) > 1:
            parts = halves(batch)
            assert [r for part in parts for r in part.registers] == list(batch.registers)
            assert all(len(part.registers) < len(batch.registers) for part in parts)


def test_numbers_at_the_limit() -> None:
    """125 registers and 2000 coils are one request, one more of either is two, and a value is not split."""
    assert len(plan([point(Table.HOLDING, n, 1) for n in range(125)])) == 1
    assert len(plan([point(Table.COIL, n, 1) for n in range(2000)])) == 1
    assert [b.span[1:] for b in plan([point(Table.COIL, n, 1) for n in range(2001)])] == [(0, 2000), (2000, 2001)]
    registers = [word(">H", n, f"P{n}") for n in range(124)] + [word(">I", 124, "wide")]
    assert [b.span[1:] for b in plan(registers)] == [(0, 124), (124, 126)]


def test_a_nested_register_does_not_shorten_its_run() -> None:
    """A register within another does not hide how far the outer one reaches."""
    outer, inner, after = point(Table.INPUT, 0, 10), point(Table.INPUT, 2, 1), point(Table.INPUT, 10, 1)
    assert [b.span for b in plan([inner, after, outer])] == [Span(Table.INPUT, 0, 11)]


def test_a_hole_is_not_bridged() -> None:
    """Registers with one unnamed register between them are two requests."""
    assert [b.span[1:] for b in plan([point(Table.HOLDING, 0, 1), point(Table.HOLDING, 2, 1)])] == [(0, 1), (2, 3)]


def test_points_at_one_place_can_be_parted() -> None:
    """Two points with the same registers are one request, and two when that was refused."""
    twins = [point(Table.HOLDING, 4, 2, "A"), point(Table.HOLDING, 4, 2, "B")]
    (both,) = plan(twins)
    assert [[r.name for r in b.registers] for b in plan(twins, [both.span])] == [["A"], ["B"]]


def test_a_refusal_is_for_its_table_only() -> None:
    """What the device refused in one table says nothing about the same addresses of another."""
    inputs = [point(Table.INPUT, n, 1, f"P{n}") for n in range(4)]
    assert len(plan(inputs, [Span(Table.HOLDING, 0, 4)])) == 1
    assert len(plan(inputs, [Span(Table.INPUT, 0, 4)])) == 2
