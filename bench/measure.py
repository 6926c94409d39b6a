"""From times of polls and readings to numbers; times are whole microseconds since 1970. Pure, but for ``usage``."""

from __future__ import annotations

import math
import os
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

Stamps = Iterable[tuple[int, int]]
"""Pairs of device and time."""


@dataclass(frozen=True)
class Usage:
    """What a process has used: CPU seconds of all its threads, user and system, and its resident memory at present."""

    cpu: float
    rss_mb: float


def usage(pid: int) -> Usage:
    """The usage of a running process (proc(5), /proc/PID/stat: fields 14, 15 and 24)."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    cpu = (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    return Usage(cpu, int(fields[21]) * os.sysconf("SC_PAGE_SIZE") / 2**20)


@dataclass(frozen=True)
class Rhythm:
    """How well the devices' polls kept their grids: every lateness, sorted, in milliseconds, and counts of polls."""

    late_ms: Sequence[float]
    missed: int
    doubled: int
    lost: int


def rhythm(devices: int, polls: Stamps, readings: Stamps, interval: int, window: int) -> Rhythm:
    """Judge the polls that the devices saw in a window (microseconds long), and the readings made of them.

    Nobody tells a device its grid: it is taken to begin at its earliest poll within the interval, so a constant lateness
    stays unseen and every other one is seen. A lateness of a whole interval is a missed poll.
    """
    seen, read = _by_device(polls), _by_device(readings)
    late: list[float] = []
    missed = doubled = lost = 0
    for device in range(devices):
        start = phase(seen[device], interval) if seen[device] else 0
        slots = [(at - start) // interval for at in seen[device]]
        late += [(at - start) % interval / 1000 for at in seen[device]]
        missed += _missing(set(slots), window // interval)
        doubled += len(slots) - len(set(slots))
        lost += len(set(slots) - {(at - start) // interval for at in read[device]})
    return Rhythm(sorted(late), missed, doubled, lost)


def phase(times: Sequence[int], interval: int) -> int:
    """Where in the interval the grid begins: after the widest part of the interval in which no poll ever came."""
    rests = sorted({at % interval for at in times})
    gaps = [(after - before, after) for before, after in zip([rests[-1] - interval, *rests], rests, strict=False)]
    return max(gaps)[1]


def percentile(ordered: Sequence[float], share: float) -> float:
    """The value that this share of the ordered values does not exceed; NaN if there are none."""
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)] if ordered else math.nan


def _by_device(stamps: Stamps) -> dict[int, list[int]]:
    found: dict[int, list[int]] = defaultdict(list)
    for device, at in stamps:
        found[device].append(at)
    return found


def _missing(slots: set[int], whole: int) -> int:
    """Holes between the first and the last slot, and what the window lacks; one may have slipped over its edge."""
    if not slots:
        return whole
    span = max(slots) - min(slots) + 1
    return span - len(slots) + max(0, whole - 1 - span)
