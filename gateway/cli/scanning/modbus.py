"""``gateway scan modbus``: the units on a link, what of each can be read, and documents to start from."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from gateway.cli.importing.command import FAILED, OK, deliver
from gateway.cli.importing.model import ImportFault, Result
from gateway.cli.scanning.line import Line
from gateway.cli.scanning.options import BadOption, Link, Output, shortened
from gateway.cli.scanning.report import device, grid, plain
from gateway.cli.scanning.telling import STOPPED, complain, passing, show
from gateway.cli.scanning.units import Found, Progress, Window, answers, explore
from gateway.errors import Unreachable

ALIKE = 20
"""So many units that all answer are hardly so many devices."""


@dataclass(slots=True)
class Scan:
    """What a scan found so far; ``asked`` are the units that it got to, ``stopped`` is whether it was interrupted."""

    link: str
    found: list[Found] = field(default_factory=list)
    asked: list[int] = field(default_factory=list)
    requests: int = 0
    stopped: bool = False

    def plain(self) -> dict[str, object]:
        """As JSON."""
        silent = sorted(set(self.asked) - {found.unit for found in self.found})
        return {
            "link": self.link,
            "units": [plain(found) for found in self.found],
            "silent": shortened(silent),
            "requests": self.requests,
            "complete": not self.stopped,
        }


def scan(link: Link, units: Sequence[int], window: Window, pause: float, output: Output, as_json: bool) -> int:
    """Scan a link and show what is there; the exit code.

    0 if all went well, 1 if something found has no place in the documents, 2 if nobody is there or nothing could be written,
    130 after Ctrl-C, when what was found until then is shown and written.
    """
    result = Scan(link.name)
    try:
        link.check()
        _look(link, units, window, pause, result)
    except (BadOption, Unreachable) as error:
        complain(str(error))
        return FAILED
    code = _deliver(link, result, output)
    show(result.plain(), grid(result.found) if result.found else None, as_json)
    if result.stopped:
        complain("stopped: there may be more than this")
        return STOPPED
    return code if result.found else FAILED


def _look(link: Link, units: Sequence[int], window: Window, pause: float, result: Scan) -> None:
    """Fill in the result; Ctrl-C leaves what is known."""
    line = Line(link.wire(), pause, time.sleep)
    try:
        find(line, units, window, result, passing)
    except KeyboardInterrupt:
        result.stopped = True
    finally:
        result.requests = line.requests
        line.close()


def find(line: Line, units: Sequence[int], window: Window, result: Scan, progress: Progress) -> None:
    """Ask who is there, then look at each of those. Raises Unreachable if nobody ever answers the connection."""
    for unit in units:
        progress(f"unit {unit} of {units[-1]}: asking")
        if answers(line, unit):
            progress(f"unit {unit} answers\n")
            result.found.append(Found(unit))
        result.asked.append(unit)
    if len(result.found) == len(units) >= ALIKE:
        result.found[0].remarks.append("every unit answers: probably one device that does not look at the unit; shown once")
        del result.found[1:]
    for found in result.found:
        explore(line, found, window, progress)


def _deliver(link: Link, scan_: Scan, output: Output) -> int:
    readable = [found for found in scan_.found if found.readable]
    if output.folder is None or not readable:
        return OK
    result = Result()
    name = link.name
    result.devices = [device(found, link.driver_config, f"{name}_{found.unit}", result) for found in readable]
    try:
        return deliver(result, output.folder, output.under, output.force, complain, complain)
    except (ImportFault, OSError) as error:
        complain(str(error))
        return FAILED
