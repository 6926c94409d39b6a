from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from gateway.interfaces._modbus.limits import Cut, Limits, Span
from gateway.interfaces._modbus.pdu import ModbusRegister, Table
from gateway.interfaces._modbus.plan import parts, plan
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
).map(tuple)


@st.composite
def limits(draw: st.DrawFn) -> Limits:
    """Limits of every kind."""
    spans = tuple(sorted(draw(SPANS)))
    cuts = tuple(Cut(span, draw(st.integers(span.start, span.end - 1))) for span in draw(SPANS))
    lengths = draw(st.lists(st.tuples(st.sampled_from(Table), st.integers(1, 130)), max_size=2).map(tuple))
    most = {"registers": draw(st.sampled_from([125, 125, 50, 7, 1])), "bits": draw(st.sampled_from([2000, 2000, 16, 1]))}
    return Limits(
        draw(st.sampled_from([0, 0, 1, 10, 200])), never=draw(SPANS), lengths=lengths, apart=spans, cuts=cuts, **most
    )


def covered(registers: list[ModbusRegister] | tuple[ModbusRegister, ...]) -> set[tuple[Table, int]]:
    """The addresses that points ask for."""
    return {(register.table, at) for register in registers for at in range(register.address, register.end)}


def places(span: Span) -> set[tuple[Table, int]]:
    """The addresses of a span."""
    return {(span.table, at) for at in range(span.start, span.end)}


def max_insert(registers: list[ModbusRegister], gap: int) -> int:
    """How many requests Telegraf's rule of that name makes.

    In the order of addresses, a new one where more than ``gap`` registers would be inserted, or it would be too long.
    """
    requests = 0
    for table in Table:
        start = end = -(10**6)
        for one in sorted((r for r in registers if r.table == table), key=lambda r: (r.address, r.end)):
            if one.address - end > gap or max(end, one.end) - start > table.most:
                requests, start, end = requests + 1, one.address, one.end
            end = max(end, one.end)
    return requests


@given(maps(), limits())
def test_every_register_is_read_once_within_every_limit(registers: list[ModbusRegister], limits: Limits) -> None:
    """Each register is whole in one batch of its table; a batch of several keeps to lengths, gaps, and what is apart."""
    batches = plan(registers, limits)
    assert sorted(r.name for b in batches for r in b.registers) == sorted(r.name for r in registers)
    for batch in batches:
        table, start, end = batch.span
        assert {r.table for r in batch.registers} == {table}
        assert (min(r.address for r in batch.registers), max(r.end for r in batch.registers)) == (start, end)
        assert batch.query.pdu == bytes([table, *start.to_bytes(2, "big"), *(end - start).to_bytes(2, "big")])
        if len(batch.registers) > 1:
            assert batch.span.size <= limits.most(table)
            assert not any(batch.span.contains(span) for span in limits.apart)
        unasked = places(batch.span) - covered(batch.registers)
        assert not any(unasked & places(span) for span in limits.never)
        assert sum(hole.size for hole in batch.holes()) == len(unasked)
        assert all(0 < hole.size <= limits.gap for hole in batch.holes())


@given(maps(), st.sampled_from([0, 1, 5, 50, 124]))
def test_no_more_requests_than_max_insert(registers: list[ModbusRegister], gap: int) -> None:
    """On no map does the planner need more requests than Telegraf's max_insert rule with the same gap."""
    assert len(plan(registers, Limits(gap))) <= max_insert(registers, gap)


@given(st.lists(st.tuples(st.integers(0, 40), st.sampled_from([1, 2, 4])), max_size=9), st.integers(0, 3), st.integers(4, 9))
def test_no_division_into_neighbours_has_fewer(shape: list[tuple[int, int]], gap: int, most: int) -> None:
    """Every way to divide the points in their order into requests was tried: none that is allowed has fewer."""
    registers = sorted((point(Table.HOLDING, *place) for place in shape), key=lambda r: (r.address, -r.count))
    limits = Limits(gap, registers=most)
    fewest = [0] + [10**6] * len(registers)
    for end in range(1, len(registers) + 1):
        for start in range(end):
            if len(plan(registers[start:end], limits)) == 1:
                fewest[end] = min(fewest[end], fewest[start] + 1)
    assert len(plan(registers, limits)) == fewest[-1]


