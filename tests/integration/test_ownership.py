"""Two gateways on one broker: each device is polled, answered and written by one of them alone."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest

from tests.integration.brokers import OwnBroker
from tests.integration.client import TestClient
from tests.integration.process import GatewayProcess
from tests.integration.waiting import PATIENCE, eventually, scaled

Gateways = Callable[..., GatewayProcess]
Connect = Callable[..., TestClient]

PATHS = [f"C/B{n % 3}/D{n}" for n in range(20)]
SECOND = 1.0


def device(**keys: Any) -> dict[str, Any]:
    """A fake device whose point ``who`` has another value at each gateway, as the seed is a secret of the gateway's own."""
    who = {"Point Name": "who", "Volttron Point Name": "who", "Type": "float"}
    number = {"Point Name": "n", "Volttron Point Name": "n", "Type": "float", "Starting Value": "0", "Writable": "TRUE"}
    config = {"seed": {"secret": "device.seed"}}
    return {"driver_type": "fake", "driver_config": config, "interval": 0.2, "registry_config": [who, number]} | keys


@pytest.fixture
def pair(gateway: Gateways, tmp_path: Path) -> Callable[..., GatewayProcess]:
    """Makes a gateway ``a``, ``b``, ...: the same as the fixture ``gateway``, with a seed of its own."""

    def make(name: str, **settings: Any) -> GatewayProcess:
        secrets = tmp_path / f"secrets-{name}"
        secrets.mkdir(exist_ok=True)
        (secrets / "device.seed").write_text(str(ord(name)))
        return gateway(name, credentials_dir=str(secrets), **settings)

    return make


def online(client: TestClient, *gateways: GatewayProcess, after: int = 0) -> None:
    """Wait until these gateways have said that they are online."""
    for each in gateways:
        client.wait_for(f"gateways/{each.id}/status", lambda m: m.json["state"] == "online", 20 * PATIENCE, after=after)


def runs(client: TestClient, gateway: GatewayProcess) -> set[str]:
    """The devices that a gateway runs, as it says when asked."""
    return set(client.request(f"rpc/ops/list_devices/{gateway.id}").result)


def shared_out(client: TestClient, gateways: Iterable[GatewayProcess], paths: Iterable[str]) -> dict[str, str]:
    """Wait until each device is run by exactly one of these gateways, and none else is: path -> id."""
    owners: dict[str, str] = {}

    def once() -> bool:
        lists = {each.id: runs(client, each) for each in gateways}
        owners.clear()
        owners.update({path: name for name, paths in lists.items() for path in paths})
        return sorted(paths) == sorted(path for paths in lists.values() for path in paths)

    eventually(once, "each device has one owner", 5)
    return owners


def who(client: TestClient, paths: Iterable[str], seconds: float = SECOND) -> dict[str, set[float]]:
    """What the readings of the next seconds say under ``who``, for each device."""
    time.sleep(SECOND / 4)  # what was on its way when the owners agreed is not theirs any more
    mark = client.mark()
    time.sleep(seconds)  # the time of observation
    readings = [(path, message) for path in paths for message in client.messages(f"devices/{path}/all", after=mark)]
    found: dict[str, set[float]] = {path: set() for path in paths}
    for path, message in readings:
        found[path].add(message.json["values"]["who"])
    return found


def assert_one_poller_each(client: TestClient, owners: dict[str, str]) -> None:
    """Every device is polled by its owner, and by nobody else."""
    seen = who(client, owners)
    assert all(len(values) == 1 for values in seen.values()), seen
    voices = {(owners[path], value) for path, values in seen.items() for value in values}
    assert len({name for name, _ in voices}) == len(voices) == len({value for _, value in voices}), voices


def answers(client: TestClient, correlation: bytes) -> list[dict[str, Any]]:
    """All answers to one request so far."""
    return [message.json for message in client.messages("replies/#") if message.correlation == correlation]


