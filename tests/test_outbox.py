"""The outbox: what is on disk when, what comes back, what is lost and how that is told."""

from __future__ import annotations

import shutil
import tempfile
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from gateway.dataqueue import LATE, DataQueue
from gateway.model import Outgoing
from gateway.outbox import AGE_CHECK, REPLAY_TICK, RETRY, TICK, Outbox
from gateway.settings import Outbox as Bounds
from gateway.store.outbox import Kept, OutboxError, OutboxFile
from gateway.vitals import Vitals
from tests.fakes import FakeClock
from tests.outgoing import drain, number, reading, up

FULL = OutboxError("outbox: database or disk is full")
MANY = 1 << 30


class Disk(OutboxFile):
    """An outbox file whose disk can be full, or not readable either."""

    full = False
    unreadable = False
    unknown = False

    def change(self, *args: object, **keys: object) -> None:
        """Keep, unless the disk is full."""
        if self.full:
            raise FULL from _sqlite_full()
        super().change(*args, **keys)  # type: ignore[arg-type]

    def probe(self) -> None:
        """Write, unless the disk is full."""
        self.change([], [])

    def last_id(self) -> int:
        """Find, unless the disk can not be read."""
        if self.unknown:
            raise FULL from _sqlite_full()
        return super().last_id()

    def next(self, *args: int | None) -> list[Kept]:
        """Find, unless the disk can not be read."""
        if self.unreadable:
            raise FULL from _sqlite_full()
        return super().next(*args)  # type: ignore[arg-type]


def _sqlite_full() -> Exception:
    import sqlite3

    error = sqlite3.OperationalError("database or disk is full")
    error.sqlite_errorcode = sqlite3.SQLITE_FULL
    return error


class Rig:
    """A queue and its outbox on a disk; ``problems`` is what is told now."""

    def __init__(self, folder: Path, clock: FakeClock, **bounds: float) -> None:
        self.clock = clock
        self.path = folder / "outbox.db"
        self.boot = b"first"
        self.bounds = Bounds(**bounds)  # type: ignore[arg-type]
        self.problems: dict[str, str] = {}
        self.begin()

    def begin(self) -> None:
        """A process starts."""
        self.queue = DataQueue(self.clock)
        self.disk = Disk(self.path, self.clock, self.boot)
        self.outbox = Outbox(self.bounds, self.disk, self.queue, self.clock, self.tell)
        self.outbox.work()

    def tell(self, code: str, text: str | None) -> None:
        """Remember what is told."""
        self.problems.pop(code, None)
        if text is not None:
            self.problems[code] = text

    def crash(self) -> None:
        """SIGKILL, and another process."""
        self.disk.close()
        self.begin()

    def turns(self, seconds: float) -> None:
        """Let the outbox work for so long."""
        until = self.clock.now() + seconds
        while self.clock.now() < until:
            self.clock.advance(self.outbox.work())

    def replayed(self, turns: int = 50) -> list[int]:
        """The numbers of what comes on the replay topic with a broker that takes everything."""
        found: list[int] = []
        for _ in range(turns):
            self.clock.advance(self.outbox.work())
            found += [number(m) for m in drain(self.queue) if m.topic.endswith("/replay")]
        return found


@pytest.fixture
def start(tmp_path: Path, clock: FakeClock) -> Iterator[Callable[..., Rig]]:
    """Makes rigs."""
    made: list[Rig] = []

    def make(**bounds: float) -> Rig:
        made.append(Rig(tmp_path, clock, **bounds))
        return made[-1]

    yield make
    for rig in made:
        rig.disk.close()


@pytest.fixture
def rig(start: Callable[..., Rig]) -> Rig:
    """One with the default bounds."""
    return start()


def ids(rig: Rig) -> list[int]:
    """The numbers of the readings on disk."""
    return [number(Outgoing(k.topic, k.payload)) for k in OutboxFile.next(rig.disk, 0, None, MANY, MANY)]


def outage(rig: Rig, *numbers: int) -> None:
    """Readings with these numbers come while there is no broker."""
    rig.queue.put([reading("d", n) for n in numbers])
    rig.outbox.work()