@given(maps())
def test_no_two_batches_could_be_one(registers: list[ModbusRegister]) -> None:
    """Neighbours are apart only if they do not touch, or would be too long together."""
    for one, other in pairwise(plan(registers)):
        touch = one.span.table == other.span.table and other.span.start <= one.span.end
        assert not touch or max(one.span.end, other.span.end) - one.span.start > one.span.table.most


@given(maps(), limits())
def test_parts_are_the_whole(registers: list[ModbusRegister], limits: Limits) -> None:
    """The parts hold the registers of a refused batch in the same order, and have no hole if the whole had one."""
    for batch in plan(registers, limits):
        if len(batch.registers) > 1:
            smaller = parts(batch, limits)
            assert [r for part in smaller for r in part.registers] == list(batch.registers)
            assert all(len(part.registers) < len(batch.registers) for part in smaller)
            assert not batch.holes() or not any(part.holes() for part in smaller)


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


def spans(registers: list[ModbusRegister], limits: Limits) -> list[tuple[int, int]]:
    """What is asked for, first address and the one after the last."""
    return [batch.span[1:] for batch in plan(registers, limits)]


def test_a_hole_is_bridged_up_to_the_gap() -> None:
    """Registers with two unnamed ones between them are two requests, and one if such a gap may be read over."""
    apart = [point(Table.HOLDING, 0, 1), point(Table.HOLDING, 3, 1)]
    assert spans(apart, Limits(1)) == [(0, 1), (3, 4)]
    assert spans(apart, Limits(2)) == [(0, 4)]
    assert spans(apart, Limits(2, never=(Span(Table.HOLDING, 2, 3),))) == [(0, 1), (3, 4)]
    assert spans(apart, Limits(2, never=(Span(Table.INPUT, 2, 3),))) == [(0, 4)]


def test_a_bad_point_is_alone() -> None:
    """Around a point that was refused by itself the others are two requests, and one where it is not asked for at all."""
    registers = [point(Table.HOLDING, n, 1) for n in range(20)]
    bad = Limits(1, apart=(Span(Table.HOLDING, 7, 8),))
    assert spans(registers, bad) == [(0, 7), (7, 8), (8, 20)]
    assert spans(registers[:7] + registers[8:], bad) == [(0, 7), (8, 20)]
    assert spans(registers[:7] + registers[8:], replace(bad, apart=())) == [(0, 20)]


def test_a_cut_divides_at_its_place() -> None:
    """What may not be read together is divided there; points beyond it do not need it."""
    registers = [point(Table.HOLDING, n, 1) for n in range(20)]
    cut = Limits(cuts=(Cut(Span(Table.HOLDING, 9, 11), 10),))
    assert spans(registers, cut) == [(0, 10), (10, 20)]
    assert spans(registers[10:], cut) == [(10, 20)]


def test_points_at_one_place_can_be_parted() -> None:
    """Two points with the same registers are one request, and two when that was refused."""
    twins = [point(Table.HOLDING, 4, 2, "A"), point(Table.HOLDING, 4, 2, "B")]
    (both,) = plan(twins)
    assert [[r.name for r in b.registers] for b in parts(both)] == [["A"], ["B"]]
    assert [[r.name for r in b.registers] for b in plan(twins, Limits(apart=(both.span,)))] == [["A"], ["B"]]


@given(maps(), st.integers(0, 3), st.integers(0, 9), SPANS)
def test_pads_are_bridged_and_never_more(
    registers: list[ModbusRegister], gap: int, through: int, never: tuple[Span, ...]
) -> None:
    """A hole behind a point is read over as far as pad rows name it, and the gap further; never where that is forbidden."""
    padded = [replace(register, through=through if at % 2 else 0) for at, register in enumerate(registers)]
    named = {(r.table, n) for r in padded for n in range(r.end, r.end + r.through)}
    limits = Limits(gap, never=never)
    for batch in plan(padded, limits):
        for hole in batch.holes():
            assert len(places(hole) - named) <= gap
            assert not any(places(hole) & places(span) for span in never)
        for part in parts(batch, limits) if batch.holes() else []:
            assert not part.holes()
    assert len(plan(padded, limits)) <= len(plan(registers, limits))
