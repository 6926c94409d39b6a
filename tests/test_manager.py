from __future__ import annotations

import json
import random
import threading
from collections import Counter
from collections.abc import Iterable
from typing import Any

import pytest

from gateway import fleet as fleet_module
from gateway.board import Board
from gateway.catalog import Catalog
from gateway.claims import Claims
from gateway.dataqueue import DataQueue
from gateway.fleet import Fleet
from gateway.interfaces.base import Environment
from gateway.lastgood import EVERY
from gateway.manager import Manager
from gateway.model import Learned, Message, Outgoing
from gateway.ownership import SETTLING
from gateway.queues import ControlQueue
from gateway.store.state import MovedAside, StateError, StoredDevice
from gateway.topics import Topics
from tests.fakes import FakeClock, RecordingOutlet, StillThread

PATH = "C/B/D"
STATUS = f"devices/{PATH}/status"
BAD = b'{"driver_type": "fake", "interval": -1}'


def config(points: str = "a", **keys: Any) -> bytes:
    """A fake device with these points, one letter each."""
    rows = [{"Point Name": name, "Volttron Point Name": name, "Type": "float"} for name in points]
    return json.dumps({"driver_type": "fake", "registry_config": rows, "interval": 10} | keys).encode()


def csv(points: str) -> bytes:
    """A registry with these points."""
    return "\n".join(["Point Name,Volttron Point Name,Type", *(f"{name},{name},float" for name in points), ""]).encode()


LINKED = config(registry_config="config://meter.csv")


class Disk:
    """The state file, in memory."""

    def __init__(self) -> None:
        self.devices: dict[str, StoredDevice] = {}
        self.moved: MovedAside | None = None
        self.broken = False

    def open(self) -> MovedAside | None:
        """Open it."""
        self._check()
        return self.moved

    def load(self) -> list[StoredDevice]:
        """Everything."""
        return list(self.devices.values())

    def peek(self) -> list[StoredDevice]:
        """Everything, also while it is broken."""
        return list(self.devices.values())

    def save(self, devices: Iterable[StoredDevice]) -> None:
        """Keep these."""
        self._check()
        self.devices |= {device.path: device for device in devices}

    def remove(self, path: str) -> None:
        """Forget one."""
        self._check()
        self.devices.pop(path, None)

    def close(self) -> None:
        """Close it."""

    def _check(self) -> None:
        if self.broken:
            raise StateError("the disk is full")


NEVER = float("inf")


class Rig:
    """A manager of gateway ``edge-1``, with everything around it, on an open link."""

    def __init__(self, env: Environment, clock: FakeClock) -> None:
        self.clock = clock
        self.control = ControlQueue(clock)
        self.data = DataQueue(clock)
        self.data.connected()
        self.data.open()
        self.claims = Claims("edge-1", ["old"])
        self.catalog = Catalog(env, None)
        self.fleet = Fleet(env, RecordingOutlet(), lambda path: None)
        self.disk = Disk()
        topics = Topics("edge-1")
        self.board = Board(topics, clock, self.control.put, "i-1", ("#",))
        self.board.open()
        self.stopping = threading.Event()
        parts = (self.catalog, self.claims, self.fleet, self.board, self.control, self.data, self.disk, self.stopping)
        self.manager = Manager(topics, clock, *parts)

    def load(self) -> None:
        """Begin with what the disk holds."""
        self.manager.load(lambda path: path.startswith("C/"))
        self.manager.run_stored()
        self.judge()

    def config(self, payload: bytes, path: str = PATH) -> None:
        """A config comes, and is judged."""
        self.manager.config(path, payload)
        self.judge()

    def document(self, link: str, payload: bytes) -> None:
        """A linked document comes, and who links to it is judged."""
        self.manager.document(link, payload)
        self.judge()

    def judge(self) -> None:
        """Judge all that is due in the next second."""
        self.clock.advance(1)
        self.manager.judge(self.manager.ready())

    def heard(self, gateway: str | None, *user: tuple[str, str], path: str = PATH) -> None:
        """A status of a device is read from the broker."""
        self.claims.heard(path, Message(STATUS, json.dumps({"gateway": gateway}).encode(), user=user))

    def sent(self) -> dict[str, Any]:
        """What has been published on both links: topic -> value, None where it was cleared."""
        messages: list[Outgoing] = [m for queue in (self.control, self.data) for m in iter(queue.pop, None)]
        assert all(message.retain for message in messages if not message.user)
        return {message.topic: json.loads(message.payload) if message.payload else None for message in messages}

    def learned(self, *facts: str) -> None:
        """The device's driver has found out this."""
        spec = self.fleet.spec(PATH)
        assert spec is not None
        self.manager.learned(Learned(PATH, spec.fingerprint, facts))

    def end(self, path: str = PATH) -> None:
        """The thread of a device is gone."""
        self.manager.ended(path)


