"""Which addresses of a table can be read, with few requests; pure.

A read of many addresses is refused if one of them is missing, so blocks that are accepted tell much, and the end of what is
there is found by halving. Where nothing is there, only every so many addresses is asked for.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

Readable = Callable[[int, int], bool]
"""Whether so many addresses from this one can be read at once."""

TOP = 65535


class Sweep:
    """Finds the ranges of one table; ``found`` has them (first, last) as far as it got, whatever interrupts it.

    ``most`` is how many addresses one request may ask for; less if the device turns out to allow less.
    """

    def __init__(self, readable: Readable, most: int) -> None:
        self.found: list[tuple[int, int]] = []
        self.most = most
        self._readable = readable

    def run(self, starts: Iterable[int], first: int = 0, last: int = TOP) -> None:
        """Ask at each of the starts, and follow what is there to both sides, from the first to the last address."""
        missing = done = first - 1
        for start in sorted(set(starts)):
            if done < start <= last:
                missing, done = self._at(start, missing, done, last)

    def _at(self, start: int, missing: int, done: int, last: int) -> tuple[int, int]:
        """The last address known to be missing, and the last one that was looked at."""
        if not self._readable(start, 1):
            return start, start
        first = self._first(max(missing, done) + 1, start)
        self.found.append((first, start))
        self._follow(start + 1, last)
        end = self.found[-1][1]
        return end + 1, end + 1

    def _first(self, low: int, start: int) -> int:
        """The lowest address from which all up to ``start`` can be read, not below ``low``."""
        first = start
        while first > low:
            reach = self._reach(max(low, first - self.most), first)
            if reach == first:
                break
            first = reach
        return first

    def _reach(self, low: int, end: int) -> int:
        """The lowest address from ``low`` on from which all before ``end`` can be read at once; ``end`` if there is none."""
        high = end
        if self._readable(low, end - low):
            return low
        while low + 1 < high:
            middle = (low + high) // 2
            if self._readable(middle, end - middle):
                high = middle
            else:
                low = middle
        return high

    def _follow(self, at: int, last: int) -> None:
        """Extend the newest range from an address on, block by block."""
        while at <= last:
            wanted = min(self.most, last + 1 - at)
            taken = self._taken(at, wanted)
            at += taken
            if taken:
                self.found[-1] = (self.found[-1][0], at - 1)
            if taken < wanted and (not taken or not self._goes_on(at, taken, last)):
                return

    def _taken(self, at: int, wanted: int) -> int:
        """How many addresses from here can be read at once."""
        if self._readable(at, wanted):
            return wanted
        low, high = 0, wanted - 1
        while low < high:
            middle = (low + high + 1) // 2
            if self._readable(at, middle):
                low = middle
            else:
                high = middle - 1
        return low

    def _goes_on(self, at: int, taken: int, last: int) -> bool:
        """Whether there is more behind a block that was cut short: then it was the device's limit, or a border inside."""
        if at > last or not self._readable(at, 1):
            return False
        longer = min(taken + 1, last + 1 - at)
        if longer > taken and not self._readable(at, longer):
            self.most = min(self.most, taken)
        return True


def starts(first: int, last: int, step: int) -> list[int]:
    """Every so many addresses of a window."""
    return list(range(first, last + 1, step))


def landmarks() -> list[int]:
    """Addresses at which maps often begin: the thousands, and the ones after them."""
    return [thousand + one for thousand in range(0, TOP, 1000) for one in (0, 1)]
