from __future__ import annotations

import socket
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.allow import Allow
from gateway.settings import SettingsError, load
from gateway.settings_types import BrokerUrl, broker_url

FULL = """\
gateway_id: edge-1
broker:
  {url: "mqtts://broker:8884", username: edge-1, password: {secret: mqtt-password},
   ca: ca.pem, cert: c.pem, key: k.pem, crl: r.pem}
topic_prefix: site/a
state_dir: state
credentials_dir: secrets
scope: ["C/B/#", "C/D/+"]
adopt: [edge-0]
reply_topics: any
json_rpc: false
allow: {networks: [any, 10.1.0.0/16], serial_ports: [/dev/ttyS0]}
actuator:
  {lease_required: true, preempt_grace: 0, max_lease: 1h, heartbeat_interval: 1.5, announce_interval: 2m, high: [ops]}
bacnet: {address: "192.168.1.10/24:47808"}
outbox: {max_bytes: 1.5GiB, max_age: 12h}
"""


@pytest.fixture
def write(tmp_path):
    """A settings file with some text, beside the files that it may name."""
    for name in ("ca.pem", "c.pem", "k.pem", "r.pem"):
        (tmp_path / name).write_text("x")
    (tmp_path / "secrets").mkdir()
    (tmp_path / "secrets" / "mqtt-password").write_text("hunter2\n")

    def write(text: str) -> Path:
        path = tmp_path / "settings.yaml"
        path.write_text(text)
        return path

    return write


def faults(path, **given_too):
    """The faults of a settings file, without the path."""
    with pytest.raises(SettingsError) as caught:
        load(path, **{"environ": {}} | given_too)
    return [fault.replace(f"{path} ", "").replace(f"{path}", "") for fault in caught.value.faults]


def test_without_a_file_everything_but_the_url_has_its_default():
    """The defaults are those of the reference."""
    settings = load(None, broker="mqtt://broker", environ={})
    assert settings.gateway_id == socket.gethostname()
    assert settings.broker.url == BrokerUrl("broker", 1883, False)
    assert (settings.topic_prefix, settings.scope, settings.adopt) == ("", ("#",), ())
    assert (settings.reply_topics, settings.json_rpc) == ("own", True)
    assert settings.state_dir == Path("/var/lib/gateway")
    assert settings.credentials_dir is None
    assert settings.allow == Allow()
    assert settings.bacnet.address is None
    assert settings.actuator.model_dump() == {
        "lease_required": False,
        "preempt_grace": 60,
        "max_lease": 86400,
        "heartbeat_interval": 60,
        "announce_interval": 60,
        "high": ("*",),
    }
    assert (settings.outbox.max_bytes, settings.outbox.max_age) == (512 * 1024**2, 7 * 86400)


def test_every_key_of_the_file_is_taken(write, tmp_path):
    """A file with every key gives a setting for each; its relative paths count from its directory."""
    settings = load(write(FULL), environ={})
    broker = settings.broker
    assert (settings.gateway_id, settings.topic_prefix, settings.adopt) == ("edge-1", "site/a", ("edge-0",))
    assert (broker.url, broker.username) == (BrokerUrl("broker", 8884, True), "edge-1")
    assert [broker.ca, broker.cert, broker.key, broker.crl] == [tmp_path / f"{n}.pem" for n in ("ca", "c", "k", "r")]
    assert broker.password is not None
    assert broker.password.get_secret_value() == "hunter2"
    assert (settings.state_dir, settings.credentials_dir) == (tmp_path / "state", tmp_path / "secrets")
    assert settings.scope == ("C/B/#", "C/D/+")
    assert settings.allow == Allow(("any", "10.1.0.0/16"), ("/dev/ttyS0",))
    assert settings.actuator.model_dump() == {
        "lease_required": True,
        "preempt_grace": 0,
        "max_lease": 3600,
        "heartbeat_interval": 1.5,
        "announce_interval": 120,
        "high": ("ops",),
    }
    assert settings.bacnet.address == "192.168.1.10/24:47808"
    assert (settings.outbox.max_bytes, settings.outbox.max_age) == (3 << 29, 43200)


def test_the_command_line_stands_over_the_file(write, monkeypatch, tmp_path):
    """--broker replaces the url alone, and --state-dir counts from the working directory."""
    monkeypatch.chdir("/")
    path = write("broker: {url: mqtt://a, username: u}\nstate_dir: x\n")
    settings = load(path, broker="tcp://b:7", state_dir=Path("y"), environ={})
    assert (settings.broker.url, settings.broker.username) == (BrokerUrl("b", 7, False), "u")
    assert settings.state_dir == Path("/y")


