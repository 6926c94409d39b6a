"""The devices that run: their threads, who they are, and who would write the same thing."""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from itertools import count
from typing import Protocol

import structlog

from gateway.clock import Clock
from gateway.device import Device
from gateway.device_thread import DeviceThread
from gateway.errors import Misconfigured, UnknownDevice
from gateway.interfaces.base import Environment
from gateway.jobs import Counters, Outlet
from gateway.schedule import spread
from gateway.sharing import Sharing
from gateway.store.device_config import Spec
from gateway.suggest import nearest
from gateway.topics import MAX_LEVELS, MIN_LEVELS
from gateway.values import shown
from gateway.worklist import REVERT_WITHIN

log = structlog.get_logger()

LAST_REQUEST = 0.2
"""Seconds that a device may still take to end after its time to give back is over."""
NEIGHBOURS = 50
"""Paths that an unknown one is compared with: more would take the dispatcher too long."""


class Keeper(Protocol):
    """Who keeps in mind what was written to devices, and has it given back in time."""

    def runs(self, device: Device) -> None:
        """A device is about to run."""
        ...

    def changes(self, device: Device, spec: Spec) -> None:
        """A device goes on with this specification as soon as it can; called on its thread."""
        ...

    def ends(self, path: str) -> None:
        """A device is about to be stopped: it is removed, or another gateway's."""
        ...


class _Forgetful:
    """A keeper with nothing to give back."""

    def runs(self, device: Device) -> None:
        pass

    def changes(self, device: Device, spec: Spec) -> None:
        pass

    def ends(self, path: str) -> None:
        pass


