"""Where the answers to one message go, and in which form: one message for one that came, whatever is in it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from functools import partial

from gateway.model import Message, Outgoing
from gateway.payloads import dump
from gateway.rpc.calls import Answer, ByJsonRpc, deadline
from gateway.rpc.jsonrpc import envelope

GRACE = 10.0
"""Seconds that an answer is kept after its deadline when the connection is lost."""

Reply = Callable[[Answer | None, bool], None]
"""Takes a request's answer, or None if none is ours to give, and whether it is a repeated one."""


class Post:
    """Publishes the answer to a message: with its QoS and correlation data, to ``topic``; ``reads``: it changes nothing."""

    def __init__(self, message: Message, topic: str, reads: bool, put: Callable[[Outgoing], None]) -> None:
        self._topic = topic
        self._qos = message.qos
        self._correlation = message.correlation
        self._until = deadline(message) + GRACE
        self._reads = reads
        self._put = put

    def send(self, body: bytes, code: str, duplicate: bool) -> None:
        """Publish this body."""
        self._put(
            Outgoing(
                self._topic,
                body,
                self._qos,
                correlation=self._correlation,
                content_type="application/json",
                user=(("status", code), *((("duplicate", "true"),) if duplicate else ())),
                until=self._until,
                expendable=self._reads,
            )
        )

    def plain(self, answer: Answer | None, duplicate: bool) -> None:
        """The reply to a request by topic."""
        if answer is not None:
            self.send(dump(answer.body), answer.code, duplicate)


class JsonRpcPost:
    """Collects the answers to the requests of one message and publishes them when all are there (JSON-RPC 2.0, 6)."""

    def __init__(self, post: Post, requests: Sequence[ByJsonRpc], batch: bool) -> None:
        self._post = post
        self._batch = batch
        self._lock = threading.Lock()
        self._missing = len(requests)
        self._answers: list[tuple[ByJsonRpc, Answer, bool] | None] = [None] * len(requests)

    def reply(self, index: int, request: ByJsonRpc) -> Reply:
        """Where the answer to this request of the message goes."""
        return partial(self._take, index, request)

    def _take(self, index: int, request: ByJsonRpc, answer: Answer | None, duplicate: bool) -> None:
        with self._lock:
            if answer is not None and request.wants_answer:
                self._answers[index] = (request, answer, duplicate)
            self._missing -= 1
            done = not self._missing
        if done:
            self._send([taken for taken in self._answers if taken is not None])

    def _send(self, taken: list[tuple[ByJsonRpc, Answer, bool]]) -> None:
        if not taken:
            return  # all notifications, or for other gateways
        bodies = [envelope(request, answer) for request, answer, _ in taken]
        failed = [answer.code for _, answer, _ in taken if answer.code != "ok"]
        body = dump(bodies if self._batch else bodies[0])
        self._post.send(body, failed[0] if failed else "ok", all(duplicate for _, _, duplicate in taken))
