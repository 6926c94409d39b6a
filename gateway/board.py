"""The retained topics that tell how devices and the gateway do: composed here, published when something in them changes."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from gateway import CONTRACT, __version__
from gateway.clock import Clock, rfc3339
from gateway.masking import masked
from gateway.model import DeviceState, DeviceStatus, Fault, Outgoing, PointError, Register
from gateway.ownership import RELEASED
from gateway.payloads import dump
from gateway.readings import error_payload
from gateway.topics import Topics

GIVE_UP = "if it never will again, revert_device with abandon gives it up"


@dataclass(frozen=True, slots=True)
class ConfigReport:
    """The verdict on a device's newest configuration, as its status tells it."""

    verdict: str
    source: str
    hash: str
    driver: str | None = None
    orphan: bool = False
    links: Mapping[str, str] = field(default_factory=dict)
    errors: tuple[Fault, ...] = ()
    error_count: int = 0
    warnings: tuple[Fault, ...] = ()


@dataclass(slots=True)
class _Card:
    """What is known of one device."""

    config: ConfigReport | None
    status: DeviceStatus
    read: float | None = None
    meta: bytes = b""
    adopted_from: str | None = None
    new_claim: bool = False
    reverts: int = 0
    told: dict[str, bytes] = field(default_factory=dict)

    @property
    def told_status(self) -> DeviceStatus:
        """The status as clients see it: a device with something to give back is not as it should be."""
        if not self.reverts or self.status.state is not DeviceState.ONLINE:
            return self.status
        reason = PointError(
            "busy", f"{self.reverts} {'point waits' if self.reverts == 1 else 'points wait'} to be given back"
        )
        return replace(self.status, state=DeviceState.DEGRADED, reason=reason)

    def be_current(self) -> None:
        """Take in when the device was last read, which is no change of state and so not in what it said of itself."""
        if self.read is not None:
            self.status = replace(self.status, last_reading=self.read)