class Fleet:
    """Changed by the manager alone; ``find`` and ``counters`` may be called by any thread."""

    def __init__(self, env: Environment, outlet: Outlet, ended: Callable[[str], None]) -> None:
        self._env = env
        self._clock: Clock = env.clock
        self._outlet = outlet
        self._ended = ended
        self.keeper: Keeper = _Forgetful()
        self._starting = threading.Lock()
        self._threads: dict[str, DeviceThread] = {}
        self._specs: dict[str, Spec] = {}
        self._misconfigured: set[str] = set()
        self._foreign: set[str] = set()
        self._stopped = False
        self._numbers = count()
        self._settled: dict[str, float] = {}
        self._held: dict[str, float] = {}
        self._past = Counters()
        self.sharing = Sharing(env)
        self._below: dict[str, set[str]] = defaultdict(set)

    # ---- for requests

    def find(self, levels: tuple[str, ...]) -> tuple[str, str]:
        """The device path and the point that topic levels name: the longest configured path that fits, and the rest.

        Raises UnknownDevice.
        """
        for size in _sizes(levels):
            path = "/".join(levels[:size])
            broken = path in self._misconfigured and not self._is_point(levels)
            if path in self._threads or path in self._foreign or broken:
                return path, "/".join(levels[size:])
        near = self._neighbour(levels)
        hint = f'; did you mean "{near}"?' if near else ""
        raise UnknownDevice(f"no device is configured at {shown('/'.join(levels))}{hint}")

    def _neighbour(self, levels: tuple[str, ...]) -> str:
        """A device in the same building that was probably meant; empty if there is none."""
        building = "/".join(levels[:2]).lower() + "/"
        known = [path for path in list(self._specs) if path.lower().startswith(building)][:NEIGHBOURS]
        heads = ("/".join(levels[:size]) for size in range(MIN_LEVELS, min(len(levels), MAX_LEVELS) + 1))
        return next(filter(None, (nearest(head, known) for head in heads)), "")

    def _is_point(self, levels: tuple[str, ...]) -> bool:
        """Whether the levels are a point of a device that runs: one below it that can not run does not hide it."""
        above = ((self._specs.get(path), point) for path, point in _above("/".join(levels)))
        return any(spec and any(register.name == point for register in spec.registers) for spec, point in above)

    def is_others(self, levels: tuple[str, ...]) -> bool:
        """Whether the device that topic levels name is another gateway's."""
        paths = ["/".join(levels[:size]) for size in _sizes(levels)]
        known = (path for path in paths if path in self._threads or path in self._misconfigured or path in self._foreign)
        return next(known, "") in self._foreign

    def is_foreign(self, path: str) -> bool:
        """Whether the device is another gateway's."""
        return path in self._foreign

    def is_ours(self, path: str) -> bool:
        """Whether a device is to run here: it is from the moment on at which it is started, until it is told to stop."""
        return path in self._specs and path not in self._foreign

    def has_gone(self, path: str) -> bool:
        """Whether the device is another gateway's, and at most gives back here what was written to it."""
        return path in self._foreign and path not in self._specs

    def device(self, path: str) -> Device:
        """The running device at this path. Raises UnknownDevice, Misconfigured."""
        thread = self._threads.get(path)
        if thread is not None and not thread.device.closing:
            return thread.device
        if path in self._misconfigured:
            raise Misconfigured("the device has no working configuration; its status topic says what is wrong")
        raise UnknownDevice(f'no device is configured at "{path}"')

    def running(self, path: str) -> Device | None:
        """The device at this path, also one that is being stopped."""
        thread = self._threads.get(path)
        return thread.device if thread else None

    def paths(self) -> list[str]:
        """The devices that run."""
        return list(self._threads)

    # ---- for the manager

    def spec(self, path: str) -> Spec | None:
        """What a device runs on, or None."""
        return self._specs.get(path)

    def run(self, spec: Spec, settle: float, at: float) -> None:
        """Start the device, or let it go on with this specification from boot clock time ``at``."""
        path = spec.path
        self._misconfigured.discard(path)
        running = self._specs.get(path)
        self._know(spec)
        thread = self._threads.get(path)
        if thread is None:
            self._start(spec, settle)
        elif not thread.device.closing and running is not None and running.fingerprint != spec.fingerprint:
            device = thread.device
            device.work.reconfigure(spec, self._phase(spec), at, lambda: self.keeper.changes(device, spec))

    def settle(self, path: str, until: float) -> None:
        """The claim to a device is new: it may not be written before then."""
        self._settled[path] = until
        thread = self._threads.get(path)
        if thread is not None:
            thread.device.work.settle(until)

    def hold(self, path: str, until: float) -> None:
        """Another gateway may still be at the device: nothing is asked of it before that boot clock time."""
        self._held[path] = until
        thread = self._threads.get(path)
        if thread is not None:
            thread.device.work.hold(until)

    def misconfigured(self, path: str) -> None:
        """The device has no configuration that it could run on."""
        self._misconfigured.add(path)

    def foreign(self, paths: Iterable[str]) -> None:
        """These devices are other gateways'."""
        self._foreign = set(paths)

    def give_up(self, path: str, abandon: bool) -> None:
        """The device is another gateway's from now on, and with ``abandon`` the requests that wait for it are, too."""
        self._foreign.add(path)
        thread = self._threads.get(path)
        if thread is not None and abandon:
            thread.stop(abandon)
        self.stop(path)

    def stop(self, path: str) -> bool:
        """Ask a device to end; whether there was one (then ``ended`` comes later)."""
        self._misconfigured.discard(path)
        self._forget(path)
        thread = self._threads.get(path)
        self.keeper.ends(path)
        if thread is not None:
            thread.stop(drain_until=self._clock.now() + REVERT_WITHIN)
        return thread is not None

    def has_ended(self, path: str) -> None:
        """The thread of a device is gone; if the device is wanted again by now, it starts anew."""
        thread = self._threads.pop(path, None)
        if thread is not None:
            counters = thread.device.counters
            self._past.polls += counters.polls
            self._past.missed += counters.missed
            self._past.failures += counters.failures
        spec = self._specs.get(path)
        if spec is not None:
            self._start(spec, self._settled.get(path, 0.0))
        else:
            self._settled.pop(path, None)
            self._held.pop(path, None)
            self._outlet.ended(path)

    def stop_all(self, deadline: float) -> list[str]:
        """End every device by that boot clock time, for good; the names of threads that did not."""
        with self._starting:  # whoever is among the threads has begun
            self._stopped = True
            threads = list(self._threads.values())
        for thread in threads:
            thread.stop(drain_until=deadline)
        return [thread.name for thread in threads if not thread.join(max(0.0, deadline - self._clock.now()) + LAST_REQUEST)]

    def late(self, now: float) -> list[str]:
        """The names of the threads that have shown no sign of life for too long at that boot clock time."""
        return [thread.name for thread in list(self._threads.values()) if thread.late(now)]

    def counters(self) -> Counters:
        """The sum over all devices since the start; ``max_late`` is the worst of those that run."""
        running = [thread.device.counters for thread in list(self._threads.values())]
        return Counters(
            self._past.polls + sum(c.polls for c in running),
            self._past.missed + sum(c.missed for c in running),
            self._past.failures + sum(c.failures for c in running),
            max((c.max_late for c in running), default=0.0),
        )

    def collision(self, spec: Spec) -> str | None:
        """A sentence if a topic of a point and a topic of another device would be one and the same, or None."""
        for above, rest in _above(spec.path):
            known = self._specs.get(above)
            if known and any(_begins(register.name, rest) for register in known.registers):
                return f'the device "{above}" has a point whose name begins with "{rest}": both would share topics'
        for path in self._below.get(spec.path, ()):
            rest = path[len(spec.path) + 1 :]
            if any(_begins(register.name, rest) for register in spec.registers):
                return f'a point\'s name begins with "{rest}", where the device "{path}" is: both would share topics'
        return None

    def _know(self, spec: Spec) -> None:
        self._specs[spec.path] = spec  # in place of the one before: at no moment there is none
        for above, _ in _above(spec.path):
            self._below[above].add(spec.path)
        self.sharing.forget(spec.path)
        self.sharing.know(spec)

    def _forget(self, path: str) -> None:
        spec = self._specs.pop(path, None)
        if spec is not None:
            for above, _ in _above(path):
                self._below[above].discard(path)
            self.sharing.forget(path)

    def _start(self, spec: Spec, settle: float) -> None:
        device = Device(spec, self._env, self._outlet, self._phase(spec), settle)
        device.work.hold(self._held.get(spec.path, 0.0))
        with self._starting:
            if self._stopped:
                return
            thread = self._threads[spec.path] = DeviceThread(device, self._ended)
            self.keeper.runs(device)
            thread.start()

    def _phase(self, spec: Spec) -> float:
        return spread(next(self._numbers), spec.intervals[-1])


def _begins(name: str, rest: str) -> bool:
    return name == rest or name.startswith(rest + "/")


def _above(path: str) -> list[tuple[str, str]]:
    """The device paths that a path lies below, each with the rest."""
    levels = path.split("/")
    return [("/".join(levels[:size]), "/".join(levels[size:])) for size in reversed(_sizes(levels[:-1]))]


def _sizes(levels: Sequence[str]) -> range:
    """How many of the levels may name a device, the most first; a topic may have 32,768 of them."""
    return range(min(len(levels), MAX_LEVELS), MIN_LEVELS - 1, -1)