def test_the_service_manager_gives_the_credentials_directory(write, tmp_path):
    """$CREDENTIALS_DIRECTORY holds where the file names no credentials_dir, and only there."""
    secrets = str(tmp_path / "secrets")
    text = "broker: {url: mqtt://a, password: {secret: mqtt-password}}\n"
    assert load(write(text), environ={"CREDENTIALS_DIRECTORY": secrets}).broker.password is not None
    assert load(write(text + "credentials_dir: secrets\n"), environ={"CREDENTIALS_DIRECTORY": "/none"}).broker.password


def test_a_password_is_never_shown(write):
    """Neither repr nor str of the settings hold the password."""
    settings = load(write(FULL), environ={})
    assert "hunter2" not in repr(settings) + str(settings)


def test_only_the_last_line_end_is_cut_from_a_secret(write, tmp_path):
    """Other white space belongs to the password."""
    (tmp_path / "secrets" / "mqtt-password").write_text(" a b \r\n")
    password = load(write(FULL), environ={}).broker.password
    assert password is not None
    assert password.get_secret_value() == " a b "


def test_no_url_at_all_is_told_with_both_ways_out():
    """Without a file and without --broker the error names both ways to give the url."""
    missing = 'settings: the key "broker.url" is missing: set it in the settings file, or give --broker URL'
    assert faults(None) == [missing]


def test_a_fault_of_the_command_line_is_told_as_such(write):
    """A bad --broker is not blamed on a line of the file."""
    assert faults(write("topic_prefix: x\n"), broker="http://x") == ["--broker: broker.url: begins with mqtt:// or mqtts://"]


def test_all_faults_come_at_once_in_the_order_of_their_lines(write):
    """Faults of form, unknown keys, wrong types and bad values are told together."""
    found = faults(
        write(
            "gateway_id: a/b\nbrokr: 1\nbroker:\n  url: mqtt://x\n  ca: ca.pem\n  usrname: u\n"
            "json_rpc: yes\nscope: [C/#]\nscope: [D/#]\noutbox: {max_age: soon}\n"
        )
    )
    assert [fault.partition(":")[0] for fault in found] == [f"line {n}" for n in (1, 2, 5, 6, 7, 9, 10)]
    assert found[1] == 'line 2: unknown key "brokr"; did you mean "broker"?'
    assert found[3] == 'line 6: unknown key "broker.usrname"; did you mean "username"?'
    assert found[5] == 'line 9: the key "scope" stands twice'


def test_a_value_that_can_not_be_read_is_one_fault(write):
    """The consequences of a fault of form are not told beside it."""
    assert faults(write("broker: {url: mqtt://x}\njson_rpc: !yes 1\n")) == ["line 2: the tag !yes is not accepted"]


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("xyz: 1", 'unknown key "xyz"; known are gateway_id, broker'),
        ("gateway_id: ''", "topic level"),
        ("gateway_id: $x", "topic level"),
        ("gateway_id: 5", "gateway_id: takes text, not a number"),
        ("gateway_id: a.data", "second connection"),
        ("topic_prefix: /a", "topic prefix"),
        ("topic_prefix: a/#", "topic prefix"),
        ("state_dir: [a]", "takes a path"),
        ("scope: C/B/#", "scope: takes a list such as [one, two], not text"),
        ("scope: []", "no device would be ours"),
        ("scope: [C/B]", 'scope[0]: "C/B" names no device'),
        ("scope: [C/#, C/B/#]", "overlap"),
        ("scope: [C/#, C/#]", "overlap"),
        ("adopt: [a, b+]", "adopt[1]"),
        ("reply_topics: all", "takes 'own' or 'any'"),
        ("json_rpc: 1", "takes true or false, not a number"),
        ("allow: {networks: [privat]}", "allow.networks[0]: takes loopback, private, any or a block"),
        ("allow: {networks: [10.0.0.1/8]}", "host bits"),
        ("allow: ", "allow: takes keys and values, not nothing"),
        ("actuator: {max_lease: 0}", "actuator.max_lease: must be above 0"),
        ("actuator: {preempt_grace: -1}", "takes a number or text such as 30s"),
        ("actuator: {max_lease: .inf}", "takes a number or text such as 30s"),
        ("actuator: {max_lease: true}", "takes a number or text such as 30s"),
        ("actuator: {max_lease: 99999d}", "is more than"),
        ("actuator: {high: [1]}", "actuator.high[0]: takes text, not a number"),
        ("bacnet: {address: '::1'}", "an address of this machine"),
        ("bacnet: {address: '1.2.3.4:70000'}", "an address of this machine"),
        ("outbox: {max_bytes: 5XB}", "512MiB"),
        ("outbox: {max_bytes: 0}", "must be above 0"),
    ],
)
def test_each_kind_of_fault_says_what_is_wanted(write, line, words):
    """One bad line is one fault, at that line, in plain words."""
    found = faults(write(f"broker: {{url: mqtt://x}}\n{line}\n"))
    assert len(found) == 1
    assert found[0].startswith("line 2: ")
    assert words in found[0]


