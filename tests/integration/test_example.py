"""The example of a driver in a package of its own: installed as others would, by its own tests and on a whole gateway."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.site import Site
from tests.markdown import ROOT

EXAMPLE = ROOT / "examples" / "gateway-tally"


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the example, as building leaves files behind."""
    return shutil.copytree(EXAMPLE, tmp_path_factory.mktemp("example") / "gateway-tally")


@pytest.fixture(scope="module")
def installed(source: Path) -> Path:
    """A folder with the example installed, without a network."""
    target = source.parent / "installed"
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "install", "-qq", "--no-deps", "--no-build-isolation"]
    subprocess.run([*pip, "--target", target, source], check=True, timeout=100)
    return target


@pytest.fixture
def environ(installed: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """The environment of programs that find the package."""
    monkeypatch.setenv("PYTHONPATH", str(installed))
    return dict(os.environ)


@pytest.fixture
def board(environ: dict[str, str]) -> Iterator[int]:
    """The port of a board."""
    with subprocess.Popen(
        [sys.executable, "-m", "gateway_tally.board"], env=environ, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        yield int(process.stdout.readline())
        process.kill()


def test_its_own_tests_pass(source: Path, environ: dict[str, str]):
    """The suite of the gateway and what the example adds, run as its author would."""
    command = [sys.executable, "-m", "pytest", "-q", "-W", "error", "-p", "no:cacheprovider", "tests"]
    result = subprocess.run(command, cwd=source, env=environ, capture_output=True, text=True, timeout=100)
    assert result.returncode == 0, result.stdout + result.stderr
    assert "passed" in result.stdout


def test_its_sample_is_checked(environ: dict[str, str]):
    """The command knows the driver once the package is installed."""
    command = [sys.executable, "-m", "gateway", "check", EXAMPLE / "samples" / "device.json"]
    result = subprocess.run(command, env=environ, capture_output=True, text=True, timeout=60)
    assert "ok, a tally device with 4 points" in result.stdout


def test_it_runs_on_a_whole_gateway(site: Site, board: int):
    """Readings, meta, a write, a refusal by the board: all as with a driver of the gateway's own."""
    path = "C/B/board"
    edge, client = site.gateway(), site.connect()
    client.publish("config/registry.csv", (EXAMPLE / "samples" / "registry.csv").read_bytes(), retain=True)
    config = json.loads((EXAMPLE / "samples" / "device.json").read_text())
    config = config | {"interval": 0.2, "driver_config": {"host": "127.0.0.1", "port": board}}
    client.publish(f"config/devices/{path}", config, retain=True)

    assert client.reading(path)["values"] == {"Water": 12.0, "Energy": 345, "Visitors": 6, "Batches": 0}
    assert client.online(path)["driver"] == "tally"
    assert client.request(f"rpc/ann/set_point/{path}/Visitors", b"7").result == 7
    assert client.request(f"rpc/ann/set_point/{path}/Visitors", b"7.5").error["code"] == "bad_value"
    assert client.request(f"rpc/ann/set_point/{path}/Energy", b"7").error["code"] == "read_only"
    assert client.reading(path, lambda r: r["values"]["Visitors"] == 7)

    start = client.mark()
    client.publish(f"config/devices/{path}", config | {"driver_config": {"host": "127.0.0.1", "portt": 1}}, retain=True)
    rejected = client.status(path, after=start, verdict="rejected")
    assert {error["suggestion"] for error in rejected["config"]["errors"]} >= {"port"}
    assert edge.running


def test_a_driver_that_can_not_be_loaded_is_told_in_the_status(site: Site, environ: dict[str, str], tmp_path: Path):
    """Its devices are misconfigured, with the package and the reason; the others run."""
    info = tmp_path / "broken-0.3.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: broken\nVersion: 0.3\n")
    (info / "entry_points.txt").write_text("[gateway.interfaces]\nbroken = broken_driver:Interface\n")
    (tmp_path / "broken_driver.py").write_text("import a_library_that_is_missing\n")
    os.environ["PYTHONPATH"] += f":{tmp_path}"
    edge, client = site.gateway(), site.connect()
    edge.expects_traceback = True
    row = {"Point Name": "t", "Volttron Point Name": "t", "Type": "float"}
    client.publish("config/devices/C/B/broken", {"driver_type": "broken", "registry_config": [row]}, retain=True)
    client.publish("config/devices/C/B/good", {"driver_type": "fake", "registry_config": [row]}, retain=True)
    (error,) = client.status("C/B/broken", state="misconfigured")["config"]["errors"]
    assert error["where"] == "driver_type"
    assert error["message"] == (
        "the driver \"broken\" of broken 0.3 can not be loaded: No module named 'a_library_that_is_missing'"
    )
    client.online("C/B/good")
