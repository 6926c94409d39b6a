"""A wire on which packets are lost, late, doubled, or answers to something else: no wrong value, no second write."""

from __future__ import annotations

import heapq
import math
import os
import random
import select
import socket
import struct
import threading
import time
from collections import Counter

import pytest

from gateway.clock import SystemClock
from gateway.interfaces._bacnet.life import Options
from gateway.interfaces._bacnet.networks import BacnetNetworks
from gateway.interfaces._bacnet.values import Item, Local, Ref, RequestFailed, Target
from tests.integration.waiting import PATIENCE, scaled
from tests.interfaces.bacnet.simulator import free_udp_port

pytest.importorskip("bacpypes3", reason="bacpypes3 is not installed")

AV, DEVICES, TIMEOUT = 2, 8, 0.2
MARGIN = 0.3 * PATIENCE
"""Seconds that a packet may take from the check of its deadline to the clock of a device on a busy machine."""
SEED = int(os.environ.get("GATEWAY_SEED", "0")) or random.randrange(10**9)


class Device(threading.Thread):
    """Analog value n of device d holds 1000 d + n, or what was written last; every fault is drawn by chance."""

    def __init__(self, number: int, port: int) -> None:
        super().__init__(name=f"faulty-{number}", daemon=True)
        self.number = number
        self.written: list[tuple[int, float, float]] = []
        self.over = False
        self._chance = random.Random(SEED + number)
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind((f"127.0.0.{20 + number}", port))
        self._later: list[tuple[float, bytes, tuple[str, int]]] = []
        self.address = f"127.0.0.{20 + number}:{port}"

    def run(self) -> None:
        """Answer until it is over."""
        with self._socket:
            while not self.over:
                if select.select([self._socket], [], [], 0.02)[0]:
                    self._take(*self._socket.recvfrom(2000))
                while self._later and self._later[0][0] <= time.monotonic():
                    _, answer, to = heapq.heappop(self._later)
                    self._socket.sendto(answer, to)

    def _take(self, packet: bytes, to: tuple[str, int]) -> None:
        apdu = packet[6:]
        if apdu[:2] == b"\x10\x08":
            me = struct.pack(">I", 8 << 22 | 500 + self.number)
            self._send(b"\x10\x00\xc4" + me + bytes.fromhex("2205c4 9103 2203e7".replace(" ", "")), to)
        elif apdu[0] & 0xF0 == 0 and apdu[3] in (12, 15):
            self._answer(apdu[2], apdu[3], apdu[4:], to)

    def _answer(self, invoke: int, service: int, data: bytes, to: tuple[str, int]) -> None:
        instance = struct.unpack(">I", data[1:5])[0] & 0x3FFFFF
        fault = self._chance.random()
        if service == 15:
            if fault < 0.05:
                return  # lost on the way here
            self.written.append((instance, struct.unpack(">f", data[9:13])[0], time.clock_gettime(time.CLOCK_BOOTTIME)))
            good = bytes([0x20, invoke, 15])
        else:
            good = self._value(invoke, instance, data)
        if fault < 0.12:
            return  # lost on the way back
        if fault < 0.2:
            heapq.heappush(self._later, (time.monotonic() + self._chance.uniform(0.1, 0.6), self._packet(good), to))
        elif fault < 0.28:
            self._send(good, to)
            self._send(good, to)
        elif fault < 0.34:
            self._send(good[:1] + bytes([(invoke + self._chance.randrange(1, 255)) % 256]) + good[2:], to)
        elif fault < 0.38 and service == 12:
            other = instance + 1
            self._send(self._value(invoke, other, data[:1] + struct.pack(">I", AV << 22 | other) + data[5:]), to)
        elif fault < 0.41:
            self._send(bytes([0x50, invoke, service, 0x91, 2, 0x91, 37]), to)
        elif fault < 0.44:
            self._send(good[: self._chance.randrange(1, len(good))], to)
        else:
            self._send(good, to)

    def _value(self, invoke: int, instance: int, data: bytes) -> bytes:
        value = struct.pack(">f", 1000 * self.number + instance)
        return bytes([0x30, invoke, 12]) + data[:7] + b"\x3e\x44" + value + b"\x3f"

    def _send(self, apdu: bytes, to: tuple[str, int]) -> None:
        self._socket.sendto(self._packet(apdu), to)

    def _packet(self, apdu: bytes) -> bytes:
        return b"\x81\x0a" + (len(apdu) + 6).to_bytes(2) + b"\x01\x00" + apdu


