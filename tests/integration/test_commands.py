"""The commands that ask gateways, on two of them below one prefix."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from typer.testing import CliRunner

from gateway import localbroker
from gateway.cli import main
from tests.conftest_broker import Broker
from tests.integration.brokers import OwnBroker
from tests.integration.certificates import Authority
from tests.integration.documents import fake, point
from tests.integration.site import Site
from tests.integration.waiting import eventually

POINTS = (
    point("level", start="10", Max="99"),
    point("on", "bool", "true"),
    point("text", "string", "hello"),
    point("a+b", "int", "3"),
    point("fixed", start="50", writable=False),
)


@dataclass(frozen=True)
class Done:
    """How a command ended."""

    code: int
    out: str
    err: str


Command = Callable[..., Done]

needs_openssl = pytest.mark.skipif(
    shutil.which("openssl") is None and "CI" not in os.environ, reason="needs openssl: apt install openssl"
)


@pytest.fixture(scope="module")
def town(broker: Broker, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """Two gateways, for all tests of the module; each has a device ``C/B/<name>``."""
    with Site(broker, tmp_path_factory.mktemp("commands")) as site:
        client = site.connect()
        for name in ("east", "west"):
            edge = site.gateway(name)
            client.wait_for(f"gateways/{edge.id}/status", lambda m: m.json["state"] == "online")
            client.publish(f"config/devices/C/B/{name}", fake(*POINTS, gateway=edge.id), retain=True)
            client.online(f"C/B/{name}")
        yield site


@pytest.fixture
def command(town: Site) -> Command:
    """Runs a command on the site's broker, in the name of alice unless ``--as`` is given."""

    def run(*words: str) -> Done:
        who = () if "--as" in words else ("--as", "alice")
        arguments = [*words, "--broker", str(town.broker.url), "--prefix", town.prefix, *who]
        result = CliRunner().invoke(main, arguments)
        assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
        return Done(result.exit_code, result.stdout, result.stderr)

    return run


def test_get_prints_the_value(command: Command) -> None:
    """A number and a boolean are JSON, a text is as it stands, and a name that no topic takes goes by the payload."""
    shown = [command("get", "C/B/east", name).out for name in ("fixed", "on", "text", "a+b")]
    assert shown == ["50.0\n", "true\n", "hello\n", "3\n"]


def test_set_prints_what_the_device_took(command: Command) -> None:
    """Values are read as the point's type says, negative numbers are no options, and texts may look like anything."""
    assert command("set", "C/B/east", "level", "-2.5") == Done(0, "-2.5\n", "")
    assert command("set", "C/B/east", "on", "false").out == "false\n"
    assert command("set", "C/B/east", "text", "5").out == "5\n"
    assert command("set", "C/B/east", "text", "{}").out == "{}\n"
    assert command("set", "C/B/east", "a+b", "7").out == "7\n"
    assert command("get", "C/B/east", "a+b").out == "7\n"


def test_a_refusal_is_told_and_is_exit_code_1(command: Command) -> None:
    """The gateway's code and words are on standard error; nothing is on standard output."""
    done = command("set", "C/B/east", "level", "100")
    assert (done.code, done.out) == (1, "")
    assert done.err.startswith('out_of_range: 100 is outside the limits of "level"')
    assert command("get", "C/B/east", "levle").err.startswith("unknown_point:")
    assert command("set", "C/B/east", "level", "1", "--priority", "8").err.startswith("bad_request:")


def test_json_is_what_came(command: Command) -> None:
    """With --json an answer is one object on a line, an error too."""
    assert json.loads(command("get", "C/B/east", "fixed", "--json").out) == {"result": 50.0}
    refused = command("set", "C/B/east", "fixed", "1", "--json")
    assert (refused.code, json.loads(refused.out)["error"]["code"]) == (1, "read_only")


