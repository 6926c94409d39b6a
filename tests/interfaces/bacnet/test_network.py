"""A network with its child process, against devices of bacpypes3 in another process."""

from __future__ import annotations

import math
import threading
from collections.abc import Iterator

import pytest

from gateway.clock import SystemClock
from gateway.interfaces._bacnet.life import Options
from gateway.interfaces._bacnet.networks import BacnetNetworks
from gateway.interfaces._bacnet.session import BacnetSession
from gateway.interfaces._bacnet.values import Changed, Failure, Item, Local, Ref, RequestFailed, Target
from tests.integration.waiting import eventually
from tests.interfaces.bacnet.simulator import SimDevice, Simulator, free_udp_port

pytest.importorskip("bacpypes3", reason="bacpypes3 is not installed")

AV, DEVICE = 2, 8
PRIORITIES, NAME, OBJECT_LIST, FLAGS = 87, 77, 76, 111
CLOCK = SystemClock()


@pytest.fixture(scope="module")
def devices() -> Iterator[Simulator]:
    """Two devices of which nothing depends on what a test before did to them."""
    port = free_udp_port()
    with Simulator(
        SimDevice(port=port), SimDevice(address="127.0.0.12", port=port, device_id=1002, multiple=False)
    ) as simulator:
        yield simulator


@pytest.fixture(scope="module")
def networks() -> Iterator[BacnetNetworks]:
    """A network at 127.0.0.1 for all tests."""
    networks = BacnetNetworks(Options(address="127.0.0.1/8", port=free_udp_port()), CLOCK)
    yield networks
    assert networks.stop(10.0) == []


@pytest.fixture
def session(networks: BacnetNetworks, devices: Simulator) -> Iterator[BacnetSession]:
    """A session with the first device, which has been found."""
    session = networks.join(Local(), at(devices), lambda: None)
    session.find(20.0)
    yield session
    session.leave()


def at(devices: Simulator, number: int = 0) -> Target:
    """The target of a device by its address."""
    device = devices.devices[number]
    return Target(address=f"{device.address}:{device.port}")


def failure(session: BacnetSession, *refs: Ref, **options: object) -> Failure:
    """How a read fails as a whole."""
    with pytest.raises(RequestFailed) as raised:
        session.read(refs, **options)  # type: ignore[arg-type]
    return raised.value.failure


def test_device_is_found_at_its_address(session: BacnetSession) -> None:
    """A device tells its id, the largest message it takes, and whether it segments."""
    facts = session.facts()
    assert facts is not None
    assert (facts.device_id, facts.max_apdu, facts.segmentation, facts.vendor) == (1001, 1476, "both", 999)


def test_another_device_at_the_address_is_not_taken(networks: BacnetNetworks, devices: Simulator) -> None:
    """Where a config names id and address and another device answers there, nothing is read of it."""
    session = networks.join(Local(), Target(77, at(devices).address), lambda: None)
    with pytest.raises(RequestFailed, match="is device 1001, not device 77"):
        session.find(3.0)
    session.leave()


def test_properties_are_read_each_with_its_answer(session: BacnetSession) -> None:
    """One request brings values, lists and refusals of single properties, in the order asked."""
    answers = session.read([Ref(AV, 1), Ref(AV, 99), Ref(AV, 1, NAME), Ref(AV, 1, PRIORITIES), Ref(AV, 1, FLAGS)])
    value, unknown, name, priorities, flags = answers
    assert (value, name) == (Item("real", 1.5), Item("character-string", "AV-1"))
    assert isinstance(unknown, Failure)
    assert (unknown.kind, unknown.reason, unknown.error_class) == ("error", "unknown-object", "object")
    assert isinstance(priorities, Item)
    assert [item.datatype for item in priorities.value] == ["null"] * 16
    assert flags == Item("bit-string", {"bits": [False] * 4})


def test_single_property_is_read(session: BacnetSession) -> None:
    """ReadProperty brings the same; its error is one of the whole request."""
    assert session.read([Ref(AV, 2)], multiple=False) == [Item("real", 2.5)]
    assert session.read([Ref(DEVICE, 1001, OBJECT_LIST, 0)], multiple=False) == [Item("unsigned", 14)]
    refused = failure(session, Ref(AV, 99), multiple=False)
    assert (refused.kind, refused.reason) == ("error", "unknown-object")


