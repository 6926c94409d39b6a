"""The devices that sessions ask for, and how they are found."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass, field

from bacpypes3.apdu import IAmRequest
from bacpypes3.app import Application, DeviceInfo
from bacpypes3.basetypes import Segmentation
from bacpypes3.pdu import Address

from gateway.interfaces._bacnet.encoding import Malformed
from gateway.interfaces._bacnet.services import READ, read_answer, read_request
from gateway.interfaces._bacnet.stack.exchange import Exchange
from gateway.interfaces._bacnet.stack.failures import Failed
from gateway.interfaces._bacnet.values import ANY_DEVICE, Facts, Failure, Item, Ref, Target

log = logging.getLogger("gateway.bacnet")

DEVICE = 8
OBJECT_IDENTIFIER, MAX_APDU, SEGMENTATION, VENDOR = 75, 62, 107, 120
SMALLEST_APDU = 50
"""The least that a device must take (ASHRAE 135, 20.1.2.5)."""
BROADCAST_GAP = 0.02
"""Seconds between two broadcasts of ours, which every device of the site has to look at."""
MOST_DOUBLES = 1000
"""Ids at a second address of which the log tells: anybody can send an I-Am."""
SEGMENTATIONS = ("both", "transmit", "receive", "none")


@dataclass
class Peer:
    """A device as a session wants it; the address is known from the config, or once it is found."""

    target: Target
    address: Address | None = None
    facts: Facts | None = None
    subscribing: asyncio.Lock = field(default_factory=asyncio.Lock)

    def __post_init__(self) -> None:
        self.address = parsed(self.target.address) if self.target.address else None


def parsed(text: str) -> Address:
    """An address as the stack wants it. Raises Failed."""
    try:
        address = Address(text)
    except (ValueError, TypeError):
        address = None
    if address is None or not (address.is_localstation or address.is_remotestation):
        raise Failed(Failure("unreachable", f'"{text}" is no address of a device: write 10.0.0.5, 10.0.0.5:47809 or 5:12'))
    return address


class Finder:
    """Asks devices who they are."""

    def __init__(self, app: Application, exchange: Exchange) -> None:
        self._app = app
        self._exchange = exchange
        self._broadcasting = asyncio.Lock()
        self._found: dict[int, Address] = {}
        self._doubles: set[tuple[int, str]] = set()

    def heard(self, device_id: int, address: Address) -> None:
        """A device says who it is: if another is known by that id, the log tells, as one of them is read for the other."""
        known = self._found.get(device_id, address)
        double = (device_id, str(address))
        if known == address or double in self._doubles or len(self._doubles) >= MOST_DOUBLES:
            return
        self._doubles.add(double)
        words = "device %s is heard at %s, and was found at %s: it has moved, or two devices have that id"
        log.warning(words, device_id, address, known)

    async def find(self, peer: Peer, timeout: float) -> Facts:
        """Who answers where the target says, or where the device of that id is. Raises Failed."""
        until = asyncio.get_running_loop().time() + timeout
        peer.facts = await (self._at_address(peer, until) if peer.target.address else self._by_id(peer, until))
        if peer.target.device_id not in (None, peer.facts.device_id):
            other, wanted = peer.facts.device_id, peer.target.device_id
            raise Failed(Failure("unreachable", f"at {peer.target.address} is device {other}, not device {wanted}"))
        peer.address = self._found[peer.facts.device_id] = Address(peer.facts.address)
        self._exchange.lanes.lane(peer.facts.address).silent = False
        return peer.facts

    async def who_is(self, low: int | None, high: int | None, address: Address | None, timeout: float) -> list[Facts]:
        """All that answer within that time."""
        if address is None:
            async with self._broadcasting:
                await asyncio.sleep(BROADCAST_GAP)
        i_ams: list[IAmRequest] = await self._app.who_is(low, high, address, timeout)
        return [facts_of(i_am) for i_am in i_ams]

    async def _by_id(self, peer: Peer, until: float) -> Facts:
        number = peer.target.device_id
        for part in (2, 1):  # a broadcast gets lost, and nobody repeats it
            found = await self.who_is(number, number, None, _left(until) / part)
            if found:
                return found[0]
        why = unregistered(self._app) or "nobody with that id is heard on this network"
        raise Failed(Failure("unreachable", f"device {number} did not answer: {why}"))

    async def _at_address(self, peer: Peer, until: float) -> Facts:
        found = await self.who_is(None, None, peer.address, _left(until) / 2)
        return found[0] if found else await self._asked(peer, until)

    async def _asked(self, peer: Peer, until: float) -> Facts:
        """Read from its device object what I-Am would have told: some devices answer no Who-Is that is for them alone."""
        assert peer.address is not None
        identifier = await self._property(peer.address, ANY_DEVICE, OBJECT_IDENTIFIER, _left(until))
        if not isinstance(identifier, dict) or "object" not in identifier:
            raise Failed(Failure("unreachable", "it does not tell its device id"))
        number = identifier["object"][1]
        numbers = [await self._number(peer.address, number, which, until) for which in (MAX_APDU, SEGMENTATION, VENDOR)]
        max_apdu, segmentation, vendor = numbers
        info = DeviceInfo(number, peer.address, max(max_apdu or 480, SMALLEST_APDU), Segmentation(segmentation or 3), vendor)
        self._app.device_info_cache.update_device_info(info)
        return Facts(number, str(peer.address), info.max_apdu_length_accepted, SEGMENTATIONS[segmentation or 3], vendor or 0)

    async def _number(self, address: Address, number: int, which: int, until: float) -> int | None:
        try:
            value = await self._property(address, number, which, _left(until))
        except Failed:
            return None
        return value if isinstance(value, int) else None

    async def _property(self, address: Address, number: int, which: int, timeout: float) -> object:
        ref = Ref(DEVICE, number, which)
        data = await self._exchange.ask(address, READ, read_request(ref), timeout=timeout)
        try:
            ((_, item),) = read_answer(data)
        except Malformed:
            return None
        return item.value if isinstance(item, Item) else None


def facts_of(i_am: IAmRequest) -> Facts:
    """What an I-Am says."""
    segmentation = int(i_am.segmentationSupported)
    return Facts(
        i_am.iAmDeviceIdentifier[1],
        str(i_am.pduSource),
        max(int(i_am.maxAPDULengthAccepted), SMALLEST_APDU),
        SEGMENTATIONS[segmentation] if segmentation < len(SEGMENTATIONS) else "none",
        int(i_am.vendorID),
    )


def unregistered(app: Application) -> str:
    """Why no broadcast goes out by a BBMD, in words; empty if it does, or none is used."""
    for link in app.link_layers.values():
        status = getattr(link, "bbmdRegistrationStatus", 0)
        if status < 0:
            return f"the BBMD at {link.bbmdAddress} has not answered the registration"
        if status > 0:
            return f"the BBMD at {link.bbmdAddress} refuses the registration (result {status})"
    return ""


def _left(until: float) -> float:
    return max(0.05, until - asyncio.get_running_loop().time())
