"""The simulated plant: addresses, configurations and the rule by which its values can be checked (see modbus_sim.c)."""

from __future__ import annotations

import itertools
import socket
import struct
from collections.abc import Iterator, Mapping
from typing import Any

import orjson
import wire

REGISTERS = 100
NAMES = [f"r{register}" for register in range(REGISTERS)]
INTERVAL_US = 1_000_000
REGISTRY = "registries/bench.csv"
OLDEST_MS, NEWEST_MS = 400, 20
"""How long before, or after, its timestamp a value may have been made; 521 ms is the step between two registers."""


def address(device: int) -> str:
    """The loopback address of a device."""
    return f"127.20.{device // 250}.{1 + device % 250}"


def path(device: int) -> str:
    """The device path."""
    return f"bench/b{device // 100:03}/d{device:05}"


def device_of(path_or_topic: str) -> int:
    """The device of a path, or of a topic below ``devices/`` without that level."""
    return int(path_or_topic.split("/")[2][1:])


def documents(devices: int, port: int) -> Iterator[tuple[str, bytes]]:
    """Topics and payloads of the registry and of every device config."""
    head = "Volttron Point Name,Units,Modbus Register,Writable,Point Address\n"
    rows = "".join(f"{name},,>H,TRUE,{register}\n" for register, name in enumerate(NAMES))
    yield f"config/{REGISTRY}", (head + rows).encode()
    for device in range(devices):
        config = {
            "driver_type": "modbus",
            "driver_config": {"device_address": address(device), "port": port, "slave_id": 1},
            "registry_config": f"config://{REGISTRY}",
            "interval": INTERVAL_US / 1e6,
        }
        yield f"config/devices/{path(device)}", orjson.dumps(config)


def push(broker: int, devices: int, port: int) -> None:
    """Publish all documents, retained at QoS 1, and wait until the broker has them."""
    with wire.connect(broker, "bench-push") as link:
        for count, (topic, payload) in enumerate(documents(devices, port), 1):
            link.sendall(wire.publish(topic.encode(), payload, count, retain=True))
        frames = wire.Frames()
        left = count
        while left:
            left -= sum(head == wire.PUBACK for head, _ in frames.feed(wire.receive(link)))


def faults(device: int, values: Mapping[str, Any], wall_ms: int) -> int:
    """How many of a reading's 100 values are missing, of another device or register, or of another time."""
    newest = 31153 * device + wall_ms + NEWEST_MS
    wrong = 0
    for register, name in enumerate(NAMES):
        value = values.get(name)
        if (
            not isinstance(value, int)
            or isinstance(value, bool)
            or not 0 <= value < 65536
            or (newest + 521 * register - value) % 65536 > OLDEST_MS + NEWEST_MS
        ):
            wrong += 1
    return wrong


def dial(device: int, port: int) -> socket.socket:
    """A connection to a device."""
    link = socket.create_connection((address(device), port), timeout=10)
    link.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return link


def spread(devices: int) -> Iterator[tuple[int, int]]:
    """For ever: when, in microseconds from the start, which device is to be polled."""
    for poll in itertools.count():
        yield poll * INTERVAL_US // devices, poll % devices


READ = struct.Struct(">HHHBBHH")
"""A whole read request: transaction, protocol 0, length 6, unit, function, address, count."""
REPLY = struct.Struct(f">HHHBBB{REGISTERS}H")
