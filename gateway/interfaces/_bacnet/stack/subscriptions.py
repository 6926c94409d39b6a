"""Subscriptions to changes (ASHRAE 135, 13.1 and 13.14): kept alive until they are not wanted any more.

Each has a task that subscribes, renews at half of the lifetime, and tries again when that failed. A device that says that
it started is subscribed to anew at once.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from bacpypes3.apdu import ConfirmedCOVNotificationRequest, SimpleAckPDU, UnconfirmedCOVNotificationRequest
from bacpypes3.app import Application
from bacpypes3.errors import ServicesError
from bacpypes3.pdu import Address

from gateway.interfaces._bacnet.encoding import Malformed, read_tag, read_value
from gateway.interfaces._bacnet.services import SUBSCRIBE_COV, subscribe_request
from gateway.interfaces._bacnet.stack.exchange import Exchange
from gateway.interfaces._bacnet.stack.failures import Failed
from gateway.interfaces._bacnet.stack.peers import DEVICE, Finder, Peer
from gateway.interfaces._bacnet.values import Failure, Item, Ref

TIMEOUT = 6.0
RETRY_FIRST, RETRY_MOST = 2.0, 60.0
"""Seconds between attempts after no answer came; the pause doubles."""
REFUSED_PAUSE = 300.0
"""Seconds until a device that refused is asked again: it may have room then."""
HINT_GAP = 30.0
"""Seconds between two renewals because of an I-Am: devices send it for anybody who asks, too."""

Changed = Callable[[int, Ref, dict[int, Item]], None]
LapsedTold = Callable[[int, Ref, Failure], None]
RestartTold = Callable[[int], None]


@dataclass(eq=False)
class Subscription:
    """One object of one session; ``alive_until`` is loop time."""

    session: int
    peer: Peer
    ref: Ref
    lifetime: int
    confirmed: bool
    process: int
    again: asyncio.Event = field(default_factory=asyncio.Event)
    alive_until: float = 0.0
    lapsed: bool = False
    address: Address | None = None
    task: asyncio.Task[None] | None = None


class Subscriptions:
    """All subscriptions of this process."""

    def __init__(
        self,
        app: Application,
        exchange: Exchange,
        finder: Finder,
        changed: Changed,
        lapsed: LapsedTold,
        restarted: RestartTold,
    ) -> None:
        self._app = app
        self._exchange = exchange
        self._finder = finder
        self._changed = changed
        self._lapsed = lapsed
        self._restarted = restarted
        self._by_process: dict[int, Subscription] = {}
        self._next = random.randrange(1, 1 << 21)  # noqa: S311  # notices for an earlier process must not fit
        self._hinted: dict[str, float] = {}
        self._ending: set[asyncio.Task[None]] = set()

    def listen(self) -> None:
        """Have notices and I-Am handed over by the stack."""
        app, heard = self._app, self._app.do_IAmRequest

        async def i_am(apdu: Any) -> None:
            await heard(apdu)
            self._finder.heard(apdu.iAmDeviceIdentifier[1], apdu.pduSource)
            self._hint(apdu.pduSource, apdu.iAmDeviceIdentifier[1])

        app.do_IAmRequest = i_am
        app.do_ConfirmedCOVNotificationRequest = self._confirmed
        app.do_UnconfirmedCOVNotificationRequest = self._unconfirmed

    def subscribe(self, session: int, peer: Peer, ref: Ref, lifetime: int, confirmed: bool) -> None:
        """Keep such a subscription from now on; another one of the session to that object ends."""
        self.unsubscribe(session, ref)
        self._next += 1
        subscription = Subscription(session, peer, ref, lifetime, confirmed, self._next)
        self._by_process[self._next] = subscription
        subscription.task = asyncio.create_task(self._keep(subscription))

    def unsubscribe(self, session: int, ref: Ref | None = None) -> None:
        """End the session's subscription to an object, or all of them; the device is told."""
        for subscription in [s for s in self._of(session) if ref is None or s.ref == ref]:
            del self._by_process[subscription.process]
            if subscription.task is not None:
                subscription.task.cancel()
            if subscription.alive_until > asyncio.get_running_loop().time():
                task = asyncio.create_task(self._end(subscription))
                self._ending.add(task)
                task.add_done_callback(self._ending.discard)

    async def ended(self, within: float) -> None:
        """Wait until the devices have been told, but no longer than so many seconds."""
        if self._ending:
            await asyncio.wait(self._ending, timeout=within)

    def _of(self, session: int) -> Iterator[Subscription]:
        return (subscription for subscription in self._by_process.values() if subscription.session == session)

    async def _end(self, subscription: Subscription) -> None:
        assert subscription.address is not None
        data = subscribe_request(subscription.process, subscription.ref, None, None)
        try:
            async with subscription.peer.subscribing:
                await self._exchange.ask(subscription.address, SUBSCRIBE_COV, data, timeout=TIMEOUT)
        except Failed:
            pass  # it ends by itself with its lifetime

    async def _keep(self, subscription: Subscription) -> None:
        pause = RETRY_FIRST
        while True:
            failure = await self._renew(subscription)
            if failure is None:
                subscription.lapsed, pause = False, RETRY_FIRST
                rest = subscription.lifetime * random.uniform(0.45, 0.5)  # noqa: S311  # spreads them, no secret
            else:
                self._tell(subscription, failure)
                rest = REFUSED_PAUSE if failure.kind in ("error", "reject", "abort") else pause
                pause = min(2 * pause, RETRY_MOST)
            await self._rest(subscription, rest)

    async def _rest(self, subscription: Subscription, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await subscription.again.wait()
        except TimeoutError:
            pass
        subscription.again.clear()

    async def _renew(self, subscription: Subscription) -> Failure | None:
        peer = subscription.peer
        data = subscribe_request(subscription.process, subscription.ref, subscription.confirmed, subscription.lifetime)
        try:
            async with peer.subscribing:
                if peer.address is None:
                    await self._finder.find(peer, TIMEOUT)
                assert peer.address is not None
                subscription.address = peer.address
                await self._exchange.ask(peer.address, SUBSCRIBE_COV, data, timeout=TIMEOUT, retries=1)
        except Failed as failed:
            return failed.failure
        subscription.alive_until = asyncio.get_running_loop().time() + subscription.lifetime
        return None

    def _tell(self, subscription: Subscription, failure: Failure) -> None:
        refused = failure.kind in ("error", "reject", "abort")
        dead = refused or subscription.alive_until <= asyncio.get_running_loop().time()
        if dead and not subscription.lapsed:
            subscription.lapsed = True
            self._lapsed(subscription.session, subscription.ref, failure)

    def _hint(self, address: Address, device_id: int) -> None:
        """A device says who it is, as it does when it has started, and when anybody asks."""
        now = asyncio.get_running_loop().time()
        key = str(address)
        theirs = [s for s in self._by_process.values() if s.address == address]
        if theirs and now - self._hinted.get(key, -HINT_GAP) >= HINT_GAP:
            self._hinted[key] = now
            for subscription in theirs:
                subscription.again.set()

    def _started(self, address: Address) -> None:
        """A device says that it has started (ASHRAE 135, 19.3)."""
        theirs = [s for s in self._by_process.values() if s.address == address]
        for subscription in theirs:
            subscription.again.set()
        for session in {s.session for s in theirs}:
            self._restarted(session)

    async def _confirmed(self, apdu: ConfirmedCOVNotificationRequest) -> None:
        if not self._take(apdu):
            raise ServicesError(errorCode="unknownSubscription")
        await self._app.response(SimpleAckPDU(context=apdu))

    async def _unconfirmed(self, apdu: UnconfirmedCOVNotificationRequest) -> None:
        self._take(apdu)

    def _take(self, apdu: Any) -> bool:
        """Hand on a notice, if it is for a subscription of ours and from its device."""
        object_type, instance = apdu.monitoredObjectIdentifier
        if apdu.subscriberProcessIdentifier == 0 and int(object_type) == DEVICE:
            self._started(apdu.pduSource)
            return True
        subscription = self._by_process.get(apdu.subscriberProcessIdentifier)
        if subscription is None or subscription.address != apdu.pduSource:
            return False
        if (int(object_type), instance) != (subscription.ref.object_type, subscription.ref.instance):
            return False
        self._changed(subscription.session, subscription.ref, _items(apdu.listOfValues))
        return True


def _items(values: Any) -> dict[int, Item]:
    found = {}
    for value in values:
        data = bytes(value.value.tagList.encode().pduData)  # with the tags that enclose it in the notice
        try:
            number, _, _, inside = read_tag(data, 0)
            found[int(value.propertyIdentifier)] = read_value(data, inside, number)[0]
        except Malformed:
            continue  # the rest of the notice is good all the same
    return found
