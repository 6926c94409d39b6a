"""The network against software that others wrote: rusty-bacnet as the device, node-bacnet as another client; and BBMDs."""

from __future__ import annotations

import json
import math
import shutil
import socket
import subprocess
import threading
from collections.abc import Iterator

import pytest

from gateway.clock import SystemClock
from gateway.interfaces._bacnet.life import Options
from gateway.interfaces._bacnet.networks import BacnetNetworks
from gateway.interfaces._bacnet.values import Changed, Item, Local, Notice, Ref, RequestFailed, Target
from tests.integration.waiting import eventually
from tests.interfaces.bacnet.rusty import DEVICE_ID, rusty_device
from tests.interfaces.bacnet.simulator import SimDevice, Simulator, free_udp_port
from tests.lacking import lacking

pytest.importorskip("bacpypes3", reason="bacpypes3 is not installed")

AO, AV, DEVICE = 1, 2, 8
PRIORITIES, OBJECT_LIST, NAME = 87, 76, 77


@pytest.fixture(scope="module")
def networks() -> Iterator[BacnetNetworks]:
    """A network at 127.0.0.1 for all tests, and nothing left of it afterwards."""
    networks = BacnetNetworks(Options(address="127.0.0.1/8", port=free_udp_port()), SystemClock())
    yield networks
    assert networks.stop(10.0) == []


def test_server_of_others_is_read_written_and_subscribed(networks: BacnetNetworks) -> None:
    """rusty-bacnet's server understands our requests, and we its answers, refusals and notices."""
    pytest.importorskip("rusty_bacnet", reason="rusty-bacnet is not installed")
    port = free_udp_port()
    with rusty_device(port):
        session = networks.join(Local(), Target(DEVICE_ID, f"127.0.0.1:{port}"), lambda: None)
        facts = session.find(20.0)
        assert (facts.device_id, facts.max_apdu, facts.segmentation) == (DEVICE_ID, 1476, "none")
        value, missing, objects, name = session.read(
            [Ref(AO, 1), Ref(AO, 9), Ref(DEVICE, DEVICE_ID, OBJECT_LIST), Ref(DEVICE, DEVICE_ID, NAME)]
        )
        assert (value, name) == (Item("real", 0.0), Item("character-string", "Rusty"))
        assert getattr(missing, "reason", "") == "unknown-object"
        assert isinstance(objects, Item)
        assert Item("object-identifier", {"object": [AO, 1]}) in objects.value
        session.write(Ref(AO, 1), "real", 5.5, 8, deadline=math.inf)
        assert session.read([Ref(AO, 1), Ref(AO, 1, PRIORITIES, 8)]) == [Item("real", 5.5)] * 2
        session.subscribe(Ref(AO, 1), lifetime=60, confirmed=True)
        heard: list[Notice] = []
        eventually(lambda: heard.extend(session.notices()) or heard, "the first notice")
        session.write(Ref(AO, 1), "null", None, 8, deadline=math.inf)
        eventually(lambda: heard.extend(session.notices()) or len(heard) > 1, "the next notice")
        assert [notice.items[85].value for notice in heard if isinstance(notice, Changed)] == [5.5, 0.0]
        with pytest.raises(RequestFailed) as raised:
            session.write(Ref(AO, 9), "real", 1.0, 8, deadline=math.inf)
        assert raised.value.failure.reason == "unknown-object"


NODE = """
const Bacnet = require('node-bacnet');
const client = new Bacnet({interface: '127.0.0.1', port: Number(process.argv[2]), broadcastAddress: '127.255.255.255'});
client.readProperty(process.argv[1], {type: 2, instance: 1}, 87, (error, answer) => {
  console.log(JSON.stringify(error ? {error: String(error)} : answer.values.map(value => value.value)));
  client.close();
});
"""


def test_client_of_others_sees_our_slot(networks: BacnetNetworks) -> None:
    """node-bacnet reads in the priority array of the device what we have written, in our slot and in no other."""
    node = shutil.which("node")
    if node is None or subprocess.run([node, "-e", "require.resolve('node-bacnet')"], capture_output=True).returncode:
        lacking("node, with the package node-bacnet in NODE_PATH")
    port = free_udp_port()
    with Simulator(SimDevice(port=port)):
        session = networks.join(Local(), Target(address=f"127.0.0.11:{port}"), lambda: None)
        session.find(20.0)
        session.write(Ref(AV, 1), "real", 42.5, 8, deadline=math.inf)
        command = [node, "-e", NODE, f"127.0.0.11:{port}", str(free_udp_port())]
        seen = subprocess.run(command, capture_output=True, text=True, timeout=60)
        assert json.loads(seen.stdout) == [None] * 7 + [42.5] + [None] * 8, seen.stderr


