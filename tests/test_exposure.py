from __future__ import annotations

from pathlib import Path

import pytest

from gateway.exposure import in_the_clear, open_broker, open_secrets
from gateway.settings import Broker, Settings, load


def broker(url: str, tmp_path: Path, **keys: object) -> Broker:
    """The settings of a broker."""
    return settings(f"{{url: '{url}'{''.join(f', {key}: {value}' for key, value in keys.items())}}}", tmp_path).broker


def settings(text: str, tmp_path: Path) -> Settings:
    """Settings with this broker and a directory of credentials, ``password`` in it."""
    (tmp_path / "credentials").mkdir(exist_ok=True)
    for name in ("credentials/password", "cert.pem", "key.pem"):
        (tmp_path / name).write_text("x")
        (tmp_path / name).chmod(0o640)
    (tmp_path / "settings.yaml").write_text(f"credentials_dir: credentials\nbroker: {text}\n")
    return load(tmp_path / "settings.yaml", environ={})


@pytest.mark.parametrize(
    ("url", "keys", "is_open"),
    [
        ("mqtt://broker.example", {}, True),
        ("mqtts://10.0.0.1", {}, True),
        ("mqtt://127.0.0.1", {}, False),
        ("mqtt://127.8.8.8", {}, False),
        ("mqtt://[::1]", {}, False),
        ("mqtt://localhost", {}, False),
        ("mqtt://localhost.example", {}, True),
        ("mqtt://broker.example", {"username": "edge"}, False),
        ("mqtts://broker.example", {"cert": "cert.pem"}, False),
    ],
)
def test_a_broker_for_everybody_is_known(url: str, keys: dict[str, str], is_open: bool, tmp_path: Path) -> None:
    """Without a user name or a certificate it is open, unless it is this machine's own."""
    assert bool(open_broker(broker(url, tmp_path, **keys))) is is_open


@pytest.mark.parametrize(
    ("url", "told"), [("mqtt://broker.example", True), ("mqtts://broker.example", False), ("mqtt://[::1]", False)]
)
def test_a_password_in_the_clear_is_known(url: str, told: bool, tmp_path: Path) -> None:
    """A password that goes over a network without TLS is told, and not shown."""
    words = in_the_clear(broker(url, tmp_path, username="edge", password="{secret: password}"))
    assert bool(words) is told
    assert in_the_clear(broker(url, tmp_path, username="edge")) is None


def test_secrets_for_everybody_are_known(tmp_path: Path) -> None:
    """Files of credentials and the private key are told if others can read them; group and owner are the operator's."""
    wanted = settings("{url: 'mqtts://x', cert: cert.pem, key: key.pem}", tmp_path)
    assert list(open_secrets(wanted)) == []
    (tmp_path / "credentials" / "password").chmod(0o644)
    (tmp_path / "key.pem").chmod(0o604)
    (tmp_path / "cert.pem").chmod(0o644)
    told = list(open_secrets(wanted))
    assert [words.partition(" ")[0] for words in told] == [str(tmp_path / n) for n in ("credentials/password", "key.pem")]


def test_a_directory_that_is_not_there_is_no_failure(tmp_path: Path) -> None:
    """Who needs a secret from it says so."""
    wanted = settings("{url: 'mqtt://x'}", tmp_path)
    assert list(open_secrets(wanted.model_copy(update={"credentials_dir": tmp_path / "nowhere"}))) == []
