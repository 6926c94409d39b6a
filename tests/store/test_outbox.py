"""The outbox on disk."""

from __future__ import annotations

import random
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from itertools import chain
from pathlib import Path
from typing import Any

import pytest

from gateway.store.outbox import AT_ONCE, REFUSED_BYTES, REFUSED_KEPT, Kept, OutboxError, OutboxFile, Refused
from tests.fakes import FakeClock
from tests.integration.waiting import scaled

MANY = 1 << 30


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the outbox is."""
    return tmp_path / "outbox.db"


def an_outbox(path: Path, boot: bytes = b"this boot") -> OutboxFile:
    """The outbox there, of a process that starts 1,000 seconds after the machine."""
    return OutboxFile(path, FakeClock(now=1000.0), boot)


@pytest.fixture
def file(path: Path) -> Iterator[OutboxFile]:
    """An open outbox with nothing in it."""
    file = an_outbox(path)
    assert file.open() is None
    yield file
    file.close()


def some(*ids: int, size: int = 10, taken: float = 0.0) -> list[Kept]:
    """Messages with these ids."""
    return [Kept(n, f"d{n}/replay", bytes([n % 256]) * size, taken) for n in ids]


def ids(file: OutboxFile) -> list[int]:
    """What waits."""
    return [kept.id for kept in file.next(0, None, MANY, MANY)]


def test_what_is_kept_is_found_by_a_later_process(path: Path, file: OutboxFile) -> None:
    """Topics and bytes come back in the order of their ids."""
    file.change(some(2, 1, 3), [], wait_for_disk=True)
    file.close()
    later = an_outbox(path)
    assert later.open() is None
    assert (later.count, later.last_id()) == (3, 3)
    assert later.next(0, None, MANY, MANY) == some(1, 2, 3)
    later.close()


def test_what_is_done_is_forgotten(file: OutboxFile) -> None:
    """An id that is not there is nothing."""
    file.change(some(1, 2, 3), [])
    file.change(some(4), [1, 3, 99])
    assert (ids(file), file.count) == ([2, 4], 2)


def test_next_keeps_to_its_bounds(file: OutboxFile) -> None:
    """Ids, rows and bytes; one message comes even if it is larger than that."""
    file.change(some(*range(1, 10)), [])
    assert [kept.id for kept in file.next(2, 6, MANY, MANY)] == [3, 4, 5]
    assert [kept.id for kept in file.next(2, None, 2, MANY)] == [3, 4]
    assert [kept.id for kept in file.next(2, None, MANY, 20)] == [3, 4]
    assert [kept.id for kept in file.next(2, None, MANY, 1)] == [3]


def test_a_change_is_whole_or_not_at_all(file: OutboxFile) -> None:
    """An id twice is a bug, and nothing of the change is kept."""
    file.change(some(1), [])
    with pytest.raises(OutboxError):
        file.change(some(2, 1), [1])
    assert (ids(file), file.count) == ([1], 1)


def test_of_a_full_file_the_oldest_go(file: OutboxFile) -> None:
    """As many as the bound asks for, a hundredth at a time; what the file uses is told in bytes."""
    file.change(some(*range(1, 1001), size=1000), [])
    assert file.bytes > 1_000_000
    dropped = file.trim(500_000, 0.0)
    assert 400_000 < file.bytes <= 500_000
    assert 500 < dropped < 700
    assert ids(file) == list(range(dropped + 1, 1001))
    assert (file.count, file.trim(500_000, 0.0)) == (1000 - dropped, 0)


def test_what_is_too_old_goes(file: OutboxFile) -> None:
    """By when it was taken, on the boot clock."""
    file.change([*some(1, 2, taken=100.0), *some(3, taken=200.0)], [])
    assert file.trim(MANY, 150.0) == 2
    assert ids(file) == [3]
    assert (file.trim(MANY, 200.0), file.trim(MANY, 200.5), ids(file)) == (0, 1, [])


def test_messages_age_through_restarts_but_not_while_the_machine_is_off(path: Path) -> None:
    """On the boot clock; how long the machine was off nobody knows, and nothing is dropped for it."""
    for boot, now, taken, oldest, left in (
        (b"a", 50, 40, 0, [50]),
        (b"a", 100, 100, 40.5, [100]),  # the first is older than that
        (b"b", 5, 5, -10, [5, 100]),  # boot clocks begin anew
        (b"c", 10, 10, 0, [5, 10, 100]),
        (b"c", 300, 300, 10.5, [300]),
    ):
        file = OutboxFile(path, FakeClock(now=now), boot)
        file.open()
        file.change([Kept(file.last_id() + 1, str(now), b"", taken)], [])
        file.trim(MANY, oldest)
        assert sorted(int(kept.topic) for kept in file.next(0, None, MANY, MANY)) == left
        file.close()


def test_an_empty_file_gives_its_room_back(path: Path, file: OutboxFile) -> None:
    """After a long outage the file is small again."""
    file.change(some(*range(1, 1001), size=8000), [])
    assert path.stat().st_size + path.with_name("outbox.db-wal").stat().st_size > 8_000_000
    file.change([], list(range(1, 1001)))
    assert path.stat().st_size < 100_000
    assert path.with_name("outbox.db-wal").stat().st_size < 1_100_000
    assert file.bytes < 100_000
    file.close()
    assert file.open() is None


def test_refused_messages_are_set_aside_the_newest_of_them(path: Path, file: OutboxFile) -> None:
    """They wait no more; with their reason they are there for whoever wants to see them."""
    file.change([], [], [Refused("t", b"first", "Not authorized", 5.0)])
    file.change([], [], [Refused("t", b"%d" % n, "Not authorized", 6.0) for n in range(REFUSED_KEPT)])
    assert file.count == 0
    file.close()
    with sqlite3.connect(path) as db:
        rows = db.execute("SELECT topic, payload, reason, at FROM refused ORDER BY id").fetchall()
    assert (len(rows), rows[0]) == (REFUSED_KEPT, ("t", b"0", "Not authorized", 6.0))


def test_refused_messages_are_bounded_in_bytes(path: Path, file: OutboxFile) -> None:
    """The newest of them are kept."""
    file.change([], [], [Refused("t", b"%d" % n * 10_000, "Not authorized", 1.0) for n in range(10, 100)])
    file.close()
    with closing(sqlite3.connect(path)) as db:
        [rows, size, oldest] = db.execute("SELECT count(*), sum(length(payload)), min(id) FROM refused").fetchone()
    assert (rows, oldest) == (52, 39)
    assert size <= REFUSED_BYTES


def test_refused_messages_cost_no_waiting_one_its_place(file: OutboxFile) -> None:
    """Where there is room for the latter alone, the former go."""
    file.change([], [], [Refused("t", b"x" * 20_000, "Not authorized", 1.0) for _ in range(50)])
    file.change(some(*range(1, 101), size=1000), [])
    assert file.bytes > 1_000_000
    assert (file.trim(1_000_000, 0.0), file.count) == (0, 100)
    assert file.bytes < 200_000


def test_one_process_has_it(path: Path, file: OutboxFile) -> None:
    """A second one is told so, and nothing is moved aside."""
    file.change(some(1), [])
    other = an_outbox(path)
    with pytest.raises(OutboxError, match="locked"):
        other.open()
    other.close()
    assert ids(file) == [1]
    assert not list(path.parent.glob("*broken*"))


# ---- damage


def damaged(path: Path, old: bytes, new: bytes) -> None:
    """Have other bytes in place of some that are there once."""
    content = path.read_bytes()
    assert content.count(old) == 1
    path.write_bytes(content.replace(old, new))


def test_damage_that_is_met_later_moves_the_file_aside(path: Path, file: OutboxFile) -> None:
    """It is kept under another name, and what is whole in it goes into a new one; an error that passes moves nothing."""
    file.change([Kept(1, "t", b"once upon a time"), *some(*range(2, 1002), size=1000)], [])
    file.close()
    damaged(path, b"once upon", b"once upin")
    content = path.read_bytes()
    assert file.open() is None
    with pytest.raises(OutboxError, match="does not fit its checksum") as damage:
        ids(file)
    moved = file.start_again(damage.value)
    assert moved is not None
    assert "1000 messages of it are taken over, 1 are lost" in moved.reason
    assert moved.path.read_bytes() == content
    assert (ids(file), file.count, file.lost) == ([*range(2, 1002)], 1000, 1)
    file.change(some(1002), [])
    with pytest.raises(OutboxError) as twice:
        file.change(some(1002), [])
    assert file.start_again(twice.value) is None
    assert file.count == 1001


def test_what_is_whole_is_taken_over_from_both_ends(path: Path, file: OutboxFile) -> None:
    """What lies between two damaged places is lost, counted and told."""
    file.change(some(*range(1, 1001), size=1000), [])
    file.close()
    content = bytearray(path.read_bytes())
    middle = len(content) // 2 & ~0xFFF
    content[middle : middle + 4096] = b"\x55" * 4096
    path.write_bytes(content)
    moved = file.open()
    assert moved is not None
    found = ids(file)
    assert len(found) > 990
    assert found == [n for n in range(1, 1001) if n < 450 or n > 550 or n in found]
    assert f"{len(found)} messages of it are taken over, {1000 - len(found)} are lost" in moved.reason
    assert file.lost == 1000 - len(found)


def test_a_message_that_is_gone_without_a_trace_is_noticed(path: Path, file: OutboxFile) -> None:
    """The mark beside the file knows how many there were."""
    file.change(some(1, 2, 3), [])
    file.close()
    forget_2(path)
    moved = file.open()
    assert moved is not None
    assert "it holds 2 of 3 messages" in moved.reason
    assert (ids(file), file.lost) == ([1, 3], 1)


def test_a_message_that_is_not_found_is_noticed(path: Path, file: OutboxFile) -> None:
    """When all is asked for, all must come."""
    file.change(some(1, 2, 3), [])
    with file._file.transaction() as db:
        db.execute("DELETE FROM waiting WHERE id = 2")
    with pytest.raises(OutboxError, match="2 of 3 messages are found"):
        ids(file)


def forget_2(path: Path) -> None:
    """Have a message gone from a file."""
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        db.execute("DELETE FROM waiting WHERE id = 2")


def check_whole_or_told(path: Path, sent: dict[int, bytes], boot: bytes = b"this boot") -> None:
    """All that was kept is found, or it is told how much is lost and the old file kept; nothing else is found."""
    file = an_outbox(path, boot)
    moved = file.open()
    try:
        found = file.next(0, None, MANY, MANY)
    except OutboxError as error:
        moved = file.start_again(error)
        assert moved is not None
        found = file.next(0, None, MANY, MANY)
    assert all(sent[kept.id] == kept.payload for kept in found)
    assert len(found) == len(sent) - file.lost
    if moved is None:
        assert file.lost == 0
    else:
        assert f"{len(found)} messages of it are taken over, {file.lost} are lost" in moved.reason
        assert moved.path.exists()
    file.change(some(1_000_000), [])
    assert 1_000_000 in ids(file)
    file.close()


@pytest.mark.long
@pytest.mark.timeout(600)
def test_a_file_that_was_cut_or_changed_is_whole_or_it_is_told(path: Path, file: OutboxFile) -> None:
    """Wherever that was."""
    file.change(some(*range(1, 101), size=500), [])
    file.close()
    whole, mark = path.read_bytes(), path.with_name("outbox.db-mark").read_bytes()
    sent = {kept.id: kept.payload for kept in some(*range(1, 101), size=500)}
    chance = random.Random(3)
    for n in range(scaled(2000)):
        emptied(path)
        path.write_bytes(worse(whole, chance, cut=n % 4 == 0))
        path.with_name("outbox.db-mark").write_bytes(mark)
        check_whole_or_told(path, sent)


@pytest.mark.long
@pytest.mark.timeout(600)
def test_the_log_that_a_kill_leaves_is_whole_or_it_is_told(tmp_path: Path, path: Path) -> None:
    """Cut at the end of any commit or elsewhere, changed, or gone: nothing is lost in silence."""
    left = killed(tmp_path / "left")
    log = left["outbox.db-wal"]
    assert len(log) > 200 * 1000
    sent = {kept.id: kept.payload for kept in some(*range(1, 201), size=1000)}
    chance = random.Random(4)
    worst = [b"", log[:32], log[: len(log) // 2], log[: 32 + 4120 * 20], bytes([log[0] ^ 1]) + log[1:]]
    for content in chain([log], worst, (worse(log, chance, cut=n % 4 == 0) for n in range(scaled(2000)))):
        emptied(path)
        for name, held in (left | {"outbox.db-wal": content}).items():
            path.with_name(name).write_bytes(held)
        check_whole_or_told(path, sent)


def test_the_log_is_kept_with_the_file_that_is_set_aside(tmp_path: Path, path: Path) -> None:
    """As it was found: it is what shows the damage."""
    left = killed(tmp_path / "left")
    log = left["outbox.db-wal"][: 32 + 4120 * 20]
    for name, held in (left | {"outbox.db-wal": log}).items():
        path.with_name(name).write_bytes(held)
    file = an_outbox(path)
    moved = file.open()
    file.close()
    assert moved is not None
    assert "its last 1" in moved.reason
    assert moved.path.with_name("outbox.db.broken-1-wal").read_bytes() == log


def test_what_a_loss_of_power_may_take_is_no_damage(path: Path, file: OutboxFile) -> None:
    """The commits since the last one that waited for the disk may be gone, and no others; in the same boot none may."""
    sizes = []
    for n in range(1, 11):
        file.change(some(n), [], wait_for_disk=n == 5)
        sizes.append(path.with_name("outbox.db-wal").stat().st_size)
    left = {entry.name: entry.read_bytes() for entry in path.parent.iterdir()}
    file.close()
    for boot, kept, told in ((b"next", 7, False), (b"next", 5, False), (b"next", 4, True), (b"this boot", 9, True)):
        emptied(path)
        for name, held in left.items():
            path.with_name(name).write_bytes(held)
        path.with_name("outbox.db-wal").write_bytes(left["outbox.db-wal"][: sizes[kept - 1]])
        after = an_outbox(path, boot)
        assert (after.open() is not None, ids(after)) == (told, [*range(1, kept + 1)])
        after.change(some(100), [], wait_for_disk=True)
        after.close()
        assert an_outbox(path, b"later").open() is None


def test_a_mark_that_is_damaged_says_nothing(path: Path, file: OutboxFile) -> None:
    """Nor one that is gone; the next commit writes it anew."""
    mark = path.with_name("outbox.db-mark")
    file.change(some(1, 2), [])
    file.close()
    whole = mark.read_bytes()
    for content in (b"", whole[:-1], bytes([whole[40] ^ 1]) * len(whole), None):
        mark.unlink(missing_ok=True)
        if content is not None:
            mark.write_bytes(content)
        assert (file.open(), ids(file)) == (None, [1, 2])
        file.close()
    file.open()
    file.change([], [1])
    assert mark.exists()


def test_a_mark_that_can_not_be_written_stops_the_next_change(path: Path, file: OutboxFile) -> None:
    """The one before it is made; when the mark can be written again, all goes on."""
    path.with_name("outbox.db-mark").unlink()
    path.with_name("outbox.db-mark").mkdir()
    file.change(some(1), [])
    with pytest.raises(OutboxError, match=r"outbox\.db-mark: Is a directory"):
        file.change(some(2), [])
    assert ids(file) == [1]
    path.with_name("outbox.db-mark").rmdir()
    file.change(some(2), [])
    assert ids(file) == [1, 2]


def test_a_file_that_somebody_has_removed_is_not_missed(path: Path, file: OutboxFile) -> None:
    """The mark that it has left says nothing against the new one, also when a kill comes before its first commit."""
    file.change(some(1, 2), [])
    file.close()
    path.unlink()
    assert file.open() is None
    other = path.with_name("left") / path.name
    shutil.copytree(path.parent, other.parent)
    assert an_outbox(other).open() is None


def test_many_commits_are_counted_round_and_round(path: Path, file: OutboxFile) -> None:
    """There are 31 bits for them."""
    file._ledger.commits = (1 << 31) - 2
    for n in range(1, 5):
        file.change(some(n), [])
        file.close()
        assert file.open() is None
    assert file._ledger.commits == 2


def test_more_than_is_taken_over_at_once_is_taken_over_again_after_a_failure(
    path: Path, file: OutboxFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A disk that is full in the middle is tried again, and each message is there once."""
    file.change(some(*range(1, 3 * AT_ONCE), size=100), [])
    file.close()
    forget_2(path)
    commit, tries = OutboxFile._commit, iter([True, True, False])

    def failing(self: OutboxFile, *given: Any) -> int:
        if not next(tries):
            raise OutboxError("no room")
        return commit(self, *given)

    with monkeypatch.context() as patched:
        patched.setattr(OutboxFile, "_commit", failing)
        with pytest.raises(OutboxError, match="no room"):
            file.open()
    moved = file.open()
    assert moved is not None
    assert ids(file) == [1, *range(3, 3 * AT_ONCE)]
    assert file.lost == 1


