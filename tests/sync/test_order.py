from __future__ import annotations

import pytest

from gateway.model import Message
from gateway.store.state import StoredDevice
from gateway.sync.configs import FEW, SMALL
from gateway.sync.order import RESYNC, RESYNC_CUT
from tests.sync.rig import FakeBroker, Rig
from tests.test_manager import LINKED, config, csv

CONFIG = "config/devices/C/B/"
STATUS = "gateways/edge-1/status"


def test_a_connection_is_walked_in_order(rig: Rig, broker: FakeBroker) -> None:
    """Requests are served and readings go out when the devices run and it is known whose they are."""
    broker.put(CONFIG + "D", config())
    rig.connect()
    assert rig.fleet.paths() == ["C/B/D"]
    assert rig.doors == ["online", "serve", "open_data"]
    sent = rig.sent()
    assert sent["devices/C/B/D/status"]["config"]["verdict"] == "accepted"
    assert sent[STATUS]["problems"] == []


def test_what_is_lost_is_walked_again(rig: Rig, broker: FakeBroker) -> None:
    """While the link is down requests are held; on the next one all that is retained is published again."""
    broker.put(CONFIG + "D", config())
    rig.connect()
    rig.lose()
    rig.turn()
    assert rig.doors[-1] == "hold"
    rig.sent()
    rig.connect()
    assert rig.doors[-3:] == ["online", "serve", "open_data"]
    assert "devices/C/B/D/status" in rig.sent()


def test_without_a_broker_devices_run_from_disk(rig: Rig) -> None:
    """After two seconds, and not before."""
    rig.disk.devices["C/B/D"] = StoredDevice("C/B/D", config(), "edge-1", {}, 0.0)
    rig.manager.load(lambda path: True)
    rig.turn(2)
    assert rig.fleet.paths() == []
    rig.turn()
    assert rig.fleet.paths() == ["C/B/D"]
    assert rig.doors == ["online"]


def test_a_device_that_the_broker_does_not_have_runs_on_as_an_orphan(rig: Rig, broker: FakeBroker) -> None:
    """A whole replay lacks it; only an empty config removes it."""
    rig.disk.devices["C/B/D"] = StoredDevice("C/B/D", config(), "edge-1", {}, 0.0)
    rig.manager.load(lambda path: True)
    broker.put(CONFIG + "E", config())
    rig.connect()
    assert sorted(rig.fleet.paths()) == ["C/B/D", "C/B/E"]
    assert "C/B/D" in rig.problems()["orphans"]


def test_a_broker_that_we_may_not_read_is_told(rig: Rig, broker: FakeBroker) -> None:
    """Then nothing is known of replays, so they are not said to be cut, and devices run all the same."""
    broker.reads_back = False
    broker.put(CONFIG + "D", config())
    rig.connect()
    rig.turn()
    assert set(rig.problems()) == {"no_sentinel"}
    assert rig.fleet.paths() == ["C/B/D"]


def test_a_cut_replay_is_filled_by_buildings_and_devices(rig: Rig, broker: FakeBroker) -> None:
    """It is told with its cure, and asked for again sooner than a whole one."""
    broker.cuts = {"config/devices/#", "config/devices/C/B/#"}
    broker.put(CONFIG + "D", config())
    rig.connect()
    assert {"config/devices/C/B/#", CONFIG + "D"} <= set(rig.control.log)
    assert "config/devices/C/B/#" not in rig.control.filters
    assert "max_queued_messages" in rig.problems()["replay_cut"]
    assert rig.coordinator._order._next_replay <= rig.clock.now() + RESYNC_CUT


def test_a_replay_of_many_is_proven(rig: Rig, broker: FakeBroker) -> None:
    """Of more configs than every broker has room for it is asked again without reading, as the end may come after a gap."""
    broker.has_room = False
    for number in range(FEW):
        broker.put(f"{CONFIG}{number}", config())
    rig.connect()
    assert rig.problems() == {}
    broker.put(f"{CONFIG}one-more", config())
    rig.lose()
    rig.connect()
    assert "max_queued_messages" in rig.problems()["replay_cut"]


