"""BACnet devices through a whole gateway: reading, writing beside a human, giving back, changes, and what goes wrong."""

from __future__ import annotations

import os
import random
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from gateway.clock import SystemClock
from gateway.interfaces._bacnet.life import Options
from gateway.interfaces._bacnet.networks import BacnetNetworks
from gateway.interfaces._bacnet.values import Item, Local, Ref, Session, Target
from tests.integration.client import TestClient
from tests.integration.documents import csv, fake
from tests.integration.process import GatewayProcess
from tests.integration.site import Site
from tests.integration.waiting import PATIENCE, SEED, eventually, scaled
from tests.interfaces.bacnet.simulator import SimDevice, Simulator, free_udp_port

pytest.importorskip("bacpypes3", reason="bacpypes3 is not installed")

D = "C/B/D"
AV, BV, MSV = 2, 5, 19
ARRAY = 87
COV_POINTS = 50
ASKED = ("online", "degraded", "offline")


def row(name: str, kind: str, instance: int = 1, **columns: Any) -> dict[str, Any]:
    """A row in VOLTTRON's form."""
    cells = {
        "Reference Point Name": name,
        "Volttron Point Name": name,
        "Units": "",
        "Unit Details": "",
        "BACnet Object Type": kind,
        "Property": "presentValue",
        "Writable": "FALSE",
        "Index": instance,
        "Write Priority": "",
        "COV Flag": "",
        "Notes": "",
    }
    return cells | {title.replace("_", " "): cell for title, cell in columns.items()}


def setpoint(instance: int = 1, priority: int = 10, **columns: Any) -> dict[str, Any]:
    """A writable analog value."""
    return row(f"AV{instance}", "analogValue", instance, Writable="TRUE", Write_Priority=priority, **columns)


POINTS = [
    row("AI", "analogInput"),
    setpoint(1),
    setpoint(2, priority=8),
    row("Fan", "binaryValue", Writable="TRUE", Write_Priority=9),
    row("Mode", "multiStateValue", Writable="TRUE"),
    row("Text", "characterstringValue"),
    row("Gone", "analogInput", 77),
]


class Observer:
    """Another BACnet client on the network: a human's workstation."""

    def __init__(self) -> None:
        self._networks = BacnetNetworks(
            Options(address="127.0.0.2/8", port=free_udp_port(), device_id=4_000_000), SystemClock()
        )
        self._session: Session | None = None

    def at(self, device: SimDevice) -> Observer:
        """Look at this device."""
        if self._session is not None:
            self._session.leave()
        self._session = self._networks.join(Local(), Target(address=f"{device.address}:{device.port}"), lambda: None)
        self._session.find(20.0)
        return self

    def write(self, ref: Ref, datatype: str, value: Any, priority: int | None = None) -> None:
        """Write a property."""
        assert self._session is not None
        self._session.write(ref, datatype, value, priority, deadline=SystemClock().now() + 20, timeout=20.0)

    def slots(self, object_type: int, instance: int) -> dict[int, Any]:
        """What stands in the priority array: priority -> value."""
        assert self._session is not None
        [item] = self._session.read([Ref(object_type, instance, ARRAY)], timeout=20.0)
        assert isinstance(item, Item)
        return {number: slot.value for number, slot in enumerate(item.value, 1) if slot.datatype != "null"}

    def close(self) -> None:
        """Leave."""
        if self._session is not None:
            self._session.leave()
        assert self._networks.stop(10.0) == []


@pytest.fixture(scope="module")
def observer() -> Iterator[Observer]:
    """Somebody else."""
    observer = Observer()
    yield observer
    observer.close()


@pytest.fixture(scope="module")
def spare() -> Iterator[Iterator[SimDevice]]:
    """Devices that run, for one test each."""
    port = free_udp_port()
    devices = [SimDevice(address=f"127.0.0.{11 + n}", port=port, device_id=1001 + n) for n in range(8)]
    with Simulator(*devices):
        yield iter(devices)


