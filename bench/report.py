"""The bounds and the table."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from pathlib import Path

ROWS = {
    "cpu_us_per_poll": "CPU per poll, us",
    "cpu_percent": "CPU, % of a core",
    "rss_mb": "memory (RSS), MB",
    "polls_per_second": "polls per second",
    "requests_per_poll": "requests per poll",
    "late_p50_ms": "polls late, p50, ms",
    "late_p99_ms": "polls late, p99, ms",
    "late_max_ms": "polls late, max, ms",
    "missed": "polls missed",
    "doubled": "polls too many",
    "lost": "readings lost",
    "errors": "points in error",
    "wrong": "values wrong",
    "stale": "timestamps that did not grow",
    "malformed": "readings malformed",
    "not_online": "devices not online",
    "sim_us_per_poll": "beside it: simulator, us per poll",
    "broker_us_per_poll": "beside it: broker, us per poll",
    "reader_us_per_poll": "beside it: subscriber, us per poll",
}


def limits(file: Path, *, ci: bool) -> dict[str, float]:
    """The most that each number may be."""
    table = tomllib.loads(file.read_text())
    factor = table["time"].pop("ci_factor") if ci else 1
    table["time"].pop("ci_factor", None)
    bounds: dict[str, float] = {name: most * factor for name, most in table["time"].items()} | table["other"]
    return bounds


def missed(result: Mapping[str, float], bounds: Mapping[str, float]) -> list[str]:
    """The names of the bounds that a result does not keep; NaN keeps none."""
    return [name for name, most in bounds.items() if not result[name] <= most]


def table(results: Mapping[str, Mapping[str, float]], bounds: Mapping[str, float]) -> str:
    """Gateway beside floor, with the bounds."""
    gateway, floor = results["gateway"], results["floor"]
    lines = [f"{'':34}{'gateway':>10}{'floor':>10}{'ratio':>8}{'bound':>8}"]
    broken = missed(gateway, bounds)
    for name, words in ROWS.items():
        ours, theirs = gateway[name], floor.get(name)
        ratio = f"{ours / theirs:.2f}" if theirs and not words.startswith("beside") else ""
        bound = f"{bounds[name]:g}" if name in bounds else ""
        verdict = "  MISSED" if name in broken else ""
        lines.append(f"{words:34}{_number(ours):>10}{_number(theirs):>10}{ratio:>8}{bound:>8}{verdict}")
    return "\n".join(lines)


def _number(value: float | None) -> str:
    if value is None:
        return ""
    return str(value) if isinstance(value, int) else f"{value:.2f}" if value < 10 else f"{value:.1f}"
