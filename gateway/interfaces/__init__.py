"""The drivers: one module for each ``driver_type``, loaded on use."""

from __future__ import annotations

import difflib
import pkgutil
from functools import cache
from importlib import import_module
from typing import Any

from gateway.errors import ConfigFault
from gateway.interfaces.base import Interface

ALIASES = {"fakedriver": "fake", "modbus_tk": "modbus"}
"""VOLTTRON's other names."""


@cache
def driver_types() -> tuple[str, ...]:
    """The names that ``driver_type`` may have, aliases left out."""
    names = (m.name for m in pkgutil.iter_modules(__path__) if m.name != "base" and not m.name.startswith("_"))
    return tuple(sorted(names))


def load(driver_type: str) -> type[Interface]:
    """The interface class of a driver type; ConfigFault if there is none. Only our own modules are ever loaded."""
    name = ALIASES.get(driver_type, driver_type)
    known = driver_types()
    if name not in known:
        near = difflib.get_close_matches(driver_type, [*known, *ALIASES], n=1)
        raise ConfigFault(
            f'there is no driver "{driver_type}"; known are {", ".join(known)}', "driver_type", near[0] if near else ""
        )
    interface: type[Interface] = import_module(f"{__name__}.{name}").Interface
    return interface


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
