"""Readings while the broker is away, silent, slow or unwilling, and while the disk is full: none is lost, all are told."""

from __future__ import annotations

import os
import subprocess
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from tests.integration.brokers import OwnBroker
from tests.integration.client import TestClient
from tests.integration.counting import POINTS, CountingPlant
from tests.integration.devices import fake
from tests.integration.process import GatewayProcess
from tests.integration.proxy import Proxy
from tests.integration.waiting import PATIENCE, eventually, logged, scaled
from tests.lacking import lacking, may_mount

Gateways = Callable[..., GatewayProcess]
INTERVAL = 0.5
AT_ONCE = 0.05 * PATIENCE
"""Seconds before a kill in which a reading may still be on its way from the device to the disk."""


@pytest.fixture
def plant() -> Iterator[CountingPlant]:
    """Devices that number their readings."""
    with CountingPlant() as plant:
        yield plant


@dataclass(frozen=True)
class Seen:
    """What came of one device: the numbers of its readings by topic, in the order of their coming."""

    live: list[int]
    replayed: list[int]

    @property
    def disorder(self) -> int:
        """How many came after a newer one on their topic, those left out that came before."""
        firsts = (list(dict.fromkeys(numbers)) for numbers in (self.live, self.replayed))
        return sum(earlier > later for numbers in firsts for earlier, later in pairwise(numbers))


def seen(client: TestClient, after: int = 0) -> dict[str, Seen]:
    """What came, by device path; what is marked as replayed, and nothing else, comes on replay."""
    found: dict[str, Seen] = defaultdict(lambda: Seen([], []))
    for message in client.messages("devices/#", after):
        path, _, leaf = message.topic.removeprefix("devices/").rpartition("/")
        if leaf in ("all", "replay"):
            reading = message.json
            assert (reading.get("replayed") is True) == (leaf == "replay")
            assert len(reading["values"]) == POINTS
            (found[path].live if leaf == "all" else found[path].replayed).append(reading["values"]["r0"])
    return found


def commission(client: TestClient, plant: CountingPlant, count: int, interval: float = INTERVAL, **keys: Any) -> list[str]:
    """Configure devices and wait until all are online; their paths."""
    client.publish("config/counting.csv", plant.registry(), retain=True)
    paths = [f"C/B/D{number}" for number in range(1, count + 1)]
    for number, path in enumerate(paths, 1):
        client.publish(f"config/devices/{path}", plant.device(number, interval, **keys), retain=True)
    for path in paths:
        client.online(path, timeout=30 * PATIENCE)
    return paths


def stats(
    client: TestClient, edge: GatewayProcess, fits: Callable[[dict[str, Any]], bool], after: int, within: float = 60
) -> dict[str, Any]:
    """The counters of readings, when they fit."""
    message = client.wait_for(f"gateways/{edge.id}/stats", lambda m: fits(m.json["readings"]), within * PATIENCE, after)
    return message.json["readings"]