def test_a_lease_from_its_start_to_its_end(command: Command) -> None:
    """Acquired, it keeps others off, is listed and renewed; released, what was written is given back."""
    granted = json.loads(command("lease", "acquire", "C/B/west", "--duration", "60", "--json").out)["result"]
    assert command("set", "C/B/west", "level", "12", "--task", granted["task_id"]).out == "12.0\n"
    assert command("set", "C/B/west", "level", "13", "--as", "bob").err.startswith("leased_by_other:")
    assert command("set", "C/B/west", "level", "13", "--task", "another").err.startswith("lease_lost:")
    head, slot = command("lease", "list", "C/B/west").out.splitlines()
    assert (head.split()[:2], slot.split()[:5]) == (["DEVICE", "HOLDER"], ["C/B/west", "alice", "LOW", "in", "force"])
    assert f"task {granted['task_id']}, fence {granted['fence']}" in command("lease", "renew", "C/B/west").out
    assert command("lease", "release", "C/B/west") == Done(0, "", "")
    eventually(lambda: command("get", "C/B/west", "level").out == "10.0\n", "the value is given back")
    assert command("lease", "release", "C/B/west").err.startswith("lease_lost:")


def test_a_list_waits_for_all_gateways(command: Command, town: Site) -> None:
    """Leases of two gateways are in one list; with --gateway those of this one alone."""
    for name in ("east", "west"):
        assert command("lease", "acquire", f"C/B/{name}").out.startswith(f"C/B/{name} from ")
    assert [line.split()[0] for line in command("lease", "list").out.splitlines()] == ["DEVICE", "C/B/east", "C/B/west"]
    assert "west" not in command("lease", "list", "--gateway", town.gateways[0].id).out
    for name in ("east", "west"):
        command("lease", "release", f"C/B/{name}")
    assert command("lease", "list") == Done(0, "", "")


def test_a_gateway_that_is_online_and_silent_is_told(command: Command, town: Site) -> None:
    """What the others answer is shown, who did not is named, and the exit code is 2."""
    town.gateways[1].freeze()
    done = command("lease", "list", "--timeout", "1")
    town.gateways[1].resume()
    assert done.code == 2
    assert done.err == f"no answer from a gateway that is online by {town.prefix}/gateways/{town.gateways[1].id}/status\n"


def test_overrides_of_all_gateways(command: Command) -> None:
    """Set, it keeps everybody off; taken back or cleared on all gateways, writes go out again."""
    assert command("override", "on", "C/B/*").out == "C/B/* is overridden until it is taken back\n"
    assert command("set", "C/B/west", "level", "5").err.startswith("overridden:")
    assert len(command("override", "list").out.splitlines()) == 3
    assert command("override", "off", "C/B/*") == Done(0, "", "")
    assert command("override", "on", "C/B/east", "--duration", "60").code == 0
    assert command("override", "clear") == Done(0, "", "")
    assert command("override", "list").out == ""
    assert command("set", "C/B/west", "level", "5").code == 0


def test_watch_prints_a_line_for_each_reading(command: Command, town: Site) -> None:
    """Piped, a reading is its topic and payload; with --json one object; a filter leaves the others out."""
    lines = command("watch", "C/B/east", "--seconds", "1").out.splitlines()
    assert lines
    assert {line.partition(" ")[0] for line in lines} == {f"{town.prefix}/devices/C/B/east/all"}
    readings = [json.loads(line) for line in command("watch", "--seconds", "1", "--json").out.splitlines()]
    assert {reading["device"] for reading in readings} == {"C/B/east", "C/B/west"}
    assert readings[0]["values"]["fixed"] == 50.0


@pytest.mark.skipif(shutil.which("script") is None and "CI" not in os.environ, reason="needs script(1)")
def test_watch_is_a_table_on_a_terminal(town: Site) -> None:
    """On a terminal each point has a row, with its device and the device's state."""
    options = ["--broker", str(town.broker.url), "--prefix", town.prefix, "--seconds", "1.5"]
    done = subprocess.run(
        ["script", "-qec", f"{sys.executable} -m gateway watch 'C/#' {' '.join(options)}", "/dev/null"],
        capture_output=True,
        text=True,
        timeout=20,
        check=True,
    )
    assert "C/B/east  online" in done.stdout
    assert "level" in done.stdout


def test_no_broker_is_exit_code_2() -> None:
    """A broker that is not there is told with its url."""
    url = f"mqtt://127.0.0.1:{localbroker.free_port()}"
    result = CliRunner().invoke(main, ["get", "C/B/D", "p", "--broker", url])
    assert (result.exit_code, url in result.stderr) == (2, True)


