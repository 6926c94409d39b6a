"""The ``broker`` fixture: a real MQTT broker for integration tests.

In this order: the one that GATEWAY_TEST_BROKER names by its url, mosquitto, Docker (eclipse-mosquitto:2), iotcore. The
report's header says which it is.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path

import pytest

from gateway import localbroker
from gateway.settings_types import BrokerUrl, broker_url

VARIABLE = "GATEWAY_TEST_BROKER"
IMAGE = "eclipse-mosquitto:2"


@dataclass(frozen=True)
class Broker:
    """A running broker: what kind it is, where MQTT 5 clients connect, and MQTT 3.1.1 ones."""

    kind: str
    url: BrokerUrl
    url_v4: BrokerUrl


@cache
def kind() -> str:
    """The broker that the tests will use: ``given``, ``mosquitto``, ``docker`` or ``iotcore``; empty if there is none."""
    if os.environ.get(VARIABLE):
        return "given"
    if localbroker.mosquitto():
        return "mosquitto"
    if _docker_answers():
        return "docker"
    return "iotcore" if find_spec("iotcore") else ""


def not_on_iotcore(request: pytest.FixtureRequest, lacks: str) -> None:
    """Skip a test of what the broker from pip does not do; say what that is."""
    if request.getfixturevalue("broker").kind == "iotcore":
        pytest.skip(f"iotcore {lacks}")


def _docker_answers() -> bool:
    if find_spec("testcontainers") is None or shutil.which("docker") is None:
        return False
    return subprocess.run(["docker", "info"], capture_output=True, timeout=20).returncode == 0


def pytest_report_header() -> str:
    """Which broker it is."""
    where = {"given": os.environ.get(VARIABLE), "mosquitto": localbroker.mosquitto(), "docker": IMAGE}
    return f"broker: {kind() or 'none'} {where.get(kind()) or ''}".rstrip()


@pytest.fixture(scope="session")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    """A broker for the whole run; tests keep apart by the names of their topics."""
    chosen = kind()
    directory = tmp_path_factory.mktemp("broker")
    match chosen:
        case "given":
            url = broker_url(os.environ[VARIABLE])
            yield Broker(chosen, url, url)
        case "docker":
            with _container(directory) as url:
                yield Broker(chosen, url, url)
        case _:
            running = localbroker.start(directory, [chosen] if chosen else [])
            yield Broker(chosen, *(BrokerUrl(localbroker.HOST, port, False) for port in (running.port, running.port_v4)))
            running.stop()


@contextmanager
def _container(directory: Path) -> Iterator[BrokerUrl]:
    from testcontainers.core.container import DockerContainer

    conf = directory / "mosquitto.conf"
    settings = {"listener": "1883", "persistence_location": "/mosquitto/data/"} | localbroker.MOSQUITTO
    conf.write_text("".join(f"{key} {value}\n" for key, value in settings.items()))
    conf.chmod(0o644)
    container = DockerContainer(IMAGE).with_exposed_ports(1883)
    with container.with_volume_mapping(str(conf), "/mosquitto/config/mosquitto.conf", "ro") as running:
        url = BrokerUrl(running.get_container_host_ip(), int(running.get_exposed_port(1883)), False)
        _wait_for(url)
        yield url


def _wait_for(url: BrokerUrl) -> None:
    deadline = time.monotonic() + 20
    while True:
        try:
            socket.create_connection((url.host, url.port), timeout=1).close()
            return
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)