def test_two_gateways_that_start_together_share_the_devices_out(client: TestClient, pair: Gateways) -> None:
    """Of two gateways with one scope no device has two owners or none, and each lists the other's."""
    for path in PATHS:
        client.publish(f"config/devices/{path}", device(), retain=True)
    a, b = pair("a"), pair("b")
    online(client, a, b)
    owners = shared_out(client, [a, b], PATHS)
    assert_one_poller_each(client, owners)
    for each in (a, b):
        foreign = sorted(path for path, name in owners.items() if name != each.id)
        client.wait_for(f"gateways/{each.id}/status", lambda m, f=foreign: m.json.get("owned_by_other") == f)
    for path in PATHS:
        assert client.wait_for(f"devices/{path}/status", lambda m, p=path: m.json["gateway"] == owners[p])
    assert set(owners.values()) <= {a.id, b.id}


@pytest.mark.long
@pytest.mark.timeout(300)
def test_the_devices_are_shared_out_each_time(client: TestClient, pair: Gateways) -> None:
    """However often two gateways meet over devices that nobody has, there are never two owners, and never none."""
    for path in PATHS:
        client.publish(f"config/devices/{path}", device(), retain=True)
    for _ in range(scaled(10, 2)):
        mark = client.mark()
        a, b = pair("a"), pair("b")
        online(client, a, b, after=mark)
        assert_one_poller_each(client, shared_out(client, [a, b], PATHS))
        assert a.stop() == b.stop() == 0
        for path in PATHS:
            client.publish(f"devices/{path}/status", b"", retain=True)


def test_new_devices_go_to_one_of_two_running_gateways_and_a_write_is_answered_once(
    client: TestClient, pair: Gateways
) -> None:
    """Devices published while both run have one owner, and a write sent at the same time gets one answer, once."""
    a, b = pair("a"), pair("b")
    online(client, a, b)
    sent: dict[bytes, str] = {}
    for path in PATHS:
        client.send(f"config/devices/{path}", device(), retain=True)
    for path in PATHS:
        client.wait_for(f"devices/{path}/status")
        for number in range(5):
            correlation = f"{path} {number}".encode()
            sent[correlation] = path
            client.send(f"rpc/ops/set_point/{path}/n", str(number), response_topic="replies/ops/x", correlation=correlation)
    owners = shared_out(client, [a, b], PATHS)
    assert_one_poller_each(client, owners)
    eventually(lambda: all(answers(client, each) for each in sent), "every write is answered", 10)
    time.sleep(SECOND)  # for answers too many
    assert {each: got for each in sent if len(got := answers(client, each)) != 1} == {}


def test_the_config_key_names_and_moves_the_owner(client: TestClient, pair: Gateways) -> None:
    """``gateway`` in the config decides who runs the device; while it moves no write is carried out twice, or told twice."""
    a, b = pair("a"), pair("b")
    online(client, a, b)
    client.publish("config/devices/C/B/D", device(gateway=b.id), retain=True)
    client.status("C/B/D", gateway=b.id, state="online")
    assert shared_out(client, [a, b], ["C/B/D"]) == {"C/B/D": b.id}
    sent = []
    for turn, owner in enumerate((a, b, a)):
        mark = client.mark()
        for number in range(200):
            if number == 50:
                client.send("config/devices/C/B/D", device(gateway=owner.id), retain=True)
            sent.append(f"{turn}/{number}".encode())
            client.send("rpc/ops/set_point/C/B/D/n", str(number), response_topic="replies/ops/x", correlation=sent[-1])
            time.sleep(0.01)  # so that some come before, some meanwhile, some after
        client.status("C/B/D", gateway=owner.id, state="online", after=mark)
        assert shared_out(client, [a, b], ["C/B/D"]) == {"C/B/D": owner.id}
        assert_one_poller_each(client, {"C/B/D": owner.id})
        assert client.request("rpc/ops/set_point/C/B/D/n", "7").result == 7.0
    assert {each: got for each in sent if len(got := answers(client, each)) > 1} == {}
    answered = [each for each in sent if answers(client, each)]
    assert len(answered) > len(sent) / 3  # those before the move, and those after the new owner has settled
    codes = {found[0]["error"]["code"] for each in answered if "error" in (found := answers(client, each))[0]}
    assert codes <= {"unavailable", "busy", "unknown_device", "timeout"}  # in all of them nothing was written


