"""The last good configs on disk."""

from __future__ import annotations

import random
import shutil
import sqlite3
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.store.documents import sha256
from gateway.store.sqlite import Database
from gateway.store.state import StateDb, StateError, StoredDevice
from tests.damage import mixed
from tests.integration.waiting import each, scaled

A = StoredDevice(
    "C/B/a",
    b'{"a": 1}',
    "edge-1",
    {"r.csv": b"x\n", "e/\u00e4": b"\xff\x00"},
    1_795_341_600.5,
    ("holding 7: refused", "\u00e4"),
)
B = StoredDevice("C/B/b", b"", None, {"r.csv": b"x\n"}, 0.0)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the state file is."""
    return tmp_path / "state.db"


def reopened(path: Path) -> list[StoredDevice]:
    """What a later process finds."""
    db = StateDb(path)
    assert db.open() is None
    try:
        return db.load()
    finally:
        db.close()


def saved(path: Path, *devices: StoredDevice) -> StateDb:
    """An open state file that holds these devices."""
    db = StateDb(path)
    assert db.open() is None
    db.save(devices)
    return db


def documents(path: Path) -> int:
    """How many documents the file holds."""
    with sqlite3.connect(path) as db:
        return db.execute("SELECT count(*) FROM documents").fetchone()[0]


def test_what_was_saved_is_found_again(path: Path):
    """Devices come back with their bytes and documents, ordered by path."""
    saved(path, B, A).close()

    assert reopened(path) == [A, B]


def test_a_new_file_is_empty(path: Path):
    """A file that was not there holds no devices."""
    assert reopened(path) == []


def test_a_device_is_replaced_by_its_path(path: Path):
    """The newer config of a path takes the older one's place, and its documents go when nobody else needs them."""
    db = saved(path, A, B)
    newer = StoredDevice(A.path, b"{}", "edge-2", {"r.csv": b"y\n"}, 2.0)
    db.save([newer])

    assert db.load() == [newer, B]
    assert documents(path) == 2
    db.close()


def test_two_devices_keep_their_own_version_of_a_document(path: Path):
    """A device that did not accept a document's update finds the version that it runs on."""
    newer = StoredDevice("C/B/c", b"{}", None, {"r.csv": b"newer\n"}, 1.0)
    saved(path, B, newer).close()

    assert [device.documents["r.csv"] for device in reopened(path)] == [b"x\n", b"newer\n"]


def test_a_removed_device_leaves_no_trace(path: Path):
    """Removal forgets the device and what it alone linked to; to remove what is not there is nothing."""
    db = saved(path, A, B)
    db.remove(A.path)
    db.remove("C/B/none")

    assert db.load() == [B]
    assert documents(path) == 1
    db.close()


def test_a_batch_is_saved_whole_or_not_at_all(path: Path):
    """When one device of a batch can not be stored, none of it is."""
    db = saved(path, B)
    with pytest.raises(StateError):
        db.save([A, StoredDevice("C/B/c", None, None, {}, 0.0)])  # type: ignore[arg-type]

    assert db.load() == [B]
    db.close()


@pytest.mark.parametrize(
    "content", [b"not a database, but long enough to be looked at" * 40, b"SQLite format 3\x00" + b"\x07" * 4000]
)
def test_a_damaged_file_is_moved_aside(path: Path, content: bytes):
    """A file that is no database is kept under another name, told, and a new one begun."""
    for n in (1, 2):
        path.write_bytes(content)
        db = StateDb(path)
        moved = db.open()

        assert moved is not None
        assert moved.path == path.with_name(f"state.db.broken-{n}")
        assert moved.path.read_bytes() == content
        assert moved.reason
        assert db.load() == []
        db.close()


def test_the_newest_damaged_files_are_kept(path: Path):
    """Older ones go, with what lay beside them, which is told; their numbers do not come again."""
    for n in range(1, 5):
        path.write_bytes(b"%d is no database" % n * 100)
        path.with_name("state.db-shm").write_bytes(b"beside it")
        db = StateDb(path)
        moved = db.open()
        db.close()
        assert moved is not None
        assert (f"state.db.broken-{n - 2} is removed" in moved.reason) == (n > 2)
    left = {entry.name.partition("broken-")[2] for entry in path.parent.iterdir()}
    assert left - {"", "3-journal", "4-journal"} == {"3", "3-shm", "4", "4-shm"}
    assert path.with_name("state.db.broken-4").read_bytes().startswith(b"4 is no database")


