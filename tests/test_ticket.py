from __future__ import annotations

import threading
import weakref
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import DeadlinePassed, GatewayError
from gateway.ticket import Ticket

DEADLINE = 100.0


class Answers(list[tuple[Any, GatewayError | None]]):
    """Where a ticket's answers go."""

    def __call__(self, result: Any, error: GatewayError | None) -> None:
        """One more."""
        self.append((result, error))

    @property
    def code(self) -> str:
        """The code of the only one."""
        [(_, error)] = self
        return error.code if error else "ok"


class HookedLock:
    """A lock that lets something else happen right before it is first taken."""

    def __init__(self, lock: Any, before: Any) -> None:
        self._lock = lock
        self._before = before

    def __enter__(self) -> None:
        before, self._before = self._before, lambda: None
        before()
        self._lock.acquire()

    def __exit__(self, *_: object) -> None:
        self._lock.release()


@pytest.fixture
def answers() -> Answers:
    """What was answered."""
    return Answers()


@pytest.fixture
def ticket(answers: Answers) -> Ticket:
    """A request's ticket."""
    return Ticket(DEADLINE, answers)


def test_only_the_first_answer_goes(ticket: Ticket, answers: Answers) -> None:
    """Whoever finishes second is told so, and nothing is sent."""
    assert ticket.finish(21.5)
    assert not ticket.finish(error=GatewayError("late"))
    assert not ticket.expire()
    assert answers == [(21.5, None)]


def test_before_a_claim_the_deadline_is_a_timeout(ticket: Ticket, answers: Answers) -> None:
    """Nothing has left, so the client may ask again; and from then on nothing leaves."""
    assert ticket.expire()
    assert answers.code == "timeout"
    with pytest.raises(DeadlinePassed):
        ticket.claim(DEADLINE - 1)
    assert not ticket.claimed


def test_after_a_claim_the_deadline_is_an_unknown_outcome(ticket: Ticket, answers: Answers) -> None:
    """The write has left: nobody can say that it was not carried out."""
    ticket.claim(DEADLINE - 0.001)
    assert ticket.expire()
    assert answers.code == "outcome_unknown"


@pytest.mark.parametrize("late", [0.0, 0.001, 60.0])
def test_nothing_leaves_at_or_after_the_deadline(ticket: Ticket, late: float) -> None:
    """The deadline itself is too late, also when nobody has answered yet."""
    with pytest.raises(DeadlinePassed):
        ticket.claim(DEADLINE + late)
    assert not ticket.claimed


def test_an_abandoned_ticket_says_nothing(ticket: Ticket, answers: Answers) -> None:
    """A request that concerns another gateway is neither answered nor carried out."""
    ticket.abandon()
    assert not ticket.finish(1)
    assert not ticket.expire()
    with pytest.raises(DeadlinePassed):
        ticket.claim(0.0)
    assert answers == []


def test_a_claim_in_the_last_moment_counts(ticket: Ticket, answers: Answers) -> None:
    """A claim between the deadline's coming and its answer makes that answer an unknown outcome."""
    ticket._lock = HookedLock(ticket._lock, lambda: ticket.claim(DEADLINE - 0.001))  # type: ignore[assignment]
    ticket.expire()
    assert answers.code == "outcome_unknown"


@given(
    st.lists(
        st.one_of(
            st.tuples(st.just("claim"), st.sampled_from([DEADLINE - 1, DEADLINE, DEADLINE + 1])),
            st.tuples(st.sampled_from(["finish", "expire", "abandon"]), st.none()),
        )
    )
)
def test_one_answer_and_no_claim_after_it(steps: list[tuple[str, float | None]]) -> None:
    """In any order of events there is at most one answer, and no claim succeeds after it or after the deadline."""
    answers = Answers()
    ticket = Ticket(DEADLINE, answers)
    for name, now in steps:
        over, claimed = ticket.answered, ticket.claimed
        if name == "claim":
            assert now is not None
            try:
                ticket.claim(now)
            except DeadlinePassed:
                assert over or now >= DEADLINE
            else:
                assert not over
                assert now < DEADLINE
        else:
            said = getattr(ticket, name)()
            assert said in (None, not over)
            if name == "expire" and said:
                assert answers.code == ("outcome_unknown" if claimed else "timeout")
    assert len(answers) <= 1


@pytest.mark.parametrize("end", ["finish", "abandon", "expire"])
def test_an_answered_ticket_keeps_nothing(end: str) -> None:
    """Whoever still holds it holds nobody who has made the answer or waited for it."""

    class Maker:
        def make(self, *_: object) -> None:
            """Whatever is called."""

    maker = Maker()
    ticket = Ticket(DEADLINE, maker.make, maker.make)
    ticket.late = maker.make
    getattr(ticket, end)()
    held = weakref.ref(maker)
    del maker
    assert held() is None


def test_racing_threads_agree() -> None:
    """Claim and deadline on two threads: one answer each time, and never ``timeout`` for a write that left."""
    for _ in range(300):
        answers = Answers()
        ticket, barrier = Ticket(DEADLINE, answers), threading.Barrier(2)
        thread = threading.Thread(target=write, args=(ticket, barrier))
        thread.start()
        barrier.wait()
        ticket.expire()
        thread.join()
        assert answers.code in (("ok", "outcome_unknown") if ticket.claimed else ("timeout",))


def write(ticket: Ticket, barrier: threading.Barrier) -> None:
    """What a device thread does in the moment of the deadline."""
    barrier.wait()
    try:
        ticket.claim(DEADLINE - 0.001)
    except DeadlinePassed as error:
        ticket.finish(error=error)
    else:
        ticket.finish(1)