@pytest.mark.parametrize(
    ("broker", "words"),
    [
        ("{url: mqtts://x, key: k.pem}", "broker.key: is a key without a certificate"),
        ("{url: mqtts://x, ca: none.pem}", "none.pem can not be read: No such file"),
        ("{url: mqtt://x, ca: ca.pem}", "broker.ca: is for TLS"),
        ("{url: mqtt://x, cert: c.pem}", "broker.cert: is for TLS"),
        ("{url: mqtt://x, password: hunter2}", "broker.password: takes {secret: name}"),
        ("{url: mqtt://x, password: {secret: ../hunter2}}", "broker.password: takes {secret: name}"),
        ("{url: mqtt://x, password: {secret: .hunter2}}", "broker.password: takes {secret: name}"),
        ("{url: mqtt://x, password: {secret: none}}", "none can not be read: No such file"),
        ("{url: mqtt://x, password: {secret: empty}}", "is empty"),
        ("{url: mqtt://x, password: {secret: binary}}", "is not UTF-8"),
        ("mqtt://hunter2", "broker: takes keys and values, not text"),
        ("{url: 'mqtt://u:hunter2@x'}", "holds a user or password"),
        ("{url: 'hunter2'}", "begins with mqtt://"),
    ],
)
def test_a_broker_that_can_not_be_reached_safely_is_refused(write, tmp_path, broker, words):
    """Bad urls, files and secrets are faults, and none of them repeats what may be a password."""
    (tmp_path / "secrets" / "empty").write_text("\n")
    (tmp_path / "secrets" / "binary").write_bytes(b"\xff")
    found = faults(write(f"credentials_dir: secrets\nbroker: {broker}\n"))
    assert len(found) == 1
    assert words in found[0]
    assert "hunter2" not in found[0]


def test_a_secret_needs_a_directory_to_be_in(write):
    """A password without any credentials directory says what to set."""
    assert "credentials_dir" in faults(write("broker: {url: mqtt://x, password: {secret: a}}\n"))[0]


@pytest.mark.parametrize("text", ["- a\n", "just text\n", "a: [\n", "#" * 300_000])
def test_a_file_that_holds_no_settings_is_refused(write, text):
    """A list, a text, broken YAML or a huge file is one plain fault."""
    assert len(faults(write(text))) == 1


def test_a_file_that_is_not_there_is_told(tmp_path):
    """The error names the file and the system's reason."""
    assert faults(tmp_path / "none.yaml") == [": can not be read: No such file or directory"]


@pytest.mark.parametrize(
    ("text", "url"),
    [
        ("mqtt://h", BrokerUrl("h", 1883, False)),
        ("tcp://h/", BrokerUrl("h", 1883, False)),
        ("mqtts://h", BrokerUrl("h", 8883, True)),
        ("ssl://h:1", BrokerUrl("h", 1, True)),
        ("mqtt://[::1]:65535", BrokerUrl("::1", 65535, False)),
    ],
)
def test_urls_have_two_schemes_their_aliases_and_default_ports(text, url):
    """Mqtt and tcp are plain on 1883, mqtts and ssl are TLS on 8883, IPv6 stands in brackets."""
    assert broker_url(text) == url
    assert broker_url(str(url)) == url


@pytest.mark.parametrize(
    "text", ["", "h", "h:1883", "ws://h", "mqtt:h", "mqtt://", "mqtt://:1", "mqtt://h:0", "mqtt://h:70000", "mqtt://h:x"]
)
def test_other_urls_are_refused(text):
    """Other schemes, no host and ports that do not exist are faults."""
    with pytest.raises(ValueError, match=r"mqtt://|port"):
        broker_url(text)


@pytest.mark.parametrize("text", ["mqtt://h/path", "mqtt://h?x=1", "mqtt://h#x"])
def test_a_url_is_only_a_host_and_a_port(text):
    """What a broker url can not mean is refused, not dropped."""
    with pytest.raises(ValueError, match="more than"):
        broker_url(text)


@given(st.text(max_size=40))
def test_any_text_is_a_url_or_refused(text):
    """No text raises anything but ValueError, and what is taken can be written and read again."""
    try:
        url = broker_url(f"mqtt://{text}")
    except ValueError:
        return
    assert broker_url(str(url)) == url


@given(st.integers(0, 9_000), st.sampled_from([("s", 1), ("m", 60), ("h", 3600), (" d", 86400), ("", 1)]))
def test_durations_are_numbers_times_their_unit(tmp_path_factory, number, unit):
    """``90m`` is 5400 seconds; a plain number is seconds."""
    path = tmp_path_factory.mktemp("s") / "s.yaml"
    if number * unit[1] > 3650 * 86400:
        return
    path.write_text(f"broker: {{url: mqtt://x}}\nactuator: {{preempt_grace: {number}{unit[0]}}}\n")
    assert load(path, environ={}).actuator.preempt_grace == number * unit[1]
