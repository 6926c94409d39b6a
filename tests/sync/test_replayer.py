from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.broker import Subscription
from gateway.model import Message
from gateway.sync.replayer import FILTERS_AT_ONCE, QUIET, SILENCE, LinkLost, Replayer
from tests.fakes import FakeClock, FakeLink

SENTINEL = "gateways/edge-1/replay"
WANTED = [Subscription("config/devices/#", 0)]


class Rig:
    """A replayer on a link, where ``broker`` says what each pump brings: seconds until it, and what it is."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.link = FakeLink()
        self.script: list[tuple[float, str]] = []
        self.timeouts: list[float] = []
        self.replayer = Replayer(self.link, SENTINEL, self.pump, self.clock, "nonce")  # type: ignore[arg-type]

    def pump(self, timeout: float) -> bool:
        """Wait as the script says."""
        self.timeouts.append(timeout)
        pause, what = self.script.pop(0) if self.script else (timeout, "nothing")
        if pause > timeout:
            self.script.insert(0, (pause - timeout, what))
            pause, what = timeout, "nothing"
        self.clock.advance(pause)
        if what == "lost":
            self.link.connected = False
        if what == "sentinel":
            self.replayer.heard(Message(SENTINEL, self.link.sent[-1].payload))
        if what == "stranger":
            self.replayer.heard(Message(SENTINEL, b'{"nonce": "another"}'))
        return what != "nothing"


@pytest.fixture
def rig() -> Rig:
    """A replayer."""
    return Rig()


def test_the_sentinel_is_subscribed_and_published_with_the_rest(rig: Rig) -> None:
    """It stands in the same SUBSCRIBE, at the same QoS, and a nonce goes to it at once."""
    rig.script = [(0.0, "sentinel")]
    assert rig.replayer.run([Subscription("a", 0), Subscription("b", 1)], quiet=0)
    assert rig.link.asked == [[Subscription("a", 0), Subscription("b", 1), Subscription(SENTINEL, 1)]]
    [nonce] = rig.link.sent
    assert (nonce.topic, nonce.qos, nonce.retain) == (SENTINEL, 1, False)


def test_a_replay_with_its_sentinel_is_whole(rig: Rig) -> None:
    """It may take as long as it wants, as long as something comes."""
    rig.script = [(1.9, "config")] * 20 + [(1.9, "sentinel")]
    assert rig.replayer.run(WANTED)


def test_a_replay_without_its_sentinel_is_cut(rig: Rig) -> None:
    """When nothing has come for a while nothing will."""
    rig.script = [(0.5, "config")]
    started = rig.clock.now()
    assert not rig.replayer.run(WANTED)
    assert rig.clock.now() - started == pytest.approx(0.5 + SILENCE)


def test_what_comes_after_the_sentinel_is_waited_for(rig: Rig) -> None:
    """Some brokers send retained messages on the side: a short silence must follow."""
    rig.script = [(0.0, "sentinel"), (QUIET / 2, "config"), (QUIET / 2, "config"), (10.0, "config")]
    assert rig.replayer.run(WANTED)
    assert len(rig.script) == 1
    assert rig.timeouts[-1] == QUIET


def test_each_replay_has_its_own_nonce(rig: Rig) -> None:
    """A sentinel of an earlier replay, or of another process, does not end this one."""
    rig.script = [(0.0, "sentinel")]
    assert rig.replayer.run(WANTED, quiet=0)
    old = rig.link.sent[-1].payload
    rig.script = [(0.0, "stranger")]
    assert not rig.replayer.run(WANTED, quiet=0)
    assert rig.link.sent[-1].payload != old


def test_a_lost_link_ends_it(rig: Rig) -> None:
    """It begins again on the next connection, and is not taken for a cut one."""
    rig.script = [(0.1, "config"), (0.1, "lost")]
    with pytest.raises(LinkLost):
        rig.replayer.run(WANTED)


@given(number=st.integers(0, 3 * FILTERS_AT_ONCE), cut=st.integers(0, 3))
def test_many_topics_are_asked_for_some_at_a_time(number: int, cut: int) -> None:
    """Each topic is asked for once, in order; one part that is cut makes the whole not whole, and the rest goes on."""
    rig = Rig()
    filters = [f"config/{n}" for n in range(number)]
    parts = -(-number // FILTERS_AT_ONCE)
    pump: Callable[[float], bool] = rig.pump

    def answer(timeout: float) -> bool:
        if len(rig.link.sent) - 1 != cut:
            rig.script = [(0.0, "sentinel")]
        return pump(timeout)

    rig.replayer._pump = answer
    assert rig.replayer.each(filters, qos=1) == (cut >= parts)
    asked = [[s.filter for s in packet] for packet in rig.link.asked]
    assert all(len(packet) <= FILTERS_AT_ONCE + 1 and packet[-1] == SENTINEL for packet in asked)
    assert [name for packet in asked for name in packet[:-1]] == filters