def test_service_that_a_device_lacks_is_named(networks: BacnetNetworks, devices: Simulator) -> None:
    """A device without ReadPropertyMultiple says so, by the name of the reject's reason."""
    session = networks.join(Local(), at(devices, 1), lambda: None)
    session.find(10.0)
    refused = failure(session, Ref(AV, 1))
    assert (refused.kind, refused.reason) == ("reject", "unrecognized-service")
    session.leave()


def test_writes_and_relinquishes_a_slot(session: BacnetSession) -> None:
    """A write fills the slot of its priority, null empties it."""
    session.write(Ref(AV, 3), "real", 55.5, 8, deadline=math.inf)
    assert session.read([Ref(AV, 3), Ref(AV, 3, PRIORITIES, 8)]) == [Item("real", 55.5)] * 2
    session.write(Ref(AV, 3), "null", None, 8, deadline=CLOCK.now() + 5)
    assert session.read([Ref(AV, 3), Ref(AV, 3, PRIORITIES, 8)]) == [Item("real", 3.5), Item("null", None)]


def test_refused_write_is_told_by_name(session: BacnetSession) -> None:
    """The error of a write is not lost."""
    with pytest.raises(RequestFailed) as raised:
        session.write(Ref(AV, 99), "real", 1.0, 8, deadline=math.inf)
    assert (raised.value.failure.kind, raised.value.failure.reason) == ("error", "unknown-object")
    assert not raised.value.failure.unknown


def test_late_write_does_not_leave(session: BacnetSession) -> None:
    """A write whose deadline has passed is not sent, and the device keeps what it had."""
    with pytest.raises(RequestFailed) as raised:
        session.write(Ref(AV, 4), "real", 99.0, 8, deadline=CLOCK.now() - 0.001)
    assert raised.value.failure.kind == "not_sent"
    assert session.read([Ref(AV, 4)]) == [Item("real", 4.5)]


def test_unfit_value_does_not_leave(session: BacnetSession) -> None:
    """A value that its datatype can not hold is refused here."""
    with pytest.raises(RequestFailed) as raised:
        session.write(Ref(AV, 4), "unsigned", -1, 8, deadline=math.inf)
    assert raised.value.failure.kind == "not_sent"


def test_changes_are_told(networks: BacnetNetworks, devices: Simulator) -> None:
    """A subscription brings the value at once and after each change, with the status flags, and rings the alarm."""
    rung = threading.Event()
    session = networks.join(Local(), at(devices), rung.set)
    session.find(10.0)
    session.subscribe(Ref(AV, 5), lifetime=60, confirmed=True)
    first = _next(session, rung)
    assert (first.ref, first.items[85]) == (Ref(AV, 5), Item("real", 5.5))
    assert first.items[FLAGS] == Item("bit-string", {"bits": [False] * 4})
    session.write(Ref(AV, 5), "real", 66.0, 8, deadline=math.inf)
    assert _next(session, rung).items[85] == Item("real", 66.0)
    session.write(Ref(AV, 5), "null", None, 8, deadline=math.inf)
    assert _next(session, rung).items[85] == Item("real", 5.5)
    session.leave()


def _next(session: BacnetSession, rung: threading.Event) -> Changed:
    found: list[object] = []

    def came() -> bool:
        found.extend(session.notices())
        return bool(found)

    eventually(came, "a notice")
    rung.clear()
    assert isinstance(found[0], Changed)
    return found[0]


def test_many_requests_at_once_are_served_or_refused(session: BacnetSession) -> None:
    """Of 300 requests at once to one device each is answered or told that there are too many: none hangs."""
    outcomes: list[str] = []

    def ask() -> None:
        try:
            session.read([Ref(AV, 1)], timeout=20.0)
            outcomes.append("served")
        except RequestFailed as error:
            outcomes.append(error.failure.kind)

    threads = [threading.Thread(target=ask) for _ in range(300)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert len(outcomes) == 300
    assert set(outcomes) <= {"served", "busy"}
    assert outcomes.count("served") >= 64
    assert session.read([Ref(AV, 1)]) == [Item("real", 1.5)]
