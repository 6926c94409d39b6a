"""Device configs and registries on their topics: what becomes of them, and what is told."""

from __future__ import annotations

import time
from datetime import datetime
from itertools import pairwise

import pytest

from tests.integration.client import TestClient
from tests.integration.documents import csv, digest, fake, modbus, point, register
from tests.integration.site import Site
from tests.integration.waiting import PATIENCE, scaled
from tests.interfaces.modbus.servers import ScriptedServer, reply


@pytest.fixture
def client(house: Site) -> TestClient:
    """The client of the module's site."""
    return house.clients[0]


def put(client: TestClient, path: str, document: object) -> None:
    """Publish a device config, retained."""
    client.publish(f"config/devices/{path}", document, retain=True)


def test_a_config_brings_a_reading_within_3_s(client: TestClient, path: str):
    """From a retained config to the first reading it takes less than 3 s, and the status says who runs what."""
    document = fake(point("kW", start="12.5", Units="kW"))
    put(client, path, document)
    begun = time.monotonic()
    reading = client.reading(path, timeout=3)

    assert time.monotonic() - begun < 3
    assert reading["values"] == {"kW": 12.5}
    status = client.online(path)
    assert status["config"] == {
        "verdict": "accepted",
        "source": "broker",
        "orphan": False,
        "hash": digest(document),
        "links": {},
        "errors": [],
        "total_errors": 0,
        "warnings": [],
    }
    assert status["points"] == {"ok": 1, "failed": 0}
    assert (status["driver"], status["reason"], status["next_try"], status["reverts_pending"]) == ("fake", None, None, 0)


def test_every_fault_of_a_broken_config_is_told(client: TestClient, path: str, house: Site):
    """A bad config is answered on the status topic with all its faults at once: where, what and how to mend it."""
    rows = [point("a", Typ="float"), point("b", "floaty"), point("b"), point("c", Min="low")]
    put(client, path, fake(*rows, intervall=5, driver={"latencie": 1}))
    status = client.status(path, state="misconfigured")

    assert status["gateway"] == house.gateways[0].id
    assert (status["driver"], status["config"]["verdict"]) == (None, "rejected")
    faults = {fault["where"]: (fault["message"], fault["suggestion"]) for fault in status["config"]["errors"]}
    assert faults["intervall"] == ("is not known", "interval")
    assert faults["driver_config.latencie"] == ("is not known", "latency")
    assert faults['registry row 2, key "Type"'][1] == "float"
    assert any(where.startswith("registry row 3") for where in faults)
    assert any(where.startswith("registry row 4") and "Min" in where for where in faults)
    assert status["config"]["total_errors"] == len(status["config"]["errors"]) >= 6
    assert status["reason"]["code"] == "misconfigured"


def test_at_most_100_faults_are_listed_with_their_total(client: TestClient, path: str):
    """Of 150 bad rows 100 are listed, and the total says 150."""
    put(client, path, fake(*(point(f"p{n}", "floaty") for n in range(150))))
    told = client.status(path, state="misconfigured")["config"]

    assert (len(told["errors"]), told["total_errors"]) == (100, 150)


def test_a_mended_config_runs(client: TestClient, path: str):
    """After a bad config a good one makes the device answer, and the faults are gone."""
    put(client, path, "{broken")
    client.status(path, state="misconfigured")
    put(client, path, fake())

    assert client.online(path)["config"]["errors"] == []


def test_removing_a_device_clears_its_topics(client: TestClient, path: str, house: Site):
    """An empty config ends the device, and status, meta, retained readings and points are cleared."""
    put(client, path, fake(point("t"), point("room/t"), retain=True, publish_depth_first=True, expiry=0))
    client.online(path)
    topics = {f"devices/{path}/{leaf}" for leaf in ("status", "meta", "all", "t", "room/t")}
    client.wait_for(f"devices/{path}/room/t")
    assert topics <= house.kept(f"devices/{path}/#").keys()
    put(client, path, b"")
    for topic in topics:
        client.wait_for(topic, lambda m: m.payload == b"")

    assert house.kept(f"devices/{path}/#") == {}
    assert client.request(f"rpc/alice/get_point/{path}/t").error["code"] == "unknown_device"


def test_removing_a_misconfigured_device_clears_its_status(client: TestClient, path: str, house: Site):
    """A device that never ran leaves nothing behind either."""
    put(client, path, "[]")
    client.status(path, state="misconfigured")
    put(client, path, b"")
    client.wait_for(f"devices/{path}/status", lambda m: m.payload == b"")

    assert house.kept(f"devices/{path}/#") == {}


@pytest.mark.parametrize("first", ["registry", "device"])
def test_registry_and_device_come_in_any_order(client: TestClient, path: str, first: str):
    """A device whose registry is published before or after it runs; until then the missing link is told."""
    link, registry = f"registries/{path.replace('/', '-')}.csv", csv(point("t"))
    if first == "registry":
        client.publish(f"config/{link}", registry, retain=True)
        put(client, path, fake(f"config://{link}"))
    else:
        put(client, path, fake(f"config://{link}"))
        told = client.status(path, state="misconfigured", verdict="rejected")
        assert link in told["config"]["errors"][0]["message"]
        client.publish(f"config/{link}", registry, retain=True)

    assert client.online(path)["config"]["links"] == {link: digest(registry)}


