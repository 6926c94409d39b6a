"""One answer for several writes."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from gateway.actuator.reverts import Done
from gateway.errors import DeadlinePassed, GatewayError, OutcomeUnknown
from gateway.model import Scalar
from gateway.ticket import Ticket
from gateway.values import cut


class Group:
    """Collects the ends of the writes of these points and answers with ``{"values", "errors"}``, at the deadline at last.

    ``sent`` tells of a point whether its write was let through to the wire.
    """

    def __init__(self, ticket: Ticket, points: Iterable[str]) -> None:
        self._ticket = ticket
        self._lock = threading.Lock()
        self._left = set(points)
        self._values: dict[str, Scalar | None] = {}
        self._errors: dict[str, Any] = {}
        self.sent: Callable[[str], bool] = lambda _point: True
        ticket.late = self._late

    def done(self, point: str) -> Done:
        """What to tell of the end of this point's write."""

        def told(taken: Scalar | None, error: GatewayError | None) -> None:
            with self._lock:
                self._left.discard(point)
                if error is None:
                    self._values[point] = taken
                else:
                    self._errors[point] = error_body(error)
                whole = not self._left
            if whole:
                self._ticket.finish({"values": self._values, "errors": self._errors})

        return told

    def _late(self) -> Mapping[str, Any]:
        with self._lock:
            errors = dict(self._errors)
            for point in self._left:
                sent = self.sent(point)
                error: GatewayError = DeadlinePassed("the deadline came before the write could be sent; nothing was written")
                errors[point] = error_body(OutcomeUnknown("the write was sent and is not answered yet") if sent else error)
            return {"values": dict(self._values), "errors": errors}


def error_body(error: GatewayError) -> dict[str, Any]:
    """An error inside a result."""
    body: dict[str, Any] = {"code": error.code, "message": cut(error.message)}
    return body | {"data": error.data} if error.data else body
