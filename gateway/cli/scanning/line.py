"""One Modbus link, asked gently: one request at a time, with a pause before each, and nothing but reads."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from gateway.errors import Transient, Unreachable
from gateway.interfaces._modbus.pdu import Query, Refusal, Table, read_query

BUSY = (5, 6)
"""Exceptions that ask for patience: acknowledge, and server device busy."""
AWAY = (10, 11)
"""Exceptions by which a gateway says that the unit behind it does not answer."""
BUSY_TRIES = 3


class Wire(Protocol):
    """What carries requests to the units of a link."""

    def open(self) -> None:
        """Connect; does nothing if connected. Raises Unreachable."""
        ...

    def exchange(self, unit: int, query: Query) -> bytes:
        """The data of the reply. Raises Refusal, Transient, Unreachable."""
        ...

    def close(self) -> None:
        """Disconnect."""
        ...


class Line:
    """Asks the units of one link; ``pause`` is in seconds, ``requests`` counts what was sent."""

    def __init__(self, wire: Wire, pause: float, sleep: Callable[[float], None]) -> None:
        self.requests = 0
        self._wire = wire
        self._pause = pause
        self._sleep = sleep
        self._reached = False

    def ask(self, unit: int, query: Query) -> bytes:
        """The data of the reply. A busy unit is asked again.

        Raises Refusal; Transient if no good answer came, or the gateway to it says so, or it hung up; Unreachable if
        nobody was ever there.
        """
        for _ in range(BUSY_TRIES):
            try:
                return self._once(unit, query)
            except Refusal as refusal:
                if refusal.code in AWAY:
                    raise Transient(str(refusal)) from refusal
                if refusal.code not in BUSY:
                    raise
        raise Transient("it is busy")

    def words(self, unit: int, table: Table, address: int, count: int) -> list[int]:
        """The registers or bits from an address. Raises as ``ask``."""
        data = self.ask(unit, read_query(table, address, count))
        if table.bits:
            return [data[index // 8] >> index % 8 & 1 for index in range(count)]
        return [int.from_bytes(data[index : index + 2], "big") for index in range(0, 2 * count, 2)]

    def close(self) -> None:
        """Disconnect."""
        self._wire.close()

    def _once(self, unit: int, query: Query) -> bytes:
        self.requests += 1
        if self._pause:
            self._sleep(self._pause)
        try:
            self._wire.open()
            self._reached = True
            return self._wire.exchange(unit, query)
        except Unreachable as error:
            if self._reached:
                raise Transient(error.message) from error
            raise