@pytest.fixture
def device(spare: Iterator[SimDevice]) -> SimDevice:
    """The device of a test."""
    return next(spare)


def config(device: SimDevice, registry: Any, interval: float = 0.5, **driver: Any) -> dict[str, Any]:
    """The device's config, in VOLTTRON's form."""
    given = {"device_id": device.device_id, "device_address": f"{device.address}:{device.port}", "apdu_timeout": PATIENCE}
    return {
        "driver_type": "bacnet",
        "driver_config": given | driver,
        "registry_config": registry,
        "interval": interval,
        "timezone": "UTC",
    }


def bacnet() -> dict[str, str]:
    """The setting of a gateway that takes part at 127.0.0.1."""
    return {"address": f"127.0.0.1/8:{free_udp_port()}"}


@pytest.fixture
def edge(site: Site) -> GatewayProcess:
    """A gateway on the network."""
    return site.gateway(bacnet=bacnet())


def run(client: TestClient, device: SimDevice, rows: list[dict[str, Any]], path: str = D, **options: Any) -> None:
    """Publish the device's documents, the registry as CSV, and wait until it was asked: a stack takes its time to start."""
    client.publish("config/registry.csv", csv(*rows), retain=True)
    client.publish(f"config/devices/{path}", config(device, "config://registry.csv", **options), retain=True)
    client.wait_for(f"devices/{path}/status", lambda m: bool(m.payload) and m.json["state"] in ASKED, timeout=40)


def ask(client: TestClient, about: str, payload: Any = b"") -> Any:
    """The answer to a request of ops."""
    return client.request(f"rpc/ops/{about}", payload).json


def code(answer: Any) -> str:
    """The code of a refusal, or ok."""
    return str(answer["error"]["code"]) if "error" in answer else "ok"


# ---- reading


def test_voltrons_registry_is_read_as_it_is(edge: GatewayProcess, client: TestClient, device: SimDevice) -> None:
    """Every point has its value with its true type; one that the device lacks is an error of its own; units come from it."""
    run(client, device, POINTS)
    reading = client.wait_for(f"devices/{D}/all").json
    assert reading["values"] == {"AI": 21.0, "AV1": 1.5, "AV2": 2.5, "Fan": False, "Mode": 1, "Text": "text 1"}
    assert reading["errors"]["Gone"]["code"] == "device_rejected"
    assert "unknown-object" in reading["errors"]["Gone"]["message"]
    assert "quality" not in reading
    meta = client.wait_for(f"devices/{D}/meta", lambda m: bool(m.payload) and bool(m.json["learned"])).json
    assert meta["points"]["AV1"]["units"] == "degrees-celsius"
    assert client.status(D, state="degraded")["points"] == {"ok": 6, "failed": 1}


def test_a_value_that_the_device_doubts_says_so(edge: GatewayProcess, client: TestClient) -> None:
    """Flags and reliability stand beside the value, in readings and in last; the value is told all the same."""
    device = SimDevice(port=free_udp_port(), doubtful=True)
    with Simulator(device):
        run(client, device, POINTS[:1])
        quality = {"flags": ["fault"], "reliability": "open-loop"}
        reading = client.wait_for(f"devices/{D}/all", lambda m: m.json.get("quality") == {"AI": quality}).json
        assert reading["values"] == {"AI": 21.0}
        assert ask(client, f"last/{D}/AI")["result"]["quality"] == quality


def test_texts_of_states_are_those_of_the_device(
    edge: GatewayProcess, client: TestClient, device: SimDevice, observer: Observer
) -> None:
    """By choice a multi-state point is told, described and written by them."""
    run(client, device, [row("Mode", "multiStateValue", Writable="TRUE")], enumerations="text")
    assert client.wait_for(f"devices/{D}/all").json["values"] == {"Mode": "Off"}
    meta = client.wait_for(f"devices/{D}/meta", lambda m: bool(m.payload) and bool(m.json["learned"])).json
    assert meta["points"]["Mode"]["enum"] == {"1": "Off", "2": "Auto", "3": "Hand"}
    assert ask(client, f"set_point/{D}/Mode", "Hand") == {"result": "Hand"}
    assert observer.at(device).slots(MSV, 1) == {16: 3}
    answer = ask(client, f"set_point/{D}/Mode", "Fast")
    assert (code(answer), answer["error"]["data"]) == ("bad_value", {"enum": ["Off", "Auto", "Hand"]})
    client.wait_for(f"devices/{D}/all", lambda m: m.json["values"] == {"Mode": "Hand"})


