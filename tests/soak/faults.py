"""What goes wrong, at random: the broker, the network to it, gateways, devices, configurations; each is counted."""

from __future__ import annotations

import heapq
import math
import random
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import count

from gateway.ownership import HANDED_OVER_WITHIN
from tests.integration.process import GatewayProcess
from tests.integration.waiting import PATIENCE
from tests.soak.plant import TIMEOUT
from tests.soak.stage import INTERVAL, Stage
from tests.soak.traffic import Book, Write
from tests.soak.windows import Window, Windows

AFTER_A_KILL = 2.0
"""Readings that were taken within so many seconds before a kill -9 may be lost: 1.3 as docs/how-to/broker-away.md says, on
a machine that does other things as well."""
ASKED_AGAIN = 7.0
"""Seconds for which a request may be sent again: within its life of 10, on any account."""
UNDERWAY = 0.5
RECONNECTED = 5.0
"""Seconds in which the gateways are at a broker that has come back."""
CHANGE = 3.0 * PATIENCE
"""Seconds in which a change of configuration is done."""
STARTED = 8.0 * PATIENCE
"""Seconds in which a gateway that was killed answers again."""


@dataclass
class Faults:
    """Injects them, and keeps account of what they excuse."""

    stage: Stage
    book: Book
    random: random.Random
    kill_until: float = math.inf
    counts: Counter[str] = field(default_factory=Counter)
    windows: Windows = field(default_factory=Windows)
    _heals: list[tuple[float, int, Callable[[], None]]] = field(default_factory=list)
    _numbers: count[int] = field(default_factory=count)
    _sick: set[int] = field(default_factory=set)
    _cut: set[int] = field(default_factory=set)
    _moving: dict[int, float] = field(default_factory=dict)
    _moved: dict[int, float] = field(default_factory=dict)
    _away: dict[str, float] = field(default_factory=dict)
    """Until when each gateway last heard nothing, or forgot what it had heard."""

    def step(self) -> None:
        """Do one thing, if it can be done now, and heal what has been ill for its time."""
        self.heal(time.monotonic())
        self._see_who_has_moved()
        kinds: dict[Callable[[], None], int] = {
            self.ill_device: 8,
            self.link: 3,
            self.broker: 2,
            self.change: 4,
            self.remove: 2,
            self.move: 3,
            self.kill: 2,
        }
        self.random.choices(list(kinds), list(kinds.values()))[0]()

    def heal(self, now: float = math.inf) -> None:
        """End what has lasted until now."""
        while self._heals and self._heals[0][0] <= now:
            heapq.heappop(self._heals)[2]()

    def _later(self, seconds: float, heal: Callable[[], None]) -> None:
        heapq.heappush(self._heals, (time.monotonic() + seconds, next(self._numbers), heal))

    # ---- devices

    def ill_device(self) -> None:
        """An endpoint refuses connections, answers nothing, or answers late: in time, or when nobody waits any more."""
        number = self.random.randrange(len(self.stage.plant.endpoints))
        if number in self._sick or not self._moving.keys().isdisjoint(self.stage.plant.endpoints[number]):
            return
        how = self.random.choice(["dead", "mute", "slow", "too slow"])
        delay = {"slow": 0.3 * TIMEOUT, "too slow": 1.2 * TIMEOUT}.get(how, 0.0)
        seconds, begun = self.random.uniform(1, 8), time.monotonic()
        self._sick.add(number)
        self.counts[f"device {how}"] += 1
        self.stage.plant.set(number, "slow" if delay else how, delay)

        def heal() -> None:
            self.stage.plant.set(number, "ok")
            self._sick.discard(number)
            units = frozenset(self.stage.plant.endpoints[number])
            self.windows.lossy.append(Window(units, begun - UNDERWAY, time.monotonic() + UNDERWAY))
            # A device that was away is tried again after a pause that grows with the time that it was away.
            self.windows.slow.append(Window(units, begun - UNDERWAY, time.monotonic() + 2 * seconds + 2 * TIMEOUT + 2))

        self._later(seconds, heal)

    # ---- broker

    def link(self) -> None:
        """The network between one gateway and the broker: black hole, half of it, cut, or slow."""
        number = self.random.randrange(2)
        if number in self._cut or self._moving:
            return
        tap, begun = self.stage.taps[number], time.monotonic()
        how = self.random.choice(["black hole", "nothing to the broker", "nothing from the broker", "cut", "slow"])
        self._cut.add(number)
        self.counts[f"link {how}"] += 1
        {
            "black hole": tap.hold,
            "nothing to the broker": lambda: tap.hold("up"),
            "nothing from the broker": lambda: tap.hold("down"),
            "cut": tap.shut,
            "slow": lambda: setattr(tap, "rate", self.random.uniform(3_000, 20_000)),
        }[how]()

        def heal() -> None:
            if how == "cut":
                tap.open()
            tap.release()
            tap.rate = math.inf
            self._cut.discard(number)
            self._away[self.stage.gateways[number].id] = time.monotonic()
            self.windows.outages.append((begun, time.monotonic()))

        self._later(self.random.uniform(1, 15 if how != "slow" else 4), heal)

    def broker(self) -> None:
        """Kill -9, and a start after a while."""
        if self._cut or self._moving:
            return
        begun = time.monotonic()
        self.counts["broker kill -9"] += 1
        self.stage.broker.save()  # a loss of power costs what mosquitto has not saved, which is not the gateway's to mend
        self.stage.voice.close()
        self.stage.broker.kill()
        time.sleep(self.random.uniform(0, 3))
        self.stage.broker.start()
        self.stage.voice.connect()
        self._away = {gateway.id: time.monotonic() + RECONNECTED for gateway in self.stage.gateways}
        self.windows.outages.append((begun, time.monotonic()))

    # ---- gateways

    def kill(self) -> None:
        """Kill -9, a start after a while, and what was asked lately once more."""
        if time.monotonic() > self.kill_until or self._moving:
            return
        number = self.random.randrange(2)
        gateway, begun = self.stage.gateways[number], time.monotonic()
        units = self._units(gateway)
        self.counts["gateway kill -9"] += 1
        gateway.kill()
        self.windows.lossy.append(Window(units, begun - AFTER_A_KILL, time.monotonic() + UNDERWAY))
        time.sleep(self.random.uniform(0, 1))
        gateway.start()
        answers = number not in self._cut and self._within(STARTED, lambda: self._pings(gateway))
        self._away[gateway.id] = time.monotonic()
        if answers:
            self._ask_again()
        self.windows.slow.append(Window(units, begun - UNDERWAY, time.monotonic() + 3 * PATIENCE))
        self.windows.outages.append((begun, time.monotonic()))

    def _ask_again(self) -> None:
        for write in self.book.again.copy():
            if time.monotonic() - write.asked.at < ASKED_AGAIN and self._is_remembered(write):
                self.counts["requests sent again after a kill"] += 1
                self.stage.voice.send_again(write.asked)

    def _is_remembered(self, write: Write) -> bool:
        """Whether it reaches its gateway in time, and that one knows of it if its device came there since, as documented."""
        owner, asked = self.stage.owners[write.unit], write.asked.at
        has_moved, was_away = self._moved.get(write.unit, 0) > asked, self._away.get(owner.id, 0) > asked
        return self.stage.gateways.index(owner) not in self._cut and not (has_moved and was_away)

    def _units(self, gateway: GatewayProcess) -> frozenset[int]:
        return frozenset(unit for unit, owner in self.stage.owners.items() if owner is gateway)

    # ---- configurations

    def change(self) -> None:
        """Another interval, the same document again, a bad one and a good one, or another registry for half of them."""
        how = self.random.choice(["interval", "same again", "bad", "registry"])
        unit = self.random.choice(self.stage.units)
        self.counts[f"config {how}"] += 1
        if how == "interval":
            self.stage.intervals[unit] = INTERVAL * self.random.choice([1, 1.5, 2])
            self._changing([unit])
        elif how == "registry":
            self.stage.note = f"change {self.counts['config registry']}"
            # It reloads each device that links to it, at another time within its interval.
            self._changing([unit for unit in self.stage.units if unit % 2])
            self.stage.publish_registry()
            return
        if how == "bad":
            self.stage.voice.publish(f"config/devices/{self.stage.path(unit)}", {"driver_type": "modbus", "intervall": 1})
        self.stage.publish(unit)

    def remove(self) -> None:
        """A device goes, and comes back."""
        unit = self._healthy()
        if unit is not None:
            self.counts["config removed"] += 1
            self._changing([unit])
            self._handing_over(unit)
            self.stage.remove(unit)
            time.sleep(self.random.uniform(0.2, 1.0))
            self.stage.publish(unit)

    def move(self) -> None:
        """A device goes to the other gateway, or home, while both can hear of it."""
        unit = self._healthy()
        if unit is None:
            return
        self.counts["device moved"] += 1
        a, b = self.stage.gateways
        self._changing([unit])
        self._handing_over(unit)
        self.stage.owners[unit] = a if self.stage.owners[unit] is b else b
        self._moved[unit] = time.monotonic()
        self.stage.publish(unit)
        # What a device does not take back when it moves remains the debt of the gateway that it left, as documented: it is
        # left in peace until then.
        self._moving[unit] = time.monotonic() + HANDED_OVER_WITHIN + CHANGE

    def _see_who_has_moved(self) -> None:
        for unit, until in list(self._moving.items()):
            asked = self.stage.voice.call(f"rpc/chief/list_devices/{self.stage.owners[unit].id}", patience=1)
            state = (asked.result or {}).get(self.stage.path(unit))
            if state == "online" or time.monotonic() > until:
                del self._moving[unit]

    def go_home(self) -> None:
        """Every device to the gateway where it was at first, with its first interval."""
        for unit in self.stage.units:
            self.stage.owners[unit], self.stage.intervals[unit] = self.stage.home(unit), INTERVAL
        self._changing(list(self.stage.units))
        self._handing_over(*self.stage.units)
        self.stage.publish_all()

    def _changing(self, units: list[int]) -> None:
        now = time.monotonic()
        self.windows.changed.append(Window(frozenset(units), now - UNDERWAY, now + CHANGE))

    def _handing_over(self, *units: int) -> None:
        now = time.monotonic()
        self.windows.slow.append(Window(frozenset(units), now - UNDERWAY, now + CHANGE))

    def _healthy(self) -> int | None:
        """A unit whose device answers, while both gateways do."""
        unit = self.random.choice(self.stage.units)
        if self._cut or self.stage.plant.endpoint(unit) in self._sick:
            return None
        return unit if self._within(3.0, lambda: all(self._pings(gateway) for gateway in self.stage.gateways)) else None

    def _within(self, seconds: float, look: Callable[[], bool]) -> bool:
        deadline = time.monotonic() + seconds
        while not (found := look()) and time.monotonic() < deadline:
            time.sleep(0.1)
        return found

    def _pings(self, gateway: GatewayProcess) -> bool:
        return self.stage.voice.call(f"rpc/chief/ping/{gateway.id}", patience=1).code == "ok"