def test_a_registry_may_have_blanks_in_its_name(client: TestClient, path: str):
    """Names such as scans and exports write, with blanks and letters of any language, lead to their registry."""
    link, registry = f"registries/{path} B\u00fcro 12.csv", csv(point("t"))
    client.publish(f"config/{link}", registry, retain=True)
    put(client, path, fake(f"config://{link}"))

    assert client.online(path)["config"]["links"] == {link: digest(registry)}


def test_a_changed_registry_reloads_its_referrers_only(client: TestClient, path: str):
    """Devices that link to the registry take it; another one is not started anew, and misses no reading."""
    link, mine, bystander = f"registries/{path.replace('/', '-')}.csv", f"{path}a", f"{path}b"
    client.publish(f"config/{link}", csv(point("t", start="1")), retain=True)
    put(client, mine, fake(f"config://{link}"))
    put(client, bystander, fake())
    for device in (mine, bystander):
        client.online(device)
    start = client.mark()
    client.publish(f"config/{link}", csv(point("t", start="2")), retain=True)
    client.reading(mine, lambda r: r["values"] == {"t": 2}, after=start)
    readings = len(client.messages(f"devices/{bystander}/all", after=start))
    client.wait_for(
        f"devices/{bystander}/all", lambda _: len(client.messages(f"devices/{bystander}/all", start)) > readings + 3
    )

    assert client.status(mine, after=start, state="starting")
    assert client.messages(f"devices/{bystander}/status", after=start) == []
    times = [m.at for m in client.messages(f"devices/{bystander}/all", after=start)]
    assert max(later - earlier for earlier, later in pairwise(times)) < 0.4


def test_a_deleted_registry_leaves_its_devices_running_and_is_told(client: TestClient, path: str):
    """Without its registry a device goes on with the points that it has, and its status names the missing document."""
    link = f"registries/{path.replace('/', '-')}.csv"
    client.publish(f"config/{link}", csv(point("t")), retain=True)
    put(client, path, fake(f"config://{link}"))
    client.online(path)
    start = client.mark()
    client.publish(f"config/{link}", b"", retain=True)
    told = client.status(path, after=start, verdict="rejected")

    assert told["state"] == "online"
    assert link in told["config"]["errors"][0]["message"]
    client.reading(path, after=client.mark())
    assert not any(m.json["state"] == "starting" for m in client.messages(f"devices/{path}/status", after=start))


def test_the_same_document_again_changes_nothing(client: TestClient, path: str):
    """A config that is published once more makes no new connection to the device, no gap and no status."""
    with ScriptedServer(lambda request: [reply(request, b"\x03\x02\x00\x07")]) as server:
        put(client, path, modbus(server.port))
        client.online(path)
        start = client.mark()
        for _ in range(3):
            put(client, path, modbus(server.port))
        polls = len(server.requests)
        client.wait_for(f"devices/{path}/all", lambda _: len(server.requests) > polls + 5)

        assert len(server.connections) == 1
        assert client.messages(f"devices/{path}/status", after=start) == []
        put(client, path, b"")
        client.wait_for(f"devices/{path}/status", lambda m: m.payload == b"")


def test_a_bad_update_keeps_the_last_good_config_polling(client: TestClient, path: str):
    """The device goes on as it was, without a new start; the status rejects the new document by its hash."""
    put(client, path, fake(point("t", start="1")))
    client.online(path)
    start = client.mark()
    bad = fake(point("t", "floaty"))
    put(client, path, bad)
    told = client.status(path, after=start, verdict="rejected")

    assert (told["config"]["hash"], told["state"], told["reason"]) == (digest(bad), "online", None)
    assert client.reading(path, after=client.mark())["values"] == {"t": 1}
    assert client.request(f"rpc/alice/get_point/{path}/t").result == 1
    assert not any(m.json["state"] == "starting" for m in client.messages(f"devices/{path}/status", after=start))


def test_a_link_that_differs_in_case_is_named(client: TestClient, path: str):
    """A link to a document that is there under other case is a fault that names it."""
    name = path.replace("/", "-")
    client.publish(f"config/registries/{name}.CSV", csv(point("t")), retain=True)
    put(client, path, fake(f"config://registries/{name}.csv"))

    client.wait_for(
        f"devices/{path}/status",
        lambda m: f"registries/{name}.CSV" in m.json["config"]["errors"][0]["suggestion"],
    )


