"""A reading as the messages that tell it, by the options of its device; pure but for the values last told."""

from __future__ import annotations

from typing import Any

from gateway.clock import rfc3339
from gateway.masking import masked
from gateway.model import Outgoing, PointError, Quality, Reading, Register, Scalar
from gateway.payloads import dump
from gateway.store.device_config import DeviceConfig, Spec
from gateway.topics import Topics, topic_point

RETAINED_INTERVALS = 3
"""A retained reading expires after so many intervals, so that nobody takes a dead gateway's values for present ones."""


def error_payload(error: PointError) -> dict[str, str]:
    """An error as it stands in readings, statuses and answers."""
    return {"code": error.code, "message": masked(error.message)}


def reading_payload(reading: Reading) -> dict[str, Any]:
    """``{"timestamp", "values", "errors"}``, as on the ``all`` topic; with the ``quality`` of values that have one."""
    errors = {name: error_payload(error) for name, error in reading.errors.items()}
    body = {"timestamp": rfc3339(reading.wall), "values": reading.values, "errors": errors}
    if reading.quality:
        body["quality"] = {name: quality_payload(quality) for name, quality in reading.quality.items()}
    return body


def quality_payload(quality: Quality) -> dict[str, Any]:
    """What a device says against a value of its own."""
    why = {"reliability": quality.reliability} if quality.reliability else {}
    return {"flags": quality.flags, **why}


def plain(value: Scalar) -> bytes:
    """A point's bare value: ``21.5``, ``true``, ``Auto``."""
    return value.encode() if isinstance(value, str) else dump(value)


def retained_topics(spec: Spec, topics: Topics) -> list[str]:
    """Where readings of a device stay on the broker under this specification."""
    if not spec.device.retain:
        return []
    points = [topics.point(spec.path, r.name) for r in spec.registers if topic_point(r.name)]
    whole = [topics.all(spec.path)] if spec.device.publish_depth_first_all else []
    return whole + (points if spec.device.publish_depth_first else [])


class Shaper:
    """The messages of one device's readings; remembers what it told last, for report on change."""

    def __init__(self, spec: Spec, topics: Topics) -> None:
        self._spec = spec
        self._topics = topics
        self._all = topics.all(spec.path)
        self._replay = topics.replay(spec.path)
        self._registers = {register.name: register for register in spec.registers}
        self._expiry = _expiry(spec.device, spec.intervals[-1])
        self._expiries = {r.name: _expiry(spec.device, r.interval or spec.device.interval) for r in spec.registers}
        self._told: dict[str, Scalar | PointError] = {}
        self._told_at: dict[str, float] = {}
        self._told_quality: dict[str, Quality] = {}
        self._meta = (
            {
                r.name: {"units": r.units, "type": r.type, "tz": spec.device.timezone}
                for r in spec.interface.described(spec.registers, spec.learned)
            }
            if spec.device.payload == "volttron"
            else {}
        )

    def messages(self, reading: Reading) -> list[Outgoing]:
        """What to publish for this reading; nothing if nothing has changed and only changes are told."""
        if self._spec.device.on_change:
            reading = self._changed(reading)
            if not reading.values and not reading.errors:
                return []
        messages = []
        if self._spec.device.publish_depth_first_all:
            messages.append(self._all_message(reading))
        if self._spec.device.publish_depth_first:
            messages += self._point_messages(reading)
        return messages

    def _all_message(self, reading: Reading) -> Outgoing:
        whole = reading_payload(reading)
        payload = replay = dump(whole)
        if self._meta:
            meta = {name: self._meta[name] for name in reading.values}
            payload = dump([reading.values, meta, {"TimeStamp": whole["timestamp"]}])
        device = self._spec.device
        later = (self._replay, replay) if device.durable else (None, None)
        return Outgoing(self._all, payload, device.qos, device.retain, self._expiry, replay_topic=later[0], replay=later[1])

    def _point_messages(self, reading: Reading) -> list[Outgoing]:
        told: dict[str, bytes] = {name: self._point_payload(reading, name, value) for name, value in reading.values.items()}
        if self._spec.device.point_payload == "json":
            stamp = rfc3339(reading.wall)
            told |= {n: dump({"timestamp": stamp, "error": error_payload(e)}) for n, e in reading.errors.items()}
        device = self._spec.device
        return [
            Outgoing(self._topics.point(self._spec.path, name), payload, device.qos, device.retain, self._expiries[name])
            for name, payload in told.items()
            if topic_point(name)
        ]

    def _point_payload(self, reading: Reading, name: str, value: Scalar) -> bytes:
        if self._spec.device.point_payload == "json":
            quality = reading.quality.get(name)
            why = {"quality": quality_payload(quality)} if quality else {}
            return dump({"timestamp": rfc3339(reading.wall), "value": value, **why})
        return plain(value)

    def _changed(self, reading: Reading) -> Reading:
        values = {name: value for name, value in reading.values.items() if self._news(reading, name, value)}
        errors = {name: error for name, error in reading.errors.items() if self._news(reading, name, error)}
        quality = {name: quality for name, quality in reading.quality.items() if name in values}
        return Reading(reading.path, reading.wall, values, errors, quality)

    def _news(self, reading: Reading, name: str, now: Scalar | PointError) -> bool:
        wall, quality = reading.wall, reading.quality.get(name)
        before = self._told.get(name)
        assert self._spec.device.on_change is not None
        silence = self._spec.device.on_change.max_silence
        recent = before is not None and 0 <= wall - self._told_at[name] < silence
        if recent and quality == self._told_quality.get(name) and _same(before, now, self._registers[name]):
            return False
        if quality is not None:
            self._told_quality[name] = quality
        else:
            self._told_quality.pop(name, None)
        self._told[name], self._told_at[name] = now, wall
        return True


def _same(before: Scalar | PointError | None, now: Scalar | PointError, register: Register) -> bool:
    numbers = isinstance(before, (int, float)) and isinstance(now, (int, float))
    if numbers and register.type in ("integer", "float"):
        return bool(abs(now - before) <= register.deadband)  # type: ignore[operator]
    return before == now


def _expiry(device: DeviceConfig, interval: float) -> int | None:
    if device.expiry is not None:
        return max(1, round(device.expiry)) if device.expiry else None
    return max(1, round(RETAINED_INTERVALS * interval)) if device.retain else None
