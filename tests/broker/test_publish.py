"""PUBLISH packets, with the library's own reading of them as the judge."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from paho.mqtt._packet import decode_publish
from paho.mqtt.enums import MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties, VariableByteIntegers

from gateway.broker.publish import HEAD, LONGEST, MOST_USER, NOT_KEPT, decode
from gateway.model import Message
from gateway.payloads import BadPayload, text

TEXTS = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=20)
PROPERTIES = st.fixed_dictionaries(
    {},
    optional={
        "PayloadFormatIndicator": st.integers(0, 1),
        "MessageExpiryInterval": st.integers(0, 2**32 - 1),
        "ContentType": TEXTS,
        "ResponseTopic": TEXTS,
        "CorrelationData": st.binary(max_size=20),
        "SubscriptionIdentifier": st.integers(1, 2**28 - 1),
        "TopicAlias": st.integers(1, 65535),
        "UserProperty": st.lists(st.tuples(TEXTS, TEXTS), min_size=1, max_size=5),
    },
)


def packet(topic: bytes, qos: int, payload: bytes, properties: bytes = b"\0") -> bytes:
    """What follows the fixed header; the packet's id is 7."""
    return len(topic).to_bytes(2) + topic + (b"\0\7" if qos else b"") + properties + payload


def packed(given_properties: dict[str, Any]) -> bytes:
    """Properties as the library writes them."""
    properties: Any = Properties(PacketTypes.PUBLISH)
    for name, value in given_properties.items():
        setattr(properties, name, value)
    return bytes(properties.pack())


@given(TEXTS, st.integers(0, 1), st.booleans(), st.binary(max_size=300), PROPERTIES)
def test_a_message_is_what_was_published(topic: str, qos: int, retain: bool, payload: bytes, known: dict[str, Any]) -> None:
    """Topic, payload, flags and the properties that anybody uses are as the library reads them too."""
    command, whole = 0x30 | qos << 1 | retain, packet(topic.encode(), qos, payload, packed(known))
    judge: Any = decode_publish(command, whole, MQTTProtocolVersion.MQTTv5)
    mid, message = decode(command, whole, len(whole), 5.0)
    assert (mid, judge.mid) == (7 * qos, 7 * qos)
    assert message == Message(
        judge.topic.decode(),
        judge.payload,
        judge.retain,
        judge.qos,
        5.0,
        getattr(judge.properties, "ResponseTopic", None),
        getattr(judge.properties, "CorrelationData", None),
        getattr(judge.properties, "MessageExpiryInterval", None),
        tuple(getattr(judge.properties, "UserProperty", ())),
    )


@given(st.integers(0, 255), st.binary(max_size=100))
def test_any_bytes_are_a_message_or_refused(command: int, octets: bytes) -> None:
    """Nothing else comes of them."""
    try:
        _, message = decode(command, octets, len(octets), 0.0)
    except (ValueError, IndexError):
        return
    assert message is None or len(message.payload) <= len(octets)


@pytest.mark.parametrize(
    "properties",
    [b"\x7f", b"\xff\xff\xff\xff\x01", b"\x01\x63", b"\x02\x02\0", b"\x04\x08\0\x09a", b"\x05\x26\0\1a\0", b"\x80"],
)
def test_properties_that_are_none_are_refused(properties: bytes) -> None:
    """Too long, of no known kind, or cut short."""
    whole = packet(b"t", 1, b"", properties)
    with pytest.raises((ValueError, IndexError)):
        decode(0x32, whole, len(whole), 0.0)


@pytest.mark.parametrize("whole", [packet(b"\xff", 1, b""), packet(b"t", 1, b"", b"\x04\x08\0\1\xff")])
def test_what_is_no_text_is_nobodys(whole: bytes) -> None:
    """A topic that is not UTF-8 makes no message, but the packet is acknowledged."""
    assert decode(0x32, whole, len(whole), 0.0) == (7, None)


def test_of_a_long_packet_only_its_head_is_needed() -> None:
    """Its payload is one that everybody refuses as too long; topic and properties are there."""
    whole = packet(
        b"t" * 65_535, 1, b"x" * LONGEST, packed({"ResponseTopic": "r" * 65_535, "CorrelationData": b"c" * 65_535})
    )
    mid, message = decode(0x32, whole[:HEAD], len(whole), 0.0)
    assert mid == 7
    assert message == Message("t" * 65_535, NOT_KEPT, False, 1, 0.0, "r" * 65_535, b"c" * 65_535)
    with pytest.raises(BadPayload, match="longer than"):
        text(message.payload)


def test_properties_that_do_not_fit_in_the_head_are_left_out() -> None:
    """The message is refused in any case, and acknowledged."""
    whole = packet(b"t", 1, b"21.5", VariableByteIntegers.encode(LONGEST) + b"\x26\0\1a\0\0" * (LONGEST // 6))
    assert decode(0x32, whole[:HEAD], len(whole), 0.0) == (7, Message("t", NOT_KEPT, False, 1, 0.0))


def test_many_properties_cost_little() -> None:
    """Half a MiB of user properties takes a fraction of a second; the first are kept."""
    many = b"\x26\0\1a\0\0" * 80_000
    whole = packet(b"t", 0, b"21.5", VariableByteIntegers.encode(len(many)) + many)
    begun = time.process_time()
    _, message = decode(0x30, whole, len(whole), 0.0)
    assert time.process_time() - begun < 1
    assert message is not None
    assert message == replace(Message("t", b"21.5"), user=(("a", ""),) * MOST_USER)
