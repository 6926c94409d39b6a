from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.interfaces._modbus.learned import MAX_DOUBTS, Learned
from gateway.interfaces._modbus.limits import Limits, Span
from gateway.interfaces._modbus.pdu import ModbusRegister, Table
from gateway.interfaces._modbus.plan import plan
from gateway.interfaces._modbus.planner import MAX_PLANS, RELEARN, Planner
from tests.fakes import FakeClock
from tests.integration.waiting import PATIENCE
from tests.interfaces.modbus.test_plan import point


@dataclass
class Bench:
    """A planner and a device on paper, which refuses what ``refuses`` says."""

    refuses: Callable[[Span], bool]
    limits: Limits = field(default_factory=Limits)
    clock: FakeClock = field(default_factory=FakeClock)

    def __post_init__(self) -> None:
        self.planner = Planner(self.limits, self.clock)
        self.asked: list[tuple[int, int]] = []

    def poll(self, registers: Sequence[ModbusRegister]) -> set[str]:
        """The names of the points that were answered; ``asked`` is what that took."""
        self.asked, good = [], set()
        waiting: list[Any] = self.planner.batches(registers)
        while waiting:
            batch = waiting.pop(0)
            self.asked.append(batch.span[1:])
            if self.refuses(batch.span):
                waiting[:0] = self.planner.refused(batch)
            else:
                self.planner.answered(batch)
                good |= {register.name for register in batch.registers}
        return good


def row(*addresses: int, table: Table = Table.HOLDING) -> list[ModbusRegister]:
    """Single registers at these addresses, named by them."""
    return [point(table, at, 1, str(at)) for at in addresses]


def lacking(*addresses: int) -> Callable[[Span], bool]:
    """A device without these addresses."""
    return lambda span: any(span.start <= at < span.end for at in addresses)


def test_one_bad_register_costs_only_itself() -> None:
    """Its neighbours are answered in the same poll; later polls ask for it alone, and for the rest in two requests."""
    bench = Bench(lacking(40))
    registers = row(*range(100))
    assert bench.poll(registers) == {str(at) for at in range(100) if at != 40}
    bench.poll(registers)
    assert bench.asked == [(0, 40), (40, 41), (41, 100)]
    bench.poll(registers[:40] + registers[41:])
    assert bench.asked == [(0, 40), (41, 100)]
    assert bench.planner.facts == ("holding 40: refused",)


def test_a_bad_point_that_answers_is_good_again() -> None:
    """When it is asked again and answers, it is forgotten, and read with its neighbours."""
    bench = Bench(lacking(3))
    bench.poll(row(*range(9)))
    bench.refuses = lacking()
    bench.poll(row(*range(9)))
    assert bench.planner.facts == ()
    bench.poll(row(*range(9)))
    assert bench.asked == [(0, 9)]


def test_a_refused_request_is_first_asked_again_without_its_holes() -> None:
    """One hole in it: when the parts are answered, that hole is not read over again."""
    bench = Bench(lacking(11), Limits(5))
    registers = row(*range(10), *range(13, 20))
    assert len(bench.poll(registers)) == 17
    assert bench.asked == [(0, 20), (0, 10), (13, 20)]
    assert bench.planner.facts == ("holding 10-12: not read over",)
    bench.poll(registers)
    assert bench.asked == [(0, 10), (13, 20)]


def test_a_hole_is_not_blamed_for_a_bad_point() -> None:
    """When a part is refused as well, its bad point is to blame, and the hole is read over as before."""
    bench = Bench(lacking(5), Limits(5))
    registers = row(*range(10), *range(13, 20))
    bench.poll(registers)
    assert bench.planner.facts == ("holding 5: refused",)
    bench.poll(registers[:5] + registers[6:])
    assert bench.asked == [(0, 5), (6, 20)]


def test_of_many_holes_the_bad_one_is_found() -> None:
    """Each poll brings every value, and divides what is in doubt, until one hole is left; the others are read over."""
    bench = Bench(lacking(21), Limits(2))
    registers = row(*range(0, 60, 2))
    for _ in range(6):
        assert len(bench.poll(registers)) == 30
    (fact,) = bench.planner.facts
    assert fact.startswith("holding ")
    bench.poll(registers)
    assert bench.asked == [(0, 21), (22, 59)]