def test_a_file_of_version_1_is_brought_to_this_one(path: Path) -> None:
    """What an earlier gateway has kept has no checksum, and is found."""
    with closing(sqlite3.connect(path)) as db:
        db.executescript(
            """
            CREATE TABLE waiting (
                id INTEGER PRIMARY KEY, topic TEXT NOT NULL, payload BLOB NOT NULL, taken REAL NOT NULL
            ) STRICT;
            CREATE TABLE refused (
                id INTEGER PRIMARY KEY, topic TEXT NOT NULL, payload BLOB NOT NULL, reason TEXT NOT NULL, at REAL NOT NULL
            ) STRICT;
            INSERT INTO waiting VALUES (7, 't', x'6162', 1.7e9);
            PRAGMA user_version = 1;
            """
        )
    file = an_outbox(path)
    assert file.open() is None
    assert [(kept.id, kept.payload) for kept in file.next(0, None, MANY, MANY)] == [(7, b"ab")]
    assert file.trim(MANY, 0.0) == 0
    file.change(some(8), [])
    file.close()
    assert file.open() is None
    assert ids(file) == [7, 8]
    file.close()


KILLED = """
import os, sys
from pathlib import Path
from gateway.store.outbox import Kept, OutboxFile
from tests.fakes import FakeClock

file = OutboxFile(Path(sys.argv[1]), FakeClock(), b"this boot")
file.open()
for n in range(1, 201):
    file.change([Kept(n, f"d{n}/replay", bytes([n % 256]) * 1000)], [], wait_for_disk=n % 50 == 0)
os.kill(os.getpid(), 9)
"""


def killed(folder: Path) -> dict[str, bytes]:
    """The files of a process that was killed after 200 commits of one message each."""
    folder.mkdir()
    done = subprocess.run([sys.executable, "-c", KILLED, folder / "outbox.db"], check=False)
    assert done.returncode == -9
    return {entry.name: entry.read_bytes() for entry in folder.iterdir()}


def emptied(path: Path) -> None:
    """Remove all that lies beside a file."""
    for old in path.parent.glob("outbox*"):
        old.unlink()


def worse(content: bytes, chance: random.Random, cut: bool) -> bytes:
    """With some of it cut off, or a bit changed."""
    if cut:
        return content[: chance.randrange(len(content))]
    changed = bytearray(content)
    changed[chance.randrange(len(content))] ^= 1 << chance.randrange(8)
    return bytes(changed)


def test_a_closed_file_says_so(file: OutboxFile) -> None:
    """A use after close is an error, and closing twice is none."""
    file.close()
    file.close()
    with pytest.raises(OutboxError, match="not open"):
        file.change(some(1), [])
    with pytest.raises(OutboxError, match="not open"):
        file.next(0, None, 1, 1)
