"""What the soak tells in the end."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

from tests.soak.checker import Verdict

SHOWN = 5
LONG = 300.0
"""Seconds of a run from which on the growth of memory in its second half is told."""


@dataclass
class Memory:
    """Resident MiB of a process over the seconds."""

    samples: list[tuple[float, float]] = field(default_factory=list)

    @property
    def told(self) -> str:
        """The slope for people; of a few minutes it says nothing."""
        return f"{self.slope:+.2f} MiB/h" if self.samples[-1][0] >= LONG else f"not told below {LONG:g} s"

    @property
    def curve(self) -> str:
        """What it held at the end of each tenth of the time."""
        end = self.samples[-1][0]
        tenths = {min(9, int(10 * at / end)) if end else 0: held for at, held in self.samples}
        return " ".join(f"{held:.1f}" for held in tenths.values())

    @property
    def slope(self) -> float:
        """MiB per hour in the second half, by least squares."""
        late = [sample for sample in self.samples if sample[0] > self.samples[-1][0] / 2]
        n, at, held = len(late), sum(a for a, _ in late), sum(m for _, m in late)
        spread = n * sum(a * a for a, _ in late) - at * at
        return 3600 * (n * sum(a * m for a, m in late) - at * held) / spread if spread else 0.0


@dataclass(frozen=True)
class Report:
    """Faults, checks, and what was found; ``before`` and ``after`` are threads, files and MiB of each gateway."""

    seed: str
    faults: Counter[str]
    verdict: Verdict
    before: dict[str, tuple[int, int, float]]
    after: dict[str, tuple[int, int, float]]
    memory: dict[str, Memory]
    stood_still: float

    @property
    def broken(self) -> dict[str, list[str]]:
        """The checks that failed, with what was found."""
        return {kind: found for kind, found in self.verdict.faults.items() if found}

    def text(self) -> str:
        """For people."""
        return "\n".join(self._lines())

    def _lines(self) -> Iterator[str]:
        yield f"seed {self.seed}"
        yield "\nfaults"
        yield from (f"  {number:8} {name}" for name, number in sorted(self.faults.items()))
        yield "\nchecks, and how many of them failed"
        for name, number in sorted(self.verdict.checks.items()):
            yield f"  {number:8} {len(self.verdict.faults[name]):5}  {name}"
        yield f"\nthe latest revert of a device that answered: {self.verdict.latest_revert:.2f} s after the lease's end"
        yield f"{self.verdict.excused} readings were lost as a device fell ill or a gateway was killed, which may be"
        yield f"the devices' own process stood still for {self.stood_still:.2f} s at most; above 1 s it spoils the run"
        for name, (threads, files, resident) in self.after.items():
            was = self.before[name]
            yield f"{name}: {was[0]} threads, then {threads}; {was[1]} files, then {files};"
            yield f"  {was[2]:.1f} MiB, then {resident:.1f}; late half {self.memory[name].told}"
            yield f"  after each tenth of the time {self.memory[name].curve}"
        for name, found in self.broken.items():
            yield f"\nBROKEN: {name}"
            yield from (f"  {each[:1500]}" for each in found[:SHOWN])
