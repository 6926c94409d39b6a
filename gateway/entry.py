"""A message on its way to the broker, with what the outbox has to know of it."""

from __future__ import annotations

from dataclasses import dataclass, field

from gateway.model import Outgoing
from gateway.store.outbox import Kept, Refused

OVERHEAD = 600
"""What a message takes in memory beside its payload, about, in bytes."""


@dataclass(slots=True, eq=False)
class Entry:
    """One message. ``number`` grows in the order of coming; it is 0 for what was read from disk.

    ``at`` and ``taken`` are boot clock seconds: since when it waits here, and when it came into being. ``row`` is its id on
    disk, 0 if it is not there. ``live``: to be sent, or sent, as it came. ``queued``: it waits for the
    disk. ``over``: nobody needs it any more.
    """

    message: Outgoing
    number: int
    at: float
    taken: float = 0.0
    row: int = 0
    live: bool = False
    queued: bool = False
    over: bool = False

    @property
    def cost(self) -> int:
        """Bytes of memory."""
        message = self.message
        twice = len(message.replay) if message.replay is not None and message.replay is not message.payload else 0
        return len(message.payload) + twice + OVERHEAD

    @property
    def replayable(self) -> bool:
        """Whether it is worth anything later: a reading or an event, no plain value of a point."""
        return self.message.replay_topic is not None and self.message.replay is not None

    def kept(self, number: int) -> Kept:
        """As it stands on disk under this id: on its replay topic, marked."""
        assert self.message.replay_topic is not None
        assert self.message.replay is not None
        return Kept(number, self.message.replay_topic, b'{"replayed":true,' + self.message.replay[1:], self.taken)


@dataclass(slots=True)
class Chores:
    """What is to be done on disk now: messages to keep, ids to forget, refused messages to set aside."""

    keep: list[Entry] = field(default_factory=list)
    done: list[int] = field(default_factory=list)
    refused: list[Refused] = field(default_factory=list)
