from __future__ import annotations

from pathlib import Path

import pytest

from gateway import localbroker
from gateway.cli.mqttclient import MqttClient
from gateway.localbroker import NoBroker
from gateway.settings_types import broker_url
from tests.lacking import lacking

SAMPLE = Path(__file__).parents[1] / "deploy" / "mosquitto" / "mosquitto.conf"


def present(kind: str) -> bool:
    """Whether this machine has that kind of broker."""
    return bool(localbroker._COMMANDS[kind]())


@pytest.mark.parametrize("kind", localbroker.KINDS)
def test_a_broker_keeps_large_retained_messages(kind, tmp_path):
    """A broker of our own takes connections when ``start`` returns, and gives 256 KiB retained messages back."""
    if not present(kind):
        lacking(kind, rightly=kind != "mosquitto")
    broker = localbroker.start(tmp_path, [kind])
    try:
        with MqttClient(broker_url(broker.url)) as client:
            for number in range(3):
                client.publish(f"big/{number}", bytes(256 * 1024), retain=True)
            client.subscribe("big/#")
            received = {message.topic: len(message.payload) for message in iter(lambda: client.message(2), None)}
        assert received == {f"big/{number}": 256 * 1024 for number in range(3)}
        assert broker.process.ended() is None
    finally:
        broker.stop()
    assert broker.process.ended() is not None


def test_without_any_broker_the_error_says_how_to_get_one(tmp_path):
    """No known kind at hand is an error with the ways to mend it."""
    with pytest.raises(NoBroker, match="apt install mosquitto"):
        localbroker.start(tmp_path, [])


def test_a_broker_that_ends_at_once_tells_its_words(tmp_path, monkeypatch):
    """The error of a broker that does not start holds its output."""
    monkeypatch.setitem(localbroker._COMMANDS, "mosquitto", lambda: ["sh", "-c", "echo bad conf; exit 3"])
    with pytest.raises(NoBroker, match=r"(?s)mosquitto ended with exit code 3.*bad conf"):
        localbroker.start(tmp_path, ["mosquitto"])


def test_a_broker_that_can_not_be_run_is_an_error(tmp_path, monkeypatch):
    """A program that the system does not run is told with the system's reason."""
    monkeypatch.setitem(localbroker._COMMANDS, "mosquitto", lambda: ["/nothing-here"])
    with pytest.raises(NoBroker, match="No such file"):
        localbroker.start(tmp_path, ["mosquitto"])


def test_the_sample_configuration_sets_the_same():
    """What our own mosquitto gets is what the sample for sites recommends."""
    lines = [line for line in SAMPLE.read_text().splitlines() if line and not line.startswith("#")]
    sample = dict(line.split(" ", 1) for line in lines)
    site = {"listener": "1883 127.0.0.1", "persistence_location": "/var/lib/mosquitto/"}
    assert sample == localbroker.MOSQUITTO | site
