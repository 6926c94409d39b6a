"""One process per id: our own retained status on the broker says whether another one has begun later."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import orjson
import structlog

from gateway.board import Board
from gateway.broker import Subscription
from gateway.model import Message
from gateway.ownership import displaced
from gateway.sync.replayer import Replayer
from gateway.topics import Topics

log = structlog.get_logger()


class Identity:
    """``ours`` is when we began, and our instance; ``displace`` is called once, when somebody newer has our id.

    The status is read on the data link, and only then may the control link connect: it has the Will, and connecting it ends
    the other process's.
    """

    def __init__(
        self, topics: Topics, replay: Replayer, ours: tuple[str, str], board: Board, displace: Callable[[], None]
    ) -> None:
        self._topics = topics
        self._replay = replay
        self._ours = ours
        self._board = board
        self._displace = displace
        self._gate = False
        self._checking = False
        self._seen: dict[str, Any] = {}
        self.displaced = False

    def let_in(self) -> bool:
        """Whether the control link may make one attempt: we have just seen that nobody newer has our id. Any thread."""
        allowed, self._gate = self._gate, False
        return allowed

    def shut(self) -> None:
        """Before the control link may come back, look again."""
        self._gate = False

    def check(self) -> bool:
        """Read our status, and open the gate if nobody newer has our id; whether the broker lets us read back."""
        self._seen, self._checking = {}, True
        whole = self._replay.run([Subscription(self._topics.gateway_status(), qos=0)], quiet=0)
        self._checking = False
        self._board.problem("no_sentinel", None if whole else _no_sentinel(self._topics.sentinel()))
        if displaced(self._ours, self._seen):
            self._give_way()
        else:
            self._gate = True
        return whole

    def heard(self, message: Message) -> None:
        """A message on the data link."""
        if message.topic == self._topics.sentinel():
            self._replay.heard(message)
        elif message.topic == self._topics.gateway_status():
            self._seen = _object(message.payload)
            if not self._checking and not self.displaced and displaced(self._ours, self._seen):
                self._give_way()

    def _give_way(self) -> None:
        log.error("displaced: another process with this gateway id began later; this one goes idle", other=self._seen)
        self._gate, self.displaced = False, True
        self._board.displaced()
        self._displace()


def _object(payload: bytes) -> dict[str, Any]:
    try:
        value = orjson.loads(payload)
    except orjson.JSONDecodeError:
        return {}
    return value if isinstance(value, dict) else {}


def _no_sentinel(topic: str) -> str:
    return f'what we publish to "{topic}" does not come back: the broker must let us write and read it (see the ACL sample)'