def test_an_owner_that_is_offline_still_counts(client: TestClient, pair: Gateways) -> None:
    """A device stays its owner's while that is away: another gateway neither polls nor answers it, and lists it."""
    a = pair("a")
    client.publish("config/devices/C/B/D", device(), retain=True)
    client.online("C/B/D")
    a.stop()
    b = pair("b")
    client.wait_for(f"gateways/{b.id}/status", lambda m: m.json.get("owned_by_other") == ["C/B/D"])
    assert who(client, ["C/B/D"]) == {"C/B/D": set()}
    mark = client.mark()
    client.send("rpc/ops/set_point/C/B/D/n", "1", response_topic="replies/ops/x", expiry=1)
    time.sleep(2.5)  # to show that nobody answers
    assert client.messages("replies/#", after=mark) == []
    a.start()
    client.online("C/B/D", after=mark)
    assert shared_out(client, [a, b], ["C/B/D"]) == {"C/B/D": a.id}


def test_a_gateway_adopts_the_devices_of_another(client: TestClient, pair: Gateways) -> None:
    """With ``adopt`` a gateway takes over what another had, and keeps it when that one comes back."""
    a = pair("a")
    client.publish("config/devices/C/B/D", device(), retain=True)
    client.online("C/B/D")
    a.kill()
    b = pair("b", adopt=[a.id])
    client.status("C/B/D", gateway=b.id, state="online", timeout=30)  # a can not say that it is gone: b waits for it
    mark = client.mark()
    a.start()
    online(client, a, after=mark)
    assert shared_out(client, [a, b], ["C/B/D"]) == {"C/B/D": b.id}
    assert_one_poller_each(client, {"C/B/D": b.id})


def test_a_gateway_adopts_the_devices_of_one_that_runs(client: TestClient, pair: Gateways) -> None:
    """Adoption works at a gateway that is online, too: it gives the device up."""
    a = pair("a")
    client.publish("config/devices/C/B/D", device(), retain=True)
    client.online("C/B/D")
    b = pair("b", adopt=[a.id])
    client.status("C/B/D", gateway=b.id, state="online")
    assert shared_out(client, [a, b], ["C/B/D"]) == {"C/B/D": b.id}
    assert_one_poller_each(client, {"C/B/D": b.id})


def test_clearing_the_status_frees_a_device(client: TestClient, pair: Gateways) -> None:
    """A device whose status is cleared goes to a gateway that is there: one, also when its owner is there as well."""
    a, b = pair("a", start=False), pair("b")
    client.publish("config/devices/C/B/D", device(), retain=True)
    client.status("C/B/D", gateway=b.id, state="online")
    a.start()
    client.wait_for(f"gateways/{a.id}/status", lambda m: m.json.get("owned_by_other") == ["C/B/D"])
    mark = client.mark()
    client.publish("devices/C/B/D/status", b"", retain=True)
    client.status("C/B/D", state="online", after=mark, timeout=20 * PATIENCE)
    time.sleep(1.5 * SECOND)  # if both have claimed it, the smaller id stays; one that hears of the other's first does not
    owners = shared_out(client, [a, b], ["C/B/D"])
    client.status("C/B/D", gateway=owners["C/B/D"], state="online", after=mark, timeout=20 * PATIENCE)
    assert_one_poller_each(client, owners)
    owner, other = (a, b) if owners["C/B/D"] == a.id else (b, a)
    owner.kill()
    mark = client.mark()
    client.publish("devices/C/B/D/status", b"", retain=True)
    client.status("C/B/D", gateway=other.id, state="online", after=mark, timeout=20 * PATIENCE)
    assert_one_poller_each(client, {"C/B/D": other.id})


