"""Requests over MQTT: understood here, answered exactly once, by the deadline at the latest.

One thread: what a method needs from a device goes into that device's queue, and the answer comes back through the ticket, so
that nobody waits behind a slow device of somebody else.
"""

from __future__ import annotations

import heapq
import threading
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import count
from typing import Any

import structlog

from gateway.clock import Clock
from gateway.errors import BadRequest, Busy, DeadlinePassed, GatewayError, Unavailable, UnknownMethod
from gateway.model import Message, Outgoing
from gateway.payloads import BadPayload, dump, parse, text
from gateway.suggest import nearest
from gateway.ticket import Ticket
from gateway.topics import Topics
from gateway.values import cut, shown

log = structlog.get_logger()

DEFAULT_DEADLINE = 10.0
LONGEST_DEADLINE = 60.0
INBOX_LIMIT = 1000
GRACE = 10.0
"""Seconds that an answer is kept after its deadline when the connection is lost."""
WRITING = frozenset({"set_point"})
"""Methods that are refused when the age of the request is not known."""


class Silence(Exception):
    """The request concerns another gateway: no answer is ours to give."""


@dataclass(frozen=True, slots=True)
class Call:
    """A request as far as the topic and payload go: ``target`` is what stood after the method."""

    requester: str
    method: str
    target: tuple[str, ...]
    payload: str
    arguments: Mapping[str, Any]
    ticket: Ticket
    id: str | None = None


Handler = Callable[[Call], None]


