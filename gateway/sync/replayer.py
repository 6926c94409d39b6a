"""Replays of retained messages that are known to be whole or known to be cut.

Brokers cut a replay without a word when their queue for us is full. So each subscription carries a sentinel: an own topic
in the same SUBSCRIBE with the same QoS, to which a nonce is published at once. It queues up behind the replay and suffers
its fate: when it comes, the replay was whole; when nothing comes any more, it was cut (measured with mosquitto 2.0.11).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from itertools import count

from gateway.broker import Link, Subscription
from gateway.clock import Clock
from gateway.model import Message, Outgoing
from gateway.payloads import dump

SILENCE = 2.0
"""Seconds without any message after which a replay without its sentinel counts as cut."""
QUIET = 0.1
"""Seconds without a message that must follow the sentinel, for brokers that send retained messages on the side."""
STEP = 0.5
"""Seconds that are waited at a time, so that the thread shows that it lives."""
FILTERS_AT_ONCE = 50
"""Topics asked for in one SUBSCRIBE when they are asked for one by one."""


class LinkLost(Exception):
    """The connection went down in the middle of something that has to begin again on the next one."""


class Replayer:
    """Replays on one link. ``pump`` handles what comes in for up to so many seconds; whether there was anything.

    ``reads_back`` says whether the broker lets us read what we publish to the sentinel's topic: if not, nothing is known of
    any replay.
    """

    def __init__(
        self,
        link: Link,
        sentinel: str,
        pump: Callable[[float], bool],
        clock: Clock,
        nonce: str,
    ) -> None:
        self._link = link
        self._sentinel = sentinel
        self._pump = pump
        self._clock = clock
        self._nonce = nonce
        self._numbers = count()
        self._wanted = b""
        self._heard = False
        self.reads_back = False

    def heard(self, message: Message) -> None:
        """A message on the sentinel's topic."""
        self._heard = self._heard or message.payload == self._wanted

    def run(self, subscriptions: Iterable[Subscription], quiet: float = QUIET, hold: bool = False) -> bool:
        """Subscribe, and handle what is replayed; whether it was whole. Raises LinkLost.

        What comes at QoS 0 may have been cut although its sentinel comes: mosquitto drops while so many messages wait for
        the socket, and when we have read some it takes the sentinel (measured with 2.0.11). With ``hold`` nothing is read
        until it must have come to the sentinel, so where it had no room for something, it has none for that either. It cuts
        more then: ask without before.
        """
        wanted = list(subscriptions)
        qos = max(subscription.qos for subscription in wanted)
        self._heard, self._wanted = False, dump({"nonce": f"{self._nonce}-{next(self._numbers)}"})
        sentinel = Outgoing(self._sentinel, self._wanted, qos)
        self._link.subscribe([*wanted, Subscription(self._sentinel, qos)], sentinel, hold)
        last = self._clock.now()
        while not self._heard and self._clock.now() - last < SILENCE:
            if self._step(STEP):
                last = self._clock.now()
        while self._heard and quiet and self._step(quiet):
            pass
        return self._heard

    def each(self, filters: Sequence[str], qos: int) -> bool:
        """Replays of many exact topics, some at a time; whether all were whole."""
        whole = True
        for start in range(0, len(filters), FILTERS_AT_ONCE):
            some = filters[start : start + FILTERS_AT_ONCE]
            whole = self.run([Subscription(name, qos) for name in some], quiet=0) and whole
        return whole

    def _step(self, timeout: float) -> bool:
        some = self._pump(timeout)
        if not self._link.connected:
            raise LinkLost
        return some
