"""The service manager's view of a gateway: READY, STATUS, the watchdog, and what happens when a thread fails."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from gateway import healthfile, localbroker
from tests.integration.client import TestClient
from tests.integration.devices import fake
from tests.integration.process import GatewayProcess
from tests.integration.waiting import PATIENCE, eventually, logged
from tests.interfaces.modbus.bus import Bus

Gateways = Callable[..., GatewayProcess]
WATCHDOG = 2.0
"""Seconds after which the service manager of these tests would end a gateway without a sign of life."""


class Manager:
    """A service manager: what it was told, and when."""

    def __init__(self, path: Path) -> None:
        self._sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._sock.bind(str(path))
        self._sock.setblocking(False)
        self.told: list[tuple[float, dict[str, str]]] = []

    def hear(self) -> list[tuple[float, dict[str, str]]]:
        """Everything up to now."""
        while True:
            try:
                lines = self._sock.recv(65536).decode().splitlines()
            except BlockingIOError:
                return self.told
            self.told.append((time.monotonic(), dict(line.split("=", 1) for line in lines)))

    def last(self, key: str) -> str:
        """The newest value that was told of a key; empty if there is none."""
        return next((values[key] for _, values in reversed(self.hear()) if key in values), "")

    def pings(self) -> int:
        """How many signs of life have come."""
        return sum("WATCHDOG" in values for _, values in self.hear())

    def silence(self, since: float) -> float:
        """The time of the last sign of life, in seconds after that time, once they have stopped."""

        def quiet() -> bool:
            self.hear()
            return time.monotonic() - self._last_ping() > 1.5 * WATCHDOG

        eventually(quiet, "the signs of life stop", 20)
        return self._last_ping() - since

    def _last_ping(self) -> float:
        return max(at for at, values in self.told if "WATCHDOG" in values)

    def close(self) -> None:
        """It is gone."""
        self._sock.close()


@pytest.fixture
def manager(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Manager]:
    """The service manager of all gateways that the test starts."""
    made = Manager(tmp_path / "notify")
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
    monkeypatch.setenv("WATCHDOG_USEC", str(int(WATCHDOG * 1e6)))
    yield made
    made.close()


@pytest.fixture
def failing(gateway: Gateways, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str, str], GatewayProcess]:
    """Starts a gateway of which one thread fails once the file ``fail`` is there."""

    def start(thread: str, how: str) -> GatewayProcess:
        edge = gateway(start=False)
        monkeypatch.setenv("GATEWAY_FAULT_THREAD", f"{thread.replace('ID', edge.id)}:{how}:{tmp_path / 'fail'}")
        edge.expects_traceback = how == "raise"
        return edge.start()

    return start


def health(edge: GatewayProcess) -> subprocess.CompletedProcess[str]:
    """``gateway health``."""
    command = [sys.executable, "-m", "gateway", "health", "--state-dir", str(edge.directory / "state")]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def pinged(client: TestClient, edge: GatewayProcess, mark: int) -> bool:
    """Whether a ping was answered since the mark; sends another one, as those that come while it is away are lost."""
    client.send(f"rpc/ops/ping/{edge.id}", response_topic="replies/ops/ping")
    time.sleep(0.1)
    return any("result" in message.json for message in client.messages("replies/ops/ping", after=mark))


THREADS = ["manager", "requests", "actuator", "mqtt:ID", "mqtt:ID.data"]
"""The threads of the core, but for that of the outbox, which may wait a minute for the disk."""


def test_a_service_manager_is_told_how_it_goes(manager: Manager, client: TestClient, gateway: Gateways) -> None:
    """READY, then signs of life, what there is, and that it stops."""
    edge = gateway()
    client.publish("config/devices/C/B/D", fake(), retain=True)
    client.online("C/B/D")
    eventually(lambda: manager.last("STATUS") == "1 online", "the status is told")
    assert next(values for _, values in manager.hear()) == {"READY": "1"}
    before = manager.pings()
    eventually(lambda: manager.pings() > before + 2, "signs of life come")
    assert health(edge).stdout == f"{edge.id}: ok; 1 online\n"
    assert edge.stop() == 0
    assert manager.last("STOPPING") == "1"
    assert health(edge).returncode == 1


def test_ready_is_told_without_a_broker(manager: Manager, gateway: Gateways) -> None:
    """The status says what is missing, and it is no reason to restart."""
    edge = gateway(url=f"mqtt://{localbroker.HOST}:{localbroker.free_port()}")
    eventually(lambda: manager.last("READY"), "it is ready", 10)
    eventually(lambda: "no connection to the broker: Connection refused" in manager.last("STATUS"), "it says why")
    told = eventually(
        lambda: (found := health(edge)) and "Connection refused" in found.stdout and found, "the file says why"
    )
    assert told.returncode == 0


@pytest.mark.parametrize("thread", THREADS)
def test_a_thread_that_hangs_ends_the_signs_of_life(
    thread: str, manager: Manager, client: TestClient, failing: Callable[[str, str], GatewayProcess], tmp_path: Path
) -> None:
    """Within one interval of the watchdog; the log and the health file name it."""
    edge = failing(thread, "hang")
    name = thread.replace("ID", edge.id)
    client.publish("config/devices/C/B/D", fake(), retain=True)
    client.online("C/B/D")
    eventually(lambda: manager.pings() > 1, "it lives")
    (tmp_path / "fail").touch()
    eventually(lambda: not (tmp_path / "fail").exists(), "the thread hangs")
    since = time.monotonic()
    assert manager.silence(since) <= WATCHDOG * PATIENCE
    logged(edge, "a thread shows no sign of life", thread=name)
    told = health(edge)
    assert told.returncode == 1
    assert name in told.stdout
    edge.kill()


def test_a_listener_that_hangs_ends_the_signs_of_life(
    manager: Manager, client: TestClient, gateway: Gateways, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A thread that a driver has made is missed like one of the core."""
    with Bus(tmp_path, 1) as bus:
        monkeypatch.setenv("GATEWAY_FAULT_THREAD", f"listen to {bus.paths[0]}:hang:{tmp_path / 'fail'}")
        edge = gateway(allow={"serial_ports": [str(bus.paths[0])]})
        where = {"device_address": str(bus.paths[0]), "listen": True, "max_silence": 60}
        weight = {"Volttron Point Name": "w", "Pattern": r"w=(\d+)"}
        document = {"driver_type": "serial", "driver_config": where, "registry_config": [weight], "interval": 60}
        client.publish("config/devices/C/B/D", document, retain=True)
        eventually(lambda: manager.last("STATUS"), "it runs")
        (tmp_path / "fail").touch()
        eventually(lambda: not (tmp_path / "fail").exists(), "the listener hangs")
        assert manager.silence(time.monotonic()) <= WATCHDOG * PATIENCE
        logged(edge, "a thread shows no sign of life", thread=f"listen to {bus.paths[0]}")
        edge.kill()


