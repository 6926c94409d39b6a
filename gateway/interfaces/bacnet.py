"""BACnet/IP, with VOLTTRON's ``bacnet`` registry; see docs/drivers/bacnet.md."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from importlib.util import find_spec
from typing import Any, cast

from gateway.errors import BadValue, ConfigFault, ReadOnly
from gateway.interfaces._bacnet import names
from gateway.interfaces._bacnet.chores import Chores
from gateway.interfaces._bacnet.codec import are_clear, item_of, quality_of, raw_of
from gateway.interfaces._bacnet.config import BacnetConfig, ip_of
from gateway.interfaces._bacnet.learned import Learned, Object
from gateway.interfaces._bacnet.peer import REFUSALS, Peer, point_error, read_trouble
from gateway.interfaces._bacnet.plan import ALONE, FAULTY, FLAGGED, LEAST, BacnetBatch, Chore, Limits, halves, plan, single
from gateway.interfaces._bacnet.rows import BacnetRegister, BacnetRow, make
from gateway.interfaces._bacnet.values import Changed, Failure, Item, Lapsed, Ref, RequestFailed, Restarted
from gateway.interfaces._bacnet.writes import has_slots, taken
from gateway.interfaces.base import Batch, Environment, MaySend, Split
from gateway.interfaces.base import Interface as Base
from gateway.model import PointError, Quality, Register, Scalar, Taken

NO_MULTIPLE = frozenset({"unrecognized-service", "optional-functionality-not-supported"})
"""What a device says that does not have ReadPropertyMultiple."""
TOO_LONG = frozenset({"segmentation-not-supported", "buffer-overflow", "apdu-too-long"})
"""What it says when the answer would not fit into what it can send; out-of-resources may be so for a moment only."""
MOST_PLANS = 256
USUAL_APDU, OWN_APDU = 480, 1476
"""Octets of an answer, where a device has not told, and that we take at most."""


class Interface(Base):
    """One BACnet device."""

    Config = BacnetConfig
    Row = BacnetRow

    def __init__(self, config: BacnetConfig, env: Environment) -> None:
        super().__init__(config, env)
        self._peer = Peer(config, env, lambda: self.wake())
        self._learned = Learned()
        self._chores = Chores(config, self._learned)
        self._watched: dict[Ref, list[BacnetRegister]] = {}
        self._slots: dict[Object, bool] = {}
        self._doubts: dict[str, Quality] = {}
        self._how: dict[Ref, int] = {}
        self._plans: dict[tuple[int, ...], list[BacnetBatch]] = {}
        self._settled: set[tuple[int, ...]] = set()
        self.quality = self._doubts

    def check(self) -> None:
        """ConfigFault if the gateway may not use that address, or lacks the BACnet stack."""
        for key in ("device_address", "bbmd"):
            ip = ip_of(getattr(self.config, key) or "")
            if ip is not None and not self.env.allow.address(ip):
                raise ConfigFault(f"{ip} is in no network of the setting allow.networks", key)
        if find_spec("bacpypes3") is None:
            raise ConfigFault("BACnet needs more packages: install gateway[bacnet]")

    def link(self) -> tuple[object, ...]:
        """The local interface and the device."""
        target = self.config.target
        return ("bacnet", self.config.local, target.address if target.device_id is None else target.device_id)

    def target(self, register: Register) -> Ref:
        """The property of the object."""
        return cast(BacnetRegister, register).ref

    def learned(self) -> tuple[str, ...]:
        """What was found out: see ``_bacnet.learned``."""
        return self._learned.facts()

    def recall(self, facts: Sequence[str]) -> None:
        """Go on with what was learned before."""
        self._learned = Learned(tuple(facts))
        self._chores = Chores(self.config, self._learned)

    @classmethod
    def described(cls, registers: Sequence[Register], facts: Sequence[str]) -> Sequence[Register]:
        """With units that the registry does not name, and the texts of states."""
        learned = Learned(facts)
        return [_described(cast(BacnetRegister, register), learned) for register in registers]

    def _register(self, row: BacnetRow) -> BacnetRegister:
        return make(row, self.config)

    def _open(self) -> None:
        if self._peer.session is None:
            self._watched.clear()
            self._ask_again()
            self._peer.open()

    def _close(self) -> None:
        self._peer.close()

    def _ask_again(self) -> None:
        """The device may be another one, or changed: ask anew what it says of itself, and whether it has priorities."""
        self._chores.begin()
        for known in (self._settled, self._plans, self._slots, self._how, self._doubts):
            known.clear()

    # ---- reading

    def _plan(self, registers: Sequence[Register]) -> list[Batch]:
        places = cast(Sequence[BacnetRegister], registers)
        key = tuple(map(id, registers))
        if key not in self._plans:
            if len(self._plans) >= MOST_PLANS:
                self._plans.clear()
                self._settled.clear()
            self._plans[key] = plan(places, self._limits(), self._how)
        if self._peer.session is None:
            return list(self._plans[key])
        return [*self._besides(key, places), *self._plans[key]]

    def _besides(self, key: tuple[int, ...], places: Sequence[BacnetRegister]) -> list[Chore]:
        """What is to be done before these registers are read, mostly nothing."""
        if self.urgent:
            return [] if key in self._settled else self._chores.due(places, self._limits(), urgent=True)
        time = self._chores.time(self.env.clock.now())
        if key in self._settled:
            return time
        self._watch(places)
        chores = self._chores.due(places, self._limits(), urgent=False)
        if not chores:
            self._settled.add(key)
        return [*chores, *time]

    def _limits(self) -> Limits:
        facts = self._peer.facts
        octets = min(facts.max_apdu if facts else USUAL_APDU, OWN_APDU, self._learned.octets or OWN_APDU)
        alone = self._learned.single or not self.config.use_read_multiple
        return Limits(max(octets, LEAST), self.config.max_per_request, alone, self.config.status_flags)

    def _watch(self, places: Sequence[BacnetRegister]) -> None:
        """Have changes told of the points that want it; the network keeps the subscriptions alive."""
        session = self._peer.session
        for place in [place for place in places if place.cov]:
            known = self._watched.setdefault(place.ref, [])
            if not known and session is not None:
                session.subscribe(place.ref, lifetime=self.config.cov_lifetime, confirmed=self.config.cov_confirmed)
            if place not in known:
                known.append(place)

    def _read(self, batch: Batch) -> dict[str, Scalar | PointError]:
        if isinstance(batch, Chore):
            self._chores.do(batch, self._peer, self.env.clock.now())
            return {}
        assert isinstance(batch, BacnetBatch)
        try:
            items = self._peer.read(batch.refs, batch.multiple)
        except RequestFailed as failed:
            return self._refused(batch, failed.failure)
        values, at = {}, 0
        for register, count in zip(batch.registers, batch.counts, strict=True):
            values[register.name] = self._value(register, items[at])
            if count > 1:
                self._judge(register, *items[at + 1 : at + count])
            at += count
        return values

    def _refused(self, batch: BacnetBatch, failure: Failure) -> dict[str, Scalar | PointError]:
        """The request failed as a whole: ask for less, or take it for what is wrong with the one point."""
        if failure.kind not in REFUSALS:
            raise read_trouble(failure)
        if not batch.multiple:
            return {batch.registers[0].name: point_error(failure)}
        if failure.reason in NO_MULTIPLE:
            self._learned.single = True
            self._learned.changed()
            self._doubts.clear()
            parts = [single(register) for register in batch.registers]
        else:
            parts = halves(batch, self._limits(), self._how)
            if len(batch.registers) == 1:
                self._how[batch.registers[0].ref] = ALONE  # it may be what stands beside the value
            if failure.reason in TOO_LONG and len(parts) > 1:
                self._learned.octets = max(LEAST, *(part.octets for part in parts))
                self._learned.changed()
        self._plans.clear()
        raise Split(parts)

    def _value(self, register: BacnetRegister, told: Item | Failure) -> Scalar | PointError:
        if isinstance(told, Failure):
            return point_error(told)
        return raw_of(register, told, self._texts(register))

    def _texts(self, register: BacnetRegister) -> Sequence[str]:
        return self._learned.texts.get(_object(register), ()) if register.textual else ()

    def _judge(self, register: BacnetRegister, flags: Item | Failure, why: Item | Failure | None = None) -> None:
        """Take in what the device says against a value."""
        if why is None and register.name not in self._doubts and are_clear(flags):
            return
        told = flags if isinstance(flags, Item) else None
        quality = quality_of(told, why if isinstance(why, Item) else None)
        before = self._doubts.pop(register.name, None)
        if quality is not None:
            known = before.reliability if before and why is None and "fault" in quality.flags else quality.reliability
            self._doubts[register.name] = replace(quality, reliability=known)
        how = FAULTY if quality is not None and "fault" in quality.flags else FLAGGED
        if self._how.get(register.ref, FLAGGED) not in (how, ALONE):
            self._how[register.ref] = how
            self._plans.clear()

    def _notices(self) -> list[tuple[Register, Scalar | PointError]]:
        news: list[tuple[Register, Scalar | PointError]] = []
        for notice in self._peer.session.notices() if self._peer.session else ():
            if isinstance(notice, Changed):
                self._untold(notice.ref, None)
                news += self._changed(notice)
            elif isinstance(notice, Lapsed):
                self._untold(notice.ref, notice.failure.message)
            elif isinstance(notice, Restarted):
                self._ask_again()
        return news

    def _reads_flags(self, register: BacnetRegister) -> bool:
        """Whether polls read them too: what only a notice told would stand for ever if the next one were lost."""
        limits = self._limits()
        return limits.flags and not limits.single and self._how.get(register.ref) != ALONE

    def _untold(self, ref: Ref, why: str | None) -> None:
        """Changes of an object are not told, or with None: they are."""
        known = self._learned.untold
        place = (ref.object_type, ref.instance)
        if known.get(place) != why:
            known.pop(place, None)
            known.update({place: why} if why is not None else {})
            self._learned.changed()

    def _changed(self, notice: Changed) -> list[tuple[Register, Scalar | PointError]]:
        value, flags = notice.items.get(names.PRESENT_VALUE), notice.items.get(names.STATUS_FLAGS)
        watched = self._watched.get(notice.ref, [])
        for register in watched:
            if flags is not None and self._reads_flags(register):
                self._judge(register, flags)
        return [(register, self._value(register, value)) for register in watched if value is not None]

    # ---- writing

    def _relinquishes(self, register: Register) -> bool:
        place = cast(BacnetRegister, register)
        known = self._slots.get(_object(place))
        if known is None:
            known = self._slots[_object(place)] = has_slots(self._peer, place)
            if known is (_object(place) in self._learned.plain):
                self._learned.plain ^= {_object(place)}
                self._learned.changed()
        return known

    def _write(self, register: Register, raw: Scalar | None, options: Mapping[str, Any], may_send: MaySend) -> Taken:
        place = cast(BacnetRegister, register)
        if not place.writable:
            raise ReadOnly(f'"{place.name}" is not writable')
        slots = (raw is None and "priority" in options) or self.relinquishes(place)
        if raw is None and not slots:
            raise BadValue(f'"{place.name}" has no priority array in the device: there is nothing below what it holds')
        priority = options.get("priority", place.priority) if slots else None
        if place.textual:
            self._chores.texts_of(place, self._peer)
        datatype, value = ("null", None) if raw is None else item_of(place, raw, self._texts(place))
        self._peer.write(place.ref, datatype, value, priority, may_send)
        decode: Callable[[Item], Scalar | PointError] = partial(self._value, place)
        return taken(self._peer, place, raw, priority, not self._limits().single, decode)


def _object(register: BacnetRegister) -> Object:
    return register.ref.object_type, register.ref.instance


def _described(register: BacnetRegister, learned: Learned) -> Register:
    texts = learned.texts.get(_object(register)) if register.textual else None
    units = learned.units.get(_object(register), "") if register.is_value and not register.units else register.units
    enum = dict(enumerate(texts, 1)) if texts else register.enum
    return replace(register, units=units, enum=enum)
