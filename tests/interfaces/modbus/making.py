"""Registers from cells, as the gateway makes them, for tests."""

from __future__ import annotations

from typing import Any

from gateway.errors import ConfigFault
from gateway.interfaces._modbus.pdu import ModbusRegister
from gateway.interfaces.base import Environment
from gateway.interfaces.modbus import Interface, ModbusConfig, ModbusRow
from tests.fakes import FakeClock


def interface_of(port: int = 502, **config: Any) -> Interface:
    """An interface to a port of this machine, not yet open."""
    keys = {"device_address": "127.0.0.1", "port": port, "slave_id": 1, "timeout": 10} | config
    return Interface(ModbusConfig.model_validate(keys), Environment(FakeClock()))


def made(cells: dict[str, Any], **config: Any) -> tuple[ModbusRegister, ...]:
    """The registers of a row; cells that are not there are those of a holding register at address 0."""
    interface = interface_of(**config)
    filled = interface.cells({"Volttron Point Name": "P", "Address": "0", "Table": "holding"} | cells)
    return interface.registers(ModbusRow.model_validate({k: v for k, v in filled.items() if v != ""}))  # type: ignore[return-value]


def one(type_name: str = "uint16", **columns: Any) -> ModbusRegister:
    """The register of a row; columns are written with ``_`` for the space, keys of the config in small letters."""
    config = {key: value for key, value in columns.items() if key.islower()}
    cells = {key.replace("_", " "): value for key, value in columns.items() if not key.islower()}
    (register,) = made({"Type": type_name} | cells, **config)
    return register


def several(interface: Interface, rows: list[dict[str, Any]]) -> list[ModbusRegister]:
    """The points of rows together; a fault of them together is raised."""
    registers = [r for row in rows for r in interface.registers(ModbusRow.model_validate(interface.cells(row)))]
    points, faults = interface.complete(registers)
    if faults:
        raise faults[0]
    return list(points)  # type: ignore[arg-type]


__all__ = ["ConfigFault", "interface_of", "made", "one", "several"]