def test_a_damaged_file_that_can_not_be_removed_is_told(path: Path):
    """Nothing stops for it."""
    for _ in range(3):
        path.write_bytes(b"no database" * 100)
        db = StateDb(path)
        moved = db.open()
        db.close()
        path.with_name("state.db.broken-1-shm").mkdir(exist_ok=True)
    assert moved is not None
    assert "state.db.broken-1 can not be removed: Is a directory" in moved.reason


def test_a_damaged_file_that_can_not_be_moved_is_an_error(path: Path, monkeypatch: pytest.MonkeyPatch):
    """When the directory does not allow it, the file stays and the caller is told."""

    def refuse(self: Path, target: Path) -> None:
        raise PermissionError(13, "Permission denied")

    path.write_bytes(b"not a database" * 100)
    monkeypatch.setattr(Path, "rename", refuse)

    with pytest.raises(StateError, match="can not be moved aside: Permission denied"):
        StateDb(path).open()
    assert path.exists()


def test_a_damaged_page_is_noticed(path: Path):
    """Damage inside a database is found when it is opened, not when a device is missing."""
    saved(path, *(StoredDevice(f"C/B/{i}", b"x" * 3000, None, {}, 0.0) for i in range(100))).close()
    content = bytearray(path.read_bytes())
    content[4096 * 3 : 4096 * 40] = b"\x55" * (4096 * 37)
    path.write_bytes(content)

    assert StateDb(path).open() is not None


def test_a_newer_gateways_file_is_kept(path: Path):
    """A file of a later schema is not touched, but moved aside whole."""
    saved(path, A).close()
    with sqlite3.connect(path) as db:
        db.execute("PRAGMA user_version = 99")
    later = StateDb(path)
    moved = later.open()
    assert later.load() == [A]  # taken over, as it is whole
    later.close()

    assert moved is not None
    assert "version 99" in moved.reason
    with sqlite3.connect(moved.path) as db:
        assert db.execute("SELECT path FROM devices").fetchall() == [(A.path,)]


def test_a_file_of_version_1_is_brought_to_this_one(path: Path):
    """A file that an earlier gateway has left keeps its devices; nothing had been learned about them."""
    with sqlite3.connect(path) as db:
        db.executescript(
            """
            CREATE TABLE devices (
                path TEXT PRIMARY KEY, payload BLOB NOT NULL, owner TEXT, links TEXT NOT NULL, accepted_at REAL NOT NULL
            ) STRICT;
            CREATE TABLE documents (hash TEXT PRIMARY KEY, payload BLOB NOT NULL) STRICT;
            INSERT INTO devices VALUES ('C/B/b', x'7b7d', 'edge-1', '{}', 5.0);
            PRAGMA user_version = 1;
            """
        )
    old = StoredDevice("C/B/b", b"{}", "edge-1", {}, 5.0)
    assert reopened(path) == [old]
    newer = replace(old, learned=("holding 7: refused",))
    saved(path, newer).close()
    assert reopened(path) == [newer]


def test_a_file_of_version_2_is_brought_to_this_one(path: Path):
    """Its devices have no checksums, and get them when they are saved."""
    with sqlite3.connect(path) as db:
        db.executescript(
            """
            CREATE TABLE devices (
                path TEXT PRIMARY KEY, payload BLOB NOT NULL, owner TEXT, links TEXT NOT NULL, accepted_at REAL NOT NULL,
                learned TEXT NOT NULL DEFAULT '[]'
            ) STRICT;
            CREATE TABLE documents (hash TEXT PRIMARY KEY, payload BLOB NOT NULL) STRICT;
            PRAGMA user_version = 2;
            """
        )
        links = f'{{"r.csv": "{sha256(b"x")}"}}'
        db.execute("INSERT INTO devices VALUES ('C/B/b', x'7b7d', 'edge-1', ?, 5.0, '[\"a: refused\"]')", (links,))
        db.execute("INSERT INTO documents VALUES (?, x'78')", (sha256(b"x"),))
    old = StoredDevice("C/B/b", b"{}", "edge-1", {"r.csv": b"x"}, 5.0, ("a: refused",))
    assert reopened(path) == [old]
    saved(path, old).close()
    with sqlite3.connect(path) as db:
        assert db.execute("SELECT crc FROM devices").fetchone()[0] is not None