@pytest.mark.parametrize("most", [1, 2, 7, 30, 32, 60, 100, 124])
def test_the_longest_request_is_found(most: int) -> None:
    """A device that takes fewer registers at a time is soon asked for as many as it takes, and never refuses again."""
    bench = Bench(lambda span: span.size > most)
    registers = row(*range(400))
    for _ in range(9):
        assert len(bench.poll(registers)) == 400
    assert len(bench.asked) == -(-400 // most)
    assert [f"{most} are not" in fact for fact in bench.planner.facts] == [True]


def test_a_border_between_two_areas_is_a_cut() -> None:
    """A device that takes any length but not across a border is asked for both sides of it."""
    bench = Bench(lambda span: span.start < 50 < span.end)
    for _ in range(5):
        assert len(bench.poll(row(*range(125)))) == 125
    (fact,) = bench.planner.facts
    assert fact.endswith(": divided at 50")
    assert bench.asked == [(0, 50), (50, 125)]


def test_everything_is_asked_again_after_a_day() -> None:
    """A hole and a length that are refused no more are used again; while they are, no value is lost."""
    bench = Bench(lambda span: span.size > 10 or (span.start <= 5 < span.end), Limits(1))
    registers = row(*range(5), *range(6, 40))
    for _ in range(6):
        assert len(bench.poll(registers)) == 39
    facts = bench.planner.facts
    assert len(facts) == 2
    bench.clock.advance(RELEARN)
    for _ in range(6):
        assert len(bench.poll(registers)) == 39
    assert bench.planner.facts == facts
    bench.refuses = lacking()
    bench.clock.advance(RELEARN)
    bench.poll(registers)
    assert (bench.asked, bench.planner.facts) == ([(0, 40)], ())


@given(
    registers=st.lists(
        st.tuples(st.integers(0, 300), st.sampled_from([1, 1, 1, 2, 4])), min_size=1, max_size=80, unique=True
    ),
    bad=st.sets(st.integers(0, 300), max_size=12),
    most=st.sampled_from([125, 125, 60, 20, 4]),
    gap=st.sampled_from([0, 2, 20]),
)
def test_every_good_point_is_read_and_requests_become_few(
    registers: list[tuple[int, int]], bad: set[int], most: int, gap: int
) -> None:
    """No poll loses a good point, and learning ends: little more is asked than with full knowledge, nothing is refused."""
    points = [point(Table.HOLDING, at, size, f"{at}+{size}") for at, size in registers]
    bench = Bench(lambda span: span.size > most or lacking(*bad)(span), Limits(gap))
    good = {p.name for p in points if not lacking(*bad)(Span(p.table, p.address, p.end))}
    for _ in range(20):
        assert bench.poll(points) == good
        assert len(bench.asked) <= 2 * 2 * len(points) + 1
    left = [p for p in points if p.name in good]
    for _ in range(20):
        assert bench.poll(left) == good
    facts = bench.planner.facts
    assert bench.poll(left) == good
    assert bench.planner.facts == facts
    assert not any(bench.refuses(Span(Table.HOLDING, *span)) for span in bench.asked)
    known = Limits(gap, registers=most, never=tuple(Span(Table.HOLDING, at, at + 1) for at in bad))
    assert len(bench.asked) <= 2 * len(plan(left, known)) + len(bad)


@given(bad=st.sets(st.integers(0, 120), max_size=6), most=st.sampled_from([125, 40, 9]), border=st.integers(1, 119))
def test_facts_survive_as_sentences(bad: set[int], most: int, border: int) -> None:
    """A planner that recalls what another had learned has the same facts, and asks for the same."""
    bench = Bench(lambda span: span.size > most or span.start < border < span.end or lacking(*bad)(span), Limits(3))
    registers = row(*range(0, 60), *range(62, 121))
    for _ in range(9):
        bench.poll(registers)
    again = Planner(Limits(3), FakeClock())
    again.recall(bench.planner.facts)
    assert again.facts == bench.planner.facts
    assert [b.span for b in again.batches(registers)] == [b.span for b in bench.planner.batches(registers)]


def test_sentences_that_mean_nothing_are_passed_over() -> None:
    """Facts of a newer gateway, or of no sense, do no harm."""
    learned = Learned()
    learned.recall(("", "holding 7: sings", "drawer 3: refused", "coil 3-9: too long, 40 are not", "holding 1-2: refused"))
    assert learned.facts() == ("holding 1-2: refused",)


def test_a_plan_is_made_once() -> None:
    """The same registers give the same batches, other registers their own, and not without end."""
    planner = Planner(Limits(), FakeClock())
    registers = row(*range(300))
    first = planner.batches(registers)
    assert all(a is b for a, b in zip(first, planner.batches(list(registers)), strict=True))
    for one in registers:
        planner.batches([one])
    assert len(planner._plans) <= MAX_PLANS


def test_what_stays_in_doubt_is_kept_once() -> None:
    """A request that is refused again and again, while its parts are not answered, does not fill the memory."""
    learned = Learned()
    for n in range(2_000):
        whole = Span(Table.HOLDING, n % 1_000, n % 1_000 + 4)
        learned.refused(whole, [], [Span(Table.HOLDING, whole.start, whole.start + 2)])
    assert len(learned._doubts) == MAX_DOUBTS


def test_thousands_of_bad_points_cost_little() -> None:
    """A map that is wrong from end to end is read as fast as its requests, and planned again in no time."""
    bench = Bench(lambda span: True)
    registers = row(*range(5_000))
    begun = time.process_time()
    assert bench.poll(registers) == set()
    assert len(bench.planner.facts) == 5_000
    assert len(bench.planner.batches(registers)) == 5_000
    assert time.process_time() - begun < 3 * PATIENCE