# ---- writing


def test_writes_leave_the_slots_of_others_alone(
    edge: GatewayProcess, client: TestClient, device: SimDevice, observer: Observer
) -> None:
    """A human at 8 masks our 10: we hold our slot, say what is in force, give up only ours; his never changes."""
    run(client, device, POINTS)
    client.status(D, state="degraded")
    observer.at(device).write(Ref(AV, 1), "real", 40.0, 8)
    assert ask(client, f"set_point/{D}/AV1", "21.5") == {"result": 21.5, "effective": 40.0}
    assert observer.slots(AV, 1) == {8: 40.0, 10: 21.5}
    answer = ask(client, f"set_points/{D}", {"values": {"AV1": 22.5, "Fan": True}})
    assert answer["result"] == {"values": {"AV1": 22.5, "Fan": True}, "errors": {}, "effective": {"AV1": 40.0}}
    assert ask(client, f"set_point/{D}/AV1", {"value": 12, "priority": 7})["error"]["code"] == "bad_request"
    assert ask(client, f"set_point/{D}/AV1", "null") == {"result": None, "effective": 40.0}
    assert observer.slots(AV, 1) == {8: 40.0}
    assert ask(client, f"set_point/{D}/AV2", {"value": 0.125}) == {"result": 0.125}
    assert observer.slots(AV, 2) == {8: 0.125}
    assert ask(client, f"set_point/{D}/AV2", "null") == {"result": None}
    assert ask(client, f"get_point/{D}/AV2") == {"result": 2.5}


def test_what_was_written_under_a_lease_is_given_back(
    edge: GatewayProcess, client: TestClient, device: SimDevice, observer: Observer
) -> None:
    """When the lease ends, and after a crash: each slot that was written is given up, and no other."""
    run(client, device, POINTS)
    client.status(D, state="degraded")
    observer.at(device).write(Ref(AV, 1), "real", 40.0, 12)
    ask(client, f"acquire_lease/{D}", {"duration": 60})
    ask(client, f"set_point/{D}/AV1", "21.5")
    ask(client, f"set_point/{D}/AV1", {"value": 22.5, "priority": 16})
    ask(client, f"set_point/{D}/Mode", "3")
    assert observer.slots(AV, 1) == {10: 21.5, 12: 40.0, 16: 22.5}
    assert code(ask(client, f"release_lease/{D}", {})) == "ok"
    eventually(lambda: observer.slots(AV, 1) == {12: 40.0} and not observer.slots(MSV, 1), "our slots are empty")

    eventually(lambda: code(ask(client, f"acquire_lease/{D}", {"duration": 60})) == "ok", "a lease")
    ask(client, f"set_point/{D}/AV1", "21.5")
    ask(client, f"set_point/{D}/Fan", "true")
    assert observer.slots(AV, 1) == {10: 21.5, 12: 40.0}
    edge.kill()
    edge.start()
    eventually(lambda: observer.slots(AV, 1) == {12: 40.0} and not observer.slots(BV, 1), "our slots are empty")


