"""The rights to write: each is asked by the device's thread before every step, and told the end once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from gateway.clock import Clock
from gateway.errors import GatewayError
from gateway.model import Scalar
from gateway.ticket import Ticket


@dataclass(slots=True)
class Write:
    """A client's write, answered through its ticket; ``guard`` raises when the client may not write any more."""

    ticket: Ticket
    clock: Clock
    guard: Callable[[], None]

    @property
    def over(self) -> bool:
        """Whether the answer has gone."""
        return self.ticket.answered

    @property
    def sent(self) -> bool:
        """Whether the write was let through to the wire."""
        return self.ticket.claimed

    def begin(self) -> bool:
        """Whether the present value is to be read first."""
        self.guard()
        return False

    def record(self, present: Scalar | None) -> None:
        """There is nothing to journal."""

    def claim(self) -> None:
        """The bytes go now."""
        self.guard()
        self.ticket.claim(self.clock.now())

    def time_left(self) -> bool:
        """Whether the deadline is yet to come."""
        return self.clock.now() < self.ticket.deadline

    def end(self, taken: Scalar | None, error: GatewayError | None) -> None:
        """Answer."""
        self.ticket.finish(taken, error)
