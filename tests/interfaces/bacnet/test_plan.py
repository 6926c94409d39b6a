"""Which requests read which BACnet registers."""

from __future__ import annotations

import itertools
import random

from hypothesis import given
from hypothesis import strategies as st

from gateway.interfaces._bacnet import names
from gateway.interfaces._bacnet.plan import (
    ALONE,
    FAULTY,
    FLAGGED,
    HEAD,
    BacnetBatch,
    Limits,
    chores,
    halves,
    octets_of,
    plan,
)
from gateway.interfaces._bacnet.rows import RAW_TYPES, BacnetRegister
from gateway.interfaces._bacnet.values import Ref

KINDS = ["real", "unsigned", "enumerated", "boolean", "character-string", "double", "array", "date"]


def register(number: int, kind: str, prop: int = names.PRESENT_VALUE) -> BacnetRegister:
    """A register of that datatype."""
    raw = RAW_TYPES.get(kind, "string")
    return BacnetRegister(name=f"p{number}", type=raw, raw_type=raw, ref=Ref(number % 4, number, prop), datatype=kind)


registers = st.lists(st.tuples(st.sampled_from(KINDS), st.sampled_from([85, 85, 77, 111])), max_size=60).map(
    lambda kinds: [register(number, kind, prop) for number, (kind, prop) in enumerate(kinds)]
)
limits = st.builds(
    Limits,
    octets=st.integers(50, 1476),
    points=st.integers(1, 50),
    single=st.booleans(),
    flags=st.booleans(),
)


def check(batches: list[BacnetBatch], wanted: list[BacnetRegister], limits: Limits) -> None:
    """Each register stands in one batch, in order; each batch is within the limits or can not be smaller."""
    assert [register for batch in batches for register in batch.registers] == wanted
    for batch in batches:
        assert sum(batch.counts) == len(batch.refs)
        at = 0
        for own, count in zip(batch.registers, batch.counts, strict=True):
            assert batch.refs[at] == own.ref
            assert all(ref.instance == own.ref.instance for ref in batch.refs[at : at + count])
            at += count
        assert len(batch.registers) == 1 or (batch.octets <= limits.octets and len(batch.registers) <= limits.points)
        assert not limits.single or (len(batch.refs) == 1 and not batch.multiple)


@given(registers, limits, st.integers())
def test_every_register_is_asked_once_within_the_limits(wanted: list[BacnetRegister], limits: Limits, seed: int) -> None:
    """Whatever the points and the device, and whichever are in fault."""
    source = random.Random(seed)
    how = {register.ref: source.choice([ALONE, FLAGGED, FAULTY]) for register in wanted}
    check(plan(wanted, limits, how), wanted, limits)


@given(registers, limits)
def test_no_two_neighbours_would_fit_into_one_request(wanted: list[BacnetRegister], limits: Limits) -> None:
    """A request takes all that it can: the first register of the next one would have been too much."""
    batches = plan(wanted, limits)
    for batch, following in itertools.pairwise(batches):
        if batch.multiple:
            more = octets_of(following.registers[0], following.counts[0])
            assert batch.octets + more > limits.octets or len(batch.registers) == limits.points


@given(registers.filter(bool), limits)
def test_halving_ends_at_single_properties(wanted: list[BacnetRegister], limits: Limits) -> None:
    """Divided again and again, every batch comes down to requests for one property, and nothing is lost on the way."""
    waiting = plan(wanted, limits)
    done: list[BacnetRegister] = []
    for _ in range(10 * len(wanted)):
        if not waiting:
            break
        batch = waiting.pop(0)
        if not batch.multiple:
            done += batch.registers
            continue
        parts = halves(batch, limits, {})
        assert parts != [batch]
        waiting[:0] = parts
    assert done == wanted


def test_what_is_known_in_fault_is_asked_why() -> None:
    """The reliability is asked for such an object, and only with the flags."""
    own = register(1, "real")
    [batch] = plan([own], Limits(480, 24, single=False, flags=True), {own.ref: FAULTY})
    assert [ref.property for ref in batch.refs] == [85, names.STATUS_FLAGS, names.RELIABILITY]
    [batch] = plan([own], Limits(480, 24, single=False, flags=False), {own.ref: FAULTY})
    assert [ref.property for ref in batch.refs] == [85]
    assert batch.octets == HEAD + octets_of(own, 1)


@given(st.integers(0, 60), limits, st.integers(3, 400))
def test_chores_ask_each_thing_once(count: int, limits: Limits, each: int) -> None:
    """At least one at a time, in order."""
    refs = [Ref(0, number, names.UNITS_OF) for number in range(count)]
    found = chores(refs, limits, each)
    assert [ref for chore in found for ref in chore.refs] == refs
    assert all(chore.refs and chore.multiple is not limits.single for chore in found)