@pytest.mark.long
@pytest.mark.timeout(300)
def test_fast_updates_of_one_device_are_coalesced(client: TestClient, path: str):
    """Of 100 updates a second at most two reach the device, the last one wins, and another device keeps its rhythm."""
    put(client, path, fake(point("t", start="-1")))
    put(client, f"{path}-other", fake(interval=1.0))
    client.online(path)
    client.reading(f"{path}-other")  # the first is read at once, the others in the device's own phase
    count = scaled(6000, 200)
    start, begun = client.mark(), time.monotonic()
    for number in range(count):
        client.send(f"config/devices/{path}", fake(point("t", start=str(number))), retain=True)
        time.sleep(max(0.0, begun + (number + 1) / 100 - time.monotonic()))  # 100 a second
    client.reading(path, lambda r: r["values"] == {"t": count - 1}, after=start)
    seconds = time.monotonic() - begun

    starts = [m for m in client.messages(f"devices/{path}/status", after=start) if m.json["state"] == "starting"]
    assert 2 <= len(starts) <= 2 * seconds + 1
    assert (
        client.status(path, after=start, hash=digest(fake(point("t", start=str(count - 1)))))["config"]["verdict"]
        == "accepted"
    )
    readings = [m.json["timestamp"] for m in client.messages(f"devices/{path}-other/all", after=start)]
    stamps = [datetime.fromisoformat(stamp).timestamp() for stamp in readings]
    assert len(stamps) >= seconds - 2
    assert all(abs(later - earlier - 1.0) < 0.1 * PATIENCE for earlier, later in pairwise(stamps))
    put(client, f"{path}-other", b"")


def test_two_writers_of_one_register_are_warned_in_both_statuses(client: TestClient, path: str):
    """Two devices with a writable point on the same Modbus register warn of each other; reading the same is no matter."""
    with ScriptedServer(lambda request: [reply(request, b"\x03\x02\x00\x07")]) as server:
        put(client, f"{path}a", modbus(server.port, register("valve", 4), interval=1))
        client.status(f"{path}a", verdict="accepted")
        put(client, f"{path}b", modbus(server.port, register("damper", 4), interval=1))
        for mine, other in (("a", "b"), ("b", "a")):
            told = client.wait_for(f"devices/{path}{mine}/status", lambda m: m.json["config"]["warnings"]).json
            assert any(f"{path}{other}" in warning["message"] for warning in told["config"]["warnings"])
            assert told["config"]["verdict"] == "accepted"
        for device in "ab":
            put(client, f"{path}{device}", b"")
            client.wait_for(f"devices/{path}{device}/status", lambda m: m.payload == b"")


def test_a_path_that_is_a_point_of_another_device_is_a_fault(client: TestClient, path: str):
    """A config whose path is another device's path and the beginning of one of its points is rejected."""
    put(client, path, fake(point("room/t")))
    client.online(path)
    put(client, f"{path}/room", fake())
    told = client.status(f"{path}/room", state="misconfigured")

    assert path in told["config"]["errors"][0]["message"]
    assert client.request(f"rpc/alice/get_point/{path}/room/t").result == 1.5


@pytest.mark.parametrize("bad", ["C/B", "C//D", "C/B/$D", "C/B/1/2/3/4/5/6/7"])
def test_a_config_path_that_can_not_be_one_is_told(client: TestClient, house: Site, bad: str):
    """A config on a topic that names no device is told in the gateway's status, until it is cleared."""
    status = f"gateways/{house.gateways[0].id}/status"
    start = client.mark()
    client.publish(f"config/devices/{bad}", fake(), retain=True)
    told = client.wait_for(status, lambda m: f'"{bad}"' in str(m.json["problems"]), after=start).json
    assert told["health"] == "degraded"
    start = client.mark()
    client.publish(f"config/devices/{bad}", b"", retain=True)

    client.wait_for(status, lambda m: m.json["problems"] == [] and m.json["health"] == "ok", after=start)


def test_devices_have_up_to_eight_levels(client: TestClient, path: str):
    """A sub-device eight levels deep is a device like any other."""
    deep = f"{path}/4/5/6/7/8"
    put(client, deep, fake())
    client.online(deep)

    assert client.request(f"rpc/alice/get_point/{deep}/t").result == 1.5


def test_a_document_over_256_kib_is_refused(client: TestClient, path: str):
    """The limit is told."""
    put(client, path, b" " * (256 * 1024 + 1))
    assert "longer than the 262144 bytes" in client.status(path, state="misconfigured")["config"]["errors"][0]["message"]


def test_a_missing_state_dir_is_told_with_its_reason(site: Site):
    """A gateway whose state directory can not be made says so, and why, for as long as that is so."""
    client, edge = site.connect(), site.gateway(start=False)
    (edge.directory / "state").rmdir()
    (edge.directory / "state").write_text("a file is in its way")
    edge.start()
    put(client, "C/B/D", fake())
    client.online("C/B/D")
    put(client, "C/B/E", fake())
    client.online("C/B/E")
    last = client.messages(f"gateways/{edge.id}/status")[-1].json

    problems = {problem["code"]: problem["message"] for problem in last["problems"]}
    assert "state.db" in problems["state_unusable"]


def test_a_state_dir_is_made_when_it_is_not_there(site: Site):
    """What nobody has made yet is no fault: the gateway makes it, for itself alone."""
    client, edge = site.connect(), site.gateway(start=False)
    state = edge.directory / "state"
    state.rmdir()
    edge.start()
    client.wait_for(f"gateways/{edge.id}/status", lambda m: m.json.get("health") == "ok")

    assert (state / "state.db").exists()
    assert state.stat().st_mode & 0o777 == 0o700
