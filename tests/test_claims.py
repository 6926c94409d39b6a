from __future__ import annotations

import pytest

from gateway.claims import Claims
from gateway.model import Message
from gateway.ownership import Standing


def status(payload: bytes, *user: tuple[str, str]) -> Message:
    """A device's status as it comes from the broker."""
    return Message("devices/C/B/D/status", payload, retain=True, user=user)


@pytest.fixture
def claims() -> Claims:
    """Those of gateway ``b``, which adopts ``old``."""
    return Claims("b", ["old"])


def test_a_status_names_its_gateway(claims: Claims) -> None:
    """Whose a device is is read from its retained status."""
    assert claims.heard("C/B/D", status(b'{"gateway": "a"}')) == "a"
    assert claims.named("C/B/D") == "a"
    assert claims.standing("C/B/D", None) is Standing.OTHER
    assert claims.standing("C/B/D", "b") is Standing.OURS


@pytest.mark.parametrize("payload", [b"", b"\xff", b"[]", b"{}", b'{"gateway": 7}', b'{"gateway": ""}', b"[" * 5000])
def test_a_status_that_names_nobody_frees_the_device(claims: Claims, payload: bytes) -> None:
    """A cleared or unreadable status is no claim."""
    claims.heard("C/B/D", status(b'{"gateway": "a"}'))
    assert claims.heard("C/B/D", status(payload)) is None
    assert claims.standing("C/B/D", None) is Standing.FREE


def test_adopted_gateways_lose_their_devices(claims: Claims) -> None:
    """What names an id that we adopt is free for us."""
    claims.heard("C/B/D", status(b'{"gateway": "old"}'))
    assert claims.standing("C/B/D", None) is Standing.FREE


def test_what_we_take_is_ours_until_it_is_forgotten(claims: Claims) -> None:
    """Our claims are known; clearing the status or a new connection undoes them."""
    claims.take("C/B/D")
    claims.take("C/B/E")
    claims.heard("C/B/F", status(b'{"gateway": "a"}'))
    assert claims.ours() == ["C/B/D", "C/B/E"]
    claims.forget("C/B/D")
    claims.forget("C/B/unknown")
    assert claims.ours() == ["C/B/E"]
    claims.forget_all()
    assert claims.ours() == []
    assert claims.standing("C/B/F", None) is Standing.FREE


def test_who_adopts_us_says_so_in_a_user_property(claims: Claims) -> None:
    """A claim marked as an adoption from us is yielded to, a plain one of a greater id is not."""
    assert not claims.yields("c", None, None, status(b'{"gateway": "c"}'))
    assert claims.yields("c", None, None, status(b'{"gateway": "c"}', ("adopt", "b")))
    assert claims.yields("a", None, None, status(b'{"gateway": "a"}'))
    assert not claims.yields("a", None, "a", status(b'{"gateway": "a"}'))


def test_a_new_claim_says_so_in_a_user_property(claims: Claims) -> None:
    """A settled claim stands against a new one, whatever the ids."""
    assert claims.yields("c", None, None, status(b'{"gateway": "c"}'), ours_new=True)
    assert not claims.yields("c", None, None, status(b'{"gateway": "c"}', ("claim", "new")), ours_new=True)
    assert not claims.yields("a", None, None, status(b'{"gateway": "a"}', ("claim", "new")))
