"""The outbox on disk."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.store.outbox import REFUSED_KEPT, Kept, OutboxError, OutboxFile, Refused

MANY = 1 << 30


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the outbox is."""
    return tmp_path / "outbox.db"


@pytest.fixture
def file(path: Path) -> Iterator[OutboxFile]:
    """An open outbox with nothing in it."""
    file = OutboxFile(path)
    assert file.open() is None
    yield file
    file.close()


def some(*ids: int, size: int = 10, taken: float = 0.0) -> list[Kept]:
    """Messages with these ids."""
    return [Kept(n, f"d{n}/replay", bytes([n % 256]) * size, taken) for n in ids]


def ids(file: OutboxFile) -> list[int]:
    """What waits."""
    return [kept.id for kept in file.next(0, None, MANY, MANY)]


def opened_and_read(file: OutboxFile) -> list[int]:
    """What waits in a file that was closed."""
    file.open()
    return ids(file)


def test_what_is_kept_is_found_by_a_later_process(path: Path, file: OutboxFile) -> None:
    """Topics and bytes come back in the order of their ids."""
    file.change(some(2, 1, 3), [], wait_for_disk=True)
    file.close()
    later = OutboxFile(path)
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
    """By when it was taken; what was taken when the clock was not set has no age."""
    file.change([*some(1, 2, taken=100.0), *some(3, taken=200.0), *some(4), *some(5, taken=1.0)], [])
    assert file.trim(MANY, 150.0) == 2
    assert ids(file) == [3, 4, 5]
    assert file.trim(MANY, 300.0) == 1
    assert (ids(file), file.trim(MANY, 300.0)) == ([4, 5], 0)


def test_an_empty_file_gives_its_room_back(path: Path, file: OutboxFile) -> None:
    """After a long outage the file is small again."""
    file.change(some(*range(1, 1001), size=8000), [])
    assert path.stat().st_size + path.with_name("outbox.db-wal").stat().st_size > 8_000_000
    file.change([], list(range(1, 1001)))
    assert path.stat().st_size < 100_000
    assert path.with_name("outbox.db-wal").stat().st_size < 1_100_000
    assert file.bytes < 100_000


def test_refused_messages_are_set_aside_the_newest_of_them(path: Path, file: OutboxFile) -> None:
    """They wait no more; with their reason they are there for whoever wants to see them."""
    file.change([], [], [Refused("t", b"first", "Not authorized", 5.0)])
    file.change([], [], [Refused("t", b"%d" % n, "Not authorized", 6.0) for n in range(REFUSED_KEPT)])
    assert file.count == 0
    file.close()
    with sqlite3.connect(path) as db:
        rows = db.execute("SELECT topic, payload, reason, at FROM refused ORDER BY id").fetchall()
    assert (len(rows), rows[0]) == (REFUSED_KEPT, ("t", b"0", "Not authorized", 6.0))


def test_one_process_has_it(path: Path, file: OutboxFile) -> None:
    """A second one is told so, and nothing is moved aside."""
    file.change(some(1), [])
    other = OutboxFile(path)
    with pytest.raises(OutboxError, match="locked"):
        other.open()
    other.close()
    assert ids(file) == [1]
    assert not list(path.parent.glob("*broken*"))


def test_damage_that_is_met_later_moves_the_file_aside(path: Path, file: OutboxFile) -> None:
    """It is kept under another name, and a new one takes its place; an error that passes does not."""
    file.change(some(*range(1, 1001), size=1000), [])
    file.close()
    content = bytearray(path.read_bytes())
    content[4096 * 3 :] = b"\x55" * (len(content) - 4096 * 3)
    path.write_bytes(content)
    with pytest.raises(OutboxError) as damage:
        opened_and_read(file)
    moved = file.start_again(damage.value)
    assert moved is not None
    assert moved.path.read_bytes() == content
    file.change(some(1), [])
    assert ids(file) == [1]
    with pytest.raises(OutboxError) as twice:
        file.change(some(1), [])
    assert file.start_again(twice.value) is None
    assert ids(file) == [1]


@given(cut=st.floats(0, 1), flips=st.lists(st.tuples(st.floats(0, 1), st.integers(1, 255)), max_size=3))
def test_a_file_that_was_cut_or_changed_never_stops_anybody(
    tmp_path_factory: pytest.TempPathFactory, cut: float, flips: list[tuple[float, int]]
) -> None:
    """It is used as far as it goes, or moved aside: then it is there to be looked at, and a new one works."""
    path = tmp_path_factory.mktemp("outbox") / "outbox.db"
    file = OutboxFile(path)
    file.open()
    file.change(some(*range(1, 101), size=500), [])
    file.close()
    content = bytearray(path.read_bytes())
    for place, mask in flips:
        content[int(place * (len(content) - 1))] ^= mask
    path.write_bytes(content[: int(cut * len(content))] if cut < 0.9 else content)
    moved = None
    try:
        moved = file.open()
        file.next(0, None, MANY, MANY)
        file.change(some(1000), [file.last_id()])
    except OutboxError as error:
        moved = file.start_again(error)
        file.change(some(1000), [])
    assert 1000 in ids(file)
    assert moved is None or moved.path.exists()
    file.close()


def test_a_closed_file_says_so(file: OutboxFile) -> None:
    """A use after close is an error, and closing twice is none."""
    file.close()
    file.close()
    with pytest.raises(OutboxError, match="not open"):
        file.change(some(1), [])
    with pytest.raises(OutboxError, match="not open"):
        file.next(0, None, 1, 1)