def test_no_gateway_is_exit_code_2(town: Site) -> None:
    """Where nobody listens, or nobody answers, the words say so."""
    options = ["--broker", str(town.broker.url), "--prefix", f"{town.prefix}none", "--timeout", "1"]
    result = CliRunner().invoke(main, ["set", "C/B/D", "p", "1", *options])
    assert result.exit_code == 2
    assert result.stderr.startswith(("no gateway listens to", "no answer to"))


@needs_openssl
def test_a_broker_that_wants_a_certificate(own_broker: Callable[..., OwnBroker], tmp_path: Path, site: Site) -> None:
    """With --cert and --key one is let in, under the name in the certificate; without, the broker is closed."""
    authority = Authority(tmp_path / "authority").begin()
    cert, key = authority.issue("broker", f"IP:{localbroker.HOST}")
    mine, my_key = authority.issue("carol")
    port = localbroker.free_port()
    files = [f"cafile {authority.ca}", f"certfile {cert}", f"keyfile {key}", "require_certificate true"]
    broker = own_broker(lines=[f"listener {port} {localbroker.HOST}", *files])
    client, edge = site.connect(url=broker.url), site.gateway(url=str(broker.url))
    client.publish("config/devices/C/B/D", fake(*POINTS), retain=True)
    client.online("C/B/D")
    words = ["get", "C/B/D", "fixed", "--broker", f"mqtts://{localbroker.HOST}:{port}", "--prefix", site.prefix]
    words += ["--ca", str(authority.ca), "--as", "carol", "--timeout", "5"]
    result = CliRunner().invoke(main, [*words, "--cert", str(mine), "--key", str(my_key)])
    assert (result.exit_code, result.stdout) == (0, "50.0\n"), result.stderr
    assert CliRunner().invoke(main, words).exit_code == 2
    wrong = CliRunner().invoke(main, [*words, "--cert", str(mine), "--key", str(key)])
    assert (wrong.exit_code, "no connection to" in wrong.stderr) == (2, True)
    edge.stop()


ACL = """\
user viewer
topic read #
topic write rpc/viewer/get_point/#
"""


@pytest.fixture
def guarded(own_broker: Callable[..., OwnBroker], tmp_path: Path) -> list[str]:
    """The options for a broker that speaks TLS, wants a password, and lets its one user read alone."""
    authority = Authority(tmp_path / "authority").begin()
    cert, key = authority.issue("broker", f"IP:{localbroker.HOST}")
    passwords, acl, secret = (tmp_path / name for name in ("passwords", "acl", "secret"))
    subprocess.run(["mosquitto_passwd", "-b", "-c", str(passwords), "viewer", "s3cret"], check=True)
    acl.write_text(ACL)
    secret.write_text("s3cret\n")
    port = localbroker.free_port()
    conf = {"allow_anonymous": "false", "password_file": str(passwords), "acl_file": str(acl)}
    own_broker(conf, [f"listener {port} {localbroker.HOST}", f"certfile {cert}", f"keyfile {key}"])
    url = f"mqtts://{localbroker.HOST}:{port}"
    return ["--broker", url, "--ca", str(authority.ca), "--username", "viewer", "--password-file", str(secret)]


@needs_openssl
def test_a_guarded_broker(guarded: list[str], tmp_path: Path) -> None:
    """With CA and password one is let in; what the access rules forbid, a wrong password and a strange CA are told."""

    def said(*words: str) -> str:
        command = [sys.executable, "-m", "gateway", *words, *guarded, "--timeout", "1"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=20)
        assert done.returncode == 2
        return done.stderr

    assert said("get", "C/B/D", "p").startswith(("no gateway listens to rpc/viewer/get_point/C/B/D/p", "no answer"))
    assert "does not take a message to rpc/viewer/set_point/C/B/D/p: Not authorized" in said("set", "C/B/D", "p", "1")
    (tmp_path / "secret").write_text("wrong")
    assert "does not let us in: Not authorized" in said("get", "C/B/D", "p")
    guarded[3] = str(Authority(tmp_path / "stranger").begin().ca)
    assert "certificate" in said("get", "C/B/D", "p")
