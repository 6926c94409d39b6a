"""``gateway scan bacnet``: who is on a BACnet network, the objects of each, and documents to start from."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from gateway.allow import Allow
from gateway.cli.importing.command import FAILED, OK, deliver
from gateway.cli.importing.model import ImportFault, Result
from gateway.cli.scanning.bacnet_device import FoundDevice, Reader, explore
from gateway.cli.scanning.bacnet_report import device, grid, plain
from gateway.cli.scanning.ede import write_ede
from gateway.cli.scanning.options import Output
from gateway.cli.scanning.telling import STOPPED, complain, passing, show
from gateway.interfaces._bacnet.config import ip_of
from gateway.interfaces._bacnet.networks import BacnetNetworks
from gateway.interfaces._bacnet.values import Facts, Local, RequestFailed, Target

FIND_WITHIN = 5.0


@dataclass(frozen=True, slots=True)
class Search:
    """Whom to ask: the devices with ids from ``low`` to ``high`` (all if None), at one address or anywhere.

    ``seconds`` is how long to wait for them, ``timeout`` for each answer; ``pause`` to rest before each request.
    """

    low: int | None
    high: int | None
    address: str | None
    seconds: float
    timeout: float
    pause: float


@dataclass(slots=True)
class Scan:
    """What a scan found so far; ``stopped`` is whether it was interrupted, ``passed_over`` who may not be asked."""

    found: list[FoundDevice] = field(default_factory=list)
    passed_over: list[str] = field(default_factory=list)
    stopped: bool = False

    def plain(self) -> dict[str, object]:
        """As JSON."""
        return {"devices": [plain(each) for each in self.found], "complete": not self.stopped}


def scan(networks: BacnetNetworks, search: Search, allow: Allow, output: Output, ede: Path | None, as_json: bool) -> int:
    """Find devices and show what they have; the exit code.

    0 if all went well, 1 if something found has no place in the documents, 2 if nobody is there or nothing could be written,
    130 after Ctrl-C, when what was found until then is shown and written.
    """
    result = Scan()
    try:
        _look(networks, search, allow, result)
    except RequestFailed as failed:
        complain(failed.failure.message)
        return FAILED
    finally:
        networks.stop(5.0)
    code = _deliver(result.found, output, ede)
    show(result.plain(), grid(result.found) if result.found else None, as_json)
    if result.stopped:
        complain("stopped: there may be more than this")
        return STOPPED
    return code if result.found else FAILED


def _look(networks: BacnetNetworks, search: Search, allow: Allow, result: Scan) -> None:
    """Fill in the result; Ctrl-C leaves what is known. Raises RequestFailed."""
    try:
        for facts in sorted(_find(networks, search), key=lambda facts: facts.device_id):
            ip = ip_of(facts.address)
            if ip is not None and not allow.address(ip):
                complain(f"device {facts.device_id} is at {ip}, which is in no network of the setting allow.networks")
                continue
            passing(f"device {facts.device_id} at {facts.address} answers\n")
            found = FoundDevice(facts)
            result.found.append(found)
            _explore(networks, search, found)
    except KeyboardInterrupt:
        result.stopped = True


def _find(networks: BacnetNetworks, search: Search) -> Sequence[Facts]:
    """The devices that answer; at a single address also one that answers no Who-Is."""
    if search.address is None:
        return networks.who_is(Local(), search.low, search.high, None, search.seconds)
    session = networks.join(Local(), Target(None, search.address), _nothing)
    try:
        networks.who_is(Local(), 0, 0, search.address, 0.1)  # it has started then
        return [session.find(max(FIND_WITHIN, 2 * search.timeout))]
    finally:
        session.leave()


def _explore(networks: BacnetNetworks, search: Search, found: FoundDevice) -> None:
    session = networks.join(Local(), Target(found.facts.device_id, found.facts.address), _nothing)
    try:
        session.find(max(FIND_WITHIN, 2 * search.timeout))
        explore(Reader(session, 2 * search.timeout, lambda: time.sleep(search.pause)), found, passing)
    except RequestFailed as failed:
        found.remarks.append(failed.failure.message)
    finally:
        session.leave()


def _nothing() -> None:
    """Nobody waits for notices."""


def _deliver(found: Sequence[FoundDevice], output: Output, ede: Path | None) -> int:
    try:
        if ede is not None and found:
            for path in write_ede(ede, found, output.force):
                complain(str(path))
        filled = [each for each in found if each.objects]
        if output.folder is None or not filled:
            return OK
        result = Result()
        result.devices = [device(each, result) for each in filled]
        return deliver(result, output.folder, output.under, output.force, complain, complain)
    except (ImportFault, OSError) as error:
        complain(str(error))
        return FAILED
