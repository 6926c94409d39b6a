"""What a BACnet device says of itself: its names, and its objects with what a registry needs of each."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from gateway.interfaces._bacnet import names
from gateway.interfaces._bacnet.rows import ALWAYS, BINARY, MULTI_STATE
from gateway.interfaces._bacnet.values import Facts, Failure, Item, Ref, RequestFailed, Session, Value

DEVICE = 8
NAME, DESCRIPTION, OBJECT_LIST, SERVICES = 77, 28, 76, 97
VENDOR_NAME, MODEL_NAME, FIRMWARE = 121, 70, 44
ACTIVE_TEXT, INACTIVE_TEXT, MAX_VALUE, MIN_VALUE, DEFAULT, STATES = 4, 46, 65, 69, 104, 74
SUBSCRIBE_COV = 5
"""The bit of protocol-services-supported (ASHRAE 135, 21: BACnetServicesSupported)."""
COV_TYPES = frozenset(range(6)) | {12, 13, 14, 19, 21, 22, 24, 28, 30, 32, 33, 37, *range(39, 52), 54, 55, 60}
"""Object types whose changes can be subscribed (ASHRAE 135, 13.1: table 13-1)."""
MOST_OBJECTS = 20_000
"""Of a device that claims to have more the first are looked at."""
MOST = 20
"""Properties in one request, until the device shows that it takes fewer."""

Progress = Callable[[str], None]


@dataclass(slots=True)
class Found:
    """An object that has a present value; ``commandable``: it has a priority array."""

    object_type: int
    instance: int
    name: str
    description: str = ""
    value: Item | None = None
    units: int | None = None
    minimum: float | None = None
    maximum: float | None = None
    default: Value = None
    states: list[str] = field(default_factory=list)
    commandable: bool = False
    cov: bool = False


@dataclass(slots=True)
class FoundDevice:
    """A device, the objects of it that have a value, and what is odd; ``others`` counts objects without one."""

    facts: Facts
    name: str = ""
    description: str = ""
    vendor: str = ""
    model: str = ""
    firmware: str = ""
    objects: list[Found] = field(default_factory=list)
    others: int = 0
    remarks: list[str] = field(default_factory=list)


class Gone(Exception):
    """The device does not answer any more."""


class Reader:
    """Reads any number of properties, by as many requests as the device needs; ``rest`` is called before each."""

    def __init__(self, session: Session, timeout: float, rest: Callable[[], None]) -> None:
        self._session = session
        self._timeout = timeout
        self._rest = rest
        self._most = MOST

    def read(self, refs: Sequence[Ref]) -> dict[Ref, Item | Failure]:
        """An answer for each. Raises Gone."""
        found: dict[Ref, Item | Failure] = {}
        left = list(refs)
        while left:
            part = left[: self._most]
            try:
                answers = self._ask(part)
            except RequestFailed as failed:
                if failed.failure.kind not in ("error", "reject", "abort"):
                    raise Gone(failed.failure.message) from None
                if len(part) > 1:
                    self._most = 1 if failed.failure.reason == "unrecognized-service" else len(part) // 2
                    continue
                answers = [failed.failure]
            found |= zip(part, answers, strict=True)
            left = left[len(part) :]
        return found

    def value(self, ref: Ref) -> Value:
        """The value of one property, or None."""
        answer = self.read([ref])[ref]
        return answer.value if isinstance(answer, Item) else None

    def _ask(self, part: Sequence[Ref]) -> list[Item | Failure]:
        self._rest()
        return self._session.read(part, multiple=len(part) > 1, timeout=self._timeout)


def explore(reader: Reader, found: FoundDevice, progress: Progress) -> None:
    """Fill in what a device has; what is known so far is in ``found`` whatever interrupts it."""
    me = found.facts.device_id
    try:
        _identify(reader, found)
        cov = _has_cov(reader, me)
        objects = _object_list(reader, me)
        for number, (object_type, instance) in enumerate(objects, 1):
            progress(f"device {me}: object {number} of {len(objects)}")
            if names.OBJECT_TYPES.get(object_type, ("", "unknown"))[1] == "none":
                found.others += 1
            elif (known := _object(reader, object_type, instance, found)) is not None:
                known.cov = cov and object_type in COV_TYPES
                found.objects.append(known)
    except Gone as gone:
        found.remarks.append(f"it stopped answering, so there may be more: {gone}")


def _identify(reader: Reader, found: FoundDevice) -> None:
    wanted = {NAME: "name", DESCRIPTION: "description", VENDOR_NAME: "vendor", MODEL_NAME: "model", FIRMWARE: "firmware"}
    answers = reader.read([Ref(DEVICE, found.facts.device_id, number) for number in wanted])
    for ref, answer in answers.items():
        setattr(found, wanted[ref.property], _text(answer))


def _has_cov(reader: Reader, device_id: int) -> bool:
    value = reader.value(Ref(DEVICE, device_id, SERVICES))
    bits = value["bits"] if isinstance(value, dict) and "bits" in value else []
    return len(bits) > SUBSCRIBE_COV and bits[SUBSCRIBE_COV]


def _object_list(reader: Reader, device_id: int) -> list[tuple[int, int]]:
    """All objects; one by one if the whole list does not fit into an answer."""
    whole = reader.value(Ref(DEVICE, device_id, OBJECT_LIST))
    if whole is None:
        length = reader.value(Ref(DEVICE, device_id, OBJECT_LIST, 0))
        count = min(length, MOST_OBJECTS) if isinstance(length, int) else 0
        refs = [Ref(DEVICE, device_id, OBJECT_LIST, index) for index in range(1, count + 1)]
        whole = [answer for answer in reader.read(refs).values() if isinstance(answer, Item)]
    items = [item.value for item in whole] if isinstance(whole, list) else [whole]
    return [tuple(value["object"]) for value in items if isinstance(value, dict) and "object" in value]


def _object(reader: Reader, object_type: int, instance: int, device: FoundDevice) -> Found | None:
    """What an object says of itself; None if it has no present value."""
    refs = [Ref(object_type, instance, number) for number in _wanted(object_type)]
    slot = Ref(object_type, instance, names.PRIORITY_ARRAY, 16)
    answers = reader.read([*refs, slot])
    by_number = {ref.property: answer for ref, answer in answers.items() if isinstance(answer, Item)}
    name = _text(by_number.get(NAME)) or f"{names.type_name(object_type)}_{instance}"
    value = by_number.get(names.PRESENT_VALUE)
    if value is None:
        if object_type in names.OBJECT_TYPES:
            refused = answers[Ref(object_type, instance)]
            told = refused.message if isinstance(refused, Failure) else ""
            device.remarks.append(f"{name}: its present value can not be read: {told}")
        else:
            device.others += 1
        return None
    return Found(
        object_type,
        instance,
        name,
        _text(by_number.get(DESCRIPTION)),
        value,
        _integer(by_number.get(names.UNITS_OF)),
        _number(by_number.get(MIN_VALUE)),
        _number(by_number.get(MAX_VALUE)),
        by_number[DEFAULT].value if DEFAULT in by_number else None,
        _states(object_type, by_number),
        object_type in ALWAYS or (slot in answers and isinstance(answers[slot], Item)),
    )


def _wanted(object_type: int) -> tuple[int, ...]:
    common = (NAME, DESCRIPTION, names.PRESENT_VALUE)
    if object_type in BINARY:
        return (*common, DEFAULT, INACTIVE_TEXT, ACTIVE_TEXT)
    if object_type in MULTI_STATE:
        return (*common, DEFAULT, STATES, names.STATE_TEXT)
    if names.OBJECT_TYPES.get(object_type, ("", ""))[1] in ("real", "double", "integer", "unsigned"):
        return (*common, DEFAULT, names.UNITS_OF, MIN_VALUE, MAX_VALUE)
    return common


def _states(object_type: int, by_number: dict[int, Item]) -> list[str]:
    """The texts of its states: of a binary object those of inactive and active, if there are both."""
    if object_type in BINARY:
        texts = [_text(by_number.get(number)) for number in (INACTIVE_TEXT, ACTIVE_TEXT)]
        return texts if all(texts) else []
    texts_item = by_number.get(names.STATE_TEXT)
    if texts_item is not None:
        parts = texts_item.value if texts_item.datatype == "list" else [texts_item]
        return [_text(part) for part in parts]
    count = _integer(by_number.get(STATES))
    return [f"State {number}" for number in range(1, count + 1)] if object_type in MULTI_STATE and count else []


def _text(answer: Item | Failure | None) -> str:
    return answer.value.strip() if isinstance(answer, Item) and isinstance(answer.value, str) else ""


def _integer(item: Item | None) -> int | None:
    return item.value if item is not None and isinstance(item.value, int) else None


def _number(item: Item | None) -> float | None:
    value = item.value if item is not None else None
    return value if isinstance(value, (int, float)) and not isinstance(value, bool) else None
