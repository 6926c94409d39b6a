"""The ACL sample on a real broker: the table of the page on securing the broker, cell by cell, and what it is worth."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from gateway.methods import Methods
from gateway.rpc import WRITING
from tests.integration.brokers import OwnBroker
from tests.integration.client import TestClient, clear_retained, retained
from tests.integration.devices import fake
from tests.integration.process import GatewayProcess
from tests.integration.waiting import eventually
from tests.markdown import ROOT

ACL = ROOT / "deploy" / "mosquitto" / "acl"
HOW_TO = ROOT / "docs" / "how-to" / "secure-the-broker.md"
CHIEF = "\nuser chief\ntopic readwrite #\n"
"""A user for the test's own eyes and hands; nobody has such rights in the sample."""
FLOOR = "\nuser floor\ntopic write rpc/floor/set_point/C/B/#\n"
"""The recipe for a program that writes in one building only."""

ROLES = ("edge-1", "ops", "optimiser", "viewer", "passer-by")
"""The columns of the table, after the one of the topics."""
_TABLE = re.compile(r"^## Who may what\n.*?^\|[-|]+\n(.*?)\n\n", re.MULTILINE | re.DOTALL)
_CODE = re.compile(r"`([^`]+)`")

Rights = dict[str, str]


def expected(role: str) -> Rights:
    """Topic to rights, as the table says of a role; ``<me>`` in it is the role's own name, ``<other>`` each other's."""
    table, rights = _TABLE.search(HOW_TO.read_text()), {}
    assert table
    for line in table[1].splitlines():
        first, *cells = (cell.strip() for cell in line.strip("|").split("|"))
        for topic in _CODE.findall(first):
            for other in (name for name in ROLES if name != role):
                rights[topic.replace("<me>", role).replace("<other>", other)] = cells[ROLES.index(role)]
    return rights


def words(topic: str, readable: set[str], writable: set[str]) -> str:
    """Rights as the table writes them."""
    return ", ".join(word for word, topics in (("read", readable), ("publish", writable)) if topic in topics)


def login(name: str) -> tuple[str, str]:
    """A user and the password."""
    return name, f"secret of {name}"


@pytest.fixture
def guarded(own_broker: Callable[..., OwnBroker], tmp_path: Path) -> OwnBroker:
    """A broker with the sample configuration and the ACL sample, where each user has a password."""
    acl, passwords = tmp_path / "acl", tmp_path / "passwords"
    acl.write_text(ACL.read_text() + CHIEF + FLOOR)
    passwords.write_text("".join(f"{name}:{word}\n" for name, word in map(login, (*ROLES, "chief", "floor"))))
    subprocess.run(["mosquitto_passwd", "-U", str(passwords)], check=True)
    return own_broker(allow_anonymous="false", password_file=str(passwords), acl_file=str(acl))


def connect(broker: OwnBroker, name: str) -> TestClient:
    """A client of that user."""
    return TestClient(broker.url, login=login(name))


def heard(client: TestClient, chief: TestClient, role: str) -> set[str]:
    """The topics of all that has come to a client of that role until now."""
    end = f"replies/{role}/end"
    mark = client.mark()
    chief.publish(end, b"x")
    client.wait_for(end, after=mark)
    return {message.topic for message in client.messages()} - {end}


@pytest.mark.parametrize("role", ROLES)
def test_each_role_has_its_rights_and_no_more(guarded: OwnBroker, role: str) -> None:
    """By name and by ``#``, live and retained; what somebody publishes retained who may not is not kept either."""
    table = expected(role)
    chief, client, later = (connect(guarded, name) for name in ("chief", role, role))
    client.subscribe(*table, "#")
    assert chief.may_publish(*table, retain=True) == set(table)
    live = heard(client, chief, role)
    later.subscribe("#")
    assert heard(later, chief, role) == live
    clear_retained(guarded.url, "", login("chief"))
    taken = client.may_publish(*table, retain=True)
    assert {topic: words(topic, live, taken) for topic in table} == table
    assert retained(guarded.url, login=login("chief")).keys() == taken
    for each in (chief, client, later):
        each.close()


def test_the_table_names_each_method() -> None:
    """Nothing that can be asked for is forgotten in it."""
    named = {topic.split("/")[2] for topic in expected("viewer") if topic.startswith("rpc/viewer/")}
    reading = set(Methods(None, None, None, None).table())  # type: ignore[arg-type]  # nothing is called
    assert named == WRITING | reading | {"list_leases", "list_events", "get_override_devices", "get_override_patterns"}


def test_rights_in_one_building_end_there(guarded: OwnBroker) -> None:
    """Neither another building nor a request that names its device in the payload, which no broker sees."""
    floor = connect(guarded, "floor")
    inside = {f"rpc/floor/set_point/C/B/{rest}" for rest in ("D/p", "E/p")} | {"rpc/floor/set_point/C/B"}
    outside = {f"rpc/floor/{rest}" for rest in ("set_point", "set_point/C", "set_point/C/X/D/p", "set_points/C/B/D")}
    assert floor.may_publish(*inside, *outside, "rpc/floor", "rpc/ops/set_point/C/B/D/p") == inside
    floor.close()