def test_what_is_left_of_a_device_is_cleared_without_those_below_it(
    client: TestClient, pair: Gateways, kept: Callable[..., dict[str, Any]]
) -> None:
    """A status that names us with no config behind it goes, points and all; devices below it keep their status and owner."""
    a = pair("a")
    a.kill()
    left = {"devices/C/B/D/status": {"gateway": a.id}, "devices/C/B/D/Fan/Speed": 7}
    others = {"devices/C/B/D/sub/status": {"gateway": "absent"}, "devices/C/B/D/sub/all": {"values": {"kW": 1}}}
    for topic, payload in (left | others).items():
        client.publish(topic, payload, retain=True)
    client.publish("config/devices/C/B/D/sub", device(), retain=True)
    client.publish("config/devices/C/B/D/own", device(), retain=True)
    mark = client.mark()
    a.start()
    eventually(lambda: not left.keys() & kept("devices/#").keys(), "what is left is cleared")
    assert client.online("C/B/D/own", after=mark)["gateway"] == a.id
    time.sleep(1.5 * SECOND)
    assert {topic: kept("devices/#")[topic].json for topic in others} == others
    assert [m.topic for m in client.messages("devices/C/B/D/#", after=mark) if not m.payload and m.topic not in left] == []


def test_a_gateway_is_silent_about_what_is_not_its_own(client: TestClient, pair: Gateways) -> None:
    """Whatever is asked of a device, well or badly, its owner alone answers, once; the other may pause or stop."""
    a, b = pair("a"), pair("b")
    online(client, a, b)
    client.publish("config/devices/C/B/D", device(gateway=a.id), retain=True)
    client.online("C/B/D")
    client.wait_for(f"gateways/{b.id}/status", lambda m: m.json.get("owned_by_other") == ["C/B/D"])
    asked = {
        b"get": ("get_point/C/B/D/n", b""),
        b"set": ("set_point/C/B/D/n", b"3"),
        b"bad value": ("set_point/C/B/D/n", b'"three"'),
        b"bad payload": ("set_point/C/B/D/n", b"{"),
        b"no such point": ("get_point/C/B/D/m", b""),
        b"no such argument": ("get_point/C/B/D/n", b'{"pont": 1}'),
        b"no such method": ("get_pont/C/B/D/n", b""),
        b"in the payload": ("get_point", b'{"device": "C/B/D", "point": "n"}'),
        b"all": ("scrape_all/C/B/D", b""),
        b"last": ("last/C/B/D/n", b""),
        b"points": ("list_points/C/B/D", b""),
    }

    def ask(turn: bytes) -> None:
        for name, (topic, payload) in asked.items():
            client.send(f"rpc/ops/{topic}", payload, response_topic="replies/ops/x", correlation=turn + name, expiry=30)
        client.send("rpc/ops/get_point/C/B/D/n", response_topic="replies/eve/x", correlation=turn + b"elsewhere")
        client.send(
            "rpc/ops/set_point/C/B/D/n", b"9", response_topic="replies/ops/x", correlation=turn + b"kept", retain=True
        )

    def check(turn: bytes) -> None:
        wanted = [turn + name for name in (*asked, b"elsewhere", b"kept")]
        eventually(lambda: all(answers(client, each) for each in wanted), "every request is answered", 10)
        time.sleep(SECOND)  # for answers too many
        assert {each: got for each in wanted if len(got := answers(client, each)) != 1} == {}

    ask(b"1 ")
    check(b"1 ")
    b.freeze()
    ask(b"2 ")
    time.sleep(4)  # the other's pause
    b.resume()
    check(b"2 ")
    b.signal(15)
    ask(b"3 ")
    check(b"3 ")
    client.publish("rpc/ops/set_point/C/B/D/n", b"", retain=True)


