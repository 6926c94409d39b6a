"""Thousands of retained messages in a moment: MQTT 5 packets by hand, QoS 0, on a plain socket."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterable

from paho.mqtt.properties import VariableByteIntegers

from gateway.settings_types import BrokerUrl

# MQTT 5.0: CONNECT 3.1 (clean start, keepalive 0, no properties, an empty client id), PUBLISH 3.3, PINGREQ 3.12.
CONNECT = b"\x10\x0d\x00\x04MQTT\x05\x02\x00\x00\x00\x00\x00"
PINGREQ, PINGRESP = b"\xc0\x00", b"\xd0\x00"

PORTIONS = 50
"""So many times a second a flood is sent; each time as much as makes its rate."""


def retain(url: BrokerUrl, messages: Iterable[tuple[str, bytes]]) -> None:
    """Publish these retained messages; returns when the broker has them all."""
    with socket.create_connection((url.host, url.port), timeout=60) as sock:
        sock.sendall(CONNECT)
        sock.recv(1024)
        sock.sendall(b"".join(_publish(topic, payload) for topic, payload in messages) + PINGREQ)
        heard = b""
        while not heard.endswith(PINGRESP):
            data = sock.recv(1024)
            assert data, "the broker closed the connection"
            heard += data


def flood(url: BrokerUrl, topic: str, payload: bytes, rate: int, seconds: float, properties: bytes = b"\x00") -> float:
    """Publish this message so often a second for so long, not retained; how many a second it came to."""
    with socket.create_connection((url.host, url.port), timeout=60) as sock:
        sock.sendall(CONNECT)
        sock.recv(1024)
        begun, portion = time.monotonic(), _publish(topic, payload, b"\x30", properties) * (rate // PORTIONS)
        count = round(seconds * PORTIONS)
        for number in range(count):
            time.sleep(max(0.0, begun + number / PORTIONS - time.monotonic()))
            sock.sendall(portion)
        return count * (rate // PORTIONS) / (time.monotonic() - begun)


def _publish(topic: str, payload: bytes, kind: bytes = b"\x31", properties: bytes = b"\x00") -> bytes:
    body = len(topic.encode()).to_bytes(2, "big") + topic.encode() + properties + payload
    return kind + VariableByteIntegers.encode(len(body)) + body