@pytest.fixture
def rig(monkeypatch: pytest.MonkeyPatch, env: Environment, clock: FakeClock) -> Rig:
    """A manager that has heard of nothing."""
    monkeypatch.setattr(fleet_module, "DeviceThread", StillThread)
    return Rig(env, clock)


# ---- configs


def test_a_good_config_runs_and_is_told_and_kept(rig: Rig) -> None:
    """A device runs, its status has the verdict, its meta the points, and the disk the documents."""
    rig.config(LINKED)
    rig.document("meter.csv", csv("ab"))
    assert rig.fleet.spec(PATH) is not None
    sent = rig.sent()
    assert sent[STATUS]["config"]["verdict"] == "accepted"
    assert (sent[STATUS]["driver"], sent[STATUS]["state"]) == ("fake", "starting")
    assert sent[f"devices/{PATH}/meta"]["points"].keys() == {"a", "b"}
    stored = rig.disk.devices[PATH]
    assert (stored.payload, stored.owner, stored.documents) == (LINKED, "edge-1", {"meter.csv": csv("ab")})


def test_what_a_driver_learned_is_told_and_kept(rig: Rig) -> None:
    """It stands in meta and on disk, and the device begins with it after a restart; the same config again keeps it."""
    rig.config(config("ab"))
    assert rig.sent()[f"devices/{PATH}/meta"]["learned"] == []
    rig.learned("holding 7: refused")
    assert rig.sent()[f"devices/{PATH}/meta"]["learned"] == ["holding 7: refused"]
    assert rig.disk.devices[PATH].learned == ("holding 7: refused",)
    rig.config(config("ab"))
    assert rig.disk.devices[PATH].learned == ("holding 7: refused",)


def test_a_device_begins_with_what_was_learned(rig: Rig) -> None:
    """What the disk has of an earlier run goes to the device together with its config."""
    rig.disk.devices[PATH] = StoredDevice(PATH, config("ab"), "edge-1", {}, 0.0, ("holding 7: refused",))
    rig.load()
    spec = rig.fleet.spec(PATH)
    assert spec is not None
    assert spec.learned == ("holding 7: refused",)
    assert rig.sent()[f"devices/{PATH}/meta"]["learned"] == ["holding 7: refused"]


def test_a_changed_map_forgets_what_was_learned(rig: Rig) -> None:
    """Under another config, or another registry, nothing is known; late news of the old one are passed over."""
    rig.config(LINKED)
    rig.document("meter.csv", csv("ab"))
    old = rig.fleet.spec(PATH)
    rig.learned("holding 7: refused")
    rig.document("meter.csv", csv("abc"))
    spec = rig.fleet.spec(PATH)
    assert old is not None
    assert spec is not None
    assert (spec.learned, rig.disk.devices[PATH].learned) == ((), ())
    rig.manager.learned(Learned(PATH, old.fingerprint, ("holding 7: refused",)))
    rig.manager.learned(Learned("C/B/gone", old.fingerprint, ("holding 7: refused",)))
    assert rig.sent()[f"devices/{PATH}/meta"]["learned"] == []


