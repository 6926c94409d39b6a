"""All configurations of a broker saved, and given back, by ``gateway pull`` and ``gateway push``."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from typer.testing import CliRunner

from gateway import localbroker
from gateway.cli import main
from gateway.settings_types import BrokerUrl
from tests.conftest_broker import not_on_iotcore
from tests.integration.brokers import STOCK, OwnBroker
from tests.integration.client import TestClient
from tests.integration.documents import csv, fake, point
from tests.integration.fastclient import retain
from tests.integration.site import Site
from tests.integration.waiting import PATIENCE


@dataclass(frozen=True)
class Done:
    """How a command ended."""

    code: int
    out: str
    err: str


Command = Callable[..., Done]


def run(url: BrokerUrl, prefix: str, *words: str | Path) -> Done:
    """Run a command below a prefix."""
    arguments = [*map(str, words), "--broker", str(url), "--prefix", prefix]
    result = CliRunner().invoke(main, arguments)
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return Done(result.exit_code, result.stdout, result.stderr)


@pytest.fixture
def command(site: Site) -> Command:
    """Runs a command on the site's broker."""
    return lambda *words: run(site.broker.url, site.prefix, *words)


def volttron(directory: Path, points: int = 1) -> Path:
    """A directory as VOLTTRON's bulk loader takes it: one device with a registry, and the driver agent's own settings."""
    files = {
        "config": b'{"driver_scrape_interval": 0.05}',
        "devices/campus/building/unit": json.dumps(fake("config://registry_configs/unit.csv")).encode(),
        "registry_configs/unit.csv": csv(*(point(f"p{n}") for n in range(points))),
    }
    for name, payload in files.items():
        (directory / name).parent.mkdir(parents=True, exist_ok=True)
        (directory / name).write_bytes(payload)
    return directory


def configs(site: Site) -> dict[str, bytes]:
    """What the broker keeps below ``config/``."""
    return {topic: message.payload for topic, message in site.kept("config/#").items()}


def test_volttrons_directory_becomes_devices(command: Command, client: TestClient, site: Site, tmp_path: Path) -> None:
    """What was pushed runs on a gateway; pushed again, nothing changes; the driver agent's own settings stay behind."""
    site.gateway()
    first = command("push", volttron(tmp_path))
    assert (first.code, first.out.splitlines()) == (
        0,
        [
            f"+ {site.prefix}/config/devices/campus/building/unit",
            f"+ {site.prefix}/config/registry_configs/unit.csv",
            "2 new, 0 changed, 0 to remove, 0 the same",
        ],
    )
    client.online("campus/building/unit")
    assert command("push", tmp_path) == Done(0, "0 new, 0 changed, 0 to remove, 2 the same\n", "")
    assert set(configs(site)) == {"config/devices/campus/building/unit", "config/registry_configs/unit.csv"}
    volttron(tmp_path, points=2)
    changed = command("push", tmp_path)
    assert "    +p1,p1,float,1.5,True" in changed.out.splitlines()
    client.reading("campus/building/unit", lambda reading: set(reading["values"]) == {"p0", "p1"})


def test_a_backup_brings_everything_back(command: Command, client: TestClient, site: Site, tmp_path: Path) -> None:
    """Saved, lost and pushed, the broker keeps the same bytes on the same topics."""
    payloads = {
        "devices/C/B/D": fake(),
        "devices/C/B/D/E": fake("config://x/ä%.csv"),
        "x/ä%.csv": csv(point("t")),
        "x": b'{"a":1}',
    }
    for path, payload in payloads.items():
        client.publish(f"config/{path}", payload, retain=True)
    before = configs(site)
    saved = command("pull", tmp_path / "backup")
    assert (saved.code, saved.out) == (0, f"4 configurations saved below {tmp_path / 'backup' / 'config'}\n")
    for topic in before:
        client.publish(topic, b"", retain=True)
    assert configs(site) == {}
    assert command("push", tmp_path / "backup").code == 0
    assert configs(site) == before
    assert len(before) == 4


def test_pull_overwrites_only_when_told(command: Command, client: TestClient, tmp_path: Path) -> None:
    """A file with another content stops it before anything is written; what the broker lacks is told and stays."""
    client.publish("config/a", b"{}", retain=True)
    (tmp_path / "config").mkdir()
    (tmp_path / "config" / "a").write_text("[]")
    (tmp_path / "config" / "old").write_text("{}")
    refused = command("pull", tmp_path)
    assert (refused.code, (tmp_path / "config" / "a").read_text()) == (2, "[]")
    assert "is there already" in refused.err
    forced = command("pull", tmp_path, "--force")
    assert (forced.code, (tmp_path / "config" / "a").read_text()) == (0, "{}")
    assert f"{tmp_path / 'config' / 'old'}: is not on the broker" in forced.err
    assert (tmp_path / "config" / "old").exists()


