"""The dispatcher: one thread that understands requests, has them carried out, and sees to the deadlines.

What a method needs from a device goes into that device's queue, and the answer comes back through the ticket, so that nobody
waits behind a slow device of somebody else.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from itertools import count
from traceback import extract_tb
from typing import Protocol

import structlog

from gateway.clock import Clock
from gateway.errors import BadRequest, Busy, DeadlinePassed, GatewayError, Unavailable, UnknownMethod
from gateway.faultpoint import FaultPoint, passing
from gateway.model import Message, Outgoing
from gateway.payloads import MAX_BYTES, TOO_LONG, BadPayload
from gateway.rpc.arrivals import Arrivals
from gateway.rpc.calls import NOT_JSON, WRITING, Call, Handler, Malformed, Request, Silence
from gateway.rpc.duplicates import Duplicates
from gateway.rpc.errand import Errand
from gateway.rpc.inbox import Inbox
from gateway.rpc.rate import Rate
from gateway.suggest import nearest
from gateway.ticket import Ticket
from gateway.topics import Topics
from gateway.values import shown
from gateway.vitals import Vitals
from gateway.worker import Worker

log = structlog.get_logger()

SMALL = 4096
"""Bytes of a payload that is looked into even when its request is refused unseen."""


class Refusals(Protocol):
    """Who is told of each writing request that is refused here; calls ``wake`` when there is something to flush."""

    wake: Callable[[], None]

    def tell(self, asked: Request, code: str) -> None:
        """A request was refused with this code; any thread, never waits."""
        ...

    def flush(self, last: bool = False) -> None:
        """Write down what is due; on the dispatcher's thread."""
        ...