class Board:
    """Called from any thread; ``put`` queues a message on the control link. Nothing goes out before ``open``."""

    def __init__(
        self, topics: Topics, clock: Clock, put: Callable[[Outgoing], None], instance: str, scope: tuple[str, ...]
    ) -> None:
        self._topics = topics
        self._clock = clock
        self._put = put
        self._instance = instance
        self._scope = scope
        self.started = rfc3339(clock.wall())
        self._lock = threading.RLock()
        self._cards: dict[str, _Card] = {}
        self._leaving: dict[str, _Card] = {}
        self._problems: dict[str, str] = {}
        self._owned_by_other: list[str] = []
        self._debts: dict[str, int] = {}
        self._open = False
        self._displaced = False
        self._told_gateway = b""

    # ---- the link

    def open(self) -> None:
        """The link is up and all is read back: publish everything, and from now on every change."""
        with self._lock:
            self._open = True
            for path in self._cards:
                self.retell(path)
            self.tell_gateway(again=True)

    @property
    def is_open(self) -> bool:
        """Whether what is told goes out at once."""
        return self._open

    def close(self) -> None:
        """The link is down: nothing goes out until ``open``."""
        with self._lock:
            self._open = False

    # ---- devices

    def expect(self, path: str) -> None:
        """A device is about to be ours: keep what it says until there is a verdict to tell with it."""
        with self._lock:
            self._leaving.pop(path, None)
            self._cards.setdefault(path, _Card(None, DeviceStatus(DeviceState.STARTING, self._clock.wall())))

    def claim(self, path: str, new: bool) -> None:
        """Whether the claim to an expected device is new: its status says so to other gateways from now on."""
        with self._lock:
            if path in self._cards:
                self._cards[path].new_claim = new

    def config(
        self, path: str, report: ConfigReport, meta: bytes, adopted_from: str | None, misconfigured: PointError | None
    ) -> None:
        """There is a new verdict on the configuration of an expected device; ``misconfigured``: nothing can run on it."""
        with self._lock:
            card = self._cards[path]
            if report != card.config:
                card.be_current()
            card.config, card.meta, card.adopted_from = report, meta, adopted_from
            was_misconfigured = card.status.state is DeviceState.MISCONFIGURED
            if misconfigured is not None:
                since = card.status.since if was_misconfigured else self._clock.wall()
                card.status = DeviceStatus(DeviceState.MISCONFIGURED, since, misconfigured)
            elif was_misconfigured:
                card.status = DeviceStatus(DeviceState.STARTING, self._clock.wall())
            self._tell(path)

    def status(self, path: str, status: DeviceStatus) -> None:
        """The device's state has changed; ignored once the device is forgotten."""
        with self._lock:
            if path in self._cards:
                self._cards[path].status = status
                self._tell(path)

    def reading(self, path: str, wall: float) -> None:
        """The device was read: no news by itself, but the next status tells when it was."""
        card = self._cards.get(path)
        if card is not None:
            card.read = wall  # one assignment: a poll does not wait for the lock

    def reverts(self, path: str, count: int) -> None:
        """So many points of the device wait to be given back."""
        with self._lock:
            self._debts = {other: n for other, n in {**self._debts, path: count}.items() if n}
            self._tell_debts()
            if path in self._cards and self._cards[path].reverts != count:
                self._cards[path].reverts = count
                self._tell(path)

    def _tell_debts(self) -> None:
        """Devices that have no status of their own to tell it in."""
        gone = [path for path in sorted(self._debts) if path not in self._cards]
        if not gone and "reverts_pending" not in self._problems:
            return
        more = f" and {len(gone) - 5} more" if len(gone) > 5 else ""
        told = f"{', '.join(gone[:5])}{more}: what was written waits to be given back until the device runs here; {GIVE_UP}"
        self.problem("reverts_pending", told if gone else None)

    def forget(self, path: str) -> None:
        """The device is not ours any more: say nothing of it from now on."""
        with self._lock:
            self._cards.pop(path, None)
            self._tell_debts()

    def leave(self, path: str) -> None:
        """The device is another gateway's: say nothing of it but that it is ``released``, when it is."""
        with self._lock:
            if path in self._cards:
                self._leaving[path] = self._cards[path]
            self.forget(path)

    def released(self, path: str) -> None:
        """We have let go of a device that we left to another gateway: that one may begin."""
        with self._lock:
            card = self._leaving.pop(path, None)
            if card is None or card.config is None or not self._open:
                return
            reason = PointError("unavailable", "the device goes to another gateway")
            status = replace(card.status, state=DeviceState.OFFLINE, since=self._clock.wall(), reason=reason, next_try=None)
            payload = dump(self._device_payload(card.config, status, 0))
            self._put(Outgoing(self._topics.status(path), payload, user=((RELEASED, self._topics.gateway_id),)))

    def retell(self, path: str) -> None:
        """Publish a device's topics again, although nothing has changed."""
        with self._lock:
            if path in self._cards:
                self._cards[path].told.clear()
                self._cards[path].be_current()
                self._tell(path)

    def states(self) -> dict[str, DeviceState]:
        """The state of every device of ours."""
        with self._lock:
            return {path: card.told_status.state for path, card in sorted(self._cards.items())}

    def counts(self) -> dict[str, int]:
        """How many devices of ours are in each state that any is in."""
        return dict(Counter(state.value for state in self.states().values()))

    def _tell(self, path: str) -> None:
        card = self._cards[path]
        if not self._open or card.config is None:
            return
        status = self._topics.status(path)
        adopted = (("adopt", card.adopted_from),) if card.adopted_from else ()
        user = (*adopted, ("claim", "new")) if card.new_claim else adopted
        for topic, payload in (
            (status, dump(self._device_payload(card.config, card.told_status, card.reverts))),
            (self._topics.meta(path), card.meta),
        ):
            if payload and card.told.get(topic) != payload:
                card.told[topic] = payload
                self._put(Outgoing(topic, payload, retain=True, user=user if topic == status else ()))

    def _device_payload(self, config: ConfigReport, status: DeviceStatus, reverts: int) -> dict[str, Any]:
        return {
            "gateway": self._topics.gateway_id,
            "state": status.state.value,
            "since": rfc3339(status.since),
            "reason": error_payload(status.reason) if status.reason else None,
            "driver": config.driver,
            "last_reading": rfc3339(status.last_reading) if status.last_reading is not None else None,
            "next_try": rfc3339(status.next_try) if status.next_try is not None else None,
            "points": {"ok": status.points_ok, "failed": status.points_failed},
            "reverts_pending": reverts,
            "config": {
                "verdict": config.verdict,
                "source": config.source,
                "orphan": config.orphan,
                "hash": config.hash,
                "links": config.links,
                "errors": [_fault(fault) for fault in config.errors],
                "total_errors": max(config.error_count, len(config.errors)),
                "warnings": [_fault(fault) for fault in config.warnings],
            },
        }

    # ---- the gateway

    def problem(self, code: str, message: str | None) -> None:
        """Something the operator should know, or with None: it is cured."""
        with self._lock:
            if message is None:
                self._problems.pop(code, None)
            else:
                self._problems[code] = masked(message)
            self.tell_gateway()

    def problems(self) -> dict[str, str]:
        """What the operator should know, by code."""
        with self._lock:
            return dict(sorted(self._problems.items()))

    def owned_by_other(self, paths: list[str]) -> None:
        """These devices in our scope belong to other gateways."""
        with self._lock:
            self._owned_by_other = paths
            self.tell_gateway()

    def displaced(self, reason: str) -> None:
        """Another process has our id: nothing goes out any more."""
        with self._lock:
            self._displaced, self._open = True, False
            self._problems["displaced"] = reason

    @property
    def health(self) -> str:
        """``ok``, ``degraded`` or ``displaced``."""
        return "displaced" if self._displaced else "degraded" if self._problems else "ok"

    def tell_gateway(self, again: bool = False, early: bool = False) -> None:
        """Publish the gateway's status if it has changed, or ``again``; ``early``: before the devices' are."""
        with self._lock:
            payload = dump(self._gateway_payload("online"))
            if (self._open or early) and (again or early or payload != self._told_gateway):
                self._told_gateway = payload
                self._put(Outgoing(self._topics.gateway_status(), payload, retain=True))

    def _gateway_payload(self, state: str) -> dict[str, Any]:
        return {
            "state": state,
            "contract": CONTRACT,
            "instance": self._instance,
            "started": self.started,
            "version": __version__,
            "scope": self._scope,
            "health": self.health,
            "problems": [{"code": code, "message": text} for code, text in self.problems().items()],
            "owned_by_other": self._owned_by_other,
        }

    def stopped(self) -> None:
        """A clean stop: every device is offline from now on, and then the gateway."""
        with self._lock:
            now = self._clock.wall()
            reason = PointError("unavailable", "the gateway was stopped")
            for path, card in self._cards.items():
                if card.status.state is DeviceState.MISCONFIGURED:
                    continue
                card.be_current()
                failed = card.status.points_ok + card.status.points_failed
                card.status = DeviceStatus(DeviceState.OFFLINE, now, reason, card.status.last_reading, None, 0, failed)
                self._tell(path)
            if self._open:
                self._put(Outgoing(self._topics.gateway_status(), dump(self._gateway_payload("offline")), retain=True))
            self._open = False