class Client(threading.Thread):
    """Reads and writes one device, and keeps what is wrong."""

    def __init__(self, networks: BacnetNetworks, device: Device, count: int) -> None:
        super().__init__(name=f"client-{device.number}")
        self.device = device
        self.wrong: list[str] = []
        self.ends: Counter[str] = Counter()
        self._session = networks.join(Local(), Target(address=device.address), lambda: None)
        self._count = count
        self._chance = random.Random(SEED - device.number)
        self._values = iter(range(1, 1 << 23))

    def run(self) -> None:
        """As many requests as wanted."""
        self._session.find(20.0)
        for _ in range(self._count):
            if self._chance.random() < 0.7:
                self._read(self._chance.randrange(1, 900))
            else:
                self._write(self._chance.randrange(1, 900), float(next(self._values)))

    def _read(self, instance: int) -> None:
        try:
            (answer,) = self._session.read([Ref(AV, instance)], multiple=False, timeout=2 * TIMEOUT)
        except RequestFailed as failed:
            self.ends[f"read {failed.failure.kind}"] += 1
            return
        if isinstance(answer, Item):
            self.ends["read"] += 1
            if answer.value != 1000 * self.device.number + instance:
                self.wrong.append(f"AV {instance} of device {self.device.number} read as {answer.value}")
        else:
            self.ends[f"read {answer.kind}"] += 1

    def _write(self, instance: int, value: float) -> None:
        clock = SystemClock()
        deadline = clock.now() + self._chance.choice([math.inf, 1.0, 0.0005])
        try:
            self._session.write(Ref(AV, instance), "real", value, 8, deadline=deadline, timeout=TIMEOUT)
            end = "ok"
        except RequestFailed as failed:
            end = failed.failure.kind
        self.ends[f"write {end}"] += 1
        done = [at for n, v, at in list(self.device.written) if (n, v) == (instance, value)]
        most, least = {"ok": (1, 1), "not_sent": (0, 0), "busy": (0, 0), "unreachable": (0, 0)}.get(end, (1, 0))
        if not least <= len(done) <= most:
            self.wrong.append(f"write that ended with {end} was carried out {len(done)} times")
        if any(at > deadline + MARGIN for at in done):
            self.wrong.append(f"write {done[0] - deadline:.3f} s after its deadline")


@pytest.mark.long
def test_no_wrong_value_and_no_second_write_on_a_bad_wire() -> None:
    """Whatever gets lost, late, doubled, mixed up or cut: values are of the point asked, writes happen at most once."""
    print(f"seed {SEED}")
    port = free_udp_port()
    devices = [Device(number, port) for number in range(DEVICES)]
    networks = BacnetNetworks(Options(address="127.0.0.1/8", port=free_udp_port()), SystemClock())
    clients = [Client(networks, device, scaled(1250, 25)) for device in devices]
    for thread in (*devices, *clients):
        thread.start()
    for client in clients:
        client.join()
    time.sleep(0.7)  # what is late still
    for device in devices:
        device.over = True
        device.join()
    assert networks.stop(10.0) == []
    print(sum((client.ends for client in clients), Counter()))
    assert [wrong for client in clients for wrong in client.wrong] == []
    twice = [times for device in devices for times in Counter((n, v) for n, v, _ in device.written).values() if times > 1]
    assert twice == []
