"""What is asked of a device besides its values: units, texts of states; and what it is told: the time."""

from __future__ import annotations

from collections.abc import Sequence

from gateway.interfaces._bacnet import names
from gateway.interfaces._bacnet.config import BacnetConfig
from gateway.interfaces._bacnet.learned import Learned, Object
from gateway.interfaces._bacnet.peer import REFUSALS, Peer, read_trouble
from gateway.interfaces._bacnet.plan import Chore, Limits, chores
from gateway.interfaces._bacnet.rows import BacnetRegister
from gateway.interfaces._bacnet.values import Failure, Item, Ref, RequestFailed
from gateway.interfaces.base import Split

OUTPUT_UNITS = 82
UNITS_BY_TYPE = dict.fromkeys((0, 1, 2, 23, 24, 45, 46, 48, 60), names.UNITS_OF) | {12: OUTPUT_UNITS}
"""The property that says in which units an object's present value is (ASHRAE 135, 12)."""
UNIT_OCTETS, TEXT_OCTETS = 3, 200
"""How long a unit, and the texts of an object's states are taken for."""


class Chores:
    """Asked once for each connection; used by the device's thread. What comes is kept in ``learned``."""

    def __init__(self, config: BacnetConfig, learned: Learned) -> None:
        self._config = config
        self._learned = learned
        self._asked: set[Ref] = set()
        self._time_due = 0.0

    def begin(self) -> None:
        """The device was away, or has started again: it may be another one."""
        self._asked.clear()
        self._time_due = 0.0

    def due(self, places: Sequence[BacnetRegister], limits: Limits, urgent: bool) -> list[Chore]:
        """What is to be asked before these registers are read; ``urgent``: only what their values need."""
        wanted = dict.fromkeys(_states(place) for place in places if place.textual)
        batches = chores(self._new(list(wanted)), limits, TEXT_OCTETS)
        if urgent:
            return batches
        units = dict.fromkeys(ref for place in places if (ref := _units(place)) is not None)
        return batches + chores(self._new(list(units)), limits, UNIT_OCTETS)

    def time(self, now: float) -> list[Chore]:
        """The device is to be told the time, if it is due."""
        due = self._config.time_synchronization_interval and now >= self._time_due
        return [Chore((), ())] if due else []

    def do(self, chore: Chore, peer: Peer, now: float) -> None:
        """One request. Raises Transient, Unreachable, Split."""
        try:
            if not chore.refs:
                self._time_due = now + self._config.time_synchronization_interval
                peer.tell_time()
                return
            items = peer.read(chore.refs, chore.multiple)
        except RequestFailed as failed:
            self._refused(chore, failed.failure)
            return
        for ref, item in zip(chore.refs, items, strict=True):
            self._keep(ref, item)

    def texts_of(self, place: BacnetRegister, peer: Peer) -> None:
        """See that the texts of a point's states are known, as far as the device has them. Raises Transient, Unreachable."""
        if self._new([_states(place)]):
            self.do(Chore((), (_states(place),), multiple=False), peer, 0.0)

    def _new(self, refs: Sequence[Ref]) -> list[Ref]:
        return [ref for ref in refs if ref not in self._asked]

    def _refused(self, chore: Chore, failure: Failure) -> None:
        if failure.kind not in REFUSALS:
            raise read_trouble(failure)
        if chore.multiple:
            raise Split([Chore((), (ref,), multiple=False) for ref in chore.refs])
        self._asked.update(chore.refs)

    def _keep(self, ref: Ref, item: Item | Failure) -> None:
        self._asked.add(ref)
        self._learned.changed()
        place: Object = (ref.object_type, ref.instance)
        if ref.property == names.STATE_TEXT:
            texts = _texts(item)
            if texts:
                self._learned.texts[place] = texts
            else:
                self._learned.texts.pop(place, None)
        elif isinstance(item, Item) and isinstance(item.value, int):
            self._learned.units[place] = names.UNITS.get(item.value, f"units {item.value}")


def _states(place: BacnetRegister) -> Ref:
    return Ref(place.ref.object_type, place.ref.instance, names.STATE_TEXT)


def _units(place: BacnetRegister) -> Ref | None:
    """Where the units of a point stand that the registry gives none; None if there are none to be had."""
    number = UNITS_BY_TYPE.get(place.ref.object_type)
    if place.units or number is None or not place.is_value:
        return None
    return Ref(place.ref.object_type, place.ref.instance, number)


def _texts(item: Item | Failure) -> tuple[str, ...]:
    if isinstance(item, Failure) or not isinstance(item.value, list):
        return ()
    return tuple(str(part.value) for part in item.value)
