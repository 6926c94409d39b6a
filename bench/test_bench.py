"""The benchmark's own checks: `python -m pytest bench`. What measures must be right, and must be able to say no."""

from __future__ import annotations

import json
import socket
import struct
import time
from collections.abc import Iterator
from pathlib import Path

import plant
import pytest
import report
import run
import wire
from children import Counter
from hypothesis import example, given
from hypothesis import strategies as st
from measure import phase, rhythm

pytestmark = pytest.mark.alone

SECOND = 1_000_000
BEGIN = 1_790_000_000 * SECOND


@pytest.fixture(scope="module")
def sim(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Counter, int]]:
    """A simulator of 300 devices, and its port."""
    log = tmp_path_factory.mktemp("sim") / "log"
    with Counter("the simulator", [run.build(), "300"], log) as counter:
        yield counter, json.loads(counter.first)["port"]


def exchange(device: int, port: int, pdu: bytes) -> bytes:
    """The answer of a device to one request."""
    with socket.create_connection((plant.address(device), port), timeout=5) as link:
        link.sendall(struct.pack(">HHHB", 7, 0, len(pdu) + 1, 1) + pdu)
        head = link.recv(7, socket.MSG_WAITALL)
        transaction, protocol, size, unit = struct.unpack(">HHHB", head)
        assert (transaction, protocol, unit) == (7, 0, 1)
        return link.recv(size - 1, socket.MSG_WAITALL)


def grid(late_us: list[int], start: int = BEGIN + 123_456) -> list[tuple[int, int]]:
    """Polls of device 0, each so much late on its grid."""
    return [(0, start + slot * SECOND + late) for slot, late in enumerate(late_us)]


@example(999_990, [5, 20])
@given(st.integers(0, SECOND - 1), st.lists(st.integers(0, 400_000), min_size=2, max_size=30))
def test_a_grid_begins_at_its_earliest_poll(offset: int, late: list[int]) -> None:
    """Latenesses below half an interval come back as they were made, wherever the grid begins."""
    polls = grid(late, BEGIN + offset)
    kept = rhythm(1, polls, polls, SECOND, len(late) * SECOND)
    earliest = min(late)
    assert phase([at for _, at in polls], SECOND) == (offset + earliest) % SECOND
    assert kept.late_ms == sorted((us - earliest) / 1000 for us in late)
    assert (kept.missed, kept.doubled, kept.lost) == (0, 0, 0)


@given(st.sets(st.integers(1, 28), min_size=1, max_size=20))
def test_a_hole_in_the_grid_is_a_missed_poll(holes: set[int]) -> None:
    """Each slot between the first and the last that has no poll is counted."""
    polls = [poll for slot, poll in enumerate(grid([0] * 30)) if slot not in holes]
    assert rhythm(1, polls, polls, SECOND, 30 * SECOND).missed == len(holes)


def test_a_device_that_stops_or_never_starts_misses_polls() -> None:
    """What the window lacks at its end is missed but for one, which may have slipped over the edge."""
    polls = grid([0] * 10)
    assert rhythm(2, polls, polls, SECOND, 30 * SECOND).missed == (30 - 1 - 10) + 30


def test_two_polls_in_one_interval_are_one_too_many() -> None:
    """A poll beyond one for each interval is counted as doubled."""
    polls = [*grid([0, 1, 2]), *grid([100_000])]
    assert rhythm(1, polls, polls, SECOND, 3 * SECOND).doubled == 1


def test_a_poll_without_its_reading_is_lost() -> None:
    """A reading belongs to the poll in whose interval its timestamp lies."""
    polls = grid([0] * 5)
    readings = [(device, at + 900_000) for device, at in polls if at != polls[2][1]]
    assert rhythm(1, polls, readings, SECOND, 5 * SECOND).lost == 1


@given(st.lists(st.binary(max_size=300), max_size=5), st.integers(1, 50))
def test_frames_come_out_whole_however_they_are_cut(payloads: list[bytes], step: int) -> None:
    """A stream cut anywhere gives the packets that were put in."""
    stream = b"".join(wire.publish(b"t", payload, 9) for payload in payloads)
    frames = wire.Frames()
    found = [frame for at in range(0, len(stream), step) for frame in frames.feed(stream[at : at + step])]
    assert found == [(wire.PUBLISH, b"\x00\x01t\x00\x09" + payload) for payload in payloads]


@pytest.mark.parametrize("device", [0, 1, 249, 250, 299])
def test_the_simulator_keeps_the_rule_of_values(sim: tuple[Counter, int], device: int) -> None:
    """A read of 100 registers passes the check for that device, and for no neighbour, no other order and no other time."""
    values = struct.unpack(">BB100H", exchange(device, sim[1], struct.pack(">BHH", 3, 0, 100)))[2:]
    now = time.time_ns() // 1_000_000
    named = dict(zip(plant.NAMES, values, strict=True))
    assert plant.faults(device, named, now) == 0
    assert plant.faults(device + 1, named, now) == 100
    assert plant.faults(device, dict(zip(plant.NAMES, values[1:], strict=False)), now) == 100
    assert plant.faults(device, named, now + 1000) == 100
    assert plant.faults(device, named | {"r5": named["r5"] - 65536}, now) == 1