# ---- damage and disks that fail


def check_damaged(path: Path, content: bytes) -> None:
    """A file with these bytes opens, and is whole, or kept aside and told; its devices are never wrong."""
    for old in path.parent.iterdir():
        old.unlink()
    path.write_bytes(content)
    db = StateDb(path)
    moved = db.open()
    found = {device.path: device for device in db.load()}
    assert all(device in (A, B) for device in found.values())
    if moved is None:
        assert len(found) == 2
    else:
        assert moved.path.exists()
        assert moved.reason
    db.save([A])
    db.close()


@pytest.mark.long
@pytest.mark.timeout(600)
def test_a_file_that_is_cut_is_never_silently_empty(path: Path):
    """Cut at each byte it is kept aside and told, and the gateway goes on."""
    saved(path, A, B).close()
    whole = path.read_bytes()
    for size in sorted({0, 1, 99, 100, 4096, len(whole) - 1, *each(len(whole))}):
        check_damaged(path, whole[:size])


def test_a_flipped_bit_is_noticed(path: Path):
    """Wherever it lies, devices are as they were, or the file is kept aside and told."""
    saved(path, A, B).close()
    whole = path.read_bytes()
    used = [i for i, byte in enumerate(whole) if byte]
    chance = random.Random(2)
    for _ in range(scaled(2000)):
        content = bytearray(whole)
        content[chance.choice(used)] ^= 1 << chance.randrange(8)
        check_damaged(path, bytes(content))


def test_a_commit_that_was_made_in_part_is_noticed(path: Path):
    """When the rollback journal is damaged too, pages of before and after lie together: no device is lost without a word."""
    chance = random.Random(3)
    names = {f"C/B/{n}" for n in range(40)}
    db = saved(path, *(some_version(name, 1, chance) for name in names))
    before = path.read_bytes()
    db.save([some_version(f"C/B/{n}", 2, chance) for n in chance.sample(range(60), 20)])
    db.close()
    after, told = path.read_bytes(), 0
    for _ in range(scaled(500)):
        for old in path.parent.iterdir():
            old.unlink()
        path.write_bytes(mixed(before, after, chance))
        db = StateDb(path)
        moved = db.open()
        assert moved is not None or names <= {device.path for device in db.load()}
        told += moved is not None
        db.close()
    assert told


def some_version(path: str, version: int, chance: random.Random) -> StoredDevice:
    """A device config of any length, with a document."""
    return StoredDevice(path, b"%d" % version * chance.randrange(1, 3000), "e", {"r.csv": b"%d" % version}, 0.0)


def test_what_was_saved_before_a_kill_does_not_hang_on_another_file(path: Path):
    """All of it is in the one file whose damage is noticed: whatever lies beside it may be lost."""
    db = saved(path, A)  # and not closed, as by kill -9
    db.save([B])
    left = path.with_name("left") / path.name
    left.parent.mkdir()
    shutil.copy(path, left)
    db.close()

    assert reopened(left) == [A, B]


def test_whole_devices_are_saved_from_a_damaged_file(path: Path):
    """One damaged device does not take the others with it."""
    saved(path, A, B).close()
    whole = path.read_bytes()
    assert whole.count(b'{"a": 1}') == 1
    path.write_bytes(whole.replace(b'{"a": 1}', b'{"a": 2}'))
    db = StateDb(path)
    moved = db.open()
    assert moved is not None
    assert "1 devices of it are saved" in moved.reason
    assert db.load() == [B]
    db.close()