def test_a_missing_link_is_pending_until_the_replay_is_over(rig: Rig) -> None:
    """While it may still come it is not a refusal."""
    rig.config(LINKED)
    status = rig.sent()[STATUS]
    assert (status["state"], status["config"]["verdict"]) == ("misconfigured", "pending")
    rig.manager.settled_links.add("meter.csv")
    rig.config(config(registry_config="config://meter.csv", interval=11))
    assert rig.sent()[STATUS]["config"]["verdict"] == "rejected"


def test_a_bad_update_leaves_the_device_running(rig: Rig) -> None:
    """The status tells the faults, and still the driver that runs."""
    rig.config(config())
    before = rig.fleet.spec(PATH)
    rig.config(BAD)
    assert rig.fleet.spec(PATH) is before
    status = rig.sent()[STATUS]
    assert (status["state"], status["driver"], status["config"]["verdict"]) == ("starting", "fake", "rejected")
    assert status["config"]["errors"][0]["where"] == "interval"
    assert rig.disk.devices[PATH].payload == config()


def test_without_a_good_config_it_is_misconfigured(rig: Rig) -> None:
    """The first fault is the reason."""
    rig.config(BAD)
    status = rig.sent()[STATUS]
    assert (status["state"], status["reason"]["code"]) == ("misconfigured", "misconfigured")
    assert "interval" in status["reason"]["message"]
    assert rig.disk.devices == {}


def test_a_bad_config_at_start_falls_back_to_the_last_good_one(rig: Rig) -> None:
    """What the disk has runs, and the status tells of the bad one."""
    rig.disk.devices[PATH] = StoredDevice(PATH, config(), "edge-1", {}, 0.0)
    rig.manager.load(lambda path: True)
    rig.config(BAD)
    assert rig.fleet.spec(PATH) is not None
    assert rig.sent()[STATUS]["config"]["verdict"] == "rejected"


def test_a_collision_is_a_fault(rig: Rig) -> None:
    """A path that begins another's point is refused, with the reason."""
    rig.config(config("a"))
    rig.config(config("b"), f"{PATH}/a")
    assert rig.fleet.spec(f"{PATH}/a") is None
    assert rig.sent()[f"devices/{PATH}/a/status"]["config"]["errors"][0]["where"] == "path"


def test_a_deleted_registry_leaves_its_devices_running(rig: Rig) -> None:
    """It is told as missing."""
    rig.config(LINKED)
    rig.document("meter.csv", csv("a"))
    rig.document("meter.csv", b"")
    assert rig.fleet.spec(PATH) is not None
    rig.manager.settled_links.add("meter.csv")
    assert rig.sent()[STATUS]["config"]["errors"] != []


def test_a_changed_registry_reloads_its_devices_spread(rig: Rig) -> None:
    """Devices that share a registry reload over their interval, and no other does."""
    paths = [f"C/B/{number}" for number in range(4)]
    rig.document("meter.csv", csv("a"))
    for path in paths:
        rig.config(LINKED, path)
    rig.config(config("z"))
    rig.document("meter.csv", csv("ab"))
    reloads = [rig.fleet.device(path).work.reload for path in paths]
    assert [reload[2] - rig.clock.now() for reload in reloads if reload] == [0.0, 2.5, 5.0, 7.5]
    assert rig.fleet.device(PATH).work.reload is None


def test_a_changed_config_reloads_at_once(rig: Rig) -> None:
    """Many devices whose own configs change together are not spread."""
    paths = [f"C/B/{number}" for number in range(4)]
    for interval in (10, 20):
        for path in paths:
            rig.manager.config(path, config(interval=interval))
        rig.judge()
    reloads = [rig.fleet.device(path).work.reload for path in paths]
    assert [reload[2] - rig.clock.now() for reload in reloads if reload] == [0.0] * 4


