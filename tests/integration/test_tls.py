"""Getting in: certificates, passwords and access rules of a real broker."""

from __future__ import annotations

import os
import shutil
import socket
import ssl
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from gateway import localbroker
from tests.acceptor import Acceptor
from tests.integration.brokers import OwnBroker
from tests.integration.certificates import Authority
from tests.integration.devices import fake
from tests.integration.process import GatewayProcess
from tests.integration.site import Site
from tests.integration.waiting import PATIENCE, eventually, logged

Gateways = Callable[..., GatewayProcess]
CANARY = "canary-4711"
"""A password that may not be seen anywhere."""

pytestmark = pytest.mark.skipif(
    shutil.which("openssl") is None and "CI" not in os.environ, reason="needs openssl: apt install openssl"
)


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    """An authority that both sides know."""
    return Authority(tmp_path / "authority").begin()


@pytest.fixture
def tls_broker(own_broker: Callable[..., OwnBroker], authority: Authority) -> Callable[..., tuple[OwnBroker, str]]:
    """``tls_broker(certificate, key)``: a broker that wants certificates on a second port, and that port's url."""

    def make(cert: Path, key: Path) -> tuple[OwnBroker, str]:
        port = localbroker.free_port()
        files = [f"cafile {authority.ca}", f"certfile {cert}", f"keyfile {key}"]
        identity = ["require_certificate true", "use_identity_as_username true"]
        broker = own_broker(lines=[f"listener {port} {localbroker.HOST}", *files, *identity])
        return broker, f"mqtts://{localbroker.HOST}:{port}"

    return make


def refusals(edge: GatewayProcess) -> list[str]:
    """The reasons that the log gives for having no connection."""
    return [line["reason"] for line in edge.log_lines() if line["event"] == "no connection to the broker"]


def test_a_gateway_and_a_broker_that_trust_each_other_work_together(
    authority: Authority, tls_broker: Callable[..., tuple[OwnBroker, str]], site: Site
) -> None:
    """With the right CA and a client certificate readings and requests go over TLS as they do without."""
    broker, url = tls_broker(*authority.issue("broker", f"IP:{localbroker.HOST}"))
    cert, key = authority.issue("edge")
    client = site.connect(url=broker.url)
    site.gateway(broker={"url": url, "ca": str(authority.ca), "cert": str(cert), "key": str(key)})
    client.publish("config/devices/C/B/D", fake(), retain=True)
    client.reading("C/B/D")
    assert client.request("rpc/ops/set_point/C/B/D/n", "3").result == 3.0
    big = "x" * 100_000  # more than one TLS record
    assert client.request("rpc/ops/set_point/C/B/D/n", f'"{big}"').error["code"] == "bad_value"


unproven = pytest.mark.parametrize(
    ("host", "days", "trust", "revoked", "reason"),
    [
        (f"IP:{localbroker.HOST}", 2, "another", False, "self-signed certificate|unable to get local issuer"),
        ("DNS:elsewhere.example", 2, "same", False, "is not valid for '127.0.0.1'"),
        (f"IP:{localbroker.HOST}", -1, "same", False, "expired"),
        (f"IP:{localbroker.HOST}", 2, "same", True, "revoked"),
    ],
    ids=["another-authority", "another-host", "expired", "revoked"],
)
"""Brokers that can not prove who they are, and what is said of each."""


@unproven
def test_a_broker_that_can_not_prove_who_it_is_gets_nothing(
    host: str,
    days: int,
    trust: str,
    revoked: bool,
    reason: str,
    authority: Authority,
    tls_broker: Callable[..., tuple[OwnBroker, str]],
    site: Site,
    tmp_path: Path,
) -> None:
    """The gateway does not connect, says once why, and sends no password."""
    cert, key = authority.issue("broker", host, days)
    broker, url = tls_broker(cert, key)
    trusted = authority if trust == "same" else Authority(tmp_path / "another").begin()
    crl = {"crl": str(authority.revoke(cert))} if revoked else {}
    (tmp_path / "mqtt-password").write_text(CANARY)
    login = {"username": "edge", "password": {"secret": "mqtt-password"}}
    edge = site.gateway(broker={"url": url, "ca": str(trusted.ca), **login, **crl}, credentials_dir=str(tmp_path))
    line = logged(edge, "no connection to the broker")
    assert any(words in line["reason"] for words in reason.split("|")), line
    time.sleep(4)  # to show that it is told once only
    assert len(refusals(edge)) == 1
    assert broker.log_text().count(f" as {edge.id}") == 0
    assert CANARY not in edge.log_text()


class Ear:
    """Takes TLS connections with a certificate, as a context manager, and keeps what is said after each handshake."""

    def __init__(self, cert: Path, key: Path) -> None:
        self.heard: list[bytes | None] = []
        """Of each connection; None where there was no handshake."""
        self._tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._tls.load_cert_chain(cert, key)
        self._acceptor = Acceptor(self._take)

    @property
    def url(self) -> str:
        """Where it is."""
        return f"mqtts://{localbroker.HOST}:{self._acceptor.port}"

    def __enter__(self) -> Ear:
        self._acceptor.open()
        return self

    def __exit__(self, *_: object) -> None:
        self._acceptor.shut()

    def _take(self, link: socket.socket) -> None:
        link.settimeout(5)
        try:
            with self._tls.wrap_socket(link, server_side=True) as secure:
                self.heard.append(secure.recv(4096))
        except OSError:
            self.heard.append(None)


