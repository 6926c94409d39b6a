"""The floor: the gateway's work with nothing round it, by raw sockets in one loop.

``floor.py DEVICES MODBUS_PORT BROKER_PORT`` polls each device every second, the devices spread over it: one read of 100
holding registers, decoded by one struct, one JSON reading as the gateway's, published at QoS 1. It wakes every 10 ms for
what is due, which halves its cost and makes no poll later than that. For each line on standard
input it prints what it published and what was acknowledged; it ends with standard input.
"""

from __future__ import annotations

import select
import socket
import sys
import time
from datetime import UTC, datetime

import orjson
import plant
import wire

GRAIN_SECONDS = 0.01


def main(devices: int, modbus: int, broker: int) -> None:
    """Poll until standard input ends."""
    links = [plant.dial(device, modbus) for device in range(devices)]
    by_fd = {link.fileno(): device for device, link in enumerate(links)}
    topics = [f"devices/{plant.path(device)}/all".encode() for device in range(devices)]
    mqtt = wire.connect(broker, "bench-floor")
    ready = select.epoll()
    for link in (*links, mqtt):
        link.setblocking(link is mqtt)
        ready.register(link, select.EPOLLIN)
    ready.register(0, select.EPOLLIN)
    frames = wire.Frames()
    published = acked = 0
    start = time.monotonic()
    polls = plant.spread(devices)
    due, device = next(polls)
    print(flush=True)
    while True:
        elapsed = (time.monotonic() - start) * 1e6
        while due <= elapsed:
            links[device].send(plant.READ.pack(0, 0, 6, 1, 3, 0, plant.REGISTERS))
            due, device = next(polls)
        for fd, _ in ready.poll(max(0, due - elapsed) / 1e6 + GRAIN_SECONDS):
            if fd in by_fd:
                published += 1
                payload = _reading(links[by_fd[fd]])
                mqtt.sendall(wire.publish(topics[by_fd[fd]], payload, 1 + published % 65535))
            elif fd:
                acked += sum(head == wire.PUBACK for head, _ in frames.feed(wire.receive(mqtt)))
            elif sys.stdin.readline():
                print(orjson.dumps({"published": published, "acked": acked}).decode(), flush=True)
            else:
                return


def _reading(link: socket.socket) -> bytes:
    reply = plant.REPLY.unpack(link.recv(300))
    stamp = datetime.fromtimestamp(time.time(), UTC)
    values = dict(zip(plant.NAMES, reply[6:], strict=True))
    return orjson.dumps({"timestamp": stamp, "values": values, "errors": {}}, option=orjson.OPT_UTC_Z)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
