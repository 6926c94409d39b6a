"""What outlives a crash, and what damage does to it."""

from __future__ import annotations

import random
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from gateway.actuator.journal import Journal, JournalError, OpenWrite, SeenRequest
from tests.damage import mixed
from tests.fakes import FakeClock
from tests.integration.waiting import each, scaled

A = OpenWrite(
    "C/B/a", "Fan/\u00e4", 8, "t1", 1 << 33, "alice", b"\x00\xff", b'{"a": 1}', {"r.csv": b"x\n\xff"}, 21.5, 100.5, 1.0
)
B = OpenWrite("C/B/b", "p", None, "t2", 5, "bob", None, b"{}", {"r.csv": b"x\n\xff"}, None, 200.0, 2.0)
SEEN = SeenRequest("alice", "c:0001", "ab" * 32, 1_795_341_600.5)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the journal is."""
    return tmp_path / "actuator.db"


@pytest.fixture
def journal(path: Path) -> Iterator[Journal]:
    """An open journal."""
    journal = Journal(path, FakeClock())
    assert journal.open() is None
    yield journal
    journal.close()


def filled(path: Path) -> bytes:
    """The bytes of a closed journal that holds one of everything, and A and B open."""
    journal = Journal(path, FakeClock())
    journal.open()
    journal.raise_epoch()
    journal.begin(A)
    journal.begin(B)
    journal.keep_tasks([{"task": "t3"}])
    journal.keep_overrides({"C/*": None})
    journal.record([SEEN])
    journal.close()
    return path.read_bytes()


def reopened(path: Path) -> Journal:
    """The journal of a later process."""
    journal = Journal(path, FakeClock())
    assert journal.open() is None
    return journal


def test_everything_is_found_again(path: Path):
    """Open writes with their configs and prior values, tasks, overrides and requests come back as they were."""
    filled(path)
    journal = reopened(path)

    assert journal.open_writes() == [A, B]
    assert journal.open_writes("C/B/b") == [B]
    assert (journal.tasks(), journal.overrides(), journal.seen()) == ([{"task": "t3"}], {"C/*": None}, [SEEN])
    journal.close()


def test_what_was_begun_is_on_disk_at_once(path: Path, journal: Journal):
    """Another process sees an entry as soon as ``begin`` has returned, without anything being closed."""
    journal.begin(A)

    later = reopened(path)
    assert later.open_writes() == [A]
    later.close()


def test_a_new_journal_is_empty(journal: Journal):
    """There is nothing to give back, and nothing was kept."""
    assert (journal.open_writes(), journal.tasks(), journal.overrides(), journal.seen()) == ([], None, None, [])


def test_the_first_prior_value_counts(path: Path, journal: Journal):
    """A second write of an open point keeps the value from before the first one; other priorities have their own."""
    journal.begin(A)
    journal.begin(replace(A, prior=99.0, fence=7))
    journal.begin(replace(A, prior=98.0, priority=9, at=3.0))

    assert [(w.prior, w.fence, w.priority) for w in journal.open_writes()] == [(21.5, 7, 8), (98.0, 1 << 33, 9)]
    journal.close_write(A.device, A.point, 8)
    journal.begin(replace(A, prior=97.0))
    assert [w.prior for w in reopened(path).open_writes()] == [97.0, 98.0]


def test_a_closed_write_leaves_no_trace(path: Path, journal: Journal):
    """It is gone with the documents that no other needs; closing what is not open is nothing."""
    journal.begin(A)
    journal.begin(B)
    journal.close_write(*A.key)
    journal.close_write(*A.key)

    later = reopened(path)
    assert later.open_writes() == [B]
    assert {key for _, key, _ in later._rows("document")} == later._needs[B.key]
    later.close()


def test_the_epoch_only_grows(path: Path):
    """Each start has a greater one, also with the wall clock gone back, and also when the file was lost."""
    clock = FakeClock()
    journal = Journal(path, clock)
    journal.open()
    epochs = [journal.raise_epoch(), journal.raise_epoch()]
    journal.close()
    clock.set_wall(clock.wall() - 10 * 365 * 86400)
    journal = Journal(path, clock)
    journal.open()
    epochs.append(journal.raise_epoch())
    journal.close()
    path.unlink()
    clock.set_wall(clock.wall() + 11 * 365 * 86400)
    journal = Journal(path, clock)
    journal.open()
    epochs.append(journal.raise_epoch())
    journal.close()

    assert epochs == sorted(set(epochs))
    assert epochs[-1] << 32 < 1 << 53  # whole in JavaScript too


def test_requests_are_kept_and_forgotten(path: Path, journal: Journal):
    """A request's answer takes the place of the request, and what is forgotten goes."""
    other = replace(SEEN, key="c:0002")
    journal.record([SEEN, other])
    journal.record([replace(SEEN, answer='{"result":1}')], [other])

    assert reopened(path).seen() == [replace(SEEN, answer='{"result":1}')]