class Rpc:
    """The dispatcher; ``methods`` maps each method to what carries it out and finishes its ticket.

    ``concerns`` says whether the levels after a method, or a device that is named, may be for us to answer, ``in_scope``
    whether one of several that are listed is.
    """

    def __init__(
        self,
        topics: Topics,
        clock: Clock,
        put: Callable[[Outgoing], None],
        methods: Mapping[str, Handler],
        reply_anywhere: bool,
        duplicates: Duplicates,
        rate: Rate,
        refusals: Refusals,
        concerns: Callable[[tuple[str, ...]], bool] = lambda _target: True,
        fault_point: FaultPoint = passing,
        in_scope: Callable[[str], bool] = lambda _path: True,
    ) -> None:
        self._topics = topics
        self._clock = clock
        self._methods = methods
        self._duplicates = duplicates
        self._rate = rate
        self._refusals = refusals
        self._arrivals = Arrivals(topics, put, reply_anywhere, concerns, in_scope, duplicates, self._told)
        self._fault_point = fault_point
        self._inbox = Inbox(clock)
        self._deadlines: list[tuple[float, int, Ticket]] = []
        self._numbers = count()
        self._bugs: set[tuple[str, int | None]] = set()
        self._worker = Worker("requests", self._turn, self._over, begin=duplicates.load, finish=self._finish)
        duplicates.wake = refusals.wake = self._inbox.wake
        self.requests = 0
        self.answers: dict[str, int] = {}

    # ---- from other threads

    @property
    def name(self) -> str:
        """The thread's name."""
        return self._worker.name

    def start(self, vitals: Vitals) -> None:
        """Begin to answer; the journal is open."""
        self._worker.start(vitals)

    def offer(self, message: Message) -> None:
        """A message on a request topic; what is too long, or too much of one requester or of all, is refused at once."""
        requester = self._topics.requester(message.topic)
        if requester is None:
            return
        if not self._rate.take(requester, self._clock.now()):
            self._refuse(message, self._too_many())
        elif len(message.payload) > MAX_BYTES:
            self._refuse(message, Malformed(f"the payload is refused: {TOO_LONG}", NOT_JSON))
        elif not self._inbox.put(message):
            self._refuse(message, Busy(f"{len(self._inbox)} requests wait already"))

    def hold(self) -> None:
        """Keep requests waiting: it is not known which devices are ours."""
        self._inbox.hold()

    def serve(self) -> None:
        """Serve what waits and what comes."""
        self._inbox.serve()

    def refuse_all(self) -> None:
        """The gateway stops: answer everything ``unavailable`` from now on."""
        self._inbox.stop()

    def stop(self, timeout: float) -> bool:
        """End after all that is not answered yet is refused; whether the thread ended in time."""
        self._inbox.stop(close=True)
        return self._worker.join(timeout)

    # ---- the thread

    def _over(self) -> bool:
        return self._inbox.closed and not len(self._inbox)

    def _turn(self) -> None:
        now, soonest = self._clock.now(), self._soonest()
        self._worker.pulse.due = now + self._inbox.pause(soonest)
        self._take(*self._inbox.take(soonest))
        self._expire()
        self._refusals.flush()

    def _finish(self) -> None:
        """Answer what devices still have in hand: they did not end in time."""
        for _, _, ticket in self._deadlines:
            ticket.expire(Unavailable("the gateway is stopping, and the device has not answered yet"))
        self._commit()
        self._refusals.flush(last=True)

    def _soonest(self) -> float:
        return self._deadlines[0][0] if self._deadlines else float("inf")

    def _expire(self) -> None:
        now = self._clock.now()
        while self._deadlines and (self._deadlines[0][0] <= now or self._deadlines[0][2].answered):
            heapq.heappop(self._deadlines)[2].expire()
        for message in self._inbox.late():
            self._refuse(message, DeadlinePassed("the gateway was not ready within the deadline"))

    def _take(self, *messages: Message) -> None:
        """Understand and carry out requests; whatever fails is answered. What must not be done twice is on disk before."""
        errands = [errand for message in messages for errand in self._understood(message)]
        self._commit()
        for errand in errands:
            self._guarded(errand, Errand.carry_out)

    def _commit(self) -> None:
        if self._duplicates.commit():
            self._fault_point("after_answer")

    def _understood(self, message: Message) -> Iterable[Errand]:
        errands = self._arrivals.errands(message, self._note)
        self.requests += len(errands)
        if len(errands) > 1 and not self._rate.take(errands[0].request.requester, self._clock.now(), len(errands) - 1):
            for errand in errands:
                self._fail(errand, self._too_many())
        for errand in errands:
            self._guarded(errand, self._prepare)
        return [errand for errand in errands if errand.work is not None]

    def _note(self, request: Request) -> None:
        """A request for another gateway: its device may come to us before it is repeated."""
        if request.method in WRITING and request.key is not None:
            self._duplicates.note(request.requester, request.key, request.digest, request.deadline)

    def _guarded(self, errand: Errand, step: Callable[[Errand], None]) -> None:
        try:
            if not errand.ticket.answered:
                step(errand)
        except Silence:
            errand.ticket.abandon()
        except BadPayload as error:
            self._fail(errand, BadRequest(f"the payload is refused: {error}"))
        except GatewayError as error:
            self._fail(errand, error)
        except Exception as error:
            if self._is_new(error):
                log.exception("a request failed", method=errand.request.method)
            self._fail(errand, GatewayError("the gateway failed; its log says more"))

    def _is_new(self, error: Exception) -> bool:
        """Whether this bug is to be logged: whoever can make it happen can do so many times a second."""
        last = extract_tb(error.__traceback__)[-1]
        place, known = (last.filename, last.lineno), len(self._bugs)
        self._bugs.add(place)
        return len(self._bugs) > known

    def _fail(self, errand: Errand, error: GatewayError) -> None:
        """Answer with this error; if the request would have changed something, that is told."""
        if errand.ticket.finish(error=error) and errand.request.method in WRITING:
            self._refusals.tell(errand.request, error.code)

    def _prepare(self, errand: Errand) -> None:
        """Everything before the method itself. Raises RequestError or DeadlinePassed."""
        request = errand.request
        self._arrivals.check_way(request)
        payload, arguments = request.content
        if not self._repeats(errand):
            errand.work = (self._handler(request.method), self._call(errand, payload, arguments))
            self._admit(errand)
        heapq.heappush(self._deadlines, (errand.ticket.deadline, next(self._numbers), errand.ticket))

    def _repeats(self, errand: Errand) -> bool:
        """Whether a request is one that we have seen; then its answer is that one's."""
        request = errand.request
        if request.method not in WRITING or request.key is None:
            return False
        seen = self._duplicates.find(request.requester, request.key, request.digest)
        if seen is not None:
            errand.repeat(seen)
        return seen is not None

    def _handler(self, method: str) -> Handler:
        if self._inbox.stopping:
            raise Unavailable("the gateway is stopping")
        handler = self._methods.get(method)
        if handler is None:
            raise _unknown(method, self._methods)
        return handler

    def _admit(self, errand: Errand) -> None:
        """A writing request of known age is held against its repetition. Raises DeadlinePassed."""
        request = errand.request
        if request.method not in WRITING:
            return
        if request.message.suspect:
            raise DeadlinePassed("the gateway can not tell how old this request is; nothing was written, ask again")
        if errand.ticket.deadline <= self._clock.now():
            raise DeadlinePassed("the deadline came before the request was read; nothing was written")
        if request.key is not None:
            errand.seen = self._duplicates.admit(request.requester, request.key, request.digest, request.deadline)

    def _call(self, errand: Errand, payload: str, arguments: Mapping[str, object]) -> Call:
        request = errand.request
        return Call(request.requester, request.method, request.target, payload, arguments, errand.ticket, request.id)

    # ---- refusals

    def _refuse(self, message: Message, error: GatewayError) -> None:
        """Answer with this error, without a look into what is long."""
        small = message if len(message.payload) <= SMALL else replace(message, payload=b"")
        for errand in self._arrivals.errands(small):
            self._fail(errand, error)

    def _too_many(self) -> Busy:
        return Busy(f"more than {self._rate.per_second:g} requests a second of this requester", reason="rate")

    def _told(self, code: str) -> None:
        self.answers[code] = self.answers.get(code, 0) + 1


def _unknown(method: str, known: Mapping[str, Handler]) -> GatewayError:
    near = nearest(method, known)
    hint = f'; did you mean "{near}"?' if near else ""
    return UnknownMethod(f"there is no method {shown(method)}{hint}", methods=sorted(known))