def test_two_writers_are_warned(rig: Rig) -> None:
    """Both statuses name the other device."""
    rows = [{"Volttron Point Name": "a", "Modbus Register": ">H", "Writable": "TRUE", "Point Address": "1"}]
    modbus = {"driver_type": "modbus", "driver_config": {"device_address": "127.0.0.1"}, "registry_config": rows}
    for path in ("C/B/D", "C/B/E"):
        rig.config(json.dumps(modbus).encode(), path)
    sent = rig.sent()
    for path, other in (("C/B/D", "C/B/E"), ("C/B/E", "C/B/D")):
        assert other in sent[f"devices/{path}/status"]["config"]["warnings"][-1]["message"]


def test_no_more_is_judged_once_the_gateway_stops(rig: Rig) -> None:
    """A long batch does not hold up the stop."""
    rig.manager.config(PATH, config())
    rig.stopping.set()
    rig.judge()
    assert rig.fleet.spec(PATH) is None


# ---- removal


def test_a_removed_device_leaves_nothing_behind(rig: Rig) -> None:
    """When its thread has ended every retained topic is cleared, and the disk forgets it."""
    rig.config(config("a", retain=True, publish_depth_first=True))
    rig.sent()
    rig.config(b"")
    assert rig.fleet.spec(PATH) is None
    assert rig.disk.devices == {}
    assert STATUS not in rig.sent()
    rig.end()
    assert rig.sent() == {STATUS: None, f"devices/{PATH}/meta": None, f"devices/{PATH}/all": None, f"devices/{PATH}/a": None}
    assert rig.claims.ours() == []


def test_a_removed_device_that_never_ran_is_cleared_at_once(rig: Rig) -> None:
    """There is no thread to wait for."""
    rig.config(BAD)
    rig.sent()
    rig.config(b"")
    assert {topic for topic, value in rig.sent().items() if value is None} == {STATUS, f"devices/{PATH}/meta"}


def test_a_device_that_comes_back_meanwhile_is_not_cleared(rig: Rig) -> None:
    """Removed and configured again before its thread has ended: it starts anew, and its topics stay."""
    rig.config(config())
    rig.config(b"")
    rig.config(config("b"))
    rig.end()
    assert None not in rig.sent().values()
    assert rig.fleet.device(PATH).spec.registers[0].name == "b"


def test_removing_what_is_not_there_is_no_fault(rig: Rig) -> None:
    """An empty config on an unknown path does nothing."""
    rig.config(b"")
    assert STATUS not in rig.sent()


# ---- owners


def test_somebody_elses_device_is_left_alone(rig: Rig) -> None:
    """It is not run, told or kept, but listed."""
    rig.heard("edge-0")
    rig.config(config())
    assert rig.fleet.spec(PATH) is None
    sent = rig.sent()
    assert STATUS not in sent
    assert sent["gateways/edge-1/status"]["owned_by_other"] == [PATH]
    assert rig.fleet.is_foreign(PATH)
    rig.config(b"")
    assert rig.sent().keys() == {"gateways/edge-1/status"}