def test_every_way_to_say_no_is_told_by_name(edge: GatewayProcess, client: TestClient) -> None:
    """Error, reject and abort are refusals with BACnet's words; no answer is an unknown outcome, and is not repeated."""
    device = SimDevice(port=free_udp_port(), unkind=True)
    with Simulator(device):
        run(client, device, [setpoint(n) for n in range(1, 6)], apdu_retries=0)
        client.online(D)
        answers = [ask(client, f"set_point/{D}/AV{n}", "5") for n in range(1, 6)]
        assert [code(answer) for answer in answers] == [*["device_rejected"] * 3, "outcome_unknown", "ok"]
        for answer, word in zip(
            answers, ("write-access-denied", "parameter-out-of-range", "out-of-resources"), strict=False
        ):
            assert word in answer["error"]["message"]


def test_a_device_of_small_answers_is_read_whole(edge: GatewayProcess, client: TestClient) -> None:
    """One that neither segments nor has long APDUs, and one that does not know ReadPropertyMultiple.

    What does not fit into an answer by itself is refused by name, and costs no other point.
    """
    port = free_udp_port()
    small = SimDevice(port=port, analog_values=320, max_apdu=128, segmentation="no-segmentation")
    plain = SimDevice(port=port, address="127.0.0.12", device_id=1002, analog_values=40, multiple=False)
    rows = [row(f"AV{n}", "analogValue", n) for n in range(1, 41)]
    rows.append(row("List", "device", small.device_id, Property="objectList"))
    with Simulator(small, plain):
        for device, path in ((small, "C/B/small"), (plain, "C/B/plain")):
            run(client, device, rows, path=path)
            reading = client.wait_for(f"devices/{path}/all").json
            assert reading["values"] == {f"AV{n}": n + 0.5 for n in range(1, 41)}
            assert reading["errors"].keys() == {"List"}
            assert reading["errors"]["List"]["code"] == "device_rejected"
            assert ("segmentation-not-supported" if device is small else "unknown-object") in reading["errors"]["List"][
                "message"
            ]
        meta = client.wait_for("devices/C/B/plain/meta", lambda m: bool(m.payload) and bool(m.json["learned"])).json
        assert "one property at a time" in meta["learned"]


# ---- what goes wrong


def test_a_dead_device_is_told_and_found_again(edge: GatewayProcess, client: TestClient) -> None:
    """Requests to it are answered, and it is online again by itself."""
    device = SimDevice(port=free_udp_port())
    with Simulator(device) as simulator:
        run(client, device, POINTS[:3], apdu_retries=0)
        client.online(D)
        mark = client.mark()
        simulator.kill()
        client.status(D, state="offline", after=mark)
        assert code(ask(client, f"get_point/{D}/AI")) == "device_offline"
        simulator.start()
        client.online(D, after=mark, timeout=60)


def test_three_hundred_requests_at_once_are_all_answered(
    edge: GatewayProcess, client: TestClient, device: SimDevice
) -> None:
    """Served or busy, and the device goes on being polled."""
    run(client, device, POINTS[:3])
    client.online(D)
    mark = client.mark()
    for number in range(300):
        client.send(f"rpc/ops/get_point/{D}/AI", correlation=str(number).encode(), response_topic="replies/ops/many")
    answers = eventually(
        lambda: (found := client.messages("replies/ops/many", after=mark)) and len(found) >= 300 and found, "300 answers", 60
    )
    codes = {code(answer.json) for answer in answers}
    assert codes <= {"ok", "busy"}
    assert "ok" in codes
    mark = client.mark()
    client.wait_for(f"devices/{D}/all", after=mark)


def child_of(edge: GatewayProcess) -> int | None:
    """The process id of the gateway's BACnet stack."""
    children = Path(f"/proc/{edge.pid}/task/{edge.pid}/children").parent.parent.glob("*/children")
    for pid in {pid for file in children for pid in file.read_text().split()}:
        if b"_bacnet" in Path(f"/proc/{pid}/cmdline").read_bytes():
            return int(pid)
    return None


