from __future__ import annotations

from typing import Any

from gateway.board import Board
from gateway.dataqueue import DataQueue
from gateway.model import Outgoing, Reading, Register
from gateway.publisher import Publisher
from gateway.store.device_config import Spec
from gateway.topics import Topics
from tests.fakes import FakeClock, Wire, point, spec

KW, FAN, WILD = point("kW"), point("Fan/Speed", "integer"), point("a+b")


class Rig:
    """A publisher on an open link."""

    def __init__(self) -> None:
        topics, clock = Topics("edge-1"), FakeClock()
        self.data = DataQueue(clock)
        self.data.connected()
        self.data.open()
        self.publisher = Publisher(topics, self.data, Board(topics, clock, lambda _: None, "i-1", ("#",)), lambda _: None)

    def cleared(self, spec: Spec) -> list[str]:
        """The topics that are cleared by the first reading under this specification."""
        self.publisher.reading(spec, Reading(spec.path, 1.0, {"kW": 1.5}, {}))
        messages: list[Outgoing] = []
        while message := self.data.pop():
            messages.append(message)
        assert messages[-1].payload or not spec.device.publish_depth_first_all
        return [message.topic for message in messages if not message.payload and message.retain]


def under(*registers: Register, **device: Any) -> Spec:
    """The device with these points and options."""
    return spec(Wire(), *registers, **device)


def test_what_a_new_config_does_not_retain_is_cleared() -> None:
    """A point that is gone, point topics switched off, retain switched off: each leaves no old value on the broker."""
    rig = Rig()
    assert rig.cleared(under(KW, FAN, WILD, retain=True, publish_depth_first=True)) == []
    assert rig.cleared(under(KW, retain=True, publish_depth_first=True)) == ["devices/C/B/D/Fan/Speed"]
    assert rig.cleared(under(KW, retain=True)) == ["devices/C/B/D/kW"]
    assert rig.cleared(under(KW)) == ["devices/C/B/D/all"]
    assert rig.cleared(under(KW, retain=True)) == []
    silent = under(KW, retain=True, publish_depth_first=True, publish_depth_first_all=False)
    assert rig.cleared(silent) == ["devices/C/B/D/all"]


def test_the_same_specification_clears_nothing() -> None:
    """Readings follow each other without a look at what is retained."""
    rig = Rig()
    same = under(KW, retain=True, publish_depth_first=True)
    assert [rig.cleared(same), rig.cleared(same)] == [[], []]
