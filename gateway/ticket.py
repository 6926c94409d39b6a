"""One request's claim to exactly one answer; shared by the dispatcher and a device thread."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from gateway.errors import DeadlinePassed, GatewayError, OutcomeUnknown


class Ticket:
    """Decides, atomically, between the deadline and the wire, and lets one answer through.

    ``answer`` is called once, with a result or an error, on whichever thread comes first; or ``abandoned`` is, if no answer
    is ours to give. ``deadline`` is on the boot clock.
    """

    def __init__(
        self,
        deadline: float,
        answer: Callable[[Any, GatewayError | None], None],
        abandoned: Callable[[], None] = lambda: None,
    ) -> None:
        self.deadline = deadline
        self._answer = answer
        self._abandoned = abandoned
        self._lock = threading.Lock()
        self._claimed = False
        self._answered = False
        self.late: Callable[[], Any] | None = None
        """What to answer at the deadline instead of an error: what is known by then."""

    @property
    def answered(self) -> bool:
        """Whether the answer has gone: nothing needs to be done any more."""
        return self._answered

    def claim(self, now: float) -> None:
        """Take the right to send a write; DeadlinePassed if it is too late, and then it never leaves."""
        with self._lock:
            if self._answered or now >= self.deadline:
                raise DeadlinePassed("the deadline came before the write could be sent; nothing was written")
            self._claimed = True

    @property
    def claimed(self) -> bool:
        """Whether a write has been let through to the wire."""
        return self._claimed

    def finish(self, result: Any = None, error: GatewayError | None = None) -> bool:
        """Answer, unless that is done already; whether this was the answer."""
        with self._lock:
            if self._answered:
                return False
            self._answered = True
        self._let_go()(result, error)
        return True

    def abandon(self) -> None:
        """No answer is ours to give, unless there was one."""
        with self._lock:
            if self._answered:
                return
            self._answered = True
        abandoned = self._abandoned
        self._let_go()
        abandoned()

    def doubt(self) -> None:
        """Somebody else may have sent the write: at the deadline its outcome is unknown."""
        self._claimed = True

    def expire(self, reason: GatewayError | None = None) -> bool:
        """Answer that nobody waits any longer: ``outcome_unknown`` once a write was let through, else the reason.

        Without one it is that the deadline has come, ``timeout``.
        """
        with self._lock:  # a claim that comes in between would leave after it was told that nothing left
            if self._answered:
                return False
            self._answered = True
        late, answer = self.late, self._let_go()
        if late is not None:
            answer(late(), None)
            return True
        error = reason or DeadlinePassed("no answer from the device within the deadline")
        if self._claimed:
            error = OutcomeUnknown("the write was sent and the device has not answered yet; read the point back")
        answer(None, error)
        return True

    def _let_go(self) -> Callable[[Any, GatewayError | None], None]:
        """Who takes the answer; whoever keeps an answered ticket keeps nothing of the request."""
        answer = self._answer
        self._answer, self._abandoned, self.late = _done, _done, None
        return answer


def _done(*_: object) -> None:
    """There was an answer."""