def test_the_simulator_keeps_what_is_written_for_that_device(sim: tuple[Counter, int]) -> None:
    """Functions 5, 6, 15 and 16 are read back by 1 and 3 from the same device and no other."""
    port = sim[1]
    assert exchange(7, port, bytes.fromhex("06 1000 BEEF")) == bytes.fromhex("06 1000 BEEF")
    assert exchange(7, port, bytes.fromhex("10 1001 0002 04 0001FFFE")) == bytes.fromhex("10 1001 0002")
    assert exchange(7, port, bytes.fromhex("03 1000 0003")) == bytes.fromhex("03 06 BEEF0001FFFE")
    assert exchange(8, port, bytes.fromhex("03 1000 0001")) != bytes.fromhex("03 02 BEEF")
    assert exchange(7, port, bytes.fromhex("05 0000 FF00")) == bytes.fromhex("05 0000 FF00")
    assert exchange(7, port, bytes.fromhex("0F 0001 000A 02 FF03")) == bytes.fromhex("0F 0001 000A")
    assert exchange(7, port, bytes.fromhex("01 0000 000B")) == bytes.fromhex("01 02 FF07")


@pytest.mark.parametrize(
    ("request_hex", "code"),
    [
        ("2B 0E", 1),
        ("03 FFFF 0002", 2),
        ("03 0000 007E", 3),
        ("03 0000 0000", 3),
        ("05 0000 1234", 3),
        ("10 0000 0001 03 0001", 3),
    ],
)
def test_the_simulator_refuses_what_the_specification_refuses(sim: tuple[Counter, int], request_hex: str, code: int) -> None:
    """Unknown functions, addresses beyond the end and bad quantities get their exception codes."""
    pdu = bytes.fromhex(request_hex)
    assert exchange(0, sim[1], pdu) == bytes((pdu[0] | 0x80, code))


def test_the_simulator_counts_polls_and_reports_them_once(sim: tuple[Counter, int]) -> None:
    """Reads that begin at address 0 are polls, with device and time; asking clears them."""
    sim[0].ask()
    before = time.time_ns() // 1000
    exchange(3, sim[1], bytes.fromhex("03 0000 0064"))
    exchange(4, sim[1], bytes.fromhex("03 0001 0064"))
    counted = sim[0].ask()
    ((device, at),) = counted["polls"]
    assert (counted["requests"], device) == (2, 3)
    assert before <= at <= time.time_ns() // 1000
    assert sim[0].ask()["polls"] == []


def test_a_simulator_with_much_to_say_still_stops(tmp_path: Path) -> None:
    """What it prints when it is stopped may be more than a pipe holds."""
    with Counter("the simulator", [run.build(), "1"], tmp_path / "log") as sim:
        with plant.dial(0, json.loads(sim.first)["port"]) as link:
            for _ in range(10_000):
                link.sendall(bytes.fromhex("0000 0000 0006 01 03 0000 0001"))
                link.recv(11, socket.MSG_WAITALL)
        start = time.monotonic()
    assert time.monotonic() - start < 5


def test_a_latency_holds_replies_back(tmp_path: Path) -> None:
    """With a latency of 50 ms pipelined requests are answered 50 ms apart, in order."""
    with Counter("the simulator", [run.build(), "1", "0", "50"], tmp_path / "log") as sim:
        with plant.dial(0, json.loads(sim.first)["port"]) as link:
            start = time.monotonic()
            link.sendall(b"".join(plant.READ.pack(n, 0, 6, 1, 3, 0, plant.REGISTERS) for n in (1, 2)))
            replies = [plant.REPLY.unpack(link.recv(plant.REPLY.size, socket.MSG_WAITALL)) for _ in range(2)]
            assert time.monotonic() - start >= 0.1
        assert [reply[0] for reply in replies] == [1, 2]


def test_bounds_on_time_are_wider_in_ci() -> None:
    """In CI the bounds on time count five times, the others once; a number that is none keeps no bound."""
    file = run.HERE / "limits.toml"
    here, there = report.limits(file, ci=False), report.limits(file, ci=True)
    assert there["late_max_ms"] == 5 * here["late_max_ms"]
    assert there["rss_mb"] == here["rss_mb"]
    assert report.missed(here, here) == []
    assert report.missed(here | {"rss_mb": here["rss_mb"] + 1, "late_max_ms": float("nan")}, here) == [
        "late_max_ms",
        "rss_mb",
    ]