def test_readings_of_an_outage_survive_a_crash_and_come_in_order(rig: Rig) -> None:
    """They are on disk with the next turn of the outbox, take no memory, and go out on replay, marked, oldest first."""
    outage(rig, 1, 2, 3)
    assert (rig.outbox.counts()["on_disk"], rig.queue._bytes) == (3, 0)
    rig.crash()
    outage(rig, 4)
    up(rig.queue).put([reading("d", 5)])
    rig.clock.advance(rig.outbox.work())
    first = drain(rig.queue)
    assert [m.topic for m in first] == ["d/all", "d/replay", "d/replay", "d/replay", "d/replay"]
    assert first[1].payload == b'{"replayed":true,"timestamp": 1}'
    assert (first[1].qos, first[1].retain, first[1].expiry) == (1, False, None)
    assert [number(m) for m in first] == [5, 1, 2, 3, 4]
    rig.outbox.work()
    assert rig.outbox.counts() | {"disk_bytes": 0} == {
        "waiting": 0,
        "on_disk": 0,
        "disk_bytes": 0,
        "replayed": 4,
        "dropped": 0,
        "not_kept": 0,
        "refused_by_broker": 0,
    }
    rig.crash()
    up(rig.queue)
    assert rig.replayed() == []


def test_normal_running_writes_nothing(rig: Rig) -> None:
    """While acknowledgements flow the disk is left alone."""
    up(rig.queue).put([reading("d", 0)])
    rig.turns(2 * TICK)
    drain(rig.queue)
    rig.turns(2 * TICK)
    rig.disk.full = True  # whoever writes now will be told
    for n in range(1, 100):
        rig.queue.put([reading("d", n)])
        rig.turns(TICK)
        assert len(drain(rig.queue)) == 1
    assert rig.problems == {}


def test_what_a_silent_broker_has_not_acknowledged_survives_a_crash(rig: Rig) -> None:
    """The connection stands and nobody answers: after a second all that flies or waits is on disk, and all that comes."""
    up(rig.queue).put([reading("d", 0)])
    drain(rig.queue)
    rig.turns(TICK)
    rig.queue.put([reading("d", n) for n in (1, 2, 3)])
    rig.queue.pop()
    rig.turns(LATE + 2 * TICK)
    rig.queue.put([reading("d", 4)])
    rig.outbox.work()
    rig.crash()
    up(rig.queue)
    assert rig.replayed() == [1, 2, 3, 4]


def test_a_clean_end_keeps_all_that_is_not_acknowledged(rig: Rig) -> None:
    """In flight, waiting, just come: with the broker away or silent."""
    up(rig.queue).put([reading("d", n) for n in range(1200)])
    for _ in range(3):
        rig.queue.pop()
    rig.outbox.finish()
    rig.begin()
    assert rig.outbox.counts()["on_disk"] == 1200
    up(rig.queue)
    assert rig.replayed(400) == list(range(1200))


def test_replays_are_paced(start: Callable[..., Rig]) -> None:
    """No more go out than the setting says, and the link is told each time that there are some."""
    rig = start(replay_rate=100)
    rig.queue.put([reading("d", n) for n in range(1000)])
    rig.turns(1)
    woken: list[int] = []
    rig.queue.wake = lambda: woken.append(1)
    up(rig.queue)
    assert 195 <= len(rig.replayed(round(2 / REPLAY_TICK))) <= 226
    assert len(woken) > 30


def test_nothing_is_replayed_while_the_broker_is_late(rig: Rig) -> None:
    """Replays would only add to what it has to do."""
    outage(rig, 1, 2)
    up(rig.queue).put([reading("d", 3)])
    assert rig.queue.pop() is not None
    rig.turns(LATE + 2 * TICK)
    assert rig.queue.pop() is not None  # one that was ready before it was late
    rig.queue._ready.clear()
    rig.turns(1)
    assert rig.queue.pop() is None


