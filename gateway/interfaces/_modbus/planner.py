"""The requests that read one device: planned once for each set of registers, and anew when the device refuses one."""

from __future__ import annotations

from collections.abc import Sequence

from gateway.clock import Clock
from gateway.interfaces._modbus.learned import Learned
from gateway.interfaces._modbus.limits import Limits
from gateway.interfaces._modbus.pdu import ModbusRegister
from gateway.interfaces._modbus.plan import ModbusBatch, parts, plan, scales_first

MAX_PLANS = 256
RELEARN = 86_400.0
"""Seconds after which a device is asked again for what it refused: it may have been mended, or replaced."""


class Planner:
    """Plans within the limits of the configuration and what is learned."""

    def __init__(self, limits: Limits, clock: Clock) -> None:
        self._facts: tuple[str, ...] = ()
        self._stale = False
        self._configured = self._limits = limits
        self._clock = clock
        self._learned = Learned()
        self._relearn = clock.now() + RELEARN
        self._plans: dict[tuple[int, ...], list[ModbusBatch]] = {}
        self._newest: tuple[Sequence[ModbusRegister], list[ModbusBatch]] = ((), [])

    @property
    def facts(self) -> tuple[str, ...]:
        """What the device was found to refuse; the same object until there is news."""
        self._replan()
        return self._facts

    def recall(self, facts: Sequence[str]) -> None:
        """Go on with facts that an earlier planner had for the same device and registers."""
        self._learned.recall(facts)
        self._stale = True

    def batches(self, registers: Sequence[ModbusRegister]) -> list[ModbusBatch]:
        """The batches that read these registers, each once, and what scales them, first."""
        if self._clock.now() >= self._relearn:
            self._relearn = self._clock.now() + RELEARN
            self._stale = self._learned.forget() or self._stale
        self._replan()
        asked = tuple(registers)  # itself, if it is one: from poll to poll it is the same
        if asked is not self._newest[0]:
            self._newest = (asked, self._known(asked))
        return list(self._newest[1])

    def _known(self, registers: Sequence[ModbusRegister]) -> list[ModbusBatch]:
        # The batches hold the registers, so their identities stay good as long as the plan does.
        key = tuple(map(id, registers))
        if key not in self._plans:
            if len(self._plans) >= MAX_PLANS:
                self._plans.clear()
            # What a scale was in another poll is not good enough: it is read in this one.
            scales = {r.scale_from.name: r.scale_from for r in registers if r.scale_from is not None}
            self._plans[key] = scales_first(plan([*registers, *scales.values()], self._limits))
        return self._plans[key]

    def answered(self, batch: ModbusBatch) -> None:
        """The device has answered a batch with values."""
        if self._learned.answered(batch.span):
            self._stale = True

    def refused(self, batch: ModbusBatch) -> list[ModbusBatch]:
        """What to ask for in place of a batch that the device refused for its place or length; nothing for one point."""
        if len(batch.registers) > 1:
            smaller = parts(batch, self._limits)
            self._learned.refused(batch.span, batch.holes(), [part.span for part in smaller])
            return list(smaller)
        if self._learned.refused_alone(batch.span):
            self._stale = True
        return []

    def _replan(self) -> None:
        """After news, at the next plan: a first poll may bring thousands of them."""
        if not self._stale:
            return
        self._stale = False
        facts = self._learned.facts()
        self._facts = self._facts if facts == self._facts else facts
        self._limits = self._learned.limits(self._configured)
        self._plans.clear()
        self._newest = ((), [])