def meta_payload(
    gateway_id: str, driver: str, interval: float, registers: Sequence[Register], learned: tuple[str, ...] = ()
) -> bytes:
    """The ``meta`` topic: what a UI needs to know of a device's points, and what its driver has found out about it."""
    points = {register.name: point_meta(register) for register in registers}
    return dump(
        {
            "gateway": gateway_id,
            "driver": driver,
            "interval": interval,
            "points": points,
            "learned": [masked(fact) for fact in learned],
        }
    )


def point_meta(register: Register) -> dict[str, Any]:
    """One point in ``meta`` and in the answer of ``list_points``; ``priority`` only of a point that has priorities."""
    slots = {} if register.priority is None else {"priority": register.priority}
    return {
        "units": register.units,
        "type": register.type,
        "writable": register.writable,
        "min": register.minimum,
        "max": register.maximum,
        "enum": {str(raw): text for raw, text in register.enum.items()} if register.enum else None,
        "default": register.default,
        "description": register.description,
        "interval": register.interval,
        **slots,
    }


def will_payload() -> bytes:
    """What the broker says of us when we are gone without a word."""
    return dump({"state": "offline", "contract": CONTRACT})


def _fault(fault: Fault) -> dict[str, str]:
    return {"where": fault.where, "message": fault.message, "suggestion": fault.suggestion}
