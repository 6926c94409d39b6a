"""The subscriber: counts every reading and checks the values of one device in twenty.

``reader.py BROKER_PORT`` prints for each line on standard input one line of JSON with what came since the line before:
``readings`` as [device, microseconds since 1970] of each timestamp, ``errors`` of points, ``wrong`` values, ``stale``
timestamps that did not grow, readings that are ``malformed``; and, as they are now, how many devices are in each state
and what the gateways say of themselves. It ends with standard input.
"""

from __future__ import annotations

import select
import sys
from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
import plant
import wire

CHECKED = 20
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Tally:
    """What came since the last report."""

    def __init__(self) -> None:
        self.states: dict[str, str] = {}
        self.gateways: dict[str, Any] = {}
        self.newest: dict[int, int] = {}
        self._clear()

    def _clear(self) -> None:
        self.readings: list[tuple[int, int]] = []
        self.count: Counter[str] = Counter(errors=0, wrong=0, stale=0, malformed=0)

    def take(self, topic: str, payload: bytes) -> None:
        """Count one message; topics as in the contract, without a prefix."""
        root, _, rest = topic.partition("/")
        if root == "gateways" and payload:
            self.gateways[rest] = orjson.loads(payload)
        elif rest.endswith("/all"):
            self._reading(plant.device_of(rest), payload)
        elif rest.endswith("/status") and payload:
            self.states[rest] = orjson.loads(payload)["state"]

    def _reading(self, device: int, payload: bytes) -> None:
        try:
            reading = orjson.loads(payload)
            at = (datetime.fromisoformat(reading["timestamp"]) - EPOCH) // timedelta(microseconds=1)
            values, errors = reading["values"], reading["errors"]
        except (ValueError, KeyError, TypeError):
            self.count["malformed"] += 1
            return
        self.readings.append((device, at))
        self.count["errors"] += len(errors)
        self.count["stale"] += at <= self.newest.get(device, 0)
        self.newest[device] = at
        if device % CHECKED == 0:
            self.count["wrong"] += plant.faults(device, values, at // 1000)

    def report(self) -> dict[str, Any]:
        """Everything since the last report."""
        found = {"readings": self.readings, **self.count, "states": Counter(self.states.values()), "gateways": self.gateways}
        self._clear()
        return found


def main(broker: int) -> None:
    """Read until standard input ends."""
    mqtt = wire.connect(broker, "bench-reader")
    mqtt.sendall(wire.subscribe("devices/#", "gateways/#"))
    ready = select.poll()
    ready.register(mqtt, select.POLLIN)
    ready.register(0, select.POLLIN)
    frames, tally = wire.Frames(), Tally()
    while True:
        for fd, _ in ready.poll():
            if fd:
                for head, body in frames.feed(wire.receive(mqtt)):
                    if head == wire.PUBLISH:
                        tally.take(*wire.message(body))
                    elif head == wire.SUBACK:
                        print(flush=True)
            elif sys.stdin.readline():
                print(orjson.dumps(tally.report()).decode(), flush=True)
            else:
                return


if __name__ == "__main__":
    main(int(sys.argv[1]))
