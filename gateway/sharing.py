"""Which devices share a link, and who would write the same thing or wants the link otherwise; used by the fleet."""

from __future__ import annotations

from collections import defaultdict

from gateway.interfaces.base import Environment
from gateway.store.device_config import Spec


class Sharing:
    """The devices that run, by what they are reached through."""

    def __init__(self, env: Environment) -> None:
        self._env = env
        self._specs: dict[str, Spec] = {}
        self._keys: dict[str, list[object]] = {}
        self._by_key: dict[object, set[str]] = defaultdict(set)

    def know(self, spec: Spec) -> None:
        """A device runs on this."""
        interface = spec.interface(spec.config, self._env)
        link, shared = interface.link(), interface.shares()
        keys: list[object] = [] if link is None else [_unit(spec, link)]
        keys += [] if shared is None else [shared[0]]
        self._specs[spec.path], self._keys[spec.path] = spec, keys
        for key in keys:
            self._by_key[key].add(spec.path)

    def forget(self, path: str) -> None:
        """It does not any more."""
        self._specs.pop(path, None)
        for key in self._keys.pop(path, []):
            self._by_key[key].discard(path)
            if not self._by_key[key]:
                del self._by_key[key]

    def rivals(self, spec: Spec) -> dict[str, list[str]]:
        """Devices with a writable point on the same link and register as one of ours: path -> our points."""
        link = spec.interface(spec.config, self._env).link()
        others = set() if link is None else self._by_key.get(_unit(spec, link), set()) - {spec.path}
        if not others:
            return {}
        own = self._targets(spec)
        shared = {path: own.keys() & self._targets(self._specs[path]).keys() for path in others}
        return {path: sorted(own[target] for target in targets) for path, targets in shared.items() if targets}

    def clashes(self, spec: Spec) -> dict[str, list[str]]:
        """Devices on the same line or endpoint that want it otherwise: path -> the keys that differ."""
        shared = spec.interface(spec.config, self._env).shares()
        if shared is None:
            return {}
        found = {}
        for path in self._by_key.get(shared[0], set()) - {spec.path}:
            other = self._specs[path]
            theirs = other.interface(other.config, self._env).shares()
            settings = {} if theirs is None else theirs[1]
            different = [name for name, value in shared[1].items() if settings.get(name) != value]
            if different:
                found[path] = different
        return found

    def _targets(self, spec: Spec) -> dict[object, str]:
        interface = spec.interface(spec.config, self._env)
        return {interface.target(register): register.name for register in spec.registers if register.writable}


def _unit(spec: Spec, link: object) -> object:
    return ("unit", spec.driver_type, link)