def test_devices_are_found_through_a_bbmd() -> None:
    """Registered as a foreign device we hear all devices of the BBMD's network, and find one by its id alone."""
    port = free_udp_port()
    devices = [SimDevice(port=port, bbmd=True), SimDevice(address="127.0.0.12", port=port, device_id=1002)]
    options = Options(address="127.0.0.1/8", port=free_udp_port(), bbmd=f"127.0.0.11:{port}", bbmd_ttl=30)
    networks = BacnetNetworks(options, SystemClock())
    with Simulator(*devices):
        assert {facts.device_id for facts in networks.who_is(Local(), None, None, None, 2.0)} == {1001, 1002}
        assert {facts.device_id for facts in networks.who_is(Local(), 1002, 1010, None, 1.0)} == {1002}
        session = networks.join(Local(), Target(1002), lambda: None)
        assert session.find(10.0).address == f"127.0.0.12:{port}"
        assert session.read([Ref(AV, 1)]) == [Item("real", 1.5)]
        with pytest.raises(RequestFailed, match="device 1003 did not answer"):
            networks.join(Local(), Target(1003), lambda: None).find(1.0)
    assert networks.stop(10.0) == []


def test_bbmd_that_does_not_answer_is_named() -> None:
    """A device that is looked for by a BBMD which is not there: the failure names the BBMD."""
    options = Options(address="127.0.0.1/8", port=free_udp_port(), bbmd=f"127.0.0.11:{free_udp_port()}", bbmd_ttl=30)
    networks = BacnetNetworks(options, SystemClock())
    networks.who_is(Local(), 1, 1, "127.0.0.9", 0.1)  # it is up
    with pytest.raises(RequestFailed, match=r"the BBMD at 127.0.0.11:\d+ has not answered the registration"):
        networks.join(Local(), Target(5), lambda: None).find(1.0)
    assert networks.stop(10.0) == []


def test_device_id_at_two_addresses_is_told(networks: BacnetNetworks, caplog: pytest.LogCaptureFixture) -> None:
    """Where two devices have the same id the log says so, once."""
    port, ours = free_udp_port(), 1005  # the network knows where devices with the ids of other tests were
    with Simulator(*(SimDevice(address=address, port=port, device_id=ours) for address in ("127.0.0.11", "127.0.0.12"))):
        for address in ("127.0.0.11", "127.0.0.12", "127.0.0.12"):
            networks.join(Local(), Target(address=f"{address}:{port}"), lambda: None).find(10.0)
            eventually(lambda: networks.who_is(Local(), None, None, f"127.0.0.12:{port}", 0.2), "an I-Am")
    told = [record.message for record in caplog.records if "two devices have that id" in record.message]
    assert len(told) == 1, caplog.text


def test_unknown_remote_network_is_told(networks: BacnetNetworks) -> None:
    """A device behind a router that nobody has is unreachable, and a write to it does not leave."""
    session = networks.join(Local(), Target(address="5:12"), lambda: None)
    networks.who_is(Local(), 1, 1, "127.0.0.9", 0.1)  # it is up
    with pytest.raises(RequestFailed, match="no router tells the way to network 5") as raised:
        session.write(Ref(AV, 1), "real", 1.0, 8, deadline=math.inf, timeout=1.0)
    assert raised.value.failure.kind == "unreachable"


@pytest.mark.parametrize(("utc", "service"), [(True, "1009"), (False, "1006")])
def test_time_is_told(networks: BacnetNetworks, utc: bool, service: str) -> None:
    """A device is told the time, in UTC or by the local clock, with date, weekday and hundredths."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as device:
        device.settimeout(20)
        device.bind(("127.0.0.14", 0))
        where = f"127.0.0.14:{device.getsockname()[1]}"
        thread = threading.Thread(target=networks.time_sync, args=(Local(), where, 1795687200.25, utc))
        thread.start()
        packet = device.recv(100).hex()
        thread.join()
    assert packet[12:16] == service
    if utc:
        assert packet[16:] == "a47e0b1a04" + "b40a000019"  # Thursday 2026-11-26, 10:00:00.25
