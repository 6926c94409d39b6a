from __future__ import annotations

import socket
import threading

import pytest

from gateway.cli.mqttclient import Message, MqttClient, NoConnection
from gateway.localbroker import free_port
from gateway.settings_types import BrokerUrl


def test_what_one_client_publishes_another_receives(broker):
    """A message comes in on a subscription with its topic, payload and whether it was retained."""
    with MqttClient(broker.url) as one, MqttClient(broker.url) as other:
        one.publish("mqttclient/kept", b"\x00old", retain=True)
        other.subscribe("mqttclient/#")
        assert other.message(5) == Message("mqttclient/kept", b"\x00old", True)
        one.publish("mqttclient/new", b"new")
        assert other.message(5) == Message("mqttclient/new", b"new", False)
        one.publish("mqttclient/kept", b"", retain=True)


def test_silence_is_none(broker):
    """Without a message within the time there is None."""
    with MqttClient(broker.url) as client:
        client.subscribe("mqttclient/silent")
        assert client.message(0.01) is None


def test_no_broker_is_an_error_with_its_url():
    """A port that nobody listens on is NoConnection, naming the broker."""
    port = free_port()
    with pytest.raises(NoConnection, match=f"mqtt://127.0.0.1:{port}"), MqttClient(BrokerUrl("127.0.0.1", port, False)):
        pass


@pytest.fixture
def scripted():
    """A broker of one answer: a function that takes its CONNACK and gives its url."""
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def serve(connack: bytes) -> None:
            with listening.accept()[0] as connection:
                connection.recv(1000)
                connection.sendall(connack)
                while connection.recv(1000):
                    pass

        def start(connack: bytes) -> BrokerUrl:
            threading.Thread(target=serve, args=(connack,)).start()
            return BrokerUrl("127.0.0.1", listening.getsockname()[1], False)

        yield start


def test_a_refused_login_is_an_error_with_the_reason(scripted):
    """A CONNACK with a failure (MQTT 5.0, 3.2.2.2) is NoConnection with its words."""
    with pytest.raises(NoConnection, match="Not authorized"), MqttClient(scripted(b"\x20\x03\x00\x87\x00")):
        pass


def test_a_broker_that_does_not_answer_is_an_error(scripted):
    """Without a CONNACK in time there is NoConnection."""
    with pytest.raises(NoConnection, match="no answer"), MqttClient(scripted(b""), timeout=0.05):
        pass


def test_a_message_that_is_not_acknowledged_is_an_error(scripted):
    """A publish without its PUBACK in time is NoConnection, naming the topic."""
    with (
        MqttClient(scripted(b"\x20\x03\x00\x00\x00"), timeout=1) as client,
        pytest.raises(NoConnection, match="did not acknowledge some/topic"),
    ):
        client.publish("some/topic", b"x")


def test_publishing_after_the_end_is_an_error(broker):
    """A message that can not leave is NoConnection, not silence."""
    client = MqttClient(broker.url, timeout=0.1)
    with client:
        pass
    with pytest.raises(NoConnection, match="mqttclient/late"):
        client.publish("mqttclient/late", b"x")


def test_a_replay_that_the_broker_does_not_let_us_mark_has_no_further_step(broker):
    """A step that fails after the end of a replay is told to who waits for messages, and the connection lives on."""

    def settled() -> None:
        raise NoConnection("the witness is gone")

    with MqttClient(broker.url) as client:
        client.replay("mqttclient/#", "mqttclient/end", settled)
        with pytest.raises(NoConnection, match="the witness is gone"):
            list(iter(lambda: client.message(2), None))
        client.publish("mqttclient/alive", b"x")