def test_a_move_is_told_when_the_disk_is_back(path: Path, monkeypatch: pytest.MonkeyPatch):
    """A file that was moved aside, with no room for another one, is told of once there is; nothing is silently empty."""
    saved(path, A, B).close()
    path.write_bytes(path.read_bytes().replace(b'{"a": 1}', b'{"a": 2}'))
    db = StateDb(path)
    full = StateError("no room")

    def refuse(*_: object) -> None:
        raise full

    begin, tries = Database._begin, iter([True, False])
    with monkeypatch.context() as patched:
        patched.setattr(Database, "_begin", lambda *given: begin(*given) if next(tries) else refuse())
        with pytest.raises(StateError, match="no room"):
            db.open()
    with monkeypatch.context() as patched:
        patched.setattr(Database, "transaction", refuse)
        with pytest.raises(StateError, match="no room"):
            db.open()
    moved = db.open()
    assert moved is not None
    assert "1 devices of it are saved" in moved.reason
    assert db.load() == [B]
    db.close()


def test_a_file_that_can_only_be_read_can_be_looked_into(path: Path):
    """The devices run, though nothing can be kept; a file that is no file has none."""
    saved(path, A, B).close()
    db = StateDb(path)
    assert db.peek() == [A, B]
    path.write_bytes(b"no database at all" * 100)
    assert db.peek() == []
    path.unlink()
    assert db.peek() == []


def test_a_file_that_can_not_be_begun_leaves_none(path: Path, monkeypatch: pytest.MonkeyPatch):
    """The next try would take it for one that was cut."""
    limited = sqlite3.connect

    class Full(sqlite3.Connection):
        def executescript(self, script: str) -> sqlite3.Cursor:
            error = sqlite3.OperationalError("database or disk is full")
            error.sqlite_errorcode = sqlite3.SQLITE_FULL
            raise error

    with monkeypatch.context() as patched:
        patched.setattr(sqlite3, "connect", lambda *a, **k: limited(*a, factory=Full, **k))
        with pytest.raises(StateError, match="full"):
            StateDb(path).open()
    assert not path.exists()
    assert reopened(path) == []


def test_a_file_in_use_is_not_moved(path: Path, monkeypatch: pytest.MonkeyPatch):
    """A database that another process holds is an error, not damage."""
    saved(path, A).close()
    holder = sqlite3.connect(path, isolation_level=None)
    holder.execute("PRAGMA locking_mode = EXCLUSIVE")
    holder.execute("BEGIN EXCLUSIVE")
    connect = sqlite3.connect
    monkeypatch.setattr(sqlite3, "connect", lambda file, **keys: connect(file, timeout=0, **keys))

    with pytest.raises(StateError, match="locked"):
        StateDb(path).open()
    assert [file.name for file in path.parent.iterdir() if "broken" in file.name] == []
    holder.close()


def test_a_missing_directory_is_an_error(tmp_path: Path):
    """Where no file can be, the caller is told."""
    with pytest.raises(StateError, match="unable to open"):
        StateDb(tmp_path / "none" / "state.db").open()


def test_a_closed_file_says_so(path: Path):
    """A use before open or after close is an error, and closing twice is none."""
    db = saved(path, A)
    db.close()
    db.close()

    with pytest.raises(StateError, match="not open"):
        db.load()


@given(
    st.lists(
        st.builds(
            StoredDevice,
            st.text(st.characters(blacklist_categories=("Cs",), blacklist_characters="\0"), min_size=1, max_size=5),
            st.binary(max_size=5),
            st.none() | st.just("edge"),
            st.dictionaries(
                st.text(st.characters(blacklist_categories=("Cs",)), max_size=3), st.binary(max_size=3), max_size=3
            ),
            st.floats(0, 1e10),
            st.lists(st.text(st.characters(blacklist_categories=("Cs",)), max_size=3), max_size=3).map(tuple),
        ),
        unique_by=lambda device: device.path,
        max_size=5,
    )
)
def test_any_devices_come_back(tmp_path_factory: pytest.TempPathFactory, devices: list[StoredDevice]):
    """Whatever is saved is loaded the same, by path."""
    path = tmp_path_factory.mktemp("state") / "state.db"
    saved(path, *devices).close()

    assert sorted(reopened(path), key=lambda d: d.path) == sorted(devices, key=lambda d: d.path)