def test_a_replay_that_was_cut_off_begins_again(rig: Rig) -> None:
    """What was not acknowledged comes once more on the next connection, and nothing else twice."""
    outage(rig, *range(1, 11))
    up(rig.queue)
    rig.turns(1)
    taken = [rig.queue.pop() for _ in range(5)]
    for message in taken[:3]:
        assert message is not None
        rig.queue.acknowledged(message)
    rig.queue.unsent([])
    rig.turns(1)
    up(rig.queue)
    assert rig.replayed() == list(range(4, 11))


def test_of_too_many_bytes_the_oldest_are_dropped_counted_and_told(start: Callable[..., Rig]) -> None:
    """The file keeps to its bound; the problem goes when all that was left is delivered."""
    rig = start(max_bytes=100_000)
    for n in range(3000):
        outage(rig, n)
    counts = rig.outbox.counts()
    assert counts["disk_bytes"] <= 100_000
    assert counts["dropped"] == 3000 - counts["on_disk"] > 0
    assert "oldest readings are dropped" in rig.problems["readings_dropped"]
    up(rig.queue)
    assert rig.replayed(400) == list(range(counts["dropped"], 3000))
    assert rig.problems == {}


def test_what_is_too_old_is_dropped(start: Callable[..., Rig], clock: FakeClock) -> None:
    """By the age that the setting allows, restarts of the gateway and pauses between them included."""
    rig = start(max_age=3600)
    outage(rig, 1)
    clock.advance(1800)
    rig.crash()
    outage(rig, 2)
    rig.disk.close()
    clock.advance(1801 + AGE_CHECK)
    rig.begin()
    assert rig.outbox.counts()["dropped"] == 1
    clock.advance(1800 + AGE_CHECK)
    outage(rig, 3)
    up(rig.queue)
    assert (rig.replayed(), rig.outbox.counts()["dropped"]) == ([3], 2)


@pytest.mark.parametrize("restart", ["none", "process", "machine"])
def test_a_step_of_the_wall_clock_drops_nothing(start: Callable[..., Rig], clock: FakeClock, restart: str) -> None:
    """A machine that knows the time only when the network is back still has the readings of the outage."""
    rig = start(max_age=3600)
    clock.set_wall(clock.wall() - 300 * 86400)
    outage(rig, *range(100))
    if restart == "machine":
        rig.boot = b"second"
    if restart != "none":
        rig.crash()
    for step in (300 * 86400, -86400):
        clock.set_wall(clock.wall() + step)
        clock.advance(AGE_CHECK)
        rig.outbox.work()
    assert rig.outbox.counts()["dropped"] == 0
    up(rig.queue)
    assert rig.replayed(100) == list(range(100))


def test_a_full_disk_is_told_and_tried_again(rig: Rig) -> None:
    """Readings stay in memory meanwhile, in order, and go to disk when it takes them."""
    rig.disk.full = True
    outage(rig, 1, 2)
    assert "in memory only: outbox: database or disk is full" in rig.problems["outbox_unusable"]
    outage(rig, 3)
    rig.disk.full = False
    rig.turns(RETRY + 2 * TICK)
    assert (rig.problems, rig.outbox.counts()["on_disk"], rig.queue._bytes) == ({}, 3, 0)
    up(rig.queue)
    assert rig.replayed() == [1, 2, 3]


def test_without_a_disk_readings_are_replayed_from_memory(rig: Rig) -> None:
    """After those that are on disk, if it can be read; one connection lost in the middle loses nothing."""
    outage(rig, 1, 2)
    rig.disk.full = True
    outage(rig, 3, 4)
    up(rig.queue)
    rig.turns(2 * TICK)
    while rig.queue.pop():
        pass
    rig.queue.unsent([])
    outage(rig, 5)
    up(rig.queue)
    assert rig.replayed() == [1, 2, 3, 4, 5]
    rig.turns(RETRY + TICK)
    assert rig.outbox.counts()["waiting"] == 0  # all of it was acknowledged: there is no need to forget one by one
    assert set(rig.problems) == {"outbox_unusable"}
    rig.disk.full = False
    rig.turns(RETRY + TICK)
    assert (rig.problems, rig.replayed()) == ({}, [])