def test_scopes_that_do_not_meet_share_nothing(client: TestClient, pair: Gateways) -> None:
    """A gateway runs, lists and answers what is in its scope and nothing else."""
    a, b = pair("a", scope=["C/B0/#"]), pair("b", scope=["C/B1/#", "C/B2/D5"])
    for path in PATHS:
        client.publish(f"config/devices/{path}", device(), retain=True)
    expected = {a.id: {p for p in PATHS if "/B0/" in p}, b.id: {p for p in PATHS if "/B1/" in p or p == "C/B2/D5"}}
    online(client, a, b)
    for each in (a, b):
        eventually(lambda e=each: runs(client, e) == expected[e.id], "it runs its scope", 5)
        status = client.wait_for(f"gateways/{each.id}/status", lambda m: m.json["state"] == "online").json
        assert status["owned_by_other"] == []
    mark = client.mark()
    for path in PATHS:
        client.send(f"rpc/ops/get_point/{path}/n", response_topic="replies/ops/x", correlation=path.encode(), expiry=2)
    served = {path for paths in expected.values() for path in paths}
    eventually(lambda: all(answers(client, path.encode()) for path in served), "the requests are answered", 10)
    time.sleep(SECOND)  # for answers too many
    assert sorted(m.correlation for m in client.messages("replies/#", after=mark)) == sorted(p.encode() for p in served)


def test_prefixes_keep_gateways_apart(broker: Any, prefix: str, client: TestClient, pair: Gateways) -> None:
    """With another topic_prefix the same device path is another device: both gateways run theirs."""
    a, b = pair("a"), pair("b", topic_prefix=f"{prefix}/two")
    other = TestClient(broker.url, f"{prefix}/two")
    try:
        other.subscribe("devices/#", "gateways/#", "replies/#")
        client.publish("config/devices/C/B/D", device(), retain=True)
        other.publish("config/devices/C/B/D", device(), retain=True)
        assert client.online("C/B/D")["gateway"] == a.id
        assert other.online("C/B/D")["gateway"] == b.id
        assert other.request("rpc/ops/set_point/C/B/D/n", "5").result == 5.0
        assert client.request("rpc/ops/get_point/C/B/D/n").result == 0.0
        assert len(other.messages("replies/#")) == 1
    finally:
        other.close()


def test_a_broker_that_forgets_everything_does_not_move_devices(
    own_broker: Callable[..., OwnBroker], connect: Connect, pair: Gateways
) -> None:
    """After a broker has lost what was retained, each gateway runs its own devices on and takes none of the other's."""
    broker = own_broker(persistence="false")
    url = str(broker.url)
    a, b = pair("a", url=url), pair("b", url=url)
    client = connect(url=broker.url)
    online(client, a, b)
    for path in PATHS:
        client.publish(f"config/devices/{path}", device(), retain=True)
    before = shared_out(client, [a, b], PATHS)
    for path in PATHS[:5]:  # some to the other, whatever came out
        client.publish(f"config/devices/{path}", device(gateway=b.id), retain=True)
    eventually(lambda: runs(client, b) >= set(PATHS[:5]), "b has its devices", 5)
    for path in PATHS[:5]:
        client.publish(f"config/devices/{path}", device(), retain=True)
    before = shared_out(client, [a, b], PATHS)
    assert_one_poller_each(client, before)
    broker.kill()
    client.close()
    broker.start()
    client = connect(url=broker.url)
    online(client, a, b)
    assert shared_out(client, [a, b], PATHS) == before
    for path in PATHS:
        client.publish(f"config/devices/{path}", device(), retain=True)
    for path in PATHS:
        client.status(path, orphan=False, state="online")
    assert shared_out(client, [a, b], PATHS) == before
    assert_one_poller_each(client, before)
