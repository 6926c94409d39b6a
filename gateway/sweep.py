"""Reading a set of registers, one request at a time: a poll, or what a client asked for."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from typing import cast

from gateway.clock import Clock
from gateway.errors import DeviceError, Transient, Unreachable
from gateway.interfaces.base import Batch, GiveWay, Interface, Split
from gateway.model import PointError, Register, Scalar

TIMEOUTS_IN_A_ROW = 2
"""After so many requests without an answer the rest of the sweep is given up."""


class Sweep:
    """What is still to be asked, and what the device has answered so far.

    ``answered`` says that the device answered at least one request, be it with a refusal, and ``wall`` when it last did
    (wall clock seconds). ``trouble`` is the last error that concerned the device rather than a point, ``lost`` says that it
    was a lost connection.
    """

    def __init__(self, batches: Sequence[Batch], clock: Clock) -> None:
        self._clock = clock
        self.wall = clock.wall()
        self.values: dict[str, Scalar] = {}
        self.errors: dict[str, PointError] = {}
        self.answered = False
        self.trouble: DeviceError | None = None
        self.lost = False
        self._batches = deque(batches)
        self._silent = 0

    @property
    def done(self) -> bool:
        """Whether nothing is left to ask."""
        return not self._batches

    def step(self, interface: Interface) -> None:
        """Ask for the next batch: at most one request on the wire."""
        batch = self._batches.popleft()
        try:
            taken = interface.read(batch)
        except Split as split:
            self._batches.extendleft(reversed(split.batches))
            self._heard()
            return
        except GiveWay:
            self._batches.appendleft(batch)
            return
        except Unreachable as error:
            self.lost = True
            self._fail(batch.registers, error)
            self.abandon(error)
            return
        except Transient as error:
            self._missed(batch, error)
            return
        except DeviceError as error:
            self._fail(batch.registers, error, error.code)
            self._heard()
            return
        self._take(taken)
        self._heard()

    def abandon(self, error: DeviceError) -> None:
        """Give up what has not been asked yet."""
        for batch in self._batches:
            self._fail(batch.registers, error)
        self._batches.clear()

    def _take(self, taken: Mapping[str, Scalar | PointError]) -> None:
        if PointError in map(type, taken.values()):
            self.errors.update((name, value) for name, value in taken.items() if isinstance(value, PointError))
            taken = {name: value for name, value in taken.items() if not isinstance(value, PointError)}
        self.values.update(cast(Mapping[str, Scalar], taken))

    def _heard(self) -> None:
        self.answered = True
        self.wall = self._clock.wall()
        self._silent = 0

    def _missed(self, batch: Batch, error: Transient) -> None:
        self._fail(batch.registers, error)
        self._silent += 1
        if self._silent >= TIMEOUTS_IN_A_ROW:
            self.abandon(error)

    def _fail(self, registers: Iterable[Register], error: DeviceError, code: str = "timeout") -> None:
        self.trouble = error
        failed = PointError(code, error.message)
        self.errors.update((register.name, failed) for register in registers if not register.hidden)


def sweep_of(interface: Interface, registers: Sequence[Register], clock: Clock) -> Sweep:
    """A sweep of these registers; a write-only one is an error at once, without a word to the device."""
    sweep = Sweep(interface.batches(registers), clock)
    for name in [register.name for register in registers if register.write_only]:
        sweep.errors[name] = PointError("bad_request", f'"{name}" is write-only: it can not be read')
    return sweep
