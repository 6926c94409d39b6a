"""`make bench`: the gateway against 1,000 Modbus TCP devices, beside a floor measured in the same run; see README.md."""

from __future__ import annotations

import argparse
import getpass
import json
import os
import resource
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import plant
import report
from children import Child, Counter, Failed
from measure import percentile, rhythm, usage

HERE = Path(__file__).parent
WARM_UP_SECONDS, START_SECONDS, DEVICES, SECONDS = 5, 120, 1000, 30
BROKER_CONF = """\
listener {port} 127.0.0.1
allow_anonymous true
user {user}
persistence false
max_queued_messages 1000000
set_tcp_nodelay true
"""


@dataclass(frozen=True)
class Rig:
    """What both runs are measured with."""

    devices: int
    seconds: float
    sim: Counter
    reader: Counter
    broker: Child


def main(arguments: list[str]) -> int:
    """Run the benchmark; 1 if a bound is missed, 2 if it could not be run."""
    options = parse(arguments)
    for ending in (signal.SIGTERM, signal.SIGINT):
        signal.signal(ending, lambda *_: sys.exit(2))
    try:
        results = measure_all(options)
    except Failed as error:
        print(f"bench: {error}", file=sys.stderr)
        return 2
    limits = report.limits(HERE / "limits.toml", ci=os.environ.get("CI") == "true")
    missed = report.missed(results["gateway"], limits)
    if options.json:
        print(json.dumps({"devices": options.devices, "seconds": options.seconds, **results, "missed_bounds": missed}))
    else:
        print(report.table(results, limits))
    return 1 if missed else 0


def parse(arguments: list[str]) -> argparse.Namespace:
    """The options, with the devices and seconds that they amount to."""
    parser = argparse.ArgumentParser(prog="bench/run.py", description=__doc__)
    parser.add_argument("--scale", type=float, default=1, help="share of the devices and seconds (at least 10 and 5)")
    parser.add_argument("--devices", type=int, help=f"default {DEVICES} by the scale")
    parser.add_argument("--seconds", type=float, help=f"how long to measure, default {SECONDS} by the scale")
    parser.add_argument("--json", action="store_true", help="one line of JSON in place of the table")
    options = parser.parse_args(arguments)
    options.devices = options.devices or max(10, round(DEVICES * options.scale))
    options.seconds = options.seconds or max(5, SECONDS * options.scale)
    return options


def measure_all(options: argparse.Namespace) -> dict[str, dict[str, float]]:
    """Start everything, measure the floor and the gateway, stop everything."""
    raise_file_limit(2 * options.devices + 500)
    with ExitStack() as stack:
        tmp = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-")))
        port = free_port()
        broker = stack.enter_context(start_broker(tmp, port))
        sim = stack.enter_context(Counter("the simulator", [build(), str(options.devices)], tmp / "sim.log"))
        modbus = json.loads(sim.first)["port"]
        reader = stack.enter_context(script("reader", tmp, port))
        rig = Rig(options.devices, options.seconds, sim, reader, broker)
        with script("floor", tmp, options.devices, modbus, port) as floor:
            floor_result = measure(rig, floor)
            floor_result.pop("not_online")  # the floor publishes no status
        plant.push(port, options.devices, modbus)
        with start_gateway(tmp, port) as gateway:
            gateway_result = measure(rig, gateway)
    return {"gateway": gateway_result, "floor": floor_result}


