"""Scales that stand in registers of the device; used by one thread."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from gateway.errors import BadValue
from gateway.interfaces._modbus.pdu import ModbusRegister
from gateway.model import PointError, Scalar
from gateway.values import from_raw, shown

MAX_POWER = 30
MAX_KEPT = 10_000


class Scales:
    """What the scale registers held when they were last read, and what that makes of the points that they scale."""

    def __init__(self) -> None:
        self._held: dict[str, Scalar | PointError] = {}
        self._made: dict[tuple[str, Scalar], ModbusRegister] = {}

    def forget(self, registers: Iterable[ModbusRegister]) -> None:
        """What these scale registers held is no longer known: they are being asked for anew."""
        for register in registers:
            self._held.pop(register.name, None)

    def keep(self, registers: Iterable[ModbusRegister], values: dict[str, Scalar | PointError]) -> None:
        """Take what was read of these scale registers out of ``values``."""
        for register in registers:
            raw = values.pop(register.name)
            try:
                self._held[register.name] = raw if isinstance(raw, PointError) else from_raw(register, raw)
            except BadValue as error:
                self._held[register.name] = PointError(error.code, error.message)

    def apply(self, register: ModbusRegister) -> ModbusRegister:
        """The register with its scale as last read. Raises BadValue if that is not known, or is none."""
        assert register.scale_from is not None
        held = self._held.get(register.scale_from.name)
        if held is None or isinstance(held, PointError):
            reason = f": {held.message}" if held else ""
            raise BadValue(f'its scale, "{register.scale_register}", could not be read{reason}')
        made = self._made.get((register.name, held))
        if made is None:
            if len(self._made) >= MAX_KEPT:
                self._made.clear()
            made = self._made[register.name, held] = _scaled(register, held)
        return made


def _scaled(register: ModbusRegister, held: Scalar) -> ModbusRegister:
    assert isinstance(held, (int, float))
    if register.scale_kind == "power":
        if held != int(held) or abs(held) > MAX_POWER:
            raise BadValue(f'its scale, "{register.scale_register}", is {shown(held)}, which is no power of ten')
        power = int(held)
        return replace(register, scale=register.scale * 10 ** max(power, 0), divisor=10 ** max(-power, 0))
    if held == 0:
        raise BadValue(f'its scale, "{register.scale_register}", is 0')
    if register.scale_kind == "divisor":
        return replace(register, divisor=held)
    return replace(register, scale=register.scale * held)
