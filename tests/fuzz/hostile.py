"""Hostile payloads and topics: the same ones in each run, by a seed."""

from __future__ import annotations

import json
import random
from typing import Any

NASTY: tuple[Any, ...] = (
    None, True, False, 0, -1, 2**63, 2**64, 10**30, -0.0, 1e308, 5e-324, "", " ", "\x00", "\u202e", "é" * 300, "config://x",
    "config://", "config://../../etc/passwd", "config://devices/C/B/D", "C/+/D", "#", "+", "/", "$SYS/x", "..", "a" * 5000,
    [], {}, [[]], [{}], {"": ""}, {"secret": "device.x"}, {"secret": "../x"}, {"__class__": "x"}, "nan", "1e400", "1,5",
    "{}", "[]", "null", "true", "%s%n", "';--", "\ud800", [None] * 50, {"value": 1}, {"points": ["t"]}, list(range(300)),
)  # fmt: skip
"""Values that stand where others are meant to."""

WHOLE: tuple[bytes, ...] = (
    b"[" * 100_000,
    b'{"a":' * 100_000,
    b"[" * 100_000 + b"]" * 100_000,
    b'{"driver_type":' + b"[" * 33 + b"]" * 33 + b"}",
    b" " * 300_000,
    b'{"driver_type": "' + b"x" * 300_000 + b'"}',
    b'{"driver_type": "' + b"x" * 200_000 + b'"}',
    b'{"driver_type": NaN}',
    b'{"driver_type": "fake", "interval": 1e400}',
    b'{"driver_type": "fake", "interval": -Infinity}',
    b'{"driver_type": "fake", "interval": ' + b"9" * 5000 + b"}",
    b'{"driver_type": "fake", "driver_type": "fake"}',
    b'{"driver_type": "fake", "registry_config": [{"Point Name": 1, "Point Name": 2}]}',
    b'{"driver_type": "fa\xffke"}',
    b"\xff\xfe{\x00}\x00",
    b"\xef\xbb\xbf",
    b"\xed\xa0\x80",
    b'{"driver_type": "\\ud800"}',
    b'{"driver_type": "fake\x00"}',
    b'{"driver_type": "fake\\u0000"}',
    b"\x00",
    b"\x00" * 1000,
    b"{",
    b"}",
    b"{}",
    b"[]",
    b"[[]]",
    b"null",
    b"0",
    b'""',
    b"NaN",
    b",",
    b'"',
    b"//",
    b"/*" * 50_000,
    b"#" * 100_000,
    b'"' * 100_001,
    b"\\" * 100_000,
    b'{"a":"' + b"\\" * 100_000,
    b"a,b\n" * 50_000,
    b";" * 200_000,
    b"\n" * 200_000,
    b'{"driver_type": "modbus"}',
    b'{"driver_type": "os.system", "registry_config": []}',
    b'{"driver_type": "../../x"}',
    b'{"driver_type": "base"}',
    b'{"driver_type": "_modbus"}',
    b'{"driver_type": "__init__"}',
    b"{" + b",".join(b'"k%d": 1' % n for n in range(20_000)) + b"}",
    b'{"driver_type": "fake", "registry_config": [' + b",".join([b"1"] * 100_000) + b"]}",
    b'{"driver_type": "fake", "registry_config": [' + b",".join([b"{}"] * 50_000) + b"]}",
    b'{"driver_type": "fake", "registry_config": "config://' + b"a/" * 30_000 + b'"}',
    b'{"driver_type": "fake", "driver_config": {"reject": [' + b",".join([b"1"] * 50_000) + b"]}}",
)
"""Whole documents, each a case of its own."""

METHODS = ("get_point", "set_point", "get_points", "scrape_all", "last", "list_points", "list_devices", "ping")
TELLTALES = ("Traceback", "Error(", "object at 0x", "/gateway/", "site-packages", "/tmp")
NO_METHODS = ("get_pont", "__class__", "constructor", " ", "é", "GET_POINT", "set_point\u200b", "x" * 3000)


def reasoned(message: str) -> bool:
    """Whether a reason is a sentence for people, and lets out nothing of the inside."""
    return 3 < len(message) < 2000 and not any(word in message for word in TELLTALES)


def mutated(document: Any, source: random.Random) -> bytes:
    """A document with a few things wrong: values replaced, keys bent, bytes changed, cut or repeated."""
    payload = json.dumps(_bent(document, source, source.choice((0.05, 0.2)))).encode()
    for _ in range(source.choice((0, 0, 0, 1, 3))):
        payload = _damaged(payload, source)
    return payload or b"x"


def _bent(value: Any, source: random.Random, share: float) -> Any:
    if source.random() < share:
        return source.choice((*NASTY, float("nan"), float("inf")))
    if isinstance(value, dict):
        return {_key(key, source, share): _bent(inner, source, share) for key, inner in value.items()}
    return [_bent(inner, source, share) for inner in value] if isinstance(value, list) else value


def _key(key: str, source: random.Random, share: float) -> str:
    if source.random() > share / 2:
        return key
    return source.choice((key + "x", key[1:], key.upper(), key + "\x00", "", key * 100, "__class__"))


def _damaged(payload: bytes, source: random.Random) -> bytes:
    at, size = source.randrange(len(payload) + 1), source.randrange(1, 20)
    noise = bytes(source.randrange(256) for _ in range(size))
    return source.choice(
        (
            payload[:at],
            payload[:at] + noise + payload[at:],
            payload[:at] + payload[at + size :],
            payload[:at] + payload[at : at + size] * 3 + payload[at:],
            payload[:at] + noise + payload[at + size :],
        )
    )


def target(device: str, source: random.Random) -> str:
    """What may stand after ``rpc/<requester>/``: mostly a method and a device, somewhat wrong."""
    method = source.choice((*METHODS, *NO_METHODS))
    where = source.choice(
        (
            device,
            f"{device}/t",
            f"{device}/t/",
            f"{device}//t",
            f"{device}/nothing",
            device.lower(),
            "",
            "/",
            "C/B",
            "$SYS/broker/version",
            "../../etc/passwd",
            "x/" * 150,
            "y/" + "y" * 60_000,
            "\u202e/\u200b/é",
        )
    )
    return f"{method}/{where}" if where else method
