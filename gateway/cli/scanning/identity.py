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
_HEAD = 6


@dataclass(frozen=True, slots=True)
class IdentityQuery(Query):
    """A request whose reply has no fixed length: ``data`` gives what stands after function and MEI type."""

    def data(self, reply: bytes) -> bytes:
        """What the reply holds. Raises Refusal, or Transient if it does not belong to this request."""
        if len(reply) == 2 and reply[0] == FUNCTION | 0x80:
            raise Refusal(reply[1])
        if len(reply) >= 2 + _HEAD - 1 and reply.startswith(self.head):
            return reply[2:]
        raise Transient("the device answered a request for its identification with something else")


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
    """The objects of a reply, and the number of the first that is still to be asked for (0: none). Raises Transient."""
    _code, _conformity, more, following, count = data[:5]
    objects: dict[int, str] = {}
    at = 5
    for _ in range(count):
        if len(data) < at + 2 or len(data) < at + 2 + data[at + 1]:
            raise Transient("the device's identification is cut short")
        size = data[at + 1]
        objects[data[at]] = data[at + 2 : at + 2 + size].decode("latin-1").strip(" \0")
        at += 2 + size
    return objects, following if more == 0xFF else 0
