"""Subscriptions to changes, against devices that go away, start again, refuse, or say that they have started."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator

import pytest

from gateway.clock import SystemClock
from gateway.interfaces._bacnet.life import Options
from gateway.interfaces._bacnet.networks import BacnetNetworks
from gateway.interfaces._bacnet.session import BacnetSession
from gateway.interfaces._bacnet.values import Changed, Item, Lapsed, Local, Notice, Ref, Restarted, Target
from gateway.interfaces._bacnet.writing import context_number, object_octets
from tests.integration.waiting import eventually
from tests.interfaces.bacnet.simulator import SimDevice, Simulator, free_udp_port

pytest.importorskip("bacpypes3", reason="bacpypes3 is not installed")

AV, DEVICE = 2, 8


class Rig:
    """A device, a session with it, and what the session has been told."""

    def __init__(self, simulator: Simulator, networks: BacnetNetworks) -> None:
        self.simulator = simulator
        self.device = simulator.devices[0]
        self.networks = networks
        self.session: BacnetSession = networks.join(Local(), Target(address=f"127.0.0.11:{self.device.port}"), lambda: None)
        self.session.find(20.0)
        self.heard: list[Notice] = []

    def wait_for(self, fits: Callable[[Notice], bool], what: str) -> Notice:
        """The first notice that fits; those before it are forgotten."""

        def look() -> list[Notice]:
            self.heard += self.session.notices()
            while self.heard and not fits(self.heard[0]):
                self.heard.pop(0)
            return self.heard

        return eventually(look, what).pop(0)

    def change_of(self, instance: int) -> Changed:
        """The next change of an analog value."""
        notice = self.wait_for(lambda n: isinstance(n, Changed) and n.ref == Ref(AV, instance), f"a change of AV {instance}")
        assert isinstance(notice, Changed)
        return notice

    def send_as_device(self, apdu: bytes) -> None:
        """A packet from the device's address and port."""
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as device:
            device.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            device.bind((self.device.address, self.device.port))
            (network,) = self.networks._networks.values()
            packet = b"\x81\x0a" + (len(apdu) + 6).to_bytes(2) + b"\x01\x00" + apdu
            device.sendto(packet, ("127.0.0.1", network.options.port))


@pytest.fixture(scope="module")
def networks() -> Iterator[BacnetNetworks]:
    """A network at 127.0.0.1 for all tests."""
    networks = BacnetNetworks(Options(address="127.0.0.1/8", port=free_udp_port()), SystemClock())
    yield networks
    assert networks.stop(10.0) == []


@pytest.fixture
def rig(networks: BacnetNetworks) -> Iterator[Rig]:
    """A device that a test may kill."""
    with Simulator(SimDevice(port=free_udp_port(), analog_values=50)) as simulator:
        rig = Rig(simulator, networks)
        yield rig
        rig.session.leave()


def test_fifty_subscriptions_live_again_after_their_device_restarts(rig: Rig) -> None:
    """A device that lost power and came back has all subscriptions again within a renewal, without a word from anybody."""
    for instance in range(1, 51):
        rig.session.subscribe(Ref(AV, instance), lifetime=6, confirmed=instance % 2 == 0)
    missing = set(range(1, 51))
    while missing:
        notice = rig.wait_for(lambda n: isinstance(n, Changed), f"notices of {missing}")
        assert isinstance(notice, Changed)
        assert notice.items[85] == Item("real", notice.ref.instance + 0.5)
        missing.discard(notice.ref.instance)
    rig.simulator.kill()
    rig.heard.clear()
    rig.session.notices()
    rig.simulator.start()
    missing = set(range(1, 51))
    while missing:
        notice = rig.wait_for(lambda n: isinstance(n, Changed), f"notices of {missing}")
        assert isinstance(notice, Changed)
        missing.discard(notice.ref.instance)


def test_refused_subscription_is_told_once(rig: Rig) -> None:
    """An object that can not be subscribed to lapses with the device's reason; the others go on."""
    rig.session.subscribe(Ref(AV, 99), lifetime=60, confirmed=False)
    rig.session.subscribe(Ref(AV, 1), lifetime=60, confirmed=False)
    lapsed = rig.wait_for(lambda n: isinstance(n, Lapsed), "the refusal")
    assert isinstance(lapsed, Lapsed)
    assert (lapsed.ref, lapsed.failure.kind, lapsed.failure.reason) == (Ref(AV, 99), "error", "unknown-object")
    rig.change_of(1)
    assert [n for n in rig.session.notices() if isinstance(n, Lapsed)] == []


def test_device_that_says_that_it_started_is_subscribed_to_at_once(rig: Rig) -> None:
    """A restart notification renews all subscriptions of the device now, and tells the session."""
    rig.session.subscribe(Ref(AV, 1), lifetime=3600, confirmed=False)
    rig.change_of(1)
    me = object_octets(DEVICE, rig.device.device_id)
    values = bytes.fromhex("4e 0970 2e 9100 2f 4f".replace(" ", ""))  # system-status operational
    rig.send_as_device(b"\x10\x02" + context_number(0, 0) + b"\x1c" + me + b"\x2c" + me + context_number(3, 0) + values)
    rig.wait_for(lambda n: isinstance(n, Restarted), "the news")
    rig.change_of(1)


def test_i_am_renews_subscriptions(rig: Rig) -> None:
    """A device that says who it is may have started: its subscriptions are renewed now, quietly."""
    rig.session.subscribe(Ref(AV, 1), lifetime=3600, confirmed=False)
    rig.change_of(1)
    rig.send_as_device(b"\x10\x00\xc4" + object_octets(DEVICE, rig.device.device_id) + bytes.fromhex("2205c4 9100 2203e7"))
    rig.change_of(1)


def test_notices_of_strangers_are_not_taken(rig: Rig) -> None:
    """A notice that fits no subscription, or comes from another address, changes nothing."""
    rig.session.subscribe(Ref(AV, 1), lifetime=3600, confirmed=False)
    rig.change_of(1)
    me = object_octets(DEVICE, rig.device.device_id)
    value = bytes.fromhex("4e 0955 2e 44447a0000 2f 4f".replace(" ", ""))
    for process in range(1, 5):
        monitored = b"\x2c" + object_octets(AV, 1)
        rig.send_as_device(b"\x10\x02" + context_number(0, process) + b"\x1c" + me + monitored + b"\x3a\x0e\x10" + value)
    assert rig.session.read([Ref(AV, 1)]) == [Item("real", 1.5)]
    assert rig.session.notices() == []


def test_unsubscribed_changes_are_not_told(rig: Rig) -> None:
    """After ``unsubscribe`` nothing of that object is told any more, of others it is."""
    for instance in (1, 2):
        rig.session.subscribe(Ref(AV, instance), lifetime=3600, confirmed=False)
        rig.change_of(instance)
    rig.session.unsubscribe(Ref(AV, 1))
    for instance in (1, 2):
        rig.session.write(Ref(AV, instance), "real", 80.0, 8, deadline=float("inf"))
    assert rig.change_of(2).items[85] == Item("real", 80.0)
    assert [n for n in rig.session.notices() if isinstance(n, Changed) and n.ref == Ref(AV, 1)] == []
