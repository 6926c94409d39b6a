"""Secrets that a driver_config names."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.store.judging import Config, errors, judge


@pytest.fixture
def vault(tmp_path: Path) -> Path:
    """A credentials directory."""
    (tmp_path / "device.host").write_text(" leaky-tiger-7\n")
    (tmp_path / "device.empty").write_text("\n")
    (tmp_path / "device.binary").write_bytes(b"\xff")
    (tmp_path / "mqtt-password").write_text("leaky-lion")
    return tmp_path


def secretive(name: object, key: str = "address") -> dict[str, Any]:
    """A config with a secret under one key of its driver_config."""
    return {"driver_type": "d", "driver_config": {"address": "x"} | {key: {"secret": name}}, "registry_config": []}


def test_a_secret_is_the_text_of_its_file(driver: None, vault: Path):
    """A named secret stands for the file's text without the white space around it."""
    (vault / "device.host").write_text(" good\n")
    spec = judge(secretive("device.host"), directory=vault).spec

    assert spec is not None
    assert isinstance(spec.config, Config)
    assert spec.config.address == "good"


def test_secrets_stand_at_any_depth(driver: None, vault: Path):
    """A secret inside a list or an object of the driver_config is found too."""
    config = secretive("device.host")
    config["driver_config"] = {"address": "x", "map": [{"password": {"secret": "device.host"}}]}
    spec = judge(config, directory=vault).spec

    assert spec is not None
    assert isinstance(spec.config, Config)
    assert spec.config.map == ({"password": "leaky-tiger-7"},)


@pytest.mark.parametrize(
    "name",
    ["mqtt-password", "device.", "device./../mqtt-password", "../device.host", "/device.host", "device.host\n", 5, None],
)
def test_only_device_secrets_may_be_named(driver: None, vault: Path, name: object):
    """A config can not reach a secret of the gateway's own, nor leave the directory."""
    assert "a device's secret has a name that begins with device." in errors(judge(secretive(name), directory=vault))[0]


@pytest.mark.parametrize(
    ("name", "word"), [("device.none", "there is no"), ("device.empty", "empty"), ("device.binary", "text")]
)
def test_a_secret_that_can_not_be_had_is_one_fault(driver: None, vault: Path, name: str, word: str):
    """A missing, empty or unreadable secret is told by name, and its key has no second fault."""
    found = errors(judge(secretive(name), directory=vault))

    assert len(found) == 1
    assert name in found[0]
    assert word in found[0]
    assert len(errors(judge(secretive(name)))) == 1


@pytest.mark.parametrize("key", ["address", "port", "map"])
def test_no_message_shows_a_secret(driver: None, vault: Path, key: str):
    """Neither the model's words nor the driver's show a secret, and the fault is still told."""
    verdict = judge(secretive("device.host", key), directory=vault)

    assert verdict.errors
    assert "tiger" not in str(verdict)