def resident(edge: GatewayProcess) -> float:
    """The memory of a gateway, in MiB."""
    return int(Path(f"/proc/{edge.pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20


def begin_peak(edge: GatewayProcess) -> float:
    """The memory of a gateway now, in MiB, from which on ``peak`` counts (proc(5), ``clear_refs``)."""
    Path(f"/proc/{edge.pid}/clear_refs").write_text("5")
    return resident(edge)


def peak(edge: GatewayProcess) -> float:
    """The most memory that a gateway had since ``begin_peak``, in MiB."""
    lines = Path(f"/proc/{edge.pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 1024


def lost(client: TestClient, plant: CountingPlant, since: float = 0, until: float = 0) -> dict[str, list[int]]:
    """The readings that never came, by device, but for those taken between these times, when the process was ended."""
    newest = time.monotonic() - 2 * PATIENCE  # later ones may still be on their way
    numbers = {path: each.live + each.replayed for path, each in seen(client).items()}
    missing = {path: plant.missing(int(path.rpartition("D")[2]), numbers[path], since, until, newest) for path in numbers}
    return {path: some for path, some in missing.items() if some}


def disorder(found: dict[str, Seen]) -> int:
    """How many readings came after a newer one of their device."""
    return sum(each.disorder for each in found.values())


def flat(readings: int) -> float:
    """MiB by which memory may grow with so many readings, each of which takes some 1,300 bytes where it is held."""
    return 1 + readings * 100 / 2**20


def delivered(client: TestClient, edge: GatewayProcess, after: int, within: float = 60) -> dict[str, Any]:
    """Wait until nothing waits any more."""
    return stats(client, edge, lambda r: r["replayed"] > 0 and r["on_disk"] == 0, after, within)


@pytest.mark.long
@pytest.mark.timeout(2400)
def test_an_outage_with_a_crash_in_the_middle_loses_nothing(
    broker: Any, client: TestClient, proxy: Callable[[int], Proxy], gateway: Gateways, plant: CountingPlant
) -> None:
    """60,000 readings of 100 points, kill -9 among them: none lost, none out of order, live ones back within a second."""
    devices, count = 100, scaled(60_000)
    way = proxy(broker.url.port)
    edge = gateway(url=way.url, outbox={"replay_rate": 2000})
    paths = commission(client, plant, devices, 0.2)
    way.shut()
    begun = plant.taken
    eventually(lambda: plant.taken > begun + 10 * devices, "the outage has begun", 60)
    memory, before = begin_peak(edge), plant.taken
    eventually(lambda: plant.taken > begun + count // 2, "half of the outage is over", 60 + count)
    grown, kept = peak(edge) - memory, plant.taken - before
    edge.kill()
    killed = time.monotonic()
    edge.start()
    eventually(lambda: plant.taken > begun + count, "the outage is over", 60 + count)
    mark = client.mark()
    way.open()
    back = client.wait_for(f"gateways/{edge.id}/status", lambda m: m.json["state"] == "online", 20 * PATIENCE, mark)
    live = client.wait_for("devices/C/B/+/all", timeout=20 * PATIENCE, after=mark)
    memory = begin_peak(edge)
    told = delivered(client, edge, mark, 60 + count / 100)
    replaying = peak(edge) - memory
    found = seen(client)
    missing = lost(client, plant, killed - AT_ONCE, killed)
    replayed = sum(len(found[path].replayed) for path in paths)
    took = client.messages("devices/C/B/+/replay", mark)[-1].at - back.at
    print(f"{count} readings: {sum(map(len, missing.values()))} lost, {disorder(found)} out of order, {replayed} replayed")
    print(f"live again after {live.at - back.at:.3f} s, all replayed after {took:.1f} s")
    print(f"memory grew by {grown:.1f} MiB at most while {kept} were kept, by {replaying:.1f} MiB while they were replayed")
    assert (missing, disorder(found), len(found)) == ({}, 0, devices)
    assert (told["dropped"], told["refused_by_broker"]) == (0, 0)
    assert replayed >= count
    assert live.at - back.at < PATIENCE
    assert grown < flat(kept)
    assert replaying < flat(replayed)
    newest = max(n for path in paths for n in found[path].live)
    assert newest > max(n for path in paths for n in found[path].replayed)


def test_what_a_silent_broker_has_not_acknowledged_survives_a_crash(
    broker: Any, client: TestClient, proxy: Callable[[int], Proxy], gateway: Gateways, plant: CountingPlant
) -> None:
    """A black hole, not noticed yet, and then kill -9: all that was taken comes after the restart."""
    way = proxy(broker.url.port)
    edge = gateway(url=way.url)
    paths = commission(client, plant, 5, 0.1)
    lines = len(edge.log_lines())
    way.hold()
    time.sleep(3)  # the blind window: shorter than it takes to notice a lost connection
    edge.kill()
    killed = time.monotonic()
    assert not [line for line in edge.log_lines()[lines:] if line["event"].startswith("no connection")]
    way.shut()
    mark = client.mark()
    way.open()
    edge.start()
    delivered(client, edge, mark)
    found = seen(client)
    assert (lost(client, plant, killed - AT_ONCE, killed), disorder(found)) == ({}, 0)
    assert all(len(found[path].replayed) >= 20 for path in paths)


def test_a_log_that_is_damaged_after_a_crash_is_told(
    broker: Any, client: TestClient, proxy: Callable[[int], Proxy], gateway: Gateways, plant: CountingPlant
) -> None:
    """One bit in the middle of what kill -9 left: what is lost is counted, the rest comes."""
    way = proxy(broker.url.port)
    edge = gateway(url=way.url)
    commission(client, plant, 5, 0.1)
    way.shut()
    begun = plant.taken
    eventually(lambda: plant.taken > begun + 200, "some readings are kept")
    edge.kill()
    killed = time.monotonic()
    log = edge.directory / "state" / "outbox.db-wal"
    content = bytearray(log.read_bytes())
    content[len(content) // 2] ^= 1
    log.write_bytes(content)
    mark = client.mark()
    edge.start()
    way.open()
    status = client.wait_for(f"gateways/{edge.id}/status", lambda m: m.json.get("problems"), 20 * PATIENCE, mark).json
    [problem] = status["problems"]
    assert problem["code"] == "outbox_set_aside"
    told = delivered(client, edge, mark)
    gone = lost(client, plant, killed - AT_ONCE, killed)
    assert told["dropped"] > 20
    assert f"{told['dropped']} are lost" in problem["message"]
    assert abs(told["dropped"] - sum(map(len, gone.values()))) <= 5 * AT_ONCE / 0.1 + 5


def test_a_stop_with_the_broker_away_loses_nothing(
    broker: Any, client: TestClient, proxy: Callable[[int], Proxy], gateway: Gateways, plant: CountingPlant
) -> None:
    """SIGTERM in an outage, and in a black hole: what was not acknowledged is on disk, and comes after the next start."""
    way = proxy(broker.url.port)
    edge = gateway(url=way.url)
    commission(client, plant, 3, 0.1)
    for cut in (way.shut, way.hold):
        cut()
        time.sleep(0.5)  # some readings
        asked = time.monotonic()
        assert edge.stop() == 0
        stopped = time.monotonic()
        way.shut()
        mark = client.mark()
        way.open()
        edge.start()
        delivered(client, edge, mark)
        found = seen(client)
        assert (lost(client, plant, asked - AT_ONCE, stopped), disorder(found)) == ({}, 0)


def test_a_slow_broker_holds_no_poll_up(
    broker: Any, client: TestClient, proxy: Callable[[int], Proxy], gateway: Gateways, plant: CountingPlant
) -> None:
    """With a kilobyte a second for forty, polls keep their rhythm; afterwards everything comes, in order."""
    way = proxy(broker.url.port)
    edge = gateway(url=way.url)
    commission(client, plant, 10, 0.5)
    way.rate = 1000
    slow = time.monotonic()
    time.sleep(13)  # longer than a reading counts as a present value
    late = sorted(
        abs(later - earlier - 0.5)
        for times in plant.answers.values()
        for earlier, later in pairwise(at for at in list(times) if at > slow)
    )
    print(f"polls at 1 KB/s: 99 of 100 within {late[int(len(late) * 0.99)] * 1000:.1f} ms, at most {late[-1] * 1000:.1f} ms")
    assert len(late) > 200
    assert late[int(len(late) * 0.99)] < 0.05 * PATIENCE
    mark = client.mark()
    way.rate = 1e9
    delivered(client, edge, mark)
    found = seen(client)
    assert (lost(client, plant), disorder(found)) == ({}, 0)


def test_what_the_broker_refuses_holds_nothing_up(
    own_broker: Callable[..., OwnBroker],
    connect: Callable[..., TestClient],
    gateway: Gateways,
    proxy: Callable[[int], Proxy],
    prefix: str,
    tmp_path: Path,
) -> None:
    """Readings that the ACL does not allow are counted and told, live and replayed ones, and those of others go on."""
    acl = tmp_path / "acl"
    denied = "".join(f"topic deny {prefix}/devices/C/B/Denied/{leaf}\n" for leaf in ("all", "replay"))
    acl.write_text(f"topic readwrite #\n{denied}")
    own = own_broker(acl_file=str(acl))
    way = proxy(own.port)
    edge, client = gateway(url=way.url), connect(url=own.url)
    for name in ("Denied", "Allowed"):
        client.publish(f"config/devices/C/B/{name}", fake(), retain=True)
        client.online(f"C/B/{name}")
    status = client.wait_for(f"gateways/{edge.id}/status", lambda m: m.json.get("problems"))
    [problem] = status.json["problems"]
    assert problem["code"] == "publish_refused"
    assert f"{prefix}/devices/C/B/Denied/all" in problem["message"]
    way.shut()
    time.sleep(2)  # some readings
    mark = client.mark()
    way.open()
    told = delivered(client, edge, mark)
    client.reading("C/B/Allowed", after=mark)
    assert told["refused_by_broker"] > 10
    assert len(client.messages("devices/C/B/Allowed/replay", mark)) >= 5
    assert client.messages("devices/C/B/Denied/replay") == []


def test_a_full_disk_holds_no_poll_up_and_is_told(
    broker: Any, client: TestClient, proxy: Callable[[int], Proxy], gateway: Gateways, plant: CountingPlant
) -> None:
    """With a state directory of 1 MiB, readings go to memory when it is full: they come, and the status told why."""
    way = proxy(broker.url.port)
    edge = gateway("small", start=False, url=way.url)
    state = edge.directory / "state"
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", state], capture_output=True)
    if mounted.returncode:
        lacking("the right to mount a tmpfs", rightly=not may_mount())
    try:
        edge.start()
        commission(client, plant, 10, 0.1)
        way.shut()
        logged(edge, "the outbox", 30, problem="outbox_unusable")
        full = plant.taken
        eventually(lambda: plant.taken > full + 100, "polls go on")
        mark = client.mark()
        way.open()
        told = client.wait_for(f"gateways/{edge.id}/status", lambda m: m.json.get("problems"), 20 * PATIENCE, mark).json
        assert "outbox_unusable" in [problem["code"] for problem in told["problems"]]
        counts = stats(client, edge, lambda r: r["waiting"] == 0, mark)
        client.wait_for(f"gateways/{edge.id}/status", lambda m: not m.json["problems"], 20 * PATIENCE, mark)
        assert (counts["dropped"], edge.stop()) == (0, 0)
        found = seen(client)
        assert (lost(client, plant), disorder(found)) == ({}, 0)
    finally:
        edge.stop()
        subprocess.run(["umount", "-l", state], check=True)


def test_normal_running_writes_nothing_for_readings(client: TestClient, gateway: Gateways, plant: CountingPlant) -> None:
    """Bytes that the process has the system write to storage, while 1,000 readings go out: none for each."""
    edge = gateway()
    commission(client, plant, 10, 0.1)
    time.sleep(3)  # the last of what the start has to say

    def written() -> int:
        lines = Path(f"/proc/{edge.pid}/io").read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("write_bytes"))

    before, taken = written(), plant.taken
    eventually(lambda: plant.taken >= taken + 1000, "a thousand readings")
    figure = written() - before
    print(f"{plant.taken - taken} readings, {figure} bytes written to storage")
    assert figure < 50 * 1000
    assert (edge.directory / "state" / "outbox.db").stat().st_size < 100_000


def test_events_of_an_outage_come_afterwards(
    broker: Any, client: TestClient, proxy: Callable[[int], Proxy], gateway: Gateways
) -> None:
    """A lease that ends while the broker is away gives back what was written: the event comes on its own topic, marked."""
    way = proxy(broker.url.port)
    edge = gateway(url=way.url)
    client.publish("config/devices/C/B/D", fake(), retain=True)
    client.online("C/B/D")
    eventually(
        lambda: "result" in client.request("rpc/ops/acquire_lease/C/B/D", {"duration": 4}).json, "the lease is granted"
    )
    assert client.request("rpc/ops/set_point/C/B/D/n", "5").result == 5.0
    mark = client.mark()
    way.shut()
    time.sleep(5)  # the lease ends
    edge.kill()
    edge.start()
    way.open()
    event = client.wait_for("actuator/events/C/B/D", lambda m: m.json["event"] == "revert", 20 * PATIENCE, mark).json
    assert (event["replayed"], event["point"], event["new"]) == (True, "n", 1.0)
