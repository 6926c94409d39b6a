from __future__ import annotations

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from gateway.clock import rfc3339
from gateway.ownership import Standing, displaced, standing, yields

IDS = st.sampled_from(["a", "b", "c", "edge-1"])
ADOPT = st.frozensets(IDS)


@pytest.mark.parametrize(
    ("configured", "named", "adopt", "whose"),
    [
        (None, None, (), Standing.FREE),
        (None, "b", (), Standing.OURS),
        (None, "a", (), Standing.OTHER),
        (None, "a", ("a",), Standing.FREE),
        (None, "b", ("b",), Standing.OURS),
        ("b", None, (), Standing.OURS),
        ("b", "a", (), Standing.OURS),
        ("a", None, (), Standing.OTHER),
        ("a", "b", (), Standing.OTHER),
        ("a", "a", ("a",), Standing.OTHER),
    ],
)
def test_whose_a_device_is(configured: str | None, named: str | None, adopt: tuple[str, ...], whose: Standing) -> None:
    """For "b": the config key decides, then the status; what is nobody's or an adopted gateway's is free."""
    assert standing("b", configured, named, adopt) is whose


@given(
    us=IDS,
    other=IDS,
    configured=st.none() | IDS,
    ours=st.none() | IDS,
    theirs=st.none() | IDS,
    ours_new=st.booleans(),
    theirs_new=st.booleans(),
)
def test_both_sides_of_a_meeting_agree(
    us: str, other: str, configured: str | None, ours: str | None, theirs: str | None, ours_new: bool, theirs_new: bool
) -> None:
    """Of two gateways that run one device exactly one yields; both do if the config names a third."""
    assume(us != other)
    we = yields(us, other, configured, ours, theirs, ours_new, theirs_new)
    they = yields(other, us, configured, theirs, ours, theirs_new, ours_new)
    if configured in (None, us, other):
        assert we != they
    else:
        assert we
        assert they


@given(us=IDS, other=IDS)
def test_a_new_claim_yields_to_a_settled_one(us: str, other: str) -> None:
    """Who may have written already stays, unless it says nothing of it or is adopted from."""
    assert yields(us, other, None, None, None, ours_new=True, theirs_new=False)
    assert not yields(us, other, None, None, None, ours_new=False, theirs_new=True)
    assume(us != other)
    assert yields(us, other, None, None, us, ours_new=False, theirs_new=True)


@given(us=IDS, other=IDS)
def test_claims_alike_go_to_the_smaller_id(us: str, other: str) -> None:
    """Without anything else to go by the smaller id stays."""
    assert yields(us, other, None, None, None) == (other < us)


@given(us=IDS, other=IDS, configured=st.none() | IDS)
def test_an_adoption_is_yielded_to(us: str, other: str, configured: str | None) -> None:
    """Who says to adopt from us gets the device, whatever the ids, unless the config names an owner."""
    assume(us != other)
    assert yields(us, other, configured, None, us) == (configured != us)
    assert yields(other, us, configured, us, None) == (configured not in (None, other))


@given(one=IDS, two=IDS, configured=st.none() | IDS, named=st.none() | IDS, first=ADOPT, second=ADOPT)
def test_two_gateways_come_to_one_owner(
    one: str, two: str, configured: str | None, named: str | None, first: frozenset[str], second: frozenset[str]
) -> None:
    """Two that begin at once, from the same config and status: never both run the device when they have met."""
    assume(one != two)
    stands = {gateway: standing(gateway, configured, named, adopt) for gateway, adopt in ((one, first), (two, second))}
    tags = {gateway: named if whose is Standing.FREE else None for gateway, whose in stands.items()}
    running = [gateway for gateway, whose in stands.items() if whose is not Standing.OTHER]
    if len(running) == 2:
        running = [
            us
            for us in running
            for other in running
            if other != us and not yields(us, other, configured, tags[us], tags[other])
        ]
    wanted = configured in (None, one, two) and (configured or named in (None, one, two) or named in first | second)
    assert len(running) == (1 if wanted else 0)


def status(instance: str, started: float, state: str = "online") -> dict[str, object]:
    """A gateway status as it is seen."""
    return {"state": state, "instance": instance, "started": rfc3339(started)}


@given(
    one=st.tuples(st.integers(0, 3), st.sampled_from("xyz")),
    two=st.tuples(st.integers(0, 3), st.sampled_from("xyz")),
)
def test_of_two_processes_one_is_displaced(one: tuple[int, str], two: tuple[int, str]) -> None:
    """Two processes with one id agree which of them goes: the one that began earlier, or has the smaller instance."""
    assume(one[1] != two[1])
    first, second = (rfc3339(one[0]), one[1]), (rfc3339(two[0]), two[1])
    we = displaced(first, status(two[1], two[0]))
    they = displaced(second, status(one[1], one[0]))
    assert we != they
    assert we == (one < two)


@pytest.mark.parametrize(
    "seen",
    [
        {},
        {"state": "offline", "contract": 1},
        status("other", 2_000.0, "offline"),
        status("us", 2_000.0),
        status("other", 500.0),
        {"state": "online", "instance": 7, "started": rfc3339(2_000.0)},
        {"state": "online", "instance": "other"},
    ],
)
def test_nothing_else_displaces_us(seen: dict[str, object]) -> None:
    """A Will, a goodbye, our own status, an older process, or no proper status do not."""
    assert not displaced((rfc3339(1_000.0), "us"), seen)
