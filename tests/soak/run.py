"""``make soak``: gateways, devices, users and faults for a while, then everything at rest, and a report of what held.

``python -m tests.soak.run [--seconds 600] [--seed N] [--devices 50]``; exit code 1 if a promise was broken.
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from tests.integration.waiting import PATIENCE
from tests.soak.checker import Verdict, at_rest, judge, missing
from tests.soak.faults import Faults
from tests.soak.report import Memory, Report
from tests.soak.stage import INTERVAL, Stage
from tests.soak.traffic import Book, User

USERS = 6
SETTLE = 60.0 * PATIENCE
"""Seconds at most until all is online, or all is at rest: a device that was away is tried again after at most 30."""


SHORT = 60.0
"""Runs below these seconds have their faults closer together."""
DAY = 8_640 * INTERVAL
"""Seconds in which each device is polled as often as in a day at a poll every 10 s: of so long a run memory is judged."""
KILLS = 600.0
"""Seconds in which gateways are killed, and no longer than the first half: a new process takes a while to warm up."""
MOST_GROWTH = 0.2
"""MiB for each hour of such a day, in the later half."""


class Soak:
    """One run in a directory."""

    def __init__(self, directory: Path, seconds: float, seed: str, devices: int) -> None:
        self._seconds = seconds
        self._seed = seed
        self._stage = Stage(directory, devices)
        self._book = Book()
        self._memory: dict[str, Memory] = {}

    def run(self) -> Report:
        """Do it all."""
        with self._stage as stage:
            stage.start()
            self._wait(self._all_online, "every device is online")
            self._warm_up()
            before = stage.usage()
            faults = self._storm()
            self._wait(lambda: self._pings() and at_rest(stage.plant.log()), "all is given back")
            faults.go_home()
            self._wait(self._all_online, "every device is online again")
            end = time.monotonic()
            self._wait(lambda: self._delivered(faults, end), "all is delivered")
            verdict = judge(stage.plant.log(), self._book, stage.seen, faults.windows, end)
            self._look_at_processes(verdict, before)
            faults.counts.update(self._book.counts)
            stood_still = stage.plant.log().stood_still
            return Report(self._seed, faults.counts, verdict, before, stage.usage(), self._memory, stood_still)

    def _warm_up(self) -> None:
        """What is opened once is open before files are counted: a lease's journal, the outbox."""
        for unit in (1, 2):
            self._stage.voice.call(f"rpc/chief/acquire_lease/{self._stage.path(unit)}", {"duration": 0.2})
        for tap in self._stage.taps:
            tap.shut()
        time.sleep(2)
        for tap in self._stage.taps:
            tap.open()
        self._wait(self._pings, "the gateways are back")
        time.sleep(2)

    def _storm(self) -> Faults:
        stage, begun = self._stage, time.monotonic()
        faults = Faults(stage, self._book, random.Random(self._seed), kill_until=begun + min(KILLS, self._seconds / 2))
        units = [[unit for unit in stage.units if unit % USERS == number] for number in range(USERS)]
        users = [User(stage, self._book, number, own, self._seed) for number, own in enumerate(units) if own]
        for user in users:
            user.start()
        try:
            while time.monotonic() < begun + self._seconds:
                faults.step()
                self._sample(time.monotonic() - begun)
                stage.plant.log()
                time.sleep(faults.random.uniform(0.1, 0.6 if self._seconds < SHORT else 1.5))
        finally:
            faults.heal()
            for user in users:
                user.stop()
        return faults

    def _sample(self, at: float) -> None:
        for name, (_, _, resident) in self._stage.usage().items():
            self._memory.setdefault(name, Memory()).samples.append((at, resident))

    def _wait(self, look: object, what: str) -> None:
        deadline = time.monotonic() + SETTLE
        assert callable(look)
        while not look():
            if time.monotonic() > deadline:
                print(f"not within {SETTLE:g} s: {what}", file=sys.stderr)
                return  # the judgement tells what is missing
            time.sleep(0.5)

    def _pings(self) -> bool:
        calls = (self._stage.voice.call(f"rpc/chief/ping/{each.id}", patience=2) for each in self._stage.gateways)
        return all(call.code == "ok" for call in calls)

    def _all_online(self) -> bool:
        lists = [self._stage.voice.call(f"rpc/chief/list_devices/{each.id}", patience=2) for each in self._stage.gateways]
        states = {path: state for each in lists for path, state in (each.result or {}).items()}
        return len(states) == len(self._stage.units) + self._stage.fakes and set(states.values()) == {"online"}

    def _delivered(self, faults: Faults, end: float) -> bool:
        log = self._stage.plant.log()
        return at_rest(log) and not missing(log, self._stage.seen, faults.windows.lossy, end)

    def _as_before(self, before: dict[str, tuple[int, int, float]]) -> bool:
        return all(found[:2] == before[name][:2] for name, found in self._stage.usage().items())

    def _look_at_processes(self, verdict: Verdict, before: dict[str, tuple[int, int, float]]) -> None:
        self._wait(lambda: self._as_before(before), "threads and files are as at the start")
        verdict.check("every device is online in the end", self._all_online())
        for gateway in self._stage.gateways:
            lines = [line for line in gateway.log_text().splitlines() if "Traceback" in line]
            verdict.check("no failure in the log", not lines, "\n".join(lines))
        for name, (threads, files, _) in self._stage.usage().items():
            verdict.check("threads as at the start", threads == before[name][0], (name, before[name][0], threads))
            verdict.check("open files as at the start", files == before[name][1], (name, before[name][1], files))
            growth = self._memory[name].slope * DAY / 3600 / 24
            verdict.check("memory is flat", self._seconds < DAY or growth <= MOST_GROWTH, (name, growth))


def main(arguments: Sequence[str] | None = None) -> int:
    """The command."""
    parser = argparse.ArgumentParser(description="gateways, devices, users and faults for a while, then a report")
    parser.add_argument("--seconds", type=float, default=600)
    parser.add_argument("--seed", default="1")
    parser.add_argument("--devices", type=int, default=50)
    parser.add_argument("--keep", type=Path, help="a directory, which is not there yet, for logs and state")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="soak-") as directory:
        place = options.keep or Path(directory)
        place.mkdir(exist_ok=options.keep is None)
        report = Soak(place, options.seconds, options.seed, options.devices).run()
    print(report.text())
    return 1 if report.broken else 0


if __name__ == "__main__":
    sys.exit(main())
