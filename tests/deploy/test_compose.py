"""The example of containers: its files fit together, and its broker and gateways, run as processes here, do what it says."""

from __future__ import annotations

import json
import os
import shutil
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from gateway import localbroker
from gateway.cli.mqttclient import Login, MqttClient, NoConnection
from gateway.settings import load
from gateway.settings_types import broker_url
from tests.deploy.images import done
from tests.integration.brokers import OwnBroker
from tests.integration.documents import fake
from tests.integration.process import GatewayProcess
from tests.integration.waiting import eventually
from tests.markdown import ROOT

COMPOSE = ROOT / "deploy" / "compose"
GATEWAYS = ("edge-east", "edge-west")

pytestmark = pytest.mark.skipif(
    shutil.which("openssl") is None and "CI" not in os.environ, reason="needs openssl: apt install openssl"
)


@pytest.fixture(scope="module")
def compose(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the example with its certificates made."""
    copy = shutil.copytree(COMPOSE, tmp_path_factory.mktemp("x") / "compose", ignore=shutil.ignore_patterns("certificates"))
    done(copy / "certificates.sh", "box.example", "192.168.1.2")
    return copy


def yaml(file: Path) -> Any:
    """What a YAML file says."""
    return YAML(typ="safe").load(file)


def mounts(service: dict[str, Any]) -> dict[str, str]:
    """Where a service sees the files of the example: paths in the container to paths here."""
    pairs = (volume.split(":")[:2] for volume in service["volumes"])
    return {inside: here for here, inside in pairs if here.startswith("./")}


@pytest.mark.parametrize("service", ["broker", *GATEWAYS])
def test_each_service_is_careful_and_finds_its_files(service: str, compose: Path) -> None:
    """No service runs with more rights than it needs, and what it mounts is there."""
    told = yaml(compose / "compose.yaml")["services"][service]
    assert (told["read_only"], told["cap_drop"], told["security_opt"]) == (True, ["ALL"], ["no-new-privileges:true"])
    assert not {"privileged", "environment", "network_mode"} & told.keys()
    assert {here: (compose / here).exists() for here in mounts(told).values()} == dict.fromkeys(mounts(told).values(), True)


def test_keys_are_for_their_owners_alone(compose: Path) -> None:
    """Nobody else can read a private key, and only one service gets each."""
    keys = list(compose.glob("certificates/*/key.pem"))
    assert len(keys) == 5
    assert {stat.S_IMODE(key.stat().st_mode) for key in keys} == {0o600}
    services = yaml(compose / "compose.yaml")["services"]
    seen = [here for service in services.values() for here in mounts(service).values() if "certificates" in here]
    assert sorted(seen) == [f"./certificates/{name}" for name in sorted(("broker", *GATEWAYS))]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give keys to others")
def test_the_operator_s_key_is_for_who_called_sudo(tmp_path: Path) -> None:
    """Whoever makes the certificates by sudo can use the operator's afterwards, and no other."""
    shutil.copy(COMPOSE / "certificates.sh", tmp_path)
    done("env", "SUDO_UID=12345", "SUDO_GID=12346", tmp_path / "certificates.sh")
    owners = {
        key.parent.name: (key.stat().st_uid, key.parent.stat().st_uid) for key in tmp_path.glob("certificates/*/key.pem")
    }
    assert owners.pop("ops") == (12345, 12345)
    assert 12345 not in {uid for both in owners.values() for uid in both}
    assert stat.S_IMODE((tmp_path / "certificates").stat().st_mode) == 0o711


def test_certificates_are_made_once(compose: Path) -> None:
    """A second call changes nothing, and the broker's certificate is for the names that were given."""
    before = {path: path.read_bytes() for path in compose.glob("certificates/*/*")}
    assert done(compose / "certificates.sh") == ""
    assert {path: path.read_bytes() for path in compose.glob("certificates/*/*")} == before
    text = done("openssl", "x509", "-in", compose / "certificates/broker/cert.pem", "-noout", "-ext", "subjectAltName")
    for name in ("DNS:broker", "DNS:localhost", "DNS:box.example", "IP Address:192.168.1.2"):
        assert name in text


# ---- run as processes


@pytest.fixture
def url(compose: Path, own_broker: Callable[..., OwnBroker], tmp_path: Path) -> str:
    """The broker of the example, on a port of this machine and with its files where they are here."""
    service = yaml(compose / "compose.yaml")["services"]["broker"]
    here = {"/mosquitto/data/": f"{tmp_path}/"} | {inside: str(compose / path) for inside, path in mounts(service).items()}
    lines = [line for line in (compose / "mosquitto.conf").read_text().splitlines() if line and not line.startswith("#")]
    for inside, path in here.items():
        lines = [line.replace(inside, path) for line in lines]
    assert lines[0] == "listener 8883"
    broker = own_broker({}, lines[1:])
    return f"mqtts://{localbroker.HOST}:{broker.port}"


@pytest.fixture
def gateways(compose: Path, url: str, tmp_path: Path) -> Iterator[dict[str, GatewayProcess]]:
    """The two gateways, with the settings of the example but for the broker's url."""
    running: dict[str, GatewayProcess] = {}
    services = yaml(compose / "compose.yaml")["services"]
    for name in GATEWAYS:
        place = tmp_path / name
        (place / "state").mkdir(parents=True)
        for inside, here in mounts(services[name]).items():
            (place / Path(inside).name).symlink_to(compose / here)
        settings = yaml(place / "settings.yaml")
        (place / "settings.yaml").unlink()
        settings["broker"]["url"] = url
        running[name] = GatewayProcess(place, settings).start()
    yield running
    for process in running.values():
        process.stop()


@pytest.fixture
def ops(compose: Path, url: str) -> list[str]:
    """The options of the operator."""
    mine = compose / "certificates/ops"
    files = ["--ca", mine / "ca.pem", "--cert", mine / "cert.pem", "--key", mine / "key.pem"]
    return ["--broker", url, "--as", "ops", *map(str, files)]


def test_each_gateway_runs_its_building(
    compose: Path, url: str, gateways: dict[str, GatewayProcess], ops: list[str]
) -> None:
    """An operator configures, reads and writes a device of each; the broker refuses a gateway the other's building."""
    assert {load(process.settings, environ={}).scope for process in gateways.values()} == {
        ("campus/east/#",),
        ("campus/west/#",),
    }
    operator = Login(None, None, *(compose / "certificates/ops" / name for name in ("ca.pem", "cert.pem", "key.pem")))
    with MqttClient(broker_url(url), login=operator) as client:
        for side in ("east", "west"):
            client.publish(f"config/devices/campus/{side}/ahu", json.dumps(fake(interval=0.3)).encode(), retain=True)
    for side in ("east", "west"):
        path = f"campus/{side}/ahu"
        eventually(lambda path=path: asked("get", path, "t", *ops) == "1.5", f"{path} answers")
        eventually(lambda path=path: asked("set", path, "t", "2", *ops) == "2.0", f"{path} is written")
    east = Login(None, None, *(compose / "certificates/edge-east" / name for name in ("ca.pem", "cert.pem", "key.pem")))
    with MqttClient(broker_url(url), login=east) as client:
        client.publish("devices/campus/east/x/all", b"{}")
        for forbidden in ("devices/campus/west/ahu/all", "config/devices/campus/east/ahu", "gateways/edge-west/status"):
            with pytest.raises(NoConnection, match="Not authorized"):
                client.publish(forbidden, b"{}")
    for process in gateways.values():
        assert process.stop() == 0
        assert "refuses" not in process.log_text()


def test_who_has_no_certificate_stays_outside(compose: Path, url: str) -> None:
    """Neither without TLS nor without a certificate is anybody let in."""
    with pytest.raises(NoConnection), MqttClient(broker_url(url), 3, Login(ca=compose / "certificates/ops/ca.pem")):
        pass
    with pytest.raises(NoConnection), MqttClient(broker_url(url.replace("mqtts", "mqtt")), 3):
        pass


def asked(*words: str) -> str:
    """What a command prints."""
    return subprocess.run(
        [sys.executable, "-m", "gateway", *words, "--timeout", "2"], capture_output=True, text=True, timeout=30
    ).stdout.strip()
