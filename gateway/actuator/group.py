"""One answer for several writes."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from gateway.actuator.reverts import Done
from gateway.errors import DeadlinePassed, GatewayError, OutcomeUnknown
from gateway.model import Masked, Scalar, Taken
from gateway.rpc import error_body
from gateway.ticket import Ticket


class Group:
    """Collects the ends of the writes of these points and answers with ``{"values", "errors"}``, at the deadline at last.

    ``effective`` stands beside them if a higher priority masks some of the values.

    ``sent`` tells of a point whether its write was let through to the wire.
    """

    def __init__(self, ticket: Ticket, points: Iterable[str]) -> None:
        self._ticket = ticket
        self._lock = threading.Lock()
        self._left = set(points)
        self._values: dict[str, Scalar | None] = {}
        self._errors: dict[str, Any] = {}
        self._effective: dict[str, Scalar] = {}
        self.sent: Callable[[str], bool] = lambda _point: True
        ticket.late = self._late

    def done(self, point: str) -> Done:
        """What to tell of the end of this point's write."""

        def told(taken: Taken, error: GatewayError | None) -> None:
            with self._lock:
                self._left.discard(point)
                if error is not None:
                    self._errors[point] = error_body(error)
                elif isinstance(taken, Masked):
                    self._values[point], self._effective[point] = taken.value, taken.effective
                else:
                    self._values[point] = taken
                whole = not self._left
            if whole:
                self._ticket.finish(self._body(self._errors))

        return told

    def _late(self) -> Mapping[str, Any]:
        with self._lock:
            errors = dict(self._errors)
            for point in self._left:
                sent = self.sent(point)
                error: GatewayError = DeadlinePassed("the deadline came before the write could be sent; nothing was written")
                errors[point] = error_body(OutcomeUnknown("the write was sent and is not answered yet") if sent else error)
            return self._body(errors)

    def _body(self, errors: dict[str, Any]) -> dict[str, Any]:
        effective = {"effective": dict(self._effective)} if self._effective else {}
        return {"values": dict(self._values), "errors": errors, **effective}
