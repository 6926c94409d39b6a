"""All BACnet networks of the gateway, by local address and port."""

from __future__ import annotations

import threading
from collections.abc import Callable

from gateway.clock import Clock
from gateway.interfaces._bacnet import wire
from gateway.interfaces._bacnet.life import Options
from gateway.interfaces._bacnet.network import GRACE, Network
from gateway.interfaces._bacnet.session import BacnetSession
from gateway.interfaces._bacnet.values import Facts, Failure, Local, RequestFailed, Target


class BacnetNetworks:
    """See ``values.Networks``; ``problem`` is told what keeps networks down, or None when that is over."""

    def __init__(self, defaults: Options, clock: Clock, problem: Callable[[str | None], None] = lambda words: None) -> None:
        self._defaults = defaults
        self._clock = clock
        self._problem = problem
        self._lock = threading.Lock()
        self._networks: dict[str, Network] = {}
        self._problems: dict[str, str] = {}

    def join(self, local: Local, target: Target, alarm: Callable[[], None], *, in_flight: int = 1) -> BacnetSession:
        """A session at a network."""
        return self._network(local).join(target, alarm, in_flight)

    def who_is(
        self, local: Local, low: int | None, high: int | None, address: str | None, timeout: float = 3.0
    ) -> list[Facts]:
        """The devices that answer a Who-Is."""
        question = {"do": "who_is", "low": low, "high": high, "address": address, "timeout": timeout}
        return [wire.unpack_facts(facts) for facts in self._network(local).visit(question, timeout)]

    def time_sync(self, local: Local, address: str | None, wall: float, utc: bool) -> None:
        """Tell the time."""
        self._network(local).visit({"do": "time_sync", "address": address, "wall": wall, "utc": utc}, GRACE)

    def late(self, now: float) -> list[str]:
        """The names of threads that have been silent for too long at a boot clock time."""
        with self._lock:
            networks = list(self._networks.values())
        return [network.thread_name for network in networks if network.late(now)]

    def stop(self, timeout: float) -> list[str]:
        """End all networks; the names of threads that did not end in time."""
        with self._lock:
            networks = list(self._networks.values())
        for network in networks:
            network.stop()
        until = self._clock.now() + timeout
        return [name for network in networks if (name := network.ended(max(0.0, until - self._clock.now())))]

    def _tell(self, name: str, words: str | None) -> None:
        with self._lock:
            before = dict(self._problems)
            if words is None:
                self._problems.pop(name, None)
            else:
                self._problems[name] = words
            if self._problems != before:
                self._problem("; ".join(self._problems.values()) or None)

    def _network(self, local: Local) -> Network:
        options = self._defaults.at(local)
        if not options.address:
            none = 'no local address is given: set bacnet.address in the settings, or "local_interface" in driver_config'
            raise RequestFailed(Failure("unreachable", none))
        with self._lock:
            network = self._networks.get(options.name)
            if network is None:
                network = Network(options, self._clock, lambda words: self._tell(options.name, words))
                self._networks[options.name] = network
            if network.options != options:
                other = f"BACnet at {options.name} is in use with another mask or BBMD: give all its devices the same"
                raise RequestFailed(Failure("unreachable", other))
            return network