def test_nobody_gets_in_without_a_password(guarded: OwnBroker) -> None:
    """Neither without a name nor with a wrong password."""
    for name in (None, ("ops", "guess")):
        with pytest.raises(AssertionError, match="Not authorized"):
            TestClient(guarded.url, login=name)


@pytest.fixture
def edge(guarded: OwnBroker, tmp_path: Path) -> GatewayProcess:
    """The gateway edge-1 on the guarded broker."""
    (tmp_path / "state").mkdir()
    (tmp_path / "password").write_text(login("edge-1")[1])
    broker = {"url": str(guarded.url), "username": "edge-1", "password": {"secret": "password"}}
    settings = {"gateway_id": "edge-1", "broker": broker, "credentials_dir": str(tmp_path)}
    return GatewayProcess(tmp_path, settings)


def test_what_the_rights_are_worth(guarded: OwnBroker, edge: GatewayProcess) -> None:
    """A retained write is never carried out, not even the operator's; others' do not arrive.

    Rights to write below one device are just that: the payload can not name another one.
    """
    ops, viewer, optimiser = (connect(guarded, name) for name in ("ops", "viewer", "optimiser"))
    ops.subscribe("replies/ops/#", "devices/#", "gateways/#")
    viewer.subscribe("replies/viewer/#")
    optimiser.subscribe("replies/optimiser/#")
    write = "rpc/ops/set_point/C/B/D/n"
    ops.publish("config/devices/C/B/D", fake(), retain=True)
    ops.publish(write, b"7", retain=True)
    edge.start()
    try:
        assert ops.wait_for("replies/ops/set_point/C/B/D/n").error["code"] == "bad_request"
        ops.online("C/B/D")
        mark = ops.mark()
        assert ops.request(write, b"8", retain=True).error["code"] == "bad_request"
        stolen = {write, "rpc/ops", "rpc/viewer", "rpc/viewer/set_point/C/B/D/n", "rpc/optimiser/set_override_on"}
        for thief in (viewer, optimiser):
            for retain in (False, True):
                assert not thief.may_publish(*stolen, retain=retain)
        assert ops.request("rpc/ops/get_point/C/B/D/n").result == 1
        for topic in ("rpc/ops/set_point/C/B", "rpc/ops/set_point/C/B/E", "rpc/ops/set_point/C/B/E/n"):
            named = {"device": "C/B/D", "point": "n", "value": 7}
            assert ops.request(topic, named).error["code"] == "bad_request"
        assert ops.request(write, b"9").result == 9
        assert [m.topic for m in ops.messages("replies/ops/set_point/#", after=mark)] == []
        assert viewer.request("rpc/viewer/get_point/C/B/D/n").result == 9
        assert "fence" in optimiser.request("rpc/optimiser/acquire_lease/C/B/D", {"duration": 60}).result
        assert optimiser.request("rpc/optimiser/set_point/C/B/D/n", b"3").result == 3
        assert ops.request(write, b"4").error["code"] == "leased_by_other"
        assert ops.request("rpc/ops/set_override_on", {"pattern": "*"}).result["pattern"] == "*"
        assert optimiser.request("rpc/optimiser/set_point/C/B/D/n", b"3").error["code"] == "overridden"
        [status] = [m.json for m in ops.messages("gateways/edge-1/status")][-1:]
        assert (status["health"], status["problems"]) == ("ok", [])
    finally:
        edge.stop()
        for client in (ops, viewer, optimiser):
            client.close()


def test_what_the_broker_refuses_is_told_of_both_connections(
    own_broker: Callable[..., OwnBroker],
    connect: Callable[..., TestClient],
    gateway: Callable[..., GatewayProcess],
    prefix: str,
    tmp_path: Path,
) -> None:
    """Readings, statuses, meta, leases and answers that an ACL does not allow are named, one of each, in the status."""
    denied = ["replies/ops", "devices/C/B/D/all", "devices/C/B/D/status", "devices/C/B/D/meta", "actuator/leases/#"]
    (tmp_path / "acl").write_text("".join(f"topic deny {prefix}/{topic}\n" for topic in denied) + "topic readwrite #\n")
    broker = own_broker(acl_file=str(tmp_path / "acl"))
    edge, client = gateway(url=str(broker.url)), connect(url=broker.url)
    client.publish("config/devices/C/B/D", fake(), retain=True)
    wanted = ["replies/ops", *denied[1:4], "actuator/leases/C/B/D"]

    def told() -> bool:
        client.send("rpc/ops/acquire_lease/C/B/D", {"duration": 60}, response_topic="replies/ops", expiry=5)
        status = client.messages(f"gateways/{edge.id}/status")[-1:]
        problems = {p["code"]: p["message"] for m in status for p in m.json.get("problems", ())}
        return all(f'"{prefix}/{topic}" (Not authorized)' in problems.get("publish_refused", "") for topic in wanted)

    eventually(told, "all are named", 15)