def test_a_device_whose_config_goes_is_nobodys(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    """What we wrote before it was another gateway's is given back then: nobody else will."""
    rig.heard("edge-0")
    rig.config(config())
    foreign: list[bool] = []
    monkeypatch.setattr(rig.fleet.keeper, "ends", lambda path: foreign.append(rig.fleet.is_foreign(path)), raising=False)
    rig.config(b"")
    assert foreign == [False]


def test_the_config_key_names_the_owner(rig: Rig) -> None:
    """It goes before the status, in both directions; what it gives us of nobody's needs no settling."""
    rig.config(config(gateway="edge-1"))
    assert rig.fleet.device(PATH).work.writes_from == 0.0
    rig.config(config(gateway="edge-2"))
    assert rig.fleet.spec(PATH) is None
    assert rig.disk.devices == {}


def test_a_device_that_another_had_is_served_when_that_must_have_heard(rig: Rig) -> None:
    """What the config key takes from another gateway is polled at once, but not answered or written before it settles."""
    rig.heard("edge-0")
    rig.config(config(gateway="edge-1"))
    assert rig.fleet.device(PATH).work.writes_from == NEVER
    assert rig.fleet.is_foreign(PATH)
    rig.clock.advance(SETTLING)
    rig.manager.settled(rig.manager.new_claims.due(), [PATH])
    assert rig.fleet.device(PATH).work.writes_from == 0.0
    assert not rig.fleet.is_foreign(PATH)


def test_a_free_device_is_claimed_and_settles(rig: Rig) -> None:
    """A device that nobody has is ours, but is not written before its status was read again, a second later."""
    rig.config(config())
    assert rig.fleet.device(PATH).work.writes_from == NEVER
    assert not rig.fleet.is_foreign(PATH)
    assert rig.claims.named(PATH) == "edge-1"
    assert rig.manager.new_claims.due() == []
    rig.clock.advance(SETTLING)
    assert rig.manager.new_claims.due() == [PATH]
    rig.manager.settled([PATH], [PATH])
    assert rig.fleet.device(PATH).work.writes_from == 0.0


def test_a_claim_that_was_not_found_on_the_broker_does_not_settle(rig: Rig) -> None:
    """When the status that was read again does not name us, it is read once more a second later."""
    rig.config(config())
    rig.clock.advance(SETTLING)
    rig.manager.settled(rig.manager.new_claims.due(), [])
    assert rig.fleet.device(PATH).work.writes_from == NEVER
    assert rig.manager.new_claims.next() == rig.clock.now() + SETTLING


def test_claims_made_without_a_link_settle_from_their_publication(rig: Rig) -> None:
    """The second begins when the statuses go out, however long the judging took."""
    rig.config(config())
    rig.clock.advance(5)
    rig.manager.new_claims.published()
    assert rig.manager.new_claims.next() == rig.clock.now() + SETTLING


def test_a_device_that_names_us_needs_no_settling(rig: Rig) -> None:
    """After a restart our own devices are written at once."""
    rig.heard("edge-1")
    rig.config(config())
    assert rig.fleet.device(PATH).work.writes_from == 0.0


def test_an_adopted_device_says_from_whom(rig: Rig) -> None:
    """The status carries the id as a user property, so that the other yields."""
    rig.heard("old")
    rig.config(config())
    [status] = [message for message in iter(rig.control.pop, None) if message.topic == STATUS]
    assert status.user == (("adopt", "old"), ("claim", "new"))


def test_the_order_of_a_replay_does_not_matter(env: Environment, monkeypatch: pytest.MonkeyPatch) -> None:
    """Devices and registries, old versions before new ones, in 200 orders: the same devices run on the same documents."""
    monkeypatch.setattr(fleet_module, "DeviceThread", StillThread)
    newest = {f"C/B/D{n}": config(registry_config=f"config://{n % 2}.csv", interval=n + 1) for n in range(4)}
    newest |= {"0.csv": csv("ab"), "1.csv": csv("c")}
    older = {"C/B/D0": BAD, "C/B/D1": config("z"), "0.csv": csv("x")}
    ends = set()
    for seed in range(200):
        source, rig = random.Random(seed), Rig(env, FakeClock())
        order = source.sample([*newest], len(newest))
        for name, payload in [*((name, older[name]) for name in order if name in older), *((n, newest[n]) for n in order)]:
            (rig.manager.config if name.startswith("C/") else rig.manager.document)(name, payload)
            if source.random() < 0.5:
                rig.judge()
        rig.judge()
        ends.add(tuple((path, spec.fingerprint) for path in sorted(newest) if (spec := rig.fleet.spec(path))))
    assert len(ends) == 1
    assert len(ends.pop()) == 4


def test_a_device_is_given_up_to_who_has_more_right(rig: Rig) -> None:
    """It stops, we say nothing more of it and forget it, and it is listed as another's."""
    rig.config(config())
    rig.sent()
    rig.heard("edge-0")
    rig.manager.foreign_status(PATH, yields=True)
    assert rig.fleet.spec(PATH) is None
    sent = rig.sent()
    assert sent.keys() == {"gateways/edge-1/status"}
    assert rig.disk.devices == {}
    rig.end()
    assert rig.sent()[STATUS]["reason"]["message"] == "the device goes to another gateway"  # it may begin
    rig.end()
    assert rig.sent() == {}


def test_a_claim_that_we_do_not_yield_to_is_answered(rig: Rig) -> None:
    """Our status is published again, so that the other side sees it and yields."""
    rig.config(config())
    rig.sent()
    rig.heard("edge-2")
    rig.manager.foreign_status(PATH, yields=False)
    assert rig.sent()[STATUS]["gateway"] == "edge-1"
    assert rig.claims.named(PATH) == "edge-1"


def test_a_cleared_status_is_claimed_anew(rig: Rig) -> None:
    """A device of another gateway whose status is cleared becomes ours; our own is told again and settles again."""
    rig.heard("edge-0")
    rig.config(config())
    assert rig.fleet.spec(PATH) is None
    rig.heard(None)
    rig.manager.free_status(PATH)
    rig.judge()
    assert rig.fleet.device(PATH).work.writes_from == NEVER
    rig.sent()
    rig.heard(None)
    rig.manager.free_status(PATH)
    rig.judge()
    assert STATUS in rig.sent()
    assert rig.fleet.device(PATH).work.writes_from == NEVER


def test_a_device_removed_and_configured_again_settles(rig: Rig) -> None:
    """Once its status is cleared another gateway may claim it too: it is not written before that is settled."""
    rig.config(config(gateway="edge-1"))
    rig.config(b"")
    rig.end()
    rig.config(config())
    assert rig.fleet.device(PATH).work.writes_from == NEVER


# ---- the disk


def test_devices_run_from_disk(rig: Rig) -> None:
    """Without a broker what was accepted last runs, with its documents, as ours; what is out of scope does not."""
    rig.disk.devices[PATH] = StoredDevice(PATH, LINKED, "edge-1", {"meter.csv": csv("ab")}, 0.0)
    rig.disk.devices["X/B/D"] = StoredDevice("X/B/D", config(), "edge-1", {}, 0.0)
    rig.load()
    assert [register.name for register in rig.fleet.device(PATH).spec.registers] == ["a", "b"]
    assert rig.fleet.device(PATH).work.writes_from == 0.0
    assert rig.fleet.spec("X/B/D") is None
    assert rig.sent()[STATUS]["config"]["source"] == "disk"


def test_the_broker_goes_before_the_disk(rig: Rig) -> None:
    """A config that has come is not replaced by an old one."""
    rig.disk.devices[PATH] = StoredDevice(PATH, config("a"), "edge-1", {}, 0.0)
    rig.manager.load(lambda path: True)
    rig.config(config("b"))
    rig.manager.run_stored()
    rig.judge()
    assert rig.fleet.device(PATH).spec.registers[0].name == "b"


def test_orphans_run_on_and_are_told(rig: Rig) -> None:
    """What a whole replay lacks is named in both statuses, until it is there again."""
    rig.config(config())
    rig.manager.orphaned([PATH])
    rig.judge()
    sent = rig.sent()
    assert sent[STATUS]["config"]["orphan"]
    assert PATH in sent["gateways/edge-1/status"]["problems"][0]["message"]
    assert rig.fleet.spec(PATH) is not None
    rig.manager.orphaned([])
    rig.judge()
    sent = rig.sent()
    assert not sent[STATUS]["config"]["orphan"]
    assert sent["gateways/edge-1/status"]["problems"] == []


def test_an_orphan_keeps_its_registry(rig: Rig) -> None:
    """When the broker has lost the registry too, the one on disk stands in."""
    rig.config(LINKED)
    rig.document("meter.csv", csv("a"))
    rig.manager.orphaned([PATH])
    rig.manager.document("meter.csv", b"")
    rig.judge()
    assert rig.sent()[STATUS]["config"]["verdict"] == "accepted"


def test_a_state_file_that_can_not_be_used_is_told(rig: Rig) -> None:
    """The gateway goes on without it and says so."""
    rig.disk.broken = True
    rig.load()
    rig.config(config())
    assert rig.fleet.spec(PATH) is not None
    assert rig.sent()["gateways/edge-1/status"]["problems"] == [{"code": "state_unusable", "message": "the disk is full"}]


def test_a_disk_that_fails_later_is_told_and_its_cure_too(rig: Rig) -> None:
    """The problem goes when the next write succeeds."""
    rig.load()
    rig.disk.broken = True
    rig.config(config("a"))
    assert rig.sent()["gateways/edge-1/status"]["problems"][0]["code"] == "state_unusable"
    rig.disk.broken = False
    rig.config(config("b"))
    assert rig.sent()["gateways/edge-1/status"]["problems"] == []


def test_what_the_disk_refused_is_kept_when_it_is_back(rig: Rig) -> None:
    """Without a further change: what was accepted is there, what was removed is not."""
    rig.disk.devices["C/B/E"] = StoredDevice("C/B/E", config(), "edge-1", {}, 0.0)
    rig.load()
    rig.disk.broken = True
    rig.config(config("a"))
    rig.manager.config("C/B/E", b"")
    rig.manager.mend()
    assert rig.board.problems() == {"state_unusable": "the disk is full"}
    rig.disk.broken = False
    rig.manager.mend()
    assert set(rig.disk.devices) == {"C/B/E"}  # it is not tried all the time
    rig.clock.advance(EVERY)
    rig.manager.mend()
    assert set(rig.disk.devices) == {PATH}
    assert rig.board.problems() == {}


def test_a_device_that_comes_back_meanwhile_is_kept(rig: Rig) -> None:
    """Its removal was not written, and is not any more."""
    rig.load()
    rig.config(config("a"))
    rig.disk.broken = True
    rig.manager.config(PATH, b"")
    rig.config(config("b"))
    rig.disk.broken = False
    rig.clock.advance(EVERY)
    rig.manager.mend()
    assert rig.disk.devices[PATH].payload == config("b")


def test_devices_run_from_a_disk_that_can_only_be_read(rig: Rig) -> None:
    """It is told, and when it can be written, what was learned meanwhile is kept."""
    rig.disk.devices[PATH] = StoredDevice(PATH, config(), "edge-1", {}, 0.0)
    rig.disk.broken = True
    rig.load()
    assert rig.fleet.spec(PATH) is not None
    rig.learned("holding 7: refused")
    rig.disk.broken = False
    rig.clock.advance(EVERY)
    rig.manager.mend()
    assert rig.disk.devices[PATH].learned == ("holding 7: refused",)


def test_devices_run_from_a_disk_that_comes_late(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    """They were not known before; what came from the broker meanwhile is newer."""
    for name in "DE":
        rig.disk.devices[f"C/B/{name}"] = StoredDevice(f"C/B/{name}", config("a"), "edge-1", {}, 0.0)
    rig.disk.broken = True
    monkeypatch.setattr(rig.disk, "peek", list)
    rig.load()
    rig.config(config("b"))
    rig.disk.broken = False
    rig.clock.advance(EVERY)
    rig.manager.mend()
    rig.judge()
    assert sorted(rig.fleet.paths()) == [PATH, "C/B/E"]
    assert rig.disk.devices[PATH].payload == config("b")


def test_devices_that_concern_each_other_are_told_once(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many of them write the same registers, the work does not grow with the cube of their number."""
    rig.load()
    paths = [f"C/B/d{n}" for n in range(20)]
    again = Counter[str]()
    really = rig.manager._verdicts.tell_again
    monkeypatch.setattr(rig.manager._verdicts, "tell_again", lambda path: again.update([path]) or really(path))
    rows = [{"Volttron Point Name": "a", "Point Address": 1, "Writable": True, "Modbus Register": ">H"}]
    where = {"device_address": "127.0.0.1", "port": 50200}
    for path in paths:
        document = {"driver_type": "modbus", "driver_config": where, "registry_config": rows, "interval": 10}
        rig.manager.config(path, json.dumps(document).encode())
    rig.judge()
    told = rig.sent()
    assert all(len(told[f"devices/{path}/status"]["config"]["warnings"]) == 19 for path in paths)
    assert max(again.values()) == 1