def test_the_death_of_the_stack_costs_its_devices_a_moment_and_others_nothing(
    edge: GatewayProcess, client: TestClient, device: SimDevice
) -> None:
    """Its devices go offline and come back; a device of another driver is polled all the while."""
    run(client, device, POINTS[:3])
    client.publish("config/devices/C/B/other", fake(interval=0.2), retain=True)
    client.online(D)
    client.online("C/B/other")
    pid = eventually(lambda: child_of(edge), "the stack's process")
    mark = client.mark()
    os.kill(pid, signal.SIGKILL)
    client.status(D, state="offline", after=mark)
    client.online(D, after=mark, timeout=60)
    client.wait_for(f"devices/{D}/all", after=mark)
    assert [m.json["state"] for m in client.messages("devices/C/B/other/status", after=mark)] == []
    assert len(client.messages("devices/C/B/other/all", after=mark)) > 3
    assert eventually(lambda: child_of(edge), "the next one") != pid


# ---- changes


def test_changes_are_told_at_once_and_again_after_a_restart(
    edge: GatewayProcess, client: TestClient, observer: Observer
) -> None:
    """Fifty points, polled every 20 s: each change comes long before; after the device restarted too, within a renewal."""
    device = SimDevice(port=free_udp_port(), analog_values=COV_POINTS)
    rows = [setpoint(n, COV_Flag="TRUE") for n in range(1, COV_POINTS + 1)]
    with Simulator(device) as simulator:
        run(client, device, rows, interval=20, cov_lifetime=10)
        client.online(D)
        observer.at(device)
        _all_are_told(client, observer, 100.0)
        mark = client.mark()
        simulator.kill()
        simulator.start()
        observer.at(device)
        began = time.monotonic()
        _all_are_told(client, observer, 200.0, mark)
        assert time.monotonic() - began < 20 * PATIENCE


def _all_are_told(client: TestClient, observer: Observer, base: float, mark: int | None = None) -> None:
    """Every point is changed, again and again until all have told the last change by themselves."""
    mark = client.mark() if mark is None else mark
    told: set[str] = set()

    def look() -> bool:
        step = time.monotonic() % 50
        for number in [n for n in range(1, COV_POINTS + 1) if f"AV{n}" not in told]:
            observer.write(Ref(AV, number), "real", base + number + step / 100, 16)
        time.sleep(0.5)
        for message in client.messages(f"devices/{D}/all", after=mark):
            if len(message.json["values"]) < COV_POINTS:  # a poll has them all
                told.update(name for name, value in message.json["values"].items() if value >= base)
        return len(told) == COV_POINTS

    eventually(look, "a notice of every point", 60)


@pytest.mark.long
def test_slots_of_others_never_change(
    edge: GatewayProcess, client: TestClient, device: SimDevice, observer: Observer
) -> None:
    """Whatever is written, given up, leased and given back in whatever order: only our own slots change, and end empty."""
    run(client, device, POINTS)
    client.status(D, state="degraded")
    observer.at(device)
    print(f"seed {SEED}")
    rng = random.Random(SEED)
    others = {8: 40.0, 12: 41.0}
    for priority, value in others.items():
        observer.write(Ref(AV, 1), "real", value, priority)
    ours = (9, 10, 16)
    for _ in range(scaled(300)):
        name, payload = rng.choice(
            [
                ("set_point", {"value": float(rng.randint(0, 50)), "priority": rng.choice(ours)}),
                ("set_point", {"value": None, "priority": rng.choice(ours)}),
                ("set_point", {"value": float(rng.randint(0, 50))}),
                ("revert_point", {}),
            ]
        )
        ask(client, f"{name}/{D}/AV1", payload)
        if rng.random() < 0.2:
            ask(
                client,
                f"{rng.choice(['acquire_lease', 'release_lease'])}/{D}",
                {"duration": 60} if rng.random() < 0.5 else {},
            )
        slots = observer.slots(AV, 1)
        assert {number: value for number, value in slots.items() if number not in ours} == others
    ask(client, f"release_lease/{D}", {})
    for priority in ours:
        eventually(
            lambda p=priority: code(ask(client, f"set_point/{D}/AV1", {"value": None, "priority": p})) == "ok", "null"
        )
    assert observer.slots(AV, 1) == others