def test_nothing_is_begun_without_a_file(path: Path):
    """A journal that is not open, or can not be opened, refuses with ``unavailable``, and may be opened later."""
    journal = Journal(path.parent / "none" / "actuator.db", FakeClock())
    with pytest.raises(JournalError, match="setting state_dir"):
        journal.open()
    with pytest.raises(JournalError, match="not open") as caught:
        journal.begin(A)
    assert caught.value.code == "unavailable"
    assert journal.open_writes() == []
    path.with_name("none").mkdir()
    assert journal.open() is None
    journal.begin(A)
    journal.close()


def test_a_full_disk_refuses_and_loses_nothing(path: Path, journal: Journal):
    """What can not be written is refused, what was there stays, and with room again all goes on."""
    journal.begin(A)
    db = journal._file._db
    assert db is not None
    (pages,) = db.execute("PRAGMA page_count").fetchone()
    db.execute(f"PRAGMA max_page_count = {pages}")
    with pytest.raises(JournalError, match="full"):
        journal.begin(replace(B, config=b"x" * 100_000))
    assert journal.open_writes() == [A]
    db.execute("PRAGMA max_page_count = 100000")
    journal.begin(B)
    assert journal.open_writes() == [A, B]


def test_fault_points_lie_around_the_disk(path: Path):
    """A crash before the entry leaves nothing, one after it leaves the entry."""
    seen: list[tuple[str, int]] = []
    journal = Journal(path, FakeClock(), lambda name: seen.append((name, len(journal._writes))))
    journal.open()
    journal.begin(A)
    journal.close()

    assert seen == [("before_journal", 0), ("after_journal", 1)]


