"""What dead devices do to living ones: `.venv/bin/python bench/isolation.py [--seconds S]`; see README.md."""

from __future__ import annotations

import argparse
import json
import logging
import os
import socket
import struct
import sys
import threading
import time
import tomllib
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import structlog

from gateway.clock import SystemClock
from gateway.device import Device
from gateway.device_thread import DeviceThread
from gateway.interfaces._links import Pace
from gateway.interfaces.base import Environment
from gateway.store.compile import compile_device

HERE = Path(__file__).parent
INTERVAL, TIMEOUT, UNITS, DEAD, DEVICES = 0.5, 0.5, 10, 5, 50
WARM_UP = 4.0


class Outlet:
    """Counts readings, and keeps when they came."""

    def __init__(self) -> None:
        self.times: dict[str, list[float]] = {}

    def reading(self, spec: Any, reading: Any) -> None:
        self.times.setdefault(spec.path, []).append(time.monotonic())

    def status(self, path: str, status: Any) -> None:
        pass

    def ended(self, path: str) -> None:
        pass


@contextmanager
def server(dead: frozenset[int]) -> Iterator[int]:
    """A Modbus TCP gateway on a free port, with units that never answer."""
    listener = socket.create_server(("127.0.0.1", 0))

    def serve(connection: socket.socket) -> None:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with connection:
            try:
                while request := connection.recv(300):
                    if request[6] not in dead:
                        connection.sendall(request[:4] + struct.pack(">HB", 5, request[6]) + b"\x03\x02\x00\x07")
            except OSError:
                pass  # the client has gone

    def accept() -> None:
        while True:
            try:
                connection = listener.accept()[0]
            except OSError:
                return
            threading.Thread(target=serve, args=(connection,), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    try:
        yield listener.getsockname()[1]
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()


@contextmanager
def devices(places: list[tuple[int, int]], outlet: Outlet) -> Iterator[Environment]:
    """A device thread for each port and unit, spread over the interval, as in the gateway."""
    env, threads = Environment(SystemClock()), []
    for number, (port, unit) in enumerate(places):
        config = {
            "driver_type": "modbus",
            "driver_config": {"device_address": "127.0.0.1", "port": port, "slave_id": unit, "timeout": TIMEOUT},
            "registry_config": [
                {"Volttron Point Name": "P", "Modbus Register": ">H", "Point Address": 0, "Writable": "TRUE"}
            ],
            "interval": INTERVAL,
        }
        spec = compile_device(f"C/B/{number}", json.dumps(config).encode(), {}, env, None).spec
        assert spec is not None
        device = Device(spec, env, outlet, number * INTERVAL / len(places))
        threads.append(DeviceThread(device, lambda path: None))
    try:
        for thread in threads:
            thread.start()
        yield env
    finally:
        for thread in threads:
            thread.stop()
        for thread in threads:
            if not thread.join(10):
                raise RuntimeError(f"{thread.name} did not end")


def shared_endpoint(seconds: float) -> dict[str, float]:
    """Ten units behind one endpoint, five of them dead: the rate of the worst living one, and the wait for a turn."""
    outlet, dead = Outlet(), frozenset(range(UNITS - DEAD + 1, UNITS + 1))
    with server(dead) as port, devices([(port, unit) for unit in range(1, UNITS + 1)], outlet) as env:
        time.sleep(WARM_UP)
        begin, waits = time.monotonic(), []
        endpoint = ("modbus", "tcp", "127.0.0.1", port)
        seat = env.links.seat(endpoint, 1, _nothing, {}, Pace(), env.clock)  # one more at the link that is in use
        while time.monotonic() - begin < seconds:
            asked = time.monotonic()
            seat.take(True)
            waits.append(time.monotonic() - asked)
            seat.give(None)
            time.sleep(0.05)
        env.links.leave(seat)
        took = time.monotonic() - begin
    due = took / INTERVAL
    rates = [sum(begin <= at < begin + took for at in outlet.times.get(f"C/B/{n}", [])) / due for n in range(UNITS - DEAD)]
    return {"live_rate_lost": max(0.0, 1 - min(rates)), "write_wait_ms": max(waits) * 1000}


def _nothing() -> Any:
    raise AssertionError("the link is there already")


def black_hole(seconds: float) -> dict[str, float]:
    """Fifty devices, one of them a black hole: how late the others are, against their own grids."""
    outlet = Outlet()
    with ExitStack() as stack:
        port = stack.enter_context(server(frozenset()))
        hole = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        places = [(port, 1 + n) for n in range(DEVICES - 1)] + [(hole.getsockname()[1], 1)]
        stack.enter_context(devices(places, outlet))
        time.sleep(WARM_UP / 2)
        begin = time.monotonic()
        time.sleep(seconds)
    late = [latest([at for at in times if at >= begin]) for times in outlet.times.values()]
    return {"others_late_ms": max(late) * 1000, "others_lacking": DEVICES - 1 - len(outlet.times)}


def latest(times: list[float]) -> float:
    """The latest of these, against the grid that the earliest of them makes."""
    off = [at - times[0] - round((at - times[0]) / INTERVAL) * INTERVAL for at in times]
    return max(off) - min(off)


def missed(result: Mapping[str, float], factor: float) -> list[str]:
    """The bounds that a result does not keep."""
    bounds = tomllib.loads((HERE / "limits.toml").read_text())["isolation"]
    return [name for name, most in bounds.items() if not result[name] <= most * (factor if name.endswith("_ms") else 1)]


def main(arguments: list[str]) -> int:
    """Measure both; 1 if a bound is missed."""
    parser = argparse.ArgumentParser(prog="bench/isolation.py", description=__doc__)
    parser.add_argument("--seconds", type=float, default=10)
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    seconds = parser.parse_args(arguments).seconds
    result = shared_endpoint(seconds) | black_hole(seconds)
    broken = missed(result, 5 if os.environ.get("CI") == "true" else 1)
    for name, value in result.items():
        print(f"{name:20}{value:10.2f}{'  MISSED' if name in broken else ''}")
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
