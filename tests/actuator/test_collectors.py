"""What no running device reaches is given back all the same."""

from __future__ import annotations

from gateway.errors import Transient
from tests.actuator.office_rig import PATH, OfficeRig
from tests.fakes import Wire


def test_another_connection_is_given_back_by_a_collector(rig: OfficeRig) -> None:
    """If the old one does not answer in ten seconds, the new one is in force, and the debt is somebody else's to pay."""
    rig.write("p", 5.0)
    old, rig.wire = rig.wire, Wire("new")
    rig.run()
    device = rig.fleet.running(PATH)
    assert device is not None
    for _ in range(8):
        old.script.clear()
        old.expect("write p=3.0", Transient("no answer"))
        if device.spec.config is old:
            device.step()
        rig.clock.advance(3.0)
    assert device.spec.config is rig.wire
    assert rig.desk.reverts.due(PATH) == 1
    [(_, collector)] = rig.office.collectors._running
    old.script.clear()
    old.expect("write p=3.0", 3.0)
    collector.device.step()
    assert rig.desk.reverts.due(PATH) == 0
    rig.office.collectors.sweep()
    assert collector.device.over