def test_a_replay_of_big_ones_is_proven(rig: Rig, broker: FakeBroker) -> None:
    """So it is for few configs that are more than a socket has room for."""
    broker.has_room = False
    broker.put(f"{CONFIG}small", config())
    rig.connect()
    assert rig.problems() == {}
    broker.put(f"{CONFIG}big", config() + b" " * SMALL)
    rig.lose()
    rig.connect()
    assert "max_queued_messages" in rig.problems()["replay_cut"]


def test_a_lost_update_is_found_by_the_next_replay(rig: Rig, broker: FakeBroker) -> None:
    """Configs are replayed from time to time on a standing connection."""
    rig.connect()
    broker.put(CONFIG + "D", config())
    rig.clock.advance(RESYNC)
    rig.turn()
    assert rig.fleet.paths() == ["C/B/D"]


def test_linked_documents_are_asked_for_and_let_go(rig: Rig, broker: FakeBroker) -> None:
    """A document that nobody links to any more is not subscribed."""
    broker.put("config/meter.csv", csv("ab"))
    broker.put(CONFIG + "D", LINKED)
    rig.connect()
    assert rig.fleet.paths() == ["C/B/D"]
    assert "config/meter.csv" in rig.control.filters
    rig.control.hear(Message(CONFIG + "D", config()))
    rig.turn()
    assert "config/meter.csv" not in rig.control.filters


def test_a_link_in_another_case_is_named(rig: Rig, broker: FakeBroker) -> None:
    """When a link leads nowhere, documents at its level are looked at once, and unsubscribed."""
    broker.put("config/Meter.csv", csv("ab"))
    broker.put(CONFIG + "D", LINKED)
    rig.connect()
    rig.turn()
    [fault] = rig.sent()["devices/C/B/D/status"]["config"]["errors"]
    assert "Meter.csv" in fault["message"] + fault["suggestion"]
    assert "config/+" not in rig.control.filters


def test_a_document_that_is_gone_when_we_come_back_is_gone(rig: Rig, broker: FakeBroker) -> None:
    """Its replay was whole and did not bring it; the devices run on and it is told."""
    broker.put("config/meter.csv", csv("ab"))
    broker.put(CONFIG + "D", LINKED)
    rig.connect()
    rig.lose()
    del broker.retained["config/meter.csv"]
    rig.turn()
    rig.connect()
    assert rig.fleet.paths() == ["C/B/D"]
    assert rig.sent()["devices/C/B/D/status"]["config"]["verdict"] == "rejected"


def test_a_device_of_another_gateway_is_left(rig: Rig, broker: FakeBroker) -> None:
    """Its status is asked for by name if the wide replay did not bring it."""
    broker.put(CONFIG + "D", config())
    broker.put("devices/C/B/D/status", {"gateway": "edge-2"})
    rig.connect()
    assert rig.fleet.paths() == []
    assert rig.sent()[STATUS]["owned_by_other"] == ["C/B/D"]


def test_the_newest_config_says_whose_a_device_is_when_another_claims_it(rig: Rig, broker: FakeBroker) -> None:
    """Config and status that name another gateway come together: we do not stand by what the older config said."""
    broker.put(CONFIG + "D", config(gateway="edge-1"))
    rig.connect()
    rig.turn(60)
    rig.sent()
    rig.control.hear(Message(CONFIG + "D", config(gateway="edge-2")))
    rig.control.hear(Message("devices/C/B/D/status", b'{"gateway": "edge-2"}'))
    rig.turn(3)
    told = [message for message in iter(rig.queue.pop, None) if message.topic == "devices/C/B/D/status" and message.retain]
    assert told == []
    assert rig.catalog.entries["C/B/D"].ours is False


def test_a_new_claim_is_read_again(rig: Rig, broker: FakeBroker) -> None:
    """A status that names us still settles it."""
    broker.put(CONFIG + "D", config())
    rig.connect()
    rig.turn()
    assert "C/B/D" in rig.manager.new_claims
    broker.put("devices/C/B/D/status", {"gateway": "edge-1"})
    rig.turn(40)
    assert "C/B/D" not in rig.manager.new_claims


def test_what_is_left_of_a_device_that_is_no_more_is_cleared(rig: Rig, broker: FakeBroker) -> None:
    """All below it that is retained, but not what belongs to a device below it that still tells of itself."""
    broker.put("devices/C/B/D/status", {"gateway": "edge-1"})
    broker.put("devices/C/B/D/all", {})
    broker.put("devices/C/B/D/E/status", {"gateway": "edge-2"})
    rig.connect()
    cleared = {topic for topic, value in rig.sent().items() if value is None}
    assert cleared == {"devices/C/B/D/status", "devices/C/B/D/all"}


