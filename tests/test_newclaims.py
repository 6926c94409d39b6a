from __future__ import annotations

from gateway.newclaims import NewClaims
from gateway.ownership import SETTLING
from tests.fakes import FakeClock


def test_a_new_claim_is_read_again_when_it_has_settled(clock: FakeClock) -> None:
    """Not before, and not again once it is settled."""
    claims = NewClaims(clock)
    claims.add("C/B/D", taken_over=False)
    assert (claims.due(), claims.next()) == ([], clock.now() + SETTLING)
    clock.advance(SETTLING)
    assert claims.due() == ["C/B/D"]
    claims.forget("C/B/D")
    assert (claims.due(), claims.next(), "C/B/D" in claims) == ([], float("inf"), False)


def test_a_claim_that_meets_another_settles_anew(clock: FakeClock) -> None:
    """So do all when they are published; what is no new claim stays none."""
    claims = NewClaims(clock)
    claims.add("C/B/D", taken_over=True)
    clock.advance(SETTLING)
    claims.again("C/B/D")
    claims.again("C/B/E")
    assert claims.due() == []
    clock.advance(SETTLING)
    claims.published()
    assert (claims.due(), claims.taken_over) == ([], {"C/B/D"})
