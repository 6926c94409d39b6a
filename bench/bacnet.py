"""What BACnet costs, and what it does to Modbus beside it: `make bench-bacnet` (`ARGS="--seconds 10"`); see README.md."""

from __future__ import annotations

import argparse
import json
import os
import socket
import sys
import tempfile
import time
import tomllib
from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from pathlib import Path

import orjson
import plant
import wire
from bacnet_plant import DEVICES, POINTS
from children import Child, Counter, Failed
from measure import percentile, rhythm, usage
from run import build, free_port, raise_file_limit, script, start_broker

HERE = Path(__file__).parent
MODBUS_DEVICES, START_SECONDS, WARM_UP_SECONDS = 100, 60, 4
FIRST = 1001
"""The number of the first BACnet device at the subscriber, who knows the Modbus devices by theirs."""
NUMBERS = [number for number in range(FIRST, FIRST + 2 * DEVICES) if number % 20][:DEVICES]


def main(arguments: list[str]) -> int:
    """Measure; 1 if a bound is missed, 2 if it could not be run."""
    parser = argparse.ArgumentParser(prog="bench/bacnet.py", description=__doc__)
    parser.add_argument("--seconds", type=float, default=20)
    parser.add_argument("--json", action="store_true", help="one line of JSON in place of the table")
    options = parser.parse_args(arguments)
    try:
        result = measure_all(options.seconds)
    except Failed as error:
        print(f"bench: {error}", file=sys.stderr)
        return 2
    broken = missed(result, 5 if os.environ.get("CI") == "true" else 1)
    if options.json:
        print(json.dumps(result | {"missed_bounds": broken}))
    else:
        for name, value in result.items():
            print(f"{name:34}{value:10.2f}{'  MISSED' if name in broken else ''}")
    return 1 if broken else 0


def missed(result: Mapping[str, float], factor: float) -> list[str]:
    """The bounds that a result does not keep; those of time count so many times."""
    bounds = tomllib.loads((HERE / "limits.toml").read_text())["bacnet"]
    timed = ("_ms", "_us_per_point")
    return [name for name, most in bounds.items() if not result[name] <= most * (factor if name.endswith(timed) else 1)]


def measure_all(seconds: float) -> dict[str, float]:
    """Start everything, measure bare bacpypes3 and the gateway, stop everything."""
    raise_file_limit(2000)
    with ExitStack() as stack:
        tmp = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-")))
        ports = free_udp_ports(DEVICES + 2)
        stack.enter_context(script("bacnet_plant", tmp, *ports[:DEVICES]))
        with script("bacnet_floor", tmp, ports[DEVICES + 1], *ports[:DEVICES]) as floor:
            floor.sleep(WARM_UP_SECONDS)
            floor.ask()
            before = usage(floor.pid).cpu
            floor.sleep(seconds)
            bare = cost(floor.pid, before, floor.ask()["points"])
        return with_gateway(stack, tmp, seconds, ports) | {"bare_bacpypes3_us_per_point": bare}


def with_gateway(stack: ExitStack, tmp: Path, seconds: float, ports: list[int]) -> dict[str, float]:
    """The gateway with all BACnet and Modbus devices."""
    broker = free_port()
    stack.enter_context(start_broker(tmp, broker))
    sim = stack.enter_context(Counter("the simulator", [build(), str(MODBUS_DEVICES)], tmp / "sim.log"))
    reader = stack.enter_context(script("reader", tmp, broker))
    plant.push(broker, MODBUS_DEVICES, json.loads(sim.first)["port"])
    push(broker, ports)
    with start_gateway(tmp, broker, ports[DEVICES]) as gateway:
        wait_until_online(reader, gateway)
        gateway.sleep(WARM_UP_SECONDS)
        child = child_of(gateway.pid)
        reader.ask()
        sim.ask()
        before = {pid: usage(pid).cpu for pid in (gateway.pid, child)}
        gateway.sleep(seconds)
        after = {pid: usage(pid) for pid in (gateway.pid, child)}
        polls, read = sim.ask()["polls"], reader.ask()
    bacnet = [(NUMBERS.index(device), at) for device, at in read["readings"] if device >= FIRST]
    kept = rhythm(DEVICES, bacnet, bacnet, plant.INTERVAL_US, int(seconds * 1e6))
    modbus = rhythm(MODBUS_DEVICES, polls, polls, plant.INTERVAL_US, int(seconds * 1e6))
    points = len(bacnet) * POINTS
    return {
        "points_per_second": points / seconds,
        "late_p99_ms": percentile(kept.late_ms, 0.99),
        "late_max_ms": percentile(kept.late_ms, 1),
        "missed": kept.missed,
        "errors": read["errors"],
        "stale": read["stale"],
        "modbus_late_p99_ms": percentile(modbus.late_ms, 0.99),
        "modbus_late_max_ms": percentile(modbus.late_ms, 1),
        "modbus_missed": modbus.missed,
        "child_us_per_point": (after[child].cpu - before[child]) * 1e6 / max(1, points),
        "child_cpu_percent": (after[child].cpu - before[child]) * 100 / seconds,
        "gateway_cpu_percent": (after[gateway.pid].cpu - before[gateway.pid]) * 100 / seconds,
        "child_rss_mb": after[child].rss_mb,
    }