def test_leases_of_ours_that_are_no_more_are_cleared(rig: Rig, broker: FakeBroker) -> None:
    """Those that hold, and those of other gateways, stay."""
    for name, gateway in (("D", "edge-1"), ("E", "edge-1"), ("F", "edge-2")):
        broker.put(f"actuator/leases/C/B/{name}", {"gateway": gateway})
    rig.leased = {"C/B/E"}
    rig.connect()
    assert [topic for topic, value in rig.sent().items() if value is None] == ["actuator/leases/C/B/D"]


def test_a_path_that_names_no_device_is_told(rig: Rig, broker: FakeBroker) -> None:
    """Nothing runs on it; the gateway's status names it."""
    broker.put("config/devices/C/B", config())
    rig.connect()
    assert "C/B" in rig.problems()["bad_paths"]
    assert rig.fleet.paths() == []


def test_refused_subscriptions_are_told(rig: Rig) -> None:
    """Each once, as long as they are refused."""
    rig.connect()
    rig.control.refused_filters = ("rpc/+/ping",)
    rig.turn(2)
    assert "rpc/+/ping" in rig.problems()["subscription_refused"]
    rig.control.refused_filters = ()
    rig.turn(2)
    assert "subscription_refused" not in rig.problems()


def test_a_link_that_goes_in_the_middle_begins_anew(rig: Rig, broker: FakeBroker) -> None:
    """What is asked for again comes on the next connection."""
    broker.put(CONFIG + "D", config())
    rig.data.connected = True
    rig.connect()
    rig.lose()
    rig.turn(1)
    assert not rig.coordinator._order.synced
    rig.connect()
    assert rig.coordinator._order.synced


@pytest.mark.parametrize("door", ["online", "serve", "open_data"])
def test_a_walk_that_fails_in_the_middle_is_walked_again(rig: Rig, broker: FakeBroker, door: str) -> None:
    """Requests are served in the end, as after any other connection."""
    broker.put(CONFIG + "D", config())
    rig.broken = {door}
    with pytest.raises(RuntimeError, match=door):
        rig.connect()
    assert rig.doors[-1] == "hold"
    assert not rig.coordinator._order.synced
    rig.turn()
    assert rig.doors[-3:] == ["online", "serve", "open_data"]
    assert rig.coordinator._order.synced
    assert rig.fleet.paths() == ["C/B/D"]


def test_what_came_with_something_that_failed_is_not_lost(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    """A config behind one on which the manager fails is taken on the next turn."""
    rig.connect()
    for name in "DE":
        rig.control.hear(Message(f"{CONFIG}{name}", config()))
    with monkeypatch.context() as patch:
        patch.setattr(rig.manager, "config", failing)
        with pytest.raises(RuntimeError, match="a bad time"):
            rig.turn()
    rig.turn()
    assert rig.fleet.paths() == ["C/B/E"]


def test_a_replay_that_fails_is_not_the_last_one(rig: Rig, broker: FakeBroker, monkeypatch: pytest.MonkeyPatch) -> None:
    """Configs are asked for again as after one that was cut."""
    rig.connect()
    broker.put(CONFIG + "D", config())
    rig.clock.advance(RESYNC)
    with monkeypatch.context() as patch:
        patch.setattr(rig.control, "subscribe", failing)
        with pytest.raises(RuntimeError, match="a bad time"):
            rig.turn()
    rig.clock.advance(RESYNC_CUT)
    rig.turn()
    assert rig.fleet.paths() == ["C/B/D"]


def test_a_check_of_the_id_that_fails_is_made_again(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else the control link would never be let in."""
    with monkeypatch.context() as patch:
        patch.setattr(rig.data, "subscribe", failing)
        with pytest.raises(RuntimeError, match="a bad time"):
            rig.connect()
    assert not rig.coordinator.let_in()
    rig.turn(2)
    assert rig.coordinator.let_in()


def failing(*_: object) -> None:
    """What is called at a bad time."""
    raise RuntimeError("a bad time")
