"""What the gateway asks of the child, done: messages in, messages out."""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any

from bacpypes3.apdu import TimeSynchronizationRequest, UTCTimeSynchronizationRequest
from bacpypes3.app import Application
from bacpypes3.basetypes import DateTime
from bacpypes3.pdu import GlobalBroadcast

from gateway.interfaces._bacnet import wire
from gateway.interfaces._bacnet.encoding import Malformed
from gateway.interfaces._bacnet.services import (
    READ,
    READ_MULTIPLE,
    WRITE,
    read_answer,
    read_multiple_answer,
    read_multiple_request,
    read_request,
)
from gateway.interfaces._bacnet.stack.exchange import LATE, Exchange, Guard
from gateway.interfaces._bacnet.stack.failures import Failed, property_error
from gateway.interfaces._bacnet.stack.peers import Finder, Peer, parsed
from gateway.interfaces._bacnet.stack.subscriptions import Subscriptions
from gateway.interfaces._bacnet.values import Failure, Item, Ref

log = logging.getLogger("gateway.bacnet")

NOT_FOUND = Failure("unreachable", "the device has not been found yet")
LEFT_OUT = Failure("error", "the device left this property out of its answer", "missing")
GARBLED = "its answer can not be read"


def boot_clock() -> float:
    """Seconds on the boot clock, which this process shares with the gateway."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


class Service:
    """The requests of the gateway, each carried out by a task of its own; ``send`` hands a message to the gateway."""

    def __init__(self, app: Application, send: Callable[[wire.Message], None]) -> None:
        self._app = app
        self._send = send
        self._exchange = Exchange(app)
        self._finder = Finder(app, self._exchange)
        self._subscriptions = Subscriptions(
            app, self._exchange, self._finder, self._changed, self._lapsed, lambda session: self._tell("restarted", session)
        )
        self._peers: dict[int, Peer] = {}
        self._writes: dict[int, tuple[asyncio.Task[None], Guard]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._questions: dict[str, Callable[[wire.Message], Awaitable[Any]]] = {
            "find": self._find,
            "read": self._read,
            "write": self._write,
            "who_is": self._who_is,
            "time_sync": self._time_sync,
            "ping": self._ping,
        }
        self._orders: dict[str, Callable[[wire.Message], None]] = {
            "join": self._join,
            "leave": self._leave,
            "cancel": self._cancel,
            "subscribe": self._subscribe,
            "unsubscribe": self._unsubscribe,
        }

    def start(self) -> None:
        """Listen to the network."""
        self._subscriptions.listen()

    async def stop(self, within: float) -> None:
        """End the subscriptions, so that devices do not go on telling a port that nobody listens at."""
        for session in list(self._peers):
            self._subscriptions.unsubscribe(session)
        await self._subscriptions.ended(within)

    def take(self, message: wire.Message) -> None:
        """A message of the gateway: an order, or a question that will be answered."""
        do = message["do"]
        if do in self._orders:
            self._orders[do](message)
            return
        task = asyncio.create_task(self._answer(message, self._questions[do]))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _answer(self, message: wire.Message, question: Callable[[wire.Message], Awaitable[Any]]) -> None:
        try:
            answer: wire.Message = {"answer": await question(message)}
        except Failed as failed:
            answer = {"failed": wire.pack_failure(failed.failure)}
        except asyncio.CancelledError:
            answer = {"failed": wire.pack_failure(LATE)}
        except Exception:
            log.exception("the BACnet network failed at a request: %s", message["do"])
            answer = {"failed": wire.pack_failure(Failure("timeout", "internal error of the BACnet network"))}
        self._writes.pop(message["id"], None)
        self._send({"id": message["id"], **answer})

    def _join(self, message: wire.Message) -> None:
        target = wire.unpack_target(message["target"])
        try:
            peer = Peer(target)
        except Failed:
            return  # whoever asks for it is told
        self._peers[message["session"]] = peer
        if peer.address is not None:
            self._exchange.lanes.lane(str(peer.address)).limit = message["in_flight"]

    def _leave(self, message: wire.Message) -> None:
        self._subscriptions.unsubscribe(message["session"])
        self._peers.pop(message["session"], None)

    def _cancel(self, message: wire.Message) -> None:
        task, guard = self._writes.get(message["of"], (None, None))
        if task is not None and guard is not None and not guard.sent:
            guard.close()
            task.cancel()

    def _subscribe(self, message: wire.Message) -> None:
        session, ref = message["session"], wire.unpack_ref(message["ref"])
        if session in self._peers:
            self._subscriptions.subscribe(session, self._peers[session], ref, message["lifetime"], message["confirmed"])

    def _unsubscribe(self, message: wire.Message) -> None:
        self._subscriptions.unsubscribe(message["session"], wire.unpack_ref(message["ref"]))

    async def _ping(self, message: wire.Message) -> None:
        return None

    async def _find(self, message: wire.Message) -> list[Any]:
        peer = self._peers.get(message["session"])
        if peer is None:
            raise Failed(Failure("unreachable", "the address of the device can not be understood"))
        return wire.pack_facts(await self._finder.find(peer, message["timeout"]))

    def _found(self, message: wire.Message) -> Any:
        peer = self._peers.get(message["session"])
        if peer is None or peer.address is None:
            raise Failed(NOT_FOUND)
        return peer.address

    async def _read(self, message: wire.Message) -> list[Any]:
        refs = [wire.unpack_ref(ref) for ref in message["refs"]]
        multiple = message["multiple"]
        data = await self._exchange.ask(
            self._found(message),
            READ_MULTIPLE if multiple else READ,
            read_multiple_request(refs) if multiple else read_request(refs[0]),
            timeout=message["timeout"],
            retries=message["retries"],
        )
        try:
            found = dict(read_multiple_answer(data) if multiple else read_answer(data))
        except Malformed as error:
            raise Failed(Failure("error", f"{GARBLED}: {error}", "invalid-tag", "communication")) from None
        return [wire.pack_answer(_told(found.get(ref))) for ref in refs]

    async def _write(self, message: wire.Message) -> None:
        deadline = math.inf if message["deadline"] is None else message["deadline"]
        guard = Guard(deadline, boot_clock)
        task = asyncio.current_task()
        assert task is not None
        self._writes[message["id"]] = (task, guard)
        data = bytes.fromhex(message["data"])
        await self._exchange.ask(self._found(message), WRITE, data, timeout=message["timeout"], guard=guard)

    async def _who_is(self, message: wire.Message) -> list[Any]:
        address = parsed(message["address"]) if message["address"] else None
        found = await self._finder.who_is(message["low"], message["high"], address, message["timeout"])
        return [wire.pack_facts(facts) for facts in found]

    async def _time_sync(self, message: wire.Message) -> None:
        to = parsed(message["address"]) if message["address"] else GlobalBroadcast()
        utc = message["utc"]
        when = datetime.fromtimestamp(message["wall"], UTC)
        when = when if utc else when.astimezone()
        hundredths = when.microsecond // 10000
        moment = DateTime(
            date=(when.year - 1900, when.month, when.day, when.isoweekday()),
            time=(when.hour, when.minute, when.second, hundredths),
        )
        request = UTCTimeSynchronizationRequest if utc else TimeSynchronizationRequest
        self._app.request(request(time=moment, destination=to))

    def _changed(self, session: int, ref: Ref, items: dict[int, Item]) -> None:
        packed = [[number, wire.pack_answer(item)] for number, item in items.items()]
        self._tell("changed", session, ref=wire.pack_ref(ref), items=packed, received=boot_clock())

    def _lapsed(self, session: int, ref: Ref, failure: Failure) -> None:
        self._tell("lapsed", session, ref=wire.pack_ref(ref), failure=wire.pack_failure(failure))

    def _tell(self, what: str, session: int, **more: Any) -> None:
        self._send({"tell": what, "session": session, **more})


def _told(answer: Any) -> Item | Failure:
    if answer is None:
        return LEFT_OUT
    return answer if isinstance(answer, Item) else property_error(answer)