class Rpc:
    """The dispatcher; ``methods`` maps each method to what carries it out and finishes its ticket."""

    def __init__(
        self,
        topics: Topics,
        clock: Clock,
        put: Callable[[Outgoing], None],
        methods: Mapping[str, Handler],
        reply_anywhere: bool,
        concerns: Callable[[tuple[str, ...]], bool] = lambda _target: True,
    ) -> None:
        self._topics = topics
        self._clock = clock
        self._put = put
        self._methods = methods
        self._reply_anywhere = reply_anywhere
        self._concerns = concerns
        self._inbox: deque[Message] = deque()
        self._condition = threading.Condition()
        self._held = True
        self._stopping = False
        self._deadlines: list[tuple[float, int, Ticket]] = []
        self._numbers = count()
        self._thread = threading.Thread(target=self._run, name="requests", daemon=True)
        self.requests = 0
        self.answers: dict[str, int] = {}

    # ---- from other threads

    @property
    def name(self) -> str:
        """The thread's name."""
        return self._thread.name

    def start(self) -> None:
        """Begin to answer."""
        self._thread.start()

    def offer(self, message: Message) -> None:
        """A message on a request topic; too many at once are answered ``busy``."""
        with self._condition:
            full = len(self._inbox) >= INBOX_LIMIT
            if not full:
                self._inbox.append(message)
                self._condition.notify()
        if full:
            self._refuse(message, Busy(f"{INBOX_LIMIT} requests wait already"))

    def hold(self) -> None:
        """Keep requests waiting: it is not known which devices are ours."""
        with self._condition:
            self._held = True

    def serve(self) -> None:
        """Serve what waits and what comes."""
        with self._condition:
            self._held = False
            self._condition.notify()

    def refuse_all(self) -> None:
        """The gateway stops: answer everything ``unavailable`` from now on."""
        with self._condition:
            self._stopping = True
            self._condition.notify()

    def stop(self, timeout: float) -> bool:
        """End after all that is not answered yet is refused; whether the thread ended in time."""
        self.refuse_all()
        with self._condition:
            self._inbox.append(_END)
            self._condition.notify()
        self._thread.join(timeout)
        return not self._thread.is_alive()

    # ---- the thread

    def _run(self) -> None:
        while True:
            message = self._next()
            if message is _END:
                self._give_up()
                return
            if message is not None:
                self._take(message)
            self._expire()

    def _give_up(self) -> None:
        """Answer what devices still have in hand: they did not end in time."""
        for _, _, ticket in self._deadlines:
            ticket.expire(Unavailable("the gateway is stopping, and the device has not answered yet"))

    def _next(self) -> Message | None:
        with self._condition:
            if not self._inbox or (self._held and not self._stopping):
                self._condition.wait(self._pause())
            if not self._inbox or (self._held and not self._stopping):
                return None
            return self._inbox.popleft()

    def _pause(self) -> float:
        soonest = self._deadlines[0][0] if self._deadlines else float("inf")
        if self._inbox:  # held back: their deadlines count too
            soonest = min(soonest, self._inbox[0].received + _lifetime(self._inbox[0]))
        return max(0.0, min(soonest - self._clock.now(), 1.0))

    def _expire(self) -> None:
        now = self._clock.now()
        while self._deadlines and (self._deadlines[0][0] <= now or self._deadlines[0][2].answered):
            heapq.heappop(self._deadlines)[2].expire()
        if not self._held:
            return
        with self._condition:
            late = [m for m in self._inbox if m is not _END and m.received + _lifetime(m) <= now]
            for message in late:
                self._inbox.remove(message)
        for message in late:
            self._refuse(message, DeadlinePassed("the gateway was not ready within the deadline"))

    def _take(self, message: Message) -> None:
        """Understand and carry out one request; whatever fails is answered."""
        self.requests += 1
        request = self._topics.request(message.topic)
        if request is None:
            return  # nothing that we asked for: no requester and method in it
        requester, method, target = request
        if not self._is_for_us(message, target):
            return
        ticket = self._ticket(message, requester, method, target)
        try:
            self._carry_out(message, requester, method, target, ticket)
        except Silence:
            ticket.abandon()
        except BadPayload as error:
            ticket.finish(error=BadRequest(f"the payload is refused: {error}"))
        except GatewayError as error:
            ticket.finish(error=error)
        except Exception:
            log.exception("a request failed", method=method)
            ticket.finish(error=GatewayError("the gateway failed; its log says more"))

    def _carry_out(self, message: Message, requester: str, method: str, target: tuple[str, ...], ticket: Ticket) -> None:
        self._check(message, requester)
        handler = self._methods.get(method)
        if handler is None:
            raise _unknown(method, self._methods)
        if method in WRITING and message.suspect:
            raise DeadlinePassed("the gateway can not tell how old this request is; nothing was written, ask again")
        payload = text(message.payload)
        call = Call(requester, method, target, payload, _arguments(payload), ticket)
        heapq.heappush(self._deadlines, (ticket.deadline, next(self._numbers), ticket))
        handler(call)

    def _check(self, message: Message, requester: str) -> None:
        if self._stopping:
            raise Unavailable("the gateway is stopping")
        if message.retain:
            raise BadRequest(
                "a retained request is never carried out: publish it without the retain flag, and clear this one"
            )
        if message.response_topic is not None and not self._may_reply(requester, message.response_topic):
            raise BadRequest(
                f'the ResponseTopic must be "{self._topics.default_reply(requester, "", ())[:-1]}" or below',
                response_topic=message.response_topic[:200],
            )

    def _refuse(self, message: Message, error: GatewayError) -> None:
        request = self._topics.request(message.topic)
        if request is not None and self._is_for_us(message, request[2]):
            self._ticket(message, *request).finish(error=error)

    def _is_for_us(self, message: Message, target: tuple[str, ...]) -> bool:
        """Whether no other gateway answers, whatever is wrong with the request or with us."""
        named = _object_or_nothing(message.payload).get("device") if len(target) < 2 else None
        device = tuple(named.split("/")) if isinstance(named, str) and named else ()
        return self._concerns(target) and (len(device) < 2 or self._concerns(device))

    def _may_reply(self, requester: str, topic: str) -> bool:
        return self._topics.may_reply(requester, topic, self._reply_anywhere)

    # ---- answers

    def _ticket(self, message: Message, requester: str, method: str, target: tuple[str, ...]) -> Ticket:
        asked = message.response_topic
        reply_to = (
            asked if asked and self._may_reply(requester, asked) else self._topics.default_reply(requester, method, target)
        )
        deadline = message.received + _lifetime(message)
        about_device = len(target) > 1

        def answer(result: Any, error: GatewayError | None) -> None:
            body: dict[str, Any] = {"result": result} if error is None else {"error": _error(error)}
            names_device = about_device or "device" in _object_or_nothing(message.payload)
            if not names_device:
                body["gateway"] = self._topics.gateway_id
            code = error.code if error else "ok"
            self.answers[code] = self.answers.get(code, 0) + 1
            self._put(
                Outgoing(
                    reply_to,
                    dump(body),
                    message.qos,
                    correlation=message.correlation,
                    content_type="application/json",
                    user=(("status", code),),
                    until=deadline + GRACE,
                )
            )

        return Ticket(deadline, answer)


_END = Message("", b"")


def _lifetime(message: Message) -> float:
    """Seconds from its arrival to a request's deadline."""
    return min(DEFAULT_DEADLINE if message.expiry is None else float(message.expiry), LONGEST_DEADLINE)


def _error(error: GatewayError) -> dict[str, Any]:
    body: dict[str, Any] = {"code": error.code, "message": cut(error.message)}
    return body | {"data": error.data} if error.data else body


def _arguments(payload: str) -> Mapping[str, Any]:
    """The arguments of a payload that is a JSON object; none if it is anything else."""
    if not payload.lstrip().startswith("{"):
        return {}
    value = parse(payload)
    assert isinstance(value, dict)
    return value


def _object_or_nothing(payload: bytes) -> Mapping[str, Any]:
    try:
        return _arguments(text(payload))
    except BadPayload:
        return {}


def _unknown(method: str, known: Mapping[str, Handler]) -> GatewayError:
    near = nearest(method, known)
    hint = f'; did you mean "{near}"?' if near else ""
    return UnknownMethod(f"there is no method {shown(method)}{hint}", methods=sorted(known))
