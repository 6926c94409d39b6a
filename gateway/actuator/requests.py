"""What users ask for: texts and JSON to slots, or a refusal in VOLTTRON's words; pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from enum import StrEnum
from itertools import pairwise
from typing import Any

from gateway.actuator.model import Priority, Slot
from gateway.clock import rfc3339
from gateway.errors import BadRequest
from gateway.values import cut, shown


class Info(StrEnum):
    """The texts of ``info`` in VOLTTRON's answers; those with details go on after a colon."""

    TASK_WERE_PREEMPTED = "TASK_WERE_PREEMPTED"
    TASK_ID_ALREADY_EXISTS = "TASK_ID_ALREADY_EXISTS"
    MISSING_TASK_ID = "MISSING_TASK_ID"
    MISSING_PRIORITY = "MISSING_PRIORITY"
    INVALID_PRIORITY = "INVALID_PRIORITY"
    MALFORMED_REQUEST_EMPTY = "MALFORMED_REQUEST_EMPTY"
    MALFORMED_REQUEST = "MALFORMED_REQUEST"
    TOO_MANY_SLOTS = "TOO_MANY_SLOTS"
    REQUEST_CONFLICTS_WITH_SELF = "REQUEST_CONFLICTS_WITH_SELF"
    CONFLICTS_WITH_EXISTING_SCHEDULES = "CONFLICTS_WITH_EXISTING_SCHEDULES"
    TASK_ID_DOES_NOT_EXIST = "TASK_ID_DOES_NOT_EXIST"
    AGENT_ID_TASK_ID_MISMATCH = "AGENT_ID_TASK_ID_MISMATCH"


class Refused(Exception):
    """A schedule request fails with this ``info`` and ``data``; nothing has changed."""

    def __init__(self, info: str, data: Any = None) -> None:
        super().__init__(info)
        self.info = info
        self.data = {} if data is None else data


def malformed(kind: type[Exception], text: str) -> Refused:
    """The refusal of what can not be understood, as VOLTTRON words it: with the kind of the fault."""
    return Refused(f"{Info.MALFORMED_REQUEST}: {kind.__name__}: {cut(text)}")


def parse_requests(requests: Any) -> list[Slot]:
    """``[[device, start, end], ...]``, or one such triple, as slots; [] if there are none.

    Raises Refused (MALFORMED_REQUEST) for what has another shape and for times that can not be read.
    """
    if requests is None:
        return []
    if not isinstance(requests, list):
        raise malformed(TypeError, "requests is a list of [device, start, end]")
    return [_slot(number, request) for number, request in enumerate(_listed(requests), 1)]


def named_devices(requests: Any) -> list[str]:
    """The devices that a schedule request names, as far as it can be read, each once, in order."""
    rows = _listed(requests) if isinstance(requests, list) else []
    names = [row[0].strip("/") for row in rows if isinstance(row, list) and row and isinstance(row[0], str)]
    return list(dict.fromkeys(names))


def check_slots(slots: Sequence[Slot], longest: float, wall: float) -> None:
    """Refuse slots that overlap each other, end before they start, are empty, over, or longer than a lease may be."""
    per_device: dict[str, list[Slot]] = {}
    for slot in slots:
        if fault := _fault(slot, longest, wall):
            raise malformed(ValueError, f"{slot.device}: {fault}")
        per_device.setdefault(slot.device, []).append(slot)
    for group in per_device.values():
        group.sort(key=lambda slot: slot.start)
        if any(later.start < earlier.end for earlier, later in pairwise(group)):
            raise Refused(Info.REQUEST_CONFLICTS_WITH_SELF)


def check_task_id(task_id: Any) -> str:
    """The id of a new task. Raises Refused if it is no text, or empty."""
    if not isinstance(task_id, str) or not task_id:
        raise malformed(TypeError, "taskid must be a nonempty string")
    return task_id


def parse_priority(priority: Any) -> Priority | None:
    """The priority of that name, case-exact; None if there is none of that name."""
    return Priority(priority) if isinstance(priority, str) and priority in list(Priority) else None


def parse_time(text: Any) -> float:
    """A time with its zone as wall clock seconds: ``2026-11-22T10:00:00Z``; a space for the T will do (RFC 3339, 5.6).

    Raises ValueError or TypeError with the words that say how to mend it.
    """
    if not isinstance(text, str):
        raise TypeError(f"{shown(text)} is no time: write it as text, such as 2026-11-22T10:00:00Z")
    try:
        moment = datetime.fromisoformat(text.strip().upper())
    except ValueError:
        raise ValueError(
            f"{shown(text)} is no time: write it as 2026-11-22T10:00:00Z or 2026-11-22 11:00:00+01:00"
        ) from None
    if moment.tzinfo is None:
        raise ValueError(f"{shown(text)} has no time zone: add Z for UTC, or an offset such as +01:00")
    try:
        return moment.astimezone(UTC).timestamp()
    except OverflowError:
        raise ValueError(f"{shown(text)} is outside of the years 1 to 9999") from None


def parse_duration(duration: Any, most: float) -> float:
    """The length of a lease in seconds. Raises BadRequest unless it is a number, above 0 and at most ``most``."""
    if isinstance(duration, bool) or not isinstance(duration, int | float):
        raise BadRequest(f"duration is a number of seconds, not {shown(duration)}")
    if not 0 < duration <= most:
        raise BadRequest(f"duration is above 0 and at most {most:g} s (setting actuator.max_lease), not {shown(duration)}")
    return float(duration)


def parse_devices(devices: Any) -> list[str]:
    """Device paths without outer slashes. Raises BadRequest unless it is a list of different texts that is not empty."""
    if not isinstance(devices, list | tuple) or not devices or not all(isinstance(path, str) for path in devices):
        raise BadRequest("devices is a list of device paths, at least one")
    paths = [path.strip("/") for path in devices]
    if len(set(paths)) < len(paths):
        raise BadRequest("devices names a device twice")
    return paths


def _listed(requests: list[Any]) -> list[Any]:
    """The rows of a request: a single triple is wrapped, a list within a list of one is unwrapped, as VOLTTRON does."""
    if requests and isinstance(requests[0], str):
        return [requests]
    if len(requests) == 1 and isinstance(requests[0], list) and requests[0] and isinstance(requests[0][0], list):
        return requests[0]
    return requests


def _slot(number: int, request: Any) -> Slot:
    where = f"request {number}: "
    if not isinstance(request, list) or len(request) != 3:
        raise malformed(ValueError, where + "write it as [device, start, end]")
    if not isinstance(request[0], str) or not request[0].strip("/"):
        raise malformed(TypeError, where + f"{shown(request[0])} is no device path")
    try:
        start, end = map(parse_time, request[1:])
    except (ValueError, TypeError) as error:
        raise malformed(type(error), where + str(error)) from None
    return Slot(request[0].strip("/"), start, end)


def _fault(slot: Slot, longest: float, wall: float) -> str | None:
    for wrong, text in _faults(slot, longest, wall):
        if wrong:
            return text
    return None


def _faults(slot: Slot, longest: float, wall: float) -> Iterator[tuple[bool, str]]:
    yield slot.end < slot.start, "the end lies before the start"
    yield slot.end == slot.start, "start and end are the same: nothing would be reserved"
    yield slot.end <= wall, f"the slot ended at {rfc3339(slot.end)}; it is {rfc3339(wall)} now. Is the time zone right?"
    too_long = slot.end - slot.start > longest
    yield too_long, f"a lease lasts at most {longest:g} s (setting actuator.max_lease): make it several slots that touch"
