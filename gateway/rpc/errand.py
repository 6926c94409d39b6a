"""One request on its way to its one answer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from gateway.errors import GatewayError
from gateway.rpc.calls import Answer, Call, Handler, Request, answer_of
from gateway.rpc.duplicates import Duplicates, Seen
from gateway.rpc.replies import Reply
from gateway.ticket import Ticket


class Errand:
    """``told`` is called with the code of the answer; ``seen`` is set once the request is held against its repetition."""

    def __init__(
        self, request: Request, reply: Reply, duplicates: Duplicates, gateway_id: str, told: Callable[[str], None]
    ) -> None:
        self.request = request
        self.ticket = Ticket(request.deadline, self._answer, self._abandoned)
        self.seen: Seen | None = None
        self.work: tuple[Handler, Call] | None = None
        self._reply = reply
        self._duplicates = duplicates
        self._gateway_id = gateway_id
        self._told = told
        self._repeats = False
        self._names_device: bool | None = None

    def carry_out(self) -> None:
        """Have the method begin its work; how the request was worded is not needed any more then."""
        assert self.work is not None
        (handler, call), self.work = self.work, None
        self._names_device = self.request.names_device  # before the answer comes, on whichever thread
        handler(call)
        self.request.forget()

    def repeat(self, seen: Seen) -> None:
        """Give the answer of that request, as soon as it is there."""
        self._repeats = True
        self.ticket.doubt()  # at the deadline nobody can say that nothing was sent
        self._duplicates.attach(seen, self._same)

    def _same(self, answer: Answer | None) -> None:
        if answer is None:
            self.ticket.abandon()
        else:
            self.ticket.finish(answer)

    def _answer(self, result: Any, error: GatewayError | None) -> None:
        names_device = self.request.names_device if self._names_device is None else self._names_device
        named = None if names_device else self._gateway_id
        answer = result if isinstance(result, Answer) else answer_of(result, error, named)
        self._told(answer.code)
        self._reply(answer, self._repeats)
        if self.seen is not None:
            self._duplicates.answered(self.seen, answer)

    def _abandoned(self) -> None:
        self._reply(None, False)
        if self.seen is not None:
            self._duplicates.answered(self.seen, None)
