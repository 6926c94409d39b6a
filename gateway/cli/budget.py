"""Whether the devices on a link can be polled as often as they should: what ``gateway check`` says of it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from gateway.interfaces.base import Environment, Interface, Use
from gateway.store.device_config import Spec


@dataclass(frozen=True, slots=True)
class Load:
    """How one device uses its link: all points once, the part of the time that polls take (1 is all), shortest interval."""

    name: str
    whole: Use
    share: float
    shortest: float


def load(name: str, spec: Spec, env: Environment) -> Load | None:
    """How the device ``name`` uses its link; None where nothing can be said of it."""
    interface = spec.interface(spec.config, env)
    whole = interface.use(spec.registers)
    if whole is None or not whole.seconds:
        return None
    share = sum(_seconds(interface, spec, interval) / interval for interval in spec.intervals)
    return Load(name, whole, share, spec.intervals[0])


def report(loads: Sequence[Load]) -> list[str]:
    """A line for each link, and warnings where it can not be done."""
    links: dict[str, list[Load]] = defaultdict(list)
    for one in loads:
        links[one.whole.link].append(one)
    return [line for link, sharing in links.items() for line in _link(link, sharing)]


def _seconds(interface: Interface, spec: Spec, interval: float) -> float:
    due = [r for r in spec.registers if (r.interval or spec.device.interval) == interval]
    use = interface.use(due)
    return use.seconds if use is not None else 0.0


def _link(link: str, sharing: Sequence[Load]) -> Iterator[str]:
    requests = sum(one.whole.requests for one in sharing)
    seconds, share = sum(one.whole.seconds for one in sharing), sum(one.share for one in sharing)
    devices = "1 device" if len(sharing) == 1 else f"{len(sharing)} devices"
    counted = "1 request" if requests == 1 else f"{requests} requests"
    yield f"{link}: {devices}, every point once takes {counted} and {_words(seconds)}; polls take {share:.0%} of the time"
    if share > 1:
        yield f"{link}: warning: there is no such time: longer intervals, a faster line, or fewer requests (max_gap) help"
    for one in sharing:
        if share <= 1 and one.whole.seconds > one.shortest:
            yield (
                f"{link}: warning: {one.name} takes {_words(one.whole.seconds)} when all its points are due, longer than its"
                f" shortest interval {one.shortest:g} s: polls will be missed then"
            )


def _words(seconds: float) -> str:
    return f"{1000 * seconds:.0f} ms" if seconds < 10 else f"{seconds:.1f} s"
