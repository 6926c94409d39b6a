"""A BACnet device on paper: a session that answers from objects in memory, and fails as a test says."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from gateway.interfaces._bacnet.values import (
    Facts,
    Failure,
    Item,
    Local,
    Notice,
    Ref,
    RequestFailed,
    Target,
    Value,
)

PV, ARRAY, DEFAULT, FLAGS, UNITS, TEXTS, RELIABILITY = 85, 87, 104, 111, 117, 110, 103
Object = tuple[int, int]

UNKNOWN_OBJECT = Failure("error", "object: unknown-object", "unknown-object", "object")
UNKNOWN_PROPERTY = Failure("error", "property: unknown-property", "unknown-property", "property")
NO_MULTIPLE = Failure("reject", "reject: unrecognized-service", "unrecognized-service")
TOO_LONG = Failure("abort", "abort: segmentation-not-supported", "segmentation-not-supported")
TIMEOUT = Failure("timeout", "no answer in time")
LOST = Failure("lost", "the network went down")
UNREACHABLE = Failure("unreachable", "there is no such device")


def flags(*names: str) -> Item:
    """Status flags of which these are set."""
    known = ("in_alarm", "fault", "overridden", "out_of_service")
    return Item("bit-string", {"bits": [name in names for name in known]})


@dataclass
class Paper:
    """A device: ``objects`` hold properties, ``slots`` the priority arrays of commandable ones.

    ``failures`` are raised by the next requests, one each; None lets one through. ``log`` is all that was asked.
    """

    objects: dict[Object, dict[int, Item]] = field(default_factory=dict)
    slots: dict[Object, list[Item]] = field(default_factory=dict)
    failures: deque[Failure | None] = field(default_factory=deque)
    log: list[str] = field(default_factory=list)
    there: bool = True
    multiple: bool = True
    most: int | None = None
    max_apdu: int = 1476
    address: str = "10.0.0.5"
    told: list[Notice] = field(default_factory=list)
    subscribed: list[Ref] = field(default_factory=list)
    sessions: int = 0
    writes: list[tuple[Ref, str, Value, int | None]] = field(default_factory=list)
    deadlines: list[float] = field(default_factory=list)
    times: list[float] = field(default_factory=list)

    def add(self, place: Object, value: Item, **properties: Any) -> Paper:
        """An object with a present value, and its status flags."""
        self.objects[place] = {PV: value, FLAGS: flags()}
        return self

    def commandable(self, place: Object, value: Item) -> Paper:
        """One with a priority array, and this default."""
        self.add(place, value)
        self.objects[place][DEFAULT] = value
        self.slots[place] = [Item("null", None)] * 16
        return self

    def command(self, place: Object, value: Item, priority: int) -> None:
        """Somebody writes a slot."""
        self.slots[place][priority - 1] = value
        held = [slot for slot in self.slots[place] if slot.datatype != "null"]
        self.objects[place][PV] = held[0] if held else self.objects[place][DEFAULT]

    # ---- the networks

    def join(self, local: Local, target: Target, alarm: Callable[[], None], *, in_flight: int = 1) -> PaperSession:
        """A session with the device."""
        self.sessions += 1
        return PaperSession(self, alarm)

    def who_is(
        self, local: Local, low: int | None, high: int | None, address: str | None, timeout: float = 3.0
    ) -> list[Facts]:
        """The device, if it is there."""
        return [self.facts()] if self.there else []

    def time_sync(self, local: Local, address: str | None, wall: float, utc: bool) -> None:
        """It is told the time."""
        self.times.append(wall)

    def facts(self) -> Facts:
        """What it says of itself."""
        return Facts(99, self.address, self.max_apdu, "none", 999)

    # ---- the device

    def check(self, what: str) -> None:
        """Fail as the test says."""
        self.log.append(what)
        if not self.there:
            raise RequestFailed(TIMEOUT)
        failure = self.failures.popleft() if self.failures else None
        if failure is not None:
            raise RequestFailed(failure)

    def held(self, ref: Ref) -> Item | Failure:
        """A property."""
        properties = self.objects.get((ref.object_type, ref.instance))
        if properties is None:
            return UNKNOWN_OBJECT
        if ref.property == ARRAY:
            return self._array(ref)
        item = properties.get(ref.property)
        if item is not None and ref.index is not None:
            return item.value[ref.index - 1] if ref.index else Item("unsigned", len(item.value))
        return item or UNKNOWN_PROPERTY

    def _array(self, ref: Ref) -> Item | Failure:
        slots = self.slots.get((ref.object_type, ref.instance))
        if slots is None:
            return UNKNOWN_PROPERTY
        if ref.index is None:
            return Item("list", list(slots))
        return slots[ref.index - 1] if ref.index else Item("unsigned", 16)

    def write(self, ref: Ref, datatype: str, value: Value, priority: int | None) -> None:
        """Take a value."""
        place = (ref.object_type, ref.instance)
        if place not in self.objects:
            raise RequestFailed(UNKNOWN_OBJECT)
        self.writes.append((ref, datatype, value, priority))
        if place in self.slots and ref.property == PV:
            self.command(place, Item(datatype, value), priority or 16)
        elif datatype == "null":
            raise RequestFailed(Failure("error", "property: invalid-data-type", "invalid-data-type", "property"))
        else:
            self.objects[place][ref.property] = Item(datatype, value)


@dataclass
class PaperSession:
    """A session with it."""

    device: Paper
    alarm: Callable[[], None]
    left: bool = False
    found: Facts | None = None

    def facts(self) -> Facts | None:
        """What was found."""
        return self.found

    def find(self, timeout: float = 3.0) -> Facts:
        """Look for it."""
        if not self.device.there:
            raise RequestFailed(UNREACHABLE)
        self.found = self.device.facts()
        return self.found

    def read(
        self, refs: Sequence[Ref], *, multiple: bool = True, timeout: float = 3.0, retries: int = 1
    ) -> list[Item | Failure]:
        """One request."""
        assert not self.left
        assert multiple or len(refs) == 1
        self.device.check(("read-multiple " if multiple else "read ") + " ".join(map(_word, refs)))
        if multiple and not self.device.multiple:
            raise RequestFailed(NO_MULTIPLE)
        if multiple and self.device.most is not None and len(refs) > self.device.most:
            raise RequestFailed(TOO_LONG)
        answers = [self.device.held(ref) for ref in refs]
        if not multiple and isinstance(answers[0], Failure):
            raise RequestFailed(answers[0])
        return answers

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
        assert not self.left
        self.device.deadlines.append(deadline)
        self.device.check(f"write {_word(ref)}={value}@{priority}")
        self.device.write(ref, datatype, value, priority)

    def subscribe(self, ref: Ref, *, lifetime: int, confirmed: bool) -> None:
        """Changes are wanted."""
        self.device.subscribed.append(ref)

    def unsubscribe(self, ref: Ref) -> None:
        """Changes are not wanted any more."""
        self.device.subscribed.remove(ref)

    def notices(self) -> list[Notice]:
        """What was told."""
        told, self.device.told = self.device.told, []
        return told

    def leave(self) -> None:
        """Not used any more."""
        self.left = True


def _word(ref: Ref) -> str:
    short = {85: "pv", 111: "flags", 103: "why", 87: "slots", 117: "units", 110: "states"}
    index = "" if ref.index is None else f"[{ref.index}]"
    return f"{ref.object_type}/{ref.instance}.{short.get(ref.property, ref.property)}{index}"
