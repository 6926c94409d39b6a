"""What a device says of itself: function 43 with MEI type 14.

Source: MODBUS Application Protocol Specification V1.1b3, 6.21 Read Device Identification.
"""

from __future__ import annotations

from dataclasses import dataclass

from gateway.cli.scanning.line import Line
from gateway.errors import Transient
from gateway.interfaces._modbus.pdu import Query, Refusal

FUNCTION, MEI = 0x2B, 0x0E
REGULAR = 2
"""Read device id code: the basic objects and the regular ones, as a stream."""

OBJECTS = {0: "vendor", 1: "product_code", 2: "revision", 3: "url", 4: "product", 5: "model", 6: "application"}
MAX_REPLIES = 8
_OBJECTS = 7
"""Where the objects begin in a reply, behind their number."""


@dataclass(frozen=True, slots=True)
class IdentityQuery(Query):
    """A request whose reply has no fixed length: it tells how many objects there are, and each how long it is."""

    def due(self, reply: bytes) -> int:
        """The length of the reply, once so much of it is there that it can be told."""
        if not reply.startswith(self.head) or len(reply) < _OBJECTS:
            return 0
        at = _OBJECTS
        for _ in range(reply[_OBJECTS - 1]):
            if len(reply) < at + 2:
                return 0
            at += 2 + reply[at + 1]
        return at

    def data(self, reply: bytes) -> bytes:
        """What the reply holds after function and MEI type. Raises Refusal, or Transient if it does not belong to this."""
        if len(reply) == 2 and reply[0] == FUNCTION | 0x80:
            raise Refusal(reply[1])
        if len(reply) != self.due(reply):
            raise Transient("the device answered a request for its identification with something else")
        return reply[len(self.head) :]


def identity_query(first: int) -> IdentityQuery:
    """Ask for the objects from this one on."""
    return IdentityQuery(bytes((FUNCTION, MEI, REGULAR, first)), bytes((FUNCTION, MEI)), 0)


def identify(line: Line, unit: int) -> dict[str, str]:
    """The objects that the unit tells, by name; empty if it tells none."""
    found: dict[str, str] = {}
    following = 0
    try:
        for _ in range(MAX_REPLIES):
            objects, more = parse(line.ask(unit, identity_query(following)))
            found |= {OBJECTS[number]: text for number, text in objects.items() if number in OBJECTS and text}
            if more <= following:
                break
            following = more
    except (Refusal, Transient):
        pass  # most devices do not know the function, and some are silent: there is nothing to tell then
    return found


def parse(data: bytes) -> tuple[dict[int, str], int]:
    """The objects of a reply, and the number of the first that is still to be asked for (0: none)."""
    _code, _conformity, more, following, count = data[:5]
    objects: dict[int, str] = {}
    at = 5
    for _ in range(count):
        number, size = data[at : at + 2]
        objects[number] = data[at + 2 : at + 2 + size].decode("latin-1").strip(" \0")
        at += 2 + size
    return objects, following if more == 0xFF else 0
