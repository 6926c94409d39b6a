"""A device's share of a BACnet network, for the thread of that device."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, Protocol

from gateway.interfaces._bacnet import wire
from gateway.interfaces._bacnet.services import write_request
from gateway.interfaces._bacnet.values import (
    Changed,
    Facts,
    Failure,
    Item,
    Lapsed,
    Notice,
    Ref,
    RequestFailed,
    Restarted,
    Target,
    Value,
)
from gateway.interfaces._bacnet.writing import Unfit

START_WITHIN = 30.0
"""Seconds that a child is waited for which starts, beside the time for an answer."""
MOST_NOTICES = 10_000
"""Notices kept for a device thread that does not take them; the oldest go first."""


class Asker(Protocol):
    """The network, as a session knows it."""

    def ask(self, message: wire.Message, timeout: float, start: float = 0.0) -> Any:
        """A question to the child; its answer. Raises RequestFailed."""
        ...

    def tell(self, message: wire.Message) -> None:
        """An order to the child."""
        ...

    def leave(self, session: BacnetSession) -> None:
        """A session ends."""
        ...


class BacnetSession:
    """See ``values.Session``."""

    def __init__(self, network: Asker, number: int, target: Target, alarm: Callable[[], None], in_flight: int) -> None:
        self.number = number
        self.alarm = alarm
        self._network = network
        self._target = target
        self._in_flight = in_flight
        self._facts: Facts | None = None
        self._wishes: dict[Ref, tuple[int, bool]] = {}
        self._notices: deque[Notice] = deque(maxlen=MOST_NOTICES)

    def facts(self) -> Facts | None:
        """What ``find`` has found."""
        return self._facts

    def find(self, timeout: float = 3.0) -> Facts:
        """Ask the device who it is; a network that starts is waited for, as it would end again if its only user left."""
        order = {"do": "find", "session": self.number, "timeout": timeout}
        answer = self._network.ask(order, timeout, START_WITHIN)
        self._facts = wire.unpack_facts(answer)
        return self._facts

    def read(
        self, refs: Sequence[Ref], *, multiple: bool = True, timeout: float = 3.0, retries: int = 1
    ) -> list[Item | Failure]:
        """One request."""
        assert multiple or len(refs) == 1
        question = {
            "do": "read",
            "session": self.number,
            "refs": [wire.pack_ref(ref) for ref in refs],
            "multiple": multiple,
            "timeout": timeout,
            "retries": retries,
        }
        return [wire.unpack_answer(answer) for answer in self._network.ask(question, timeout)]

    def write(
        self,
        ref: Ref,
        datatype: str,
        value: Value,
        priority: int | None = None,
        *,
        deadline: float,
        timeout: float = 3.0,
    ) -> None:
        """Write once."""
        try:
            data = write_request(ref, datatype, value, priority).hex()
        except Unfit as error:
            raise RequestFailed(Failure("not_sent", str(error))) from None
        question = {
            "do": "write",
            "session": self.number,
            "data": data,
            "deadline": None if math.isinf(deadline) else deadline,
            "timeout": timeout,
        }
        self._network.ask(question, timeout)

    def subscribe(self, ref: Ref, *, lifetime: int, confirmed: bool) -> None:
        """Have changes of an object told."""
        self._wishes[ref] = (lifetime, confirmed)
        self._network.tell(self._wish(ref))

    def unsubscribe(self, ref: Ref) -> None:
        """Have no more changes told."""
        if self._wishes.pop(ref, None) is not None:
            self._network.tell({"do": "unsubscribe", "session": self.number, "ref": wire.pack_ref(ref)})

    def notices(self) -> list[Notice]:
        """What has come since the last call."""
        notices = []
        while self._notices:
            notices.append(self._notices.popleft())
        return notices

    def leave(self) -> None:
        """Use the session no more."""
        self._network.leave(self)

    # ---- for the network

    def joining(self) -> wire.Message:
        """The order by which a child learns of the session."""
        target = wire.pack_target(self._target)
        return {"do": "join", "session": self.number, "target": target, "in_flight": self._in_flight}

    def wishes(self) -> list[wire.Message]:
        """The orders by which a child learns of its subscriptions."""
        return [self._wish(ref) for ref in list(self._wishes)]

    def _wish(self, ref: Ref) -> wire.Message:
        lifetime, confirmed = self._wishes[ref]
        wanted = {"ref": wire.pack_ref(ref), "lifetime": lifetime, "confirmed": confirmed}
        return {"do": "subscribe", "session": self.number, **wanted}

    def hear(self, message: wire.Message) -> None:
        """A notice of the child."""
        self._notices.append(_notice(message))
        self.alarm()

    def went_down(self, failure: Failure) -> None:
        """The child is gone, and with it the subscriptions until the next is up."""
        self._notices.extend(Lapsed(ref, failure) for ref in list(self._wishes))
        self.alarm()


def _notice(message: wire.Message) -> Notice:
    if message["tell"] == "restarted":
        return Restarted()
    ref = wire.unpack_ref(message["ref"])
    if message["tell"] == "lapsed":
        return Lapsed(ref, wire.unpack_failure(message["failure"]))
    items = {number: wire.unpack_item(item) for number, item in message["items"]}
    return Changed(ref, items, message["received"])
