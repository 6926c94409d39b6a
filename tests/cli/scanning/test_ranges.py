"""The search for readable ranges, on devices made up."""

from __future__ import annotations

from collections.abc import Iterable

from hypothesis import given
from hypothesis import strategies as st

from gateway.cli.scanning.ranges import TOP, Sweep, landmarks, starts

RANGES = st.lists(st.tuples(st.integers(0, 400), st.integers(1, 60)), max_size=6)


class Device:
    """A table that has these addresses, and refuses more than so many at once; it counts what it is asked."""

    def __init__(self, has: Iterable[int], most: int = 125) -> None:
        self.has = set(has)
        self.most = most
        self.requests: list[tuple[int, int]] = []

    def readable(self, address: int, count: int) -> bool:
        """Whether so many addresses can be read from this one."""
        assert 1 <= count <= 125
        assert address + count <= TOP + 1
        self.requests.append((address, count))
        return count <= self.most and self.has.issuperset(range(address, address + count))


def swept(device: Device, begin: Iterable[int], last: int = TOP, first: int = 0) -> Sweep:
    """A sweep that has run."""
    sweep = Sweep(device.readable, 125)
    sweep.run(begin, first, last)
    return sweep


def runs(has: set[int]) -> list[tuple[int, int]]:
    """The ranges of addresses that follow each other."""
    firsts = sorted(address for address in has if address - 1 not in has)
    lasts = sorted(address for address in has if address + 1 not in has)
    return list(zip(firsts, lasts, strict=True))


@given(RANGES, st.integers(1, 30), st.integers(1, 125))
def test_every_range_that_is_met_is_found_whole(given: list[tuple[int, int]], step: int, most: int):
    """Each range that has one of the addresses asked for is found to both its ends, whatever the device's limit."""
    has = {address for first, count in given for address in range(first, first + count)}
    begin = starts(0, 499, step)
    found = swept(Device(has, most), begin).found

    assert found == [(first, last) for first, last in runs(has) if any(first <= start <= last for start in begin)]


@given(RANGES, st.integers(10, 100))
def test_nothing_outside_of_the_window_is_asked(given: list[tuple[int, int]], size: int):
    """A window is not left, to neither side."""
    device = Device(address for first, count in given for address in range(first, first + count))
    swept(device, starts(100, 100 + size, 7), 100 + size, 100)

    assert all(address >= 100 and address + count - 1 <= 100 + size for address, count in device.requests)


def test_a_map_costs_few_requests():
    """Ten ranges within a thousand addresses are found with some 200 requests, not with one for each address."""
    device = Device(address for first in range(0, 1000, 100) for address in range(first, first + 40))
    sweep = swept(device, starts(0, 999, 16), 999)

    assert sweep.found == [(first, first + 39) for first in range(0, 1000, 100)]
    assert len(device.requests) <= 220


def test_a_long_table_is_read_in_blocks():
    """Where all is there, a request brings as much as it may."""
    device = Device(range(10_000))
    sweep = swept(device, starts(0, 9999, 16), 9999)

    assert sweep.found == [(0, 9999)]
    assert len(device.requests) <= 10_000 / 125 + 10


def test_the_limit_of_a_device_is_found():
    """A device that lets only so many be read at once has one range all the same, and its limit is known."""
    sweep = swept(Device(range(100), most=32), [0])

    assert (sweep.found, sweep.most) == ([(0, 99)], 32)


def test_no_limit_is_made_up():
    """The end of a range is none of the device's limits."""
    sweep = swept(Device([*range(50), *range(51, 80)]), starts(0, 99, 1), 99)

    assert (sweep.found, sweep.most) == ([(0, 49), (51, 79)], 125)


def test_the_last_address_of_all_can_be_found():
    """A range may end at 65535."""
    assert swept(Device(range(65500, 65536)), [65510]).found == [(65500, 65535)]


def test_what_was_found_before_an_interruption_stays():
    """A sweep that is interrupted has the ranges that it got to."""
    device = Device([*range(10), *range(100, 110)])

    def readable(address: int, count: int) -> bool:
        if address >= 100:
            raise KeyboardInterrupt
        return device.readable(address, count)

    sweep = Sweep(readable, 125)
    try:
        sweep.run(starts(0, 200, 4))
    except KeyboardInterrupt:
        pass

    assert sweep.found == [(0, 9)]


def test_landmarks_are_where_maps_begin():
    """SunSpec's bases and the thousands are among them, and no address that is none."""
    places = landmarks()

    assert {0, 1, 1000, 40000, 40001, 50000} <= set(places)
    assert max(places) <= TOP
