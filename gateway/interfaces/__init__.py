"""The drivers: one module for each ``driver_type``, loaded on use; those of other packages come by entry points.

A package that brings a driver names its class in the entry-point group ``gateway.interfaces``. A configuration can only
choose among the names that installed packages have.
"""

from __future__ import annotations

import pkgutil
from functools import cache
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from typing import Any

import structlog

from gateway.errors import ConfigFault
from gateway.interfaces.base import DriverConfig, Interface, RegistryRow
from gateway.suggest import nearest

log = structlog.get_logger()

GROUP = "gateway.interfaces"
"""The entry-point group of drivers in other packages."""

ALIASES = {"fakedriver": "fake", "modbus_tk": "modbus"}
"""VOLTTRON's other names."""


@cache
def own_types() -> tuple[str, ...]:
    """The names of the gateway's own drivers, aliases left out."""
    names = (m.name for m in pkgutil.iter_modules(__path__) if m.name != "base" and not m.name.startswith("_"))
    return tuple(sorted(names))


@cache
def _outside() -> tuple[EntryPoint, ...]:
    return tuple(entry_points(group=GROUP))


def driver_types() -> tuple[str, ...]:
    """The names that ``driver_type`` may have, aliases left out."""
    return tuple(sorted({*own_types(), *(entry.name for entry in _outside())}))


def load(driver_type: str) -> type[Interface]:
    """The interface class of a driver type; ConfigFault if there is none, or it can not be loaded."""
    name = ALIASES.get(driver_type, driver_type)
    if name in own_types():
        interface: type[Interface] = import_module(f"{__name__}.{name}").Interface
        return interface
    entries = [entry for entry in _outside() if entry.name == name]
    if not entries:
        near = nearest(driver_type, [*driver_types(), *ALIASES], 0.6)
        known = ", ".join(driver_types())
        raise ConfigFault(f'there is no driver "{driver_type}"; known are {known}', "driver_type", near)
    if len(entries) > 1:
        packages = " and ".join(sorted(_package(entry) for entry in entries))
        raise ConfigFault(f'{packages} each have a driver "{name}": only one of them may be installed', "driver_type")
    loaded = _loaded(entries[0])
    if isinstance(loaded, str):
        raise ConfigFault(f'the driver "{name}" of {_package(entries[0])} can not be loaded: {loaded}', "driver_type")
    return loaded


def refused(driver_type: str) -> str:
    """Why drivers of other packages by that name are not used, as the gateway has one; "" if there are none."""
    name = ALIASES.get(driver_type, driver_type)
    own = {name, driver_type} if name in own_types() else set()
    packages = sorted({_package(entry) for entry in _outside() if entry.name in own})
    return f"the one of {' and '.join(packages)} is not used: the name is taken by the gateway's own" if packages else ""


@cache
def _loaded(entry: EntryPoint) -> type[Interface] | str:
    """The class of an entry point, or why it can not be had; loaded once, as a package changes only with the process."""
    try:
        found = entry.load()
    except (Exception, SystemExit) as error:  # whatever the code of others does, it must not take our devices along
        log.exception("a driver can not be loaded", driver=entry.name, package=_package(entry))
        return str(error)
    if not (isinstance(found, type) and issubclass(found, Interface)):
        return f"{entry.value} is no subclass of Interface"
    if not (issubclass(found.Config, DriverConfig) and issubclass(found.Row, RegistryRow)):
        return "its Config is no DriverConfig, or its Row no RegistryRow"
    return found


def _package(entry: EntryPoint) -> str:
    return f"{entry.dist.name} {entry.dist.version}" if entry.dist is not None else entry.value


def translated(driver_type: object, given: dict[str, Any]) -> dict[str, Any]:
    """A ``driver_config`` that was written for VOLTTRON's driver of that name, in the words of ours.

    Its ``modbus_tk`` asks unit 1 if none is named, and its ``endian`` is the order of all bytes of a number.
    """
    if driver_type != "modbus_tk":
        return given
    orders = {"big": "ABCD", "little": "DCBA"}
    order = orders.get(str(given.get("endian", "")).lower())
    taken = {"byte_order" if key == "endian" and order else key: value for key, value in given.items()}
    if order and "byte_order" not in given:
        taken["byte_order"] = order
    return taken if given.keys() & {"slave_id", "unit_id", "device_id"} else {**taken, "slave_id": 1}