def measure(rig: Rig, child: Child) -> dict[str, float]:
    """Wait until the process polls every device, then measure it for the time asked."""
    wait_for_polls(rig, child)
    child.sleep(WARM_UP_SECONDS)
    helpers = {"sim": rig.sim.pid, "broker": rig.broker.pid, "reader": rig.reader.pid}
    rig.reader.ask()
    rig.sim.ask()
    start, used = time.monotonic(), {name: usage(pid) for name, pid in (helpers | {"own": child.pid}).items()}
    child.sleep(rig.seconds)
    seconds, after = time.monotonic() - start, {name: usage(pid) for name, pid in (helpers | {"own": child.pid}).items()}
    seen = rig.sim.ask()
    child.sleep(1)  # the last readings are still on their way
    read = rig.reader.ask()
    polls = max(1, len(seen["polls"]))
    kept = rhythm(rig.devices, seen["polls"], read["readings"], plant.INTERVAL_US, int(seconds * 1e6))
    cpu = {name: (after[name].cpu - used[name].cpu) * 1e6 / polls for name in after}
    return {
        "cpu_us_per_poll": cpu["own"],
        "cpu_percent": (after["own"].cpu - used["own"].cpu) * 100 / seconds,
        "rss_mb": after["own"].rss_mb,
        "polls_per_second": len(seen["polls"]) / seconds,
        "requests_per_poll": seen["requests"] / polls,
        "late_p50_ms": percentile(kept.late_ms, 0.5),
        "late_p99_ms": percentile(kept.late_ms, 0.99),
        "late_max_ms": percentile(kept.late_ms, 1),
        "missed": kept.missed,
        "doubled": kept.doubled,
        "lost": kept.lost,
        **{name: read[name] for name in ("errors", "wrong", "stale", "malformed")},
        "not_online": rig.devices - read["states"].get("online", 0),
        **{f"{name}_us_per_poll": cpu[name] for name in helpers},
    }


def wait_for_polls(rig: Rig, child: Child) -> None:
    """Wait until every device is polled twice in two and a half seconds."""
    deadline = time.monotonic() + START_SECONDS
    while (steady := devices_polled_twice(rig.sim.ask()["polls"])) < rig.devices:
        if time.monotonic() > deadline:
            raise Failed(
                f"{child.name} polls {steady} of {rig.devices} devices {START_SECONDS} s after its start; "
                f"its log ends:\n{child.tail()}"
            )
        child.sleep(2.5)


def devices_polled_twice(polls: Iterable[tuple[int, int]]) -> int:
    """How many devices stand in the list more than once."""
    once: set[int] = set()
    return len({device for device, _ in polls if device in once or once.add(device)})  # type: ignore[func-returns-value]


def build() -> Path:
    """Compile the simulator where it is older than its source."""
    source, binary = HERE / "modbus_sim.c", HERE / "build" / "modbus_sim"
    if not shutil.which("gcc"):
        raise Failed("there is no gcc: apt install gcc libc6-dev")
    if not binary.exists() or binary.stat().st_mtime < source.stat().st_mtime:
        binary.parent.mkdir(exist_ok=True)
        subprocess.run(["gcc", "-O2", "-std=gnu11", "-Wall", "-Wextra", "-o", binary, source], check=True)
    return binary


def start_broker(tmp: Path, port: int) -> Child:
    """Mosquitto with the sample configuration's settings, but for persistence."""
    program = shutil.which("mosquitto", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
    if not program:
        raise Failed("there is no mosquitto: apt install mosquitto")
    conf = tmp / "mosquitto.conf"
    conf.write_text(BROKER_CONF.format(port=port, user=getpass.getuser()))
    return Broker("mosquitto", [program, "-c", conf], tmp / "mosquitto.log", port)


class Broker(Child):
    """A broker, entered when it accepts connections."""

    def __init__(self, name: str, command: list[str | Path], log: Path, port: int) -> None:
        super().__init__(name, command, log)
        self.port = port

    def __enter__(self) -> Broker:
        super().__enter__()
        try:
            self._await_port()
        except Failed:
            self.__exit__()
            raise
        return self

    def _await_port(self) -> None:
        for _ in range(100):
            self.sleep(0.1)
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                    return
        raise Failed(f"mosquitto does not listen; its log ends:\n{self.tail()}")


def start_gateway(tmp: Path, port: int) -> Child:
    """The gateway as users run it."""
    url, state = f"mqtt://127.0.0.1:{port}", tmp / "state"
    state.mkdir()
    command = [sys.executable, "-m", "gateway", "run", "--broker", url, "--state-dir", str(state)]
    return Child("the gateway", command, tmp / "gateway.log")


def script(name: str, tmp: Path, *arguments: int) -> Counter:
    """One of the scripts here, as a process."""
    return Counter(f"the {name}", [sys.executable, HERE / f"{name}.py", *map(str, arguments)], tmp / f"{name}.log")


def raise_file_limit(wanted: int) -> None:
    """Let us and our children open that many files; Failed if that is not allowed."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < wanted:
        raise Failed(f"{wanted} open files are needed and {hard} allowed: raise `ulimit -Hn`, or try --scale 0.1")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, wanted), hard))


def free_port() -> int:
    """A TCP port that nobody has at present."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