def test_threads_may_call_at_once(journal: Journal, path: Path):
    """Several device threads begin and close; what is open at the end is what each left open."""

    def work(n: int) -> None:
        for i in range(10):
            journal.begin(replace(A, device=f"C/B/{n}", point=str(i)))
            if i % 2:
                journal.close_write(f"C/B/{n}", str(i), 8)

    threads = [threading.Thread(target=work, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    expected = {(f"C/B/{n}", str(i), 8) for n in range(4) for i in range(0, 10, 2)}
    assert {w.key for w in journal.open_writes()} == expected
    assert {w.key for w in reopened(path).open_writes()} == expected


# ---- damage


def check_damaged(path: Path, content: bytes, whole: bytes) -> None:
    """A journal with these bytes opens, and is either whole or kept aside and told; its entries are never wrong."""
    for old in path.parent.iterdir():
        old.unlink()
    path.write_bytes(content)
    journal = Journal(path, FakeClock())
    moved = journal.open()
    found = {write.key: write for write in journal.open_writes()}
    for write in (A, B):
        kept = found.get(write.key)
        assert kept in (None, write, replace(write, config=b"", documents={}))
        assert moved is not None or kept == write
    if moved is None:
        assert (journal.tasks(), journal.overrides(), journal.seen()) == ([{"task": "t3"}], {"C/*": None}, [SEEN])
    else:
        assert moved.path.exists()
        assert moved.reason
    journal.raise_epoch()
    journal.begin(replace(A, point="new"))
    journal.close()


@pytest.mark.long
@pytest.mark.timeout(600)
def test_a_journal_that_is_cut_is_never_silently_empty(path: Path):
    """Cut at each byte it is kept aside and told, and the gateway goes on."""
    whole = filled(path)
    for size in sorted({0, 1, 99, 100, 4096, len(whole) - 1, *each(len(whole))}):
        check_damaged(path, whole[:size], whole)


def test_a_flipped_bit_is_noticed(path: Path):
    """Wherever it lies, entries are as they were, or the file is kept aside and told."""
    whole = filled(path)
    used = [i for i, byte in enumerate(whole) if byte]
    chance = random.Random(2)
    for _ in range(scaled(2000)):
        content = bytearray(whole)
        content[chance.choice(used)] ^= 1 << chance.randrange(8)
        check_damaged(path, bytes(content), whole)


@pytest.mark.long
@pytest.mark.timeout(600)
def test_a_commit_that_was_made_in_part_is_noticed(path: Path):
    """When the rollback journal is damaged too, pages of before and after lie together: no write is lost without a word."""
    chance = random.Random(3)
    told = 0
    for _ in range(scaled(200)):
        kept, before, after = around_a_commit(path, chance)
        for _ in range(10):
            emptied(path)
            path.write_bytes(mixed(before, after, chance))
            journal = Journal(path, FakeClock())
            moved = journal.open()
            assert moved is not None or kept <= {write.key for write in journal.open_writes()}
            told += moved is not None
            journal.close()
    assert told


def around_a_commit(path: Path, chance: random.Random) -> tuple[set[tuple[str, str, int | None]], bytes, bytes]:
    """A journal's open writes, and its bytes before and after another commit."""
    emptied(path)
    journal = Journal(path, FakeClock())
    journal.open()
    for n in range(chance.choice((20, 60))):
        journal.begin(replace(A, point=f"p{n}", config=b"%d" % (n % 5) * 1000))
        if n % 3 == 0:
            journal.close_write(A.device, f"p{n}", A.priority)
    kept, before = {write.key for write in journal.open_writes()}, path.read_bytes()
    if chance.random() < 0.5:
        journal.record([replace(SEEN, key=f"c:{n}") for n in range(chance.randrange(1, 100))])
    else:
        journal.begin(replace(A, point="p1x", config=b"d" * chance.randrange(5000)))
    journal.close()
    return kept, before, path.read_bytes()


def test_an_entry_that_is_gone_without_a_trace_is_noticed(path: Path):
    """The total knows of it."""
    filled(path)
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        db.execute("DELETE FROM entries WHERE kind = 'write' AND key LIKE '%C/B/a%'")
    journal = Journal(path, FakeClock())
    moved = journal.open()
    assert moved is not None
    assert "an entry is missing" in moved.reason
    assert journal.open_writes() == [B]
    journal.close()


def emptied(path: Path) -> None:
    """Remove all that lies beside a file."""
    for old in path.parent.iterdir():
        old.unlink()


def test_a_damaged_table_gives_its_entries(path: Path):
    """When a column has another name by one flipped bit, the entries are taken over, and it is told."""
    whole = filled(path)
    assert whole.count(b"    kind TEXT NOT NULL, key TEXT NOT NULL, body BLOB") == 1
    path.write_bytes(whole.replace(b"NULL, body BLOB", b"NULL, bodi BLOB"))
    journal = Journal(path, FakeClock())
    moved = journal.open()

    assert moved is not None
    assert "9 entries of it are saved" in moved.reason
    assert journal.open_writes() == [A, B]
    journal.close()


def test_a_journal_that_could_only_be_read_is_set_aside(path: Path):
    """Damage in the header makes SQLite refuse each write: the entries are taken over into a file that can be written."""
    whole = bytearray(filled(path))
    whole[18] ^= 1 << 5
    check_damaged(path, bytes(whole), b"")
    assert path.with_name("actuator.db.broken-1").read_bytes() == whole


def test_whole_entries_are_saved_from_a_damaged_journal(path: Path):
    """One damaged entry does not take the others with it: they are still given back."""
    whole = filled(path)
    assert whole.count(b'"task_id":"t1"') == 1
    path.write_bytes(whole.replace(b'"task_id":"t1"', b'"task_id":"tX"'))
    journal = Journal(path, FakeClock())
    moved = journal.open()

    assert moved is not None
    assert "checksum" in moved.reason
    assert "8 entries of it are saved" in moved.reason
    assert journal.open_writes() == [B]
    assert journal.tasks() == [{"task": "t3"}]
    journal.close()
