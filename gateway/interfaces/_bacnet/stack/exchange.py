"""Requests on the wire: each a single confirmed service, with its turn, its time and its repetitions."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import AsyncExitStack
from typing import Any

from bacpypes3.apdu import ComplexAckPDU, ConfirmedRequestPDU, ErrorRejectAbortNack
from bacpypes3.app import Application
from bacpypes3.appservice import ABORTED
from bacpypes3.comm import ServiceAccessPoint
from bacpypes3.pdu import Address

from gateway.interfaces._bacnet.services import READ, READ_MULTIPLE
from gateway.interfaces._bacnet.stack.failures import Failed, NotSent, refusal
from gateway.interfaces._bacnet.stack.gate import Full, Lanes
from gateway.interfaces._bacnet.values import Failure

BUSY = Failure("busy", "too many requests for this device, or in all, are under way")
LATE = Failure("not_sent", "its time was over before it could be sent")


class Guard:
    """Travels with a write down to where the bytes go, and says there whether they may go still."""

    def __init__(self, deadline: float, now: Callable[[], float]) -> None:
        self.sent = False
        self._deadline = deadline
        self._now = now
        self._closed = False
        self._answer: asyncio.Future[object] | None = None

    @property
    def left(self) -> float:
        """Seconds until the deadline."""
        return max(0.0, self._deadline - self._now())

    def lets_pass(self) -> bool:
        """Asked right before the bytes go; once it let a write begin it lets the rest of it pass."""
        if self._closed or (not self.sent and self._now() >= self._deadline):
            self.close()
            return False
        self.sent = True
        return True

    def watch(self, answer: asyncio.Future[object]) -> None:
        """The future that is to fail if the write is held back."""
        self._answer = answer

    def close(self) -> None:
        """Let nothing pass any more, if nothing has passed yet."""
        if not self.sent:
            self._closed = True
            if self._answer is not None and not self._answer.done():
                self._answer.set_exception(NotSent())


def guard_the_way_out(app: Application) -> None:
    """Have every write asked for its guard at the last place before the socket that knows which packet is which."""
    adapter = app.nsap.local_adapter
    send = adapter.process_npdu

    async def guarded(npdu: object) -> None:
        guard = getattr(npdu, "pduUserData", None)
        if not isinstance(guard, Guard) or guard.lets_pass():
            await send(npdu)

    adapter.process_npdu = guarded


def leave_answers_encoded(app: Application) -> None:
    """Have the answers to what ``Exchange`` asks handed over as octets: the general decoder costs 200 us a property."""
    asap = app.asap
    decoded = asap.sap_response

    async def sap_response(apdu: Any) -> None:
        if type(apdu) is ComplexAckPDU and apdu.apduService in (READ, READ_MULTIPLE):
            await ServiceAccessPoint.sap_response(asap, apdu)
        else:
            await decoded(apdu)

    asap.sap_response = sap_response


class Exchange:
    """Sends requests and waits for their answers; everything here runs on the loop of the stack."""

    def __init__(self, app: Application) -> None:
        self.lanes = Lanes()
        self._app = app

    async def ask(
        self,
        address: Address,
        service: int,
        data: bytes,
        *,
        timeout: float,
        retries: int = 0,
        guard: Guard | None = None,
    ) -> bytes:
        """The octets of the answer, none if it is only an acknowledgement. Raises Failed.

        The timeout (seconds) is for all of it: the wait for a turn, and each of the repetitions its share of what is left.
        """
        now = asyncio.get_running_loop().time()
        until = now + timeout
        lane = self.lanes.lane(str(address))
        async with AsyncExitStack() as turn:
            try:
                async with asyncio.timeout_at(until if guard is None else min(until, now + guard.left)):
                    await turn.enter_async_context(self.lanes.turn(lane, guard is not None))
            except (TimeoutError, Full):
                raise Failed(BUSY if guard is None else LATE) from None
            try:
                await self._know_the_way(address, until)
                answer = await self._tries(address, service, data, until, retries, guard)
            except TimeoutError:
                lane.silent = True
                raise Failed(Failure("timeout", f"no answer within {timeout:g} s")) from None
            except ErrorRejectAbortNack as refused:
                lane.silent = False
                raise Failed(refusal(refused)) from None
            except NotSent:
                raise Failed(LATE) from None
            lane.silent = False
            return answer

    async def _know_the_way(self, address: Address, until: float) -> None:
        """Have the router to a remote network known before the request is made, which would wait for it in the stack."""
        if not address.is_remotestation:
            return
        nsap, net = self._app.nsap, address.addrNet
        routers = [await nsap.router_info_cache.get_path_info(local, net) for local in nsap.adapters]
        if net in nsap.adapters or any(routers):
            return
        asked = self._app.nse.who_is_router_to_network(network=net)
        await asyncio.wait([asked], timeout=until - asyncio.get_running_loop().time())
        if not (asked.done() and asked.result()):
            raise Failed(Failure("unreachable", f"no router tells the way to network {net}"))

    async def _tries(
        self, address: Address, service: int, data: bytes, until: float, retries: int, guard: Guard | None
    ) -> bytes:
        loop = asyncio.get_running_loop()
        for left in range(retries, 0, -1):
            try:
                return await self._once(address, service, data, loop.time() + (until - loop.time()) / (left + 1), guard)
            except TimeoutError:
                continue
        return await self._once(address, service, data, until, guard)

    async def _once(self, address: Address, service: int, data: bytes, until: float, guard: Guard | None) -> bytes:
        request = ConfirmedRequestPDU(service, None, data, destination=address, user_data=guard)
        answer = self._app.request(request)
        if guard is not None:
            guard.watch(answer)
        try:
            async with asyncio.timeout_at(until):
                acknowledgement = await answer
        except TimeoutError:
            if guard is not None and not guard.sent:
                guard.close()
                raise NotSent from None
            raise
        finally:
            self._forget(request)
        if acknowledgement.apduService != service:
            raise Failed(Failure("timeout", "the answer was to another request"))
        return bytes(acknowledgement.pduData) if isinstance(acknowledgement, ComplexAckPDU) else b""

    def _forget(self, request: ConfirmedRequestPDU) -> None:
        """Stop the stack's waiting: what comes late is for nobody, and never taken for the answer to a later request."""
        for transaction in list(self._app.asap.clientTransactions):
            if transaction.invokeID == request.apduInvokeID and transaction.pdu_address == request.pduDestination:
                transaction.set_state(ABORTED)
