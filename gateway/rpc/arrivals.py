"""From a message on a request topic to the requests in it that may be ours, each with the way its answer goes."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from gateway.model import Message, Outgoing
from gateway.rpc import jsonrpc
from gateway.rpc.calls import WRITING, ByTopic, Malformed, Request
from gateway.rpc.duplicates import Duplicates
from gateway.rpc.errand import Errand
from gateway.rpc.replies import JsonRpcPost, Post, Reply
from gateway.topics import Topics


class Arrivals:
    """``concerns`` says whether the levels after a method, or a named device, may be for us; ``told`` counts answers.

    ``in_scope`` says whether a device path falls to us: one of a list is enough.
    """

    def __init__(
        self,
        topics: Topics,
        put: Callable[[Outgoing], None],
        reply_anywhere: bool,
        concerns: Callable[[tuple[str, ...]], bool],
        in_scope: Callable[[str], bool],
        duplicates: Duplicates,
        told: Callable[[str], None],
    ) -> None:
        self._topics = topics
        self._put = put
        self._reply_anywhere = reply_anywhere
        self._concerns = concerns
        self._in_scope = in_scope
        self._duplicates = duplicates
        self._told = told

    def errands(self, message: Message, elsewhere: Callable[[Request], None] = lambda _request: None) -> list[Errand]:
        """The requests of a message that no other gateway answers, whatever is wrong with them or with us.

        ``elsewhere`` is told of the others.
        """
        ours = []
        for request, reply in self._requests(message):
            if self._is_for_us(request):
                ours.append(Errand(request, reply, self._duplicates, self._topics.gateway_id, self._told))
            else:
                elsewhere(request)
                reply(None, False)
        return ours

    def check_way(self, request: Request) -> None:
        """Raises BadRequest for a request that was retained, or wants its answer where it may not go."""
        asked = request.message.response_topic
        if request.message.retain:
            raise Malformed(
                "a retained request is never carried out: publish it without the retain flag, and clear this one"
            )
        if asked is not None and not self._may_reply(request.requester, asked):
            raise Malformed(
                f'the ResponseTopic must be "{self._topics.replies(request.requester)}" or below',
                response_topic=asked[:200],
            )

    def _requests(self, message: Message) -> list[tuple[Request, Reply]]:
        requester = self._topics.bare_requester(message.topic)
        if requester is not None:
            found, batch = jsonrpc.requests(message, requester)
            post = self._post(message, requester, self._topics.replies(requester), found)
            collector = JsonRpcPost(post, found, batch)
            return [(request, collector.reply(index, request)) for index, request in enumerate(found)]
        named = self._topics.request(message.topic)
        if named is None:
            return []  # nothing that we asked for: no requester and method in it
        request = ByTopic(message, *named)
        post = self._post(message, request.requester, self._topics.default_reply(*named), [request])
        return [(request, post.plain)]

    def _is_for_us(self, request: Request) -> bool:
        device = request.device if len(request.target) < 2 else ()
        if not self._concerns(request.target) or (len(device) > 1 and not self._concerns(device)):
            return False
        listed = request.devices
        return not listed or any(map(self._in_scope, listed))

    def _post(self, message: Message, requester: str, usual: str, requests: Sequence[Request]) -> Post:
        asked = message.response_topic
        reads = WRITING.isdisjoint(request.method for request in requests)
        return Post(message, asked if asked and self._may_reply(requester, asked) else usual, reads, self._put)

    def _may_reply(self, requester: str, topic: str) -> bool:
        return self._topics.may_reply(requester, topic, self._reply_anywhere)