def cost(pid: int, before: float, points: int) -> float:
    """Microseconds of processor time for each point."""
    return (usage(pid).cpu - before) * 1e6 / max(1, points)


def push(broker: int, ports: Iterable[int]) -> None:
    """Publish the configs of the BACnet devices and their registry."""
    rows = "".join(f"p{n},analogValue,presentValue,{n},FALSE\n" for n in range(1, POINTS + 1))
    head = "Volttron Point Name,BACnet Object Type,Property,Index,Writable\n"
    documents = {"config/registries/bacnet.csv": (head + rows).encode()}
    for number, port in zip(NUMBERS, ports, strict=False):
        config = {
            "driver_type": "bacnet",
            "driver_config": {"device_address": f"127.0.0.1:{port}", "max_per_request": POINTS},
            "registry_config": "config://registries/bacnet.csv",
            "interval": plant.INTERVAL_US / 1e6,
        }
        documents[f"config/devices/bacnet/b/d{number:05}"] = orjson.dumps(config)
    with wire.connect(broker, "bench-push-bacnet") as link:
        for count, (topic, payload) in enumerate(documents.items(), 1):
            link.sendall(wire.publish(topic.encode(), payload, count, retain=True))
        frames, left = wire.Frames(), len(documents)
        while left:
            left -= sum(head == wire.PUBACK for head, _ in frames.feed(wire.receive(link)))


def start_gateway(tmp: Path, broker: int, port: int) -> Child:
    """The gateway as users run it, with its BACnet address in the settings."""
    (tmp / "state").mkdir()
    settings = tmp / "settings.yaml"
    settings.write_text(
        f"broker: {{url: mqtt://127.0.0.1:{broker}}}\nstate_dir: state\nbacnet: {{address: '127.0.0.1/8:{port}'}}\n"
    )
    return Child("the gateway", [sys.executable, "-m", "gateway", "run", "--settings", settings], tmp / "gateway.log")


def wait_until_online(reader: Counter, gateway: Child) -> None:
    """Wait until every device is."""
    deadline = time.monotonic() + START_SECONDS
    while (online := reader.ask()["states"].get("online", 0)) < DEVICES + MODBUS_DEVICES:
        if time.monotonic() > deadline:
            raise Failed(f"{online} devices are online {START_SECONDS} s after the start; the log ends:\n{gateway.tail()}")
        gateway.sleep(1)


def child_of(pid: int) -> int:
    """The BACnet process of a gateway."""
    found = [
        int(child)
        for task in Path(f"/proc/{pid}/task").iterdir()
        for child in (task / "children").read_text().split()
        if b"_bacnet.stack" in Path(f"/proc/{child}/cmdline").read_bytes()
    ]
    if len(found) != 1:
        raise Failed(f"the gateway has {len(found)} BACnet processes")
    return found[0]


def free_udp_ports(count: int) -> list[int]:
    """UDP ports that nobody has at present."""
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) for _ in range(count)]
        for each in sockets:
            each.bind(("", 0))
        return [each.getsockname()[1] for each in sockets]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