def test_a_stop_names_what_hangs(client: TestClient, failing: Callable[[str, str], GatewayProcess], tmp_path: Path) -> None:
    """It takes no longer than any other, and the exit code is 1."""
    edge = failing("requests", "hang")
    client.wait_for(f"gateways/{edge.id}/status", lambda m: m.json["state"] == "online")
    (tmp_path / "fail").touch()
    eventually(lambda: not (tmp_path / "fail").exists(), "the thread hangs")
    begun = time.monotonic()
    assert edge.stop(30) == 1
    assert time.monotonic() - begun < 10 * PATIENCE
    logged(edge, "a thread did not end in time", thread="requests")


@pytest.mark.parametrize("thread", [*THREADS, "outbox"])
def test_a_thread_that_raises_goes_on(
    thread: str, manager: Manager, client: TestClient, failing: Callable[[str, str], GatewayProcess], tmp_path: Path
) -> None:
    """Within two seconds configs are taken, requests answered, leases given back and readings published."""
    edge = failing(thread, "raise")
    client.publish("config/devices/C/B/D", fake(), retain=True)
    client.online("C/B/D")
    (tmp_path / "fail").touch()
    eventually(lambda: not (tmp_path / "fail").exists(), "the thread fails")
    begun = time.monotonic()
    eventually(lambda: "RuntimeError" in edge.log_text(), "it is told")
    mark = client.mark()
    eventually(lambda: pinged(client, edge, mark), "requests are answered")
    client.publish("config/devices/C/B/E", fake(), retain=True)
    client.online("C/B/E", after=mark)
    client.wait_for("devices/C/B/D/all", after=client.mark())
    took = time.monotonic() - begun
    print(f"{thread}: back after {took:.2f} s")
    assert took < 2 * PATIENCE
    assert edge.stop() == 0


def test_a_gateway_that_is_killed_is_not_healthy(gateway: Gateways, client: TestClient) -> None:
    """Its file does not count for long, and says so at once if it was from before a reboot."""
    edge = gateway()
    client.wait_for(f"gateways/{edge.id}/status", lambda m: m.json["state"] == "online")
    eventually(lambda: health(edge).returncode == 0, "it is healthy")
    edge.kill()
    path = edge.directory / "state" / healthfile.NAME
    report = json.loads(path.read_text())
    assert report["until"] - report["at"] < 30
    path.write_text(json.dumps(report | {"until": report["at"]}))
    told = health(edge)
    assert (told.returncode, "hangs or is gone" in told.stdout) == (1, True)