def test_a_full_disk_is_not_wiped_while_something_waits_on_it(rig: Rig) -> None:
    """However many acknowledgements there are of what is on it no more."""
    outage(rig, *range(5))
    up(rig.queue)
    rig.clock.advance(1)
    rig.outbox.work()
    flying = [rig.queue.pop() for _ in range(5)]
    rig.disk.close()
    rig.path.unlink()
    rig.disk.open()
    up(rig.queue).put([reading("d", n) for n in (10, 11, 12)])
    rig.turns(LATE + 2 * TICK)
    assert ids(rig) == [10, 11, 12]
    for message in flying:
        assert message is not None
        rig.queue.acknowledged(message)
    rig.disk.full = True
    rig.outbox.work()
    assert ids(rig) == [10, 11, 12]
    assert set(rig.problems) == {"outbox_unusable"}


def test_a_disk_that_fails_right_after_the_file_was_opened_is_tried_again(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is on it comes then."""
    outage(rig, 1, 2)
    monkeypatch.setattr(Disk, "unknown", True)
    rig.crash()
    up(rig.queue)
    rig.turns(TICK)
    assert set(rig.problems) == {"outbox_unusable"}
    monkeypatch.setattr(Disk, "unknown", False)
    rig.turns(RETRY)
    assert (rig.replayed(), rig.problems) == ([1, 2], {})


def test_a_disk_that_stays_full_drops_the_oldest_from_memory(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    """Memory is bounded; each that is dropped is counted and told."""
    rig.queue._max_bytes = 10_000
    rig.disk.full = True
    for n in range(100):
        outage(rig, n)
    assert rig.queue._bytes <= 10_000
    assert rig.outbox.counts()["dropped"] == 100 - rig.outbox.counts()["waiting"] > 50
    assert set(rig.problems) == {"outbox_unusable", "readings_dropped"}


def test_a_directory_that_is_not_there_stops_nobody(tmp_path: Path, clock: FakeClock) -> None:
    """The outbox is begun when its place is there."""
    folder = tmp_path / "state"
    rig = Rig(folder, clock)
    outage(rig, 1)
    assert "state_dir" in rig.problems["outbox_unusable"]
    folder.mkdir()
    rig.turns(RETRY + TICK)
    assert (rig.problems, rig.outbox.counts()["on_disk"]) == ({}, 1)
    rig.disk.close()


def test_a_damaged_file_is_set_aside_and_told(rig: Rig) -> None:
    """What it held is kept under another name, and readings go into a new one."""
    rig.disk.close()
    rig.path.write_bytes(b"not a database" * 1000)
    rig.begin()
    outage(rig, 1)
    assert "outbox.db.broken-1" in rig.problems["outbox_set_aside"]
    assert rig.outbox.counts()["on_disk"] == 1


def test_each_file_that_is_set_aside_is_told(rig: Rig, capsys: pytest.CaptureFixture[str]) -> None:
    """In the problem and in the log; what damage has taken is counted with what was dropped."""
    for n in (1, 2, 3):
        outage(rig, *range(10 * n))
        rig.disk.close()
        rig.outbox._usable = False
        rig.path.write_bytes(b"not a database" * 1000)
        rig.path.with_name("outbox.db-wal").unlink(missing_ok=True)
        rig.outbox.work()
        assert f"0 messages of it are taken over, {10 * n} are lost" in rig.problems["outbox_set_aside"]
        assert f"outbox.db.broken-{n}" in rig.problems["outbox_set_aside"]
        assert f"outbox.db.broken-{n}" in capsys.readouterr().out
    counts = rig.outbox.counts()
    assert (counts["dropped"], counts["on_disk"], "readings_dropped" in rig.problems) == (60, 0, False)


def test_what_is_taken_over_is_replayed_and_forgotten(rig: Rig) -> None:
    """Under the ids that it had, though damage was met in the middle of a replay."""
    outage(rig, *range(300))
    rig.disk.close()
    rig.outbox._usable = False
    content = rig.path.read_bytes()
    assert content.count(b'"timestamp": 200}') == 1
    rig.path.write_bytes(content.replace(b'"timestamp": 200}', b'"timestamp": 2x0}'))
    up(rig.queue)
    assert rig.replayed(200) == [n for n in range(300) if n != 200]
    assert "299 messages" not in rig.problems["outbox_set_aside"]  # some were forgotten by then
    assert rig.outbox.counts() | {"disk_bytes": 0} == rig.outbox.counts() | {"on_disk": 0, "dropped": 1, "disk_bytes": 0}


def test_what_the_broker_refuses_is_counted_and_not_sent_again(rig: Rig) -> None:
    """Neither now nor after a crash."""
    outage(rig, 1, 2)
    up(rig.queue)
    rig.turns(TICK)
    first = rig.queue.pop()
    assert first is not None
    rig.queue.refused(first, "Not authorized")
    assert rig.replayed() == [2]
    assert rig.outbox.counts()["refused_by_broker"] == 1
    rig.turns(TICK)
    rig.crash()
    up(rig.queue)
    assert rig.replayed() == []


def test_the_thread_works_and_ends(rig: Rig) -> None:
    """It is woken by what is to be kept, and what came last is kept when it stops."""
    rig.queue.alarm = rig.outbox.wake
    rig.outbox.start(Vitals(rig.clock))
    rig.queue.put([reading("d", 1)])
    assert rig.outbox.stop(10)
    assert rig.outbox.name == "outbox"
    rig.begin()
    assert rig.outbox.counts()["on_disk"] == 1


class Delivery(RuleBasedStateMachine):
    """Readings of two devices through a link, a disk and a process that come and go.

    ``safe`` are those that have to survive a crash: what was not acknowledged at the last turn of the outbox, unless the
    broker acknowledged in time up to then and they were younger than a second.
    """

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(prefix="outbox-"))
        self.clock = FakeClock()
        self.taken = 0
        self.at: dict[int, float] = {}
        self.open: set[int] = set()  # neither acknowledged, refused nor lost
        self.safe: set[int] = set()
        self.unsure: set[int] = set()  # acknowledged since the last turn, so that a crash may bring them again
        self.arrived: list[Outgoing] = []
        self.again: Counter[int] = Counter()  # how often a message may come once more
        self.flying: list[Outgoing] = []
        self.up = False

    @initialize(back=st.booleans())
    def begin(self, back: bool) -> None:
        """The first process."""
        self.rig = Rig(self.folder, self.clock, replay_rate=1000)
        self.come(back)

    def teardown(self) -> None:
        """All heals: what is owed comes."""
        if hasattr(self, "rig"):
            self.rig.disk.full = False
            self.lose(arrived=False, back=False)
            self.clock.advance(RETRY + 1)
            self.turn()
            self.come(True)
            for _ in range(50):
                self.turn()
                self.send(10)
                self.acknowledge(10)
            self.turn()
            assert not self.open
            assert self.rig.outbox.counts()["waiting"] == 0
            assert self.rig.queue._bytes == 0
            self.in_order()
            self.rig.disk.close()
        shutil.rmtree(self.folder)

    @rule(devices=st.lists(st.sampled_from("ab"), min_size=1, max_size=4))
    def poll(self, devices: list[str]) -> None:
        """Polls bring readings."""
        for device in devices:
            self.taken += 1
            self.at[self.taken] = self.clock.now()
            self.open.add(self.taken)
            self.rig.queue.put([reading(device, self.taken)])

    @rule(seconds=st.sampled_from([0.01, 0.3, 1.1, 11.0]))
    def wait(self, seconds: float) -> None:
        """Time passes."""
        self.clock.advance(seconds)

    @rule()
    def turn(self) -> None:
        """The outbox looks."""
        self.clock.advance(0.02)
        self.rig.outbox.work()
        if not self.rig.disk.full and self.clock.now() >= self.rig.outbox._retry_at:
            distrusted = self.rig.queue._distrust
            self.safe = {n for n in self.open if distrusted or self.clock.now() - self.at[n] > LATE}
            self.unsure.clear()

    @rule()
    def connect(self) -> None:
        """The link comes up."""
        self.come(True)

    def come(self, back: bool) -> None:
        """Whether the link comes up."""
        self.up = self.up or back
        if back:
            up(self.rig.queue)

    @rule(most=st.integers(1, 10), count=st.integers(0, 10))
    def serve(self, most: int, count: int) -> None:
        """Outbox, link and broker have their turns."""
        self.turn()
        self.send(most)
        self.acknowledge(count)

    @rule(most=st.integers(1, 10))
    def send(self, most: int) -> None:
        """The link takes messages as its window allows."""
        while len(self.flying) < most and (message := self.rig.queue.pop()):
            assert self.up
            self.flying.append(message)

    @rule(count=st.integers(1, 10))
    def acknowledge(self, count: int) -> None:
        """The broker has the oldest of those on the way."""
        for message in self.flying[:count]:
            self.arrive(message)
            self.rig.queue.acknowledged(message)
        del self.flying[:count]

    @rule(arrived=st.booleans(), back=st.booleans())
    def lose(self, arrived: bool, back: bool) -> None:
        """The link goes down; what was on the way may have arrived all the same."""
        for message in self.flying:
            if arrived:
                self.arrive(message, acknowledged=False)
                self.again[number(message)] += 1
        self.up, self.flying = False, []
        self.rig.queue.unsent([])
        self.come(back)

    @rule(kind=st.sampled_from(["fill", "clean_up", "refuse", "crash", "stop"]), back=st.booleans())
    def trouble(self, kind: str, back: bool) -> None:
        """One of the things that are rare."""
        if kind in ("fill", "clean_up"):
            self.rig.disk.full = kind == "fill"
        elif kind == "refuse":
            self.refuse()
        elif not self.rig.disk.full:
            self.crash() if kind == "crash" else self.stop()
            self.come(back)

    def refuse(self) -> None:
        """The broker does not take the oldest of those on the way."""
        for message in self.flying[:1]:
            self.open.discard(number(message))
            self.unsure.add(number(message))
            self.again[number(message)] += 1  # it may have come before
            self.rig.queue.refused(message, "Not authorized")
        del self.flying[:1]

    def crash(self) -> None:
        """SIGKILL: what is safe is on disk, whatever became of the rest."""
        self.rig.disk.close()
        look = OutboxFile(self.rig.path, self.clock, self.rig.boot)
        look.open()
        kept = {number(Outgoing(k.topic, k.payload)) for k in look.next(0, None, MANY, MANY)}
        look.close()
        assert self.safe & self.open <= kept
        assert kept - self.open <= self.unsure
        self.open &= kept
        self.again.update(kept - self.open)
        self.open |= kept
        self.start_anew()

    def stop(self) -> None:
        """SIGTERM: all that is not acknowledged is on disk."""
        self.rig.outbox.finish()
        self.start_anew()
        assert self.rig.outbox.counts()["on_disk"] == len(self.open)

    def start_anew(self) -> None:
        """Another process, on the same disk."""
        self.rig.begin()
        self.up, self.flying = False, []
        self.unsure.clear()

    def arrive(self, message: Outgoing, acknowledged: bool = True) -> None:
        """The broker has a message."""
        self.arrived.append(message)
        if acknowledged:
            self.open.discard(number(message))
            self.unsure.add(number(message))

    @invariant()
    def in_memory(self) -> None:
        """The bytes that are counted are those of the messages in memory."""
        if not hasattr(self, "rig"):
            return
        queue = self.rig.queue
        entries = {id(e): e for e in (*queue._live, *queue._flying.values(), *queue._ready, *queue._to_keep) if not e.over}
        assert sum(entry.cost for entry in entries.values()) == queue._bytes

    def in_order(self) -> None:
        """On each topic readings come in the order in which they were taken; twice only what was on the way at a loss."""
        numbers: dict[str, list[int]] = defaultdict(list)
        for message in self.arrived:
            numbers[message.topic].append(number(message))
        for seen in numbers.values():
            assert list(dict.fromkeys(seen)) == sorted(set(seen))
        for n, times in Counter(number(message) for message in self.arrived).items():
            assert times <= 1 + self.again[n]


Delivery.TestCase.settings = settings(max_examples=100, stateful_step_count=50, deadline=None)
TestDelivery = Delivery.TestCase
