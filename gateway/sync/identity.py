"""One process per id: our own status on the broker says whether another one has begun later, and an answer that it lives.

What is retained may be of a process that is dead: when the power fails for a gateway and its broker together, nobody tells
a Will. So a retained status alone keeps nobody out. Whoever looks publishes to the sentinel's topic, and a process that runs
hears that by its control link and tells its status again.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import orjson
import structlog

from gateway.board import Board
from gateway.broker import Subscription
from gateway.clock import Clock
from gateway.model import Message
from gateway.ownership import displaced
from gateway.sync.replayer import QUIET, Replayer
from gateway.topics import Topics

log = structlog.get_logger()

SILENT = 5.0
"""Seconds that we listen in vain before a process that began later counts as dead: one that runs answers in milliseconds."""
ASK_AGAIN = 1.0
"""Seconds without a word after which it is asked once more."""
DOUBT = 10.0
"""Seconds after a question in which devices are not run from disk although the link is down: it is back sooner."""


class Identity:
    """``ours`` is when we began, and our instance; ``displace`` is called once, when somebody newer has our id.

    The status is read on the data link, and only then may the control link connect: it has the Will, and connecting it ends
    the other process's.
    """

    def __init__(
        self,
        topics: Topics,
        clock: Clock,
        replay: Replayer,
        ours: tuple[str, str],
        board: Board,
        displace: Callable[[], None],
    ) -> None:
        self._topics = topics
        self._clock = clock
        self._replay = replay
        self._ours = ours
        self._board = board
        self._displace = displace
        self._gate = False
        self._seen: dict[str, Any] = {}
        self._listened = 0.0
        self.doubt_ends = float("-inf")
        """Boot clock time until which it is open whether the devices are somebody else's."""
        self.displaced = False

    def let_in(self) -> bool:
        """Whether the control link may make one attempt: we have just seen that nobody newer has our id. Any thread."""
        allowed, self._gate = self._gate, False
        return allowed

    def shut(self) -> None:
        """Before the control link may come back, look again."""
        self._gate, self._listened = False, 0.0

    def check(self) -> bool:
        """Read our status, and open the gate if nobody newer has our id; whether the broker lets us read back.

        We listen for a newer one over all connections: of several processes that wait for a dead one each cuts the others'
        data link. Raises LinkLost.
        """
        self._seen = {}
        whole = self._look(QUIET)
        while self._newer() and self._listened < SILENT:
            self._ask()
        if not self.displaced:
            self._pass()
        return whole

    def heard(self, message: Message) -> None:
        """A message on the data link."""
        if message.topic == self._topics.sentinel():
            self._replay.heard(message)
        elif message.topic == self._topics.gateway_status():
            self._seen = _object(message.payload)
            if self._newer() and not message.retain:
                self._give_way()

    def asked(self, message: Message) -> None:
        """A message on the sentinel's topic, by the control link: who looks for another process shall see that we live."""
        nonce = _object(message.payload).get("nonce")
        if isinstance(nonce, str) and not nonce.startswith(self._ours[1]) and not self.displaced:
            self._board.tell_gateway(early=True)

    def _newer(self) -> bool:
        return not self.displaced and displaced(self._ours, self._seen)

    def _look(self, quiet: float) -> bool:
        whole = self._replay.run([Subscription(self._topics.gateway_status(), qos=0)], quiet)
        self._board.problem("no_sentinel", None if whole else _no_sentinel(self._topics.sentinel()))
        return whole

    def _ask(self) -> None:
        begun = self._clock.now()
        self.doubt_ends = begun + DOUBT
        try:
            self._look(ASK_AGAIN)
        finally:
            self._listened += self._clock.now() - begun

    def _pass(self) -> None:
        if self._newer():
            log.warning(
                "a newer process of this id is retained as online, but answers nothing: it is dead", other=self._seen
            )
        self._gate, self.doubt_ends = True, float("-inf")

    def _give_way(self) -> None:
        log.error("displaced: another process with this gateway id began later; this one goes idle", other=self._seen)
        self._gate, self.displaced = False, True
        self._board.displaced(_words(str(self._seen["started"])))
        self._displace()


def _object(payload: bytes) -> dict[str, Any]:
    try:
        value = orjson.loads(payload)
    except orjson.JSONDecodeError:
        return {}
    return value if isinstance(value, dict) else {}


def _no_sentinel(topic: str) -> str:
    return f'what we publish to "{topic}" does not come back: the broker must let us write and read it (see the ACL sample)'


def _words(started: str) -> str:
    return (
        f"displaced: another process with this gateway's id began later (at {started} by its clock) and runs its devices; "
        "stop the one that is too many, and restart this one if it is to run"
    )