@unproven
def test_nothing_is_said_to_who_can_not_prove_who_it_is(
    host: str, days: int, trust: str, revoked: bool, reason: str, authority: Authority, site: Site, tmp_path: Path
) -> None:
    """Not a byte behind the handshake, and so no password; who can prove it hears it, which shows that it would be heard."""
    bad, good = authority.issue("bad", host, days), authority.issue("good", f"IP:{localbroker.HOST}")
    trusted = authority if trust == "same" else Authority(tmp_path / "another").begin()
    crl = {"crl": str(authority.revoke(bad[0]))} if revoked else {}
    (tmp_path / "mqtt-password").write_text(CANARY)
    login = {"username": "edge", "password": {"secret": "mqtt-password"}}
    with Ear(*bad) as liar, Ear(*good) as honest:
        site.gateway(broker={"url": liar.url, "ca": str(trusted.ca), **login, **crl}, credentials_dir=str(tmp_path))
        site.gateway(broker={"url": honest.url, "ca": str(authority.ca), **login, **crl}, credentials_dir=str(tmp_path))
        eventually(lambda: len(liar.heard) >= 2, "it has tried more than once")
        eventually(lambda: any(words and CANARY.encode() in words for words in honest.heard), "a broker hears the password")
        assert set(liar.heard) == {None}


def test_a_gateway_without_a_certificate_is_told_so(
    authority: Authority, tls_broker: Callable[..., tuple[OwnBroker, str]], site: Site
) -> None:
    """When the broker wants a certificate and there is none, the log says which setting it takes."""
    _, url = tls_broker(*authority.issue("broker", f"IP:{localbroker.HOST}"))
    edge = site.gateway(broker={"url": url, "ca": str(authority.ca)})
    assert "set broker.cert" in logged(edge, "no connection to the broker")["reason"]


# ---- passwords


def with_passwords(own_broker: Callable[..., OwnBroker], directory: Path, *lines: str) -> OwnBroker:
    """A broker where the user ``edge`` has the password CANARY, and clients without a name may do everything."""
    passwords = directory / "passwords"
    command = ["mosquitto_passwd", "-b", "-c", str(passwords), "edge", CANARY]
    subprocess.run(command, check=True, capture_output=True, timeout=30)
    passwords.chmod(0o644)
    return own_broker(password_file=str(passwords), lines=lines)


def login(directory: Path, url: Any, password: str) -> dict[str, Any]:
    """The settings of a gateway that is the user ``edge`` with a password from a file."""
    (directory / "mqtt-password").write_text(password + "\n")
    broker = {"url": str(url), "username": "edge", "password": {"secret": "mqtt-password"}}
    return {"broker": broker, "credentials_dir": str(directory)}


def test_a_password_comes_from_the_credentials_directory(
    own_broker: Callable[..., OwnBroker], site: Site, tmp_path: Path
) -> None:
    """It lets the gateway in, and is neither in the log nor on the command line."""
    broker = with_passwords(own_broker, tmp_path)
    client = site.connect(url=broker.url)
    edge = site.gateway(**login(tmp_path, broker.url, CANARY))
    client.wait_for(f"gateways/{edge.id}/status", lambda m: m.json["state"] == "online")
    command = Path(f"/proc/{edge.pid}/cmdline").read_text() + Path(f"/proc/{edge.pid}/environ").read_text()
    assert CANARY not in edge.log_text() + command


def test_a_wrong_password_is_tried_ever_more_seldom(
    own_broker: Callable[..., OwnBroker], site: Site, tmp_path: Path
) -> None:
    """A refused login is told once, without the password, and not repeated every second."""
    broker = with_passwords(own_broker, tmp_path)
    edge = site.gateway(**login(tmp_path, broker.url, f"wrong-{CANARY}"))
    assert "Not authorized" in logged(edge, "no connection to the broker")["reason"]
    time.sleep(8)  # the time of observation
    attempts = broker.log_text().count("New connection from") - 1  # the first was to see that it listens
    assert 2 <= attempts <= 4
    assert len(refusals(edge)) == 1
    assert CANARY not in edge.log_text()


# ---- access rules


def test_a_gateway_that_may_not_read_its_own_topic_back_says_so(
    own_broker: Callable[..., OwnBroker], site: Site, tmp_path: Path
) -> None:
    """Without the right on its sentinel it works as far as it can, and names the topic in its status."""
    acl = tmp_path / "acl"
    topics = [f"{way} {site.prefix}/{topic}" for way, topic in RIGHTS]
    acl.write_text("\n".join(["topic readwrite #", "", "user edge", *(f"topic {line}" for line in topics), ""]))
    acl.chmod(0o644)
    broker = with_passwords(own_broker, tmp_path, f"acl_file {acl}")
    client = site.connect(url=broker.url)
    edge = site.gateway(**login(tmp_path, broker.url, CANARY))
    client.publish("config/devices/C/B/D", fake(), retain=True)

    def problems() -> list[str]:
        told = [m.json for m in client.messages(f"gateways/{edge.id}/status")]
        return [problem["message"] for status in told[-1:] for problem in status.get("problems", ())]

    eventually(lambda: any(f"gateways/{edge.id}/replay" in message for message in problems()), "it says so")
    client.reading("C/B/D", timeout=20 * PATIENCE)
    eventually(lambda: "result" in client.request("rpc/ops/set_point/C/B/D/n", "3").json, "it can be written", 10)
    status = client.messages(f"gateways/{edge.id}/status")[-1].json
    assert [problem["code"] for problem in status["problems"]] == ["no_sentinel"]
    assert status["health"] == "degraded"


RIGHTS = [
    ("read", "config/#"),
    ("read", "rpc/#"),
    ("write", "replies/#"),
    ("readwrite", "devices/#"),
    ("readwrite", "actuator/#"),
    ("readwrite", "gateways/+/status"),
    ("readwrite", "gateways/+/stats"),
]
"""What a gateway needs, but for its sentinel."""