def test_one_fault_keeps_everything_back(command: Command, site: Site, tmp_path: Path) -> None:
    """Nothing is published if one of many devices is no good, and its fault has its place."""
    volttron(tmp_path)
    (tmp_path / "devices/campus/building/bad").write_text(json.dumps(fake(intervall=3)))
    refused = command("push", tmp_path)
    assert refused.code == 1
    assert refused.err == (
        f"{site.prefix}/config/devices/campus/building/bad: intervall: is not known (suggestion: interval)\n"
        "nothing is published\n"
    )
    assert configs(site) == {}


def test_a_dry_run_only_shows(command: Command, site: Site, tmp_path: Path) -> None:
    """What would change is shown, as one object with --json, and nothing is published."""
    shown = command("push", volttron(tmp_path), "--dry-run", "--json")
    assert (shown.code, json.loads(shown.out)["same"], len(json.loads(shown.out)["added"])) == (0, 0, 2)
    assert configs(site) == {}


def test_prune_removes_what_the_directory_lacks(command: Command, client: TestClient, site: Site, tmp_path: Path) -> None:
    """Only when asked for, and each topic is named; an empty directory removes nothing."""
    site.gateway()
    command("push", volttron(tmp_path))
    client.publish("config/devices/C/B/gone", fake(), retain=True)
    client.online("C/B/gone")
    assert command("push", tmp_path).out == "0 new, 0 changed, 0 to remove, 2 the same\n"
    assert "config/devices/C/B/gone" in configs(site)
    pruned = command("push", tmp_path, "--prune")
    assert pruned.out.splitlines()[0] == f"- {site.prefix}/config/devices/C/B/gone"
    client.wait_for("devices/C/B/gone/status", lambda m: not m.payload)
    assert len(configs(site)) == 2
    (tmp_path / "empty").mkdir()
    assert command("push", tmp_path / "empty", "--prune").code == 2
    assert len(configs(site)) == 2


def test_a_thousand_devices_take_seconds(
    command: Command, site: Site, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    """1,000 devices with a registry each are pushed, found the same, and saved again, for seconds of the processor each."""
    not_on_iotcore(request, "is slow with so many topics")
    for n in range(1000):
        for name, payload in (
            (f"devices/C/B{n % 20}/D{n}", json.dumps(fake(f"config://registry_configs/{n}.csv", interval=60)).encode()),
            (f"registry_configs/{n}.csv", csv(*(point(f"p{i}") for i in range(20)))),
        ):
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).write_bytes(payload)
    for words, said in (
        (("push", tmp_path), "2000 new, 0 changed, 0 to remove, 0 the same"),
        (("push", tmp_path, "--prune"), "0 new, 0 changed, 0 to remove, 2000 the same"),
        (("pull", tmp_path / "backup"), f"2000 configurations saved below {tmp_path}/backup/config"),
    ):
        begun = time.process_time()
        done = command(*words)
        took = time.process_time() - begun
        print(f"{words[0]}: {took:.1f} s")
        assert (done.code, done.out.splitlines()[-1], took < 10 * PATIENCE) == (0, said, True)


def test_a_cut_replay_never_prunes(own_broker: Callable[..., OwnBroker], site: Site, tmp_path: Path) -> None:
    """Where the broker cuts what it keeps, nothing is saved or removed, and the setting that cures it is named."""
    broker = own_broker(STOCK | {"max_queued_messages": "10"})
    payload = json.dumps({"x": "y" * 100_000}).encode()
    retain(broker.url, [(f"{site.prefix}/config/x/{n}", payload) for n in range(600)])
    for words in (("pull", tmp_path / "backup"), ("push", volttron(tmp_path / "v"), "--prune")):
        done = run(broker.url, site.prefix, *words)
        assert (done.code, done.out) == (2, "")
        assert "max_queued_messages" in done.err, done.err
    assert not (tmp_path / "backup").exists()
    published = run(broker.url, site.prefix, "push", tmp_path / "v")
    assert (published.code, published.out.splitlines()[-1]) == (0, "2 new, 0 changed, 0 to remove, 0 the same")
    assert "may be there already" in published.err


def test_no_broker_is_exit_code_2(tmp_path: Path) -> None:
    """Neither writes nor reads anything where there is no broker."""
    url = BrokerUrl(localbroker.HOST, localbroker.free_port(), False)
    assert run(url, "x", "pull", tmp_path / "backup").code == 2
    assert run(url, "x", "push", volttron(tmp_path)).code == 2
    assert run(url, "x", "push", tmp_path / "nowhere").err == f"{tmp_path}/nowhere/config: No such file or directory\n"
    assert not (tmp_path / "backup").exists()
