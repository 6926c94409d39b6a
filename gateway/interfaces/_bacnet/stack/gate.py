"""Turns: how many requests are under way at a time, to one device and in all."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class Full(Exception):
    """Too many wait already."""


class Gate:
    """Lets at most ``limit`` in at a time, the urgent ones first, else in order of arrival."""

    def __init__(self, limit: int, most_waiting: int) -> None:
        self.limit = limit
        self._most_waiting = most_waiting
        self._inside = 0
        self._urgent: deque[asyncio.Future[None]] = deque()
        self._others: deque[asyncio.Future[None]] = deque()

    @asynccontextmanager
    async def turn(self, urgent: bool) -> AsyncIterator[None]:
        """Wait for a turn. Raises Full."""
        if self._inside < self.limit:
            self._inside += 1
        else:
            await self._wait(self._urgent if urgent else self._others)
        try:
            yield
        finally:
            self._leave()

    async def _wait(self, queue: deque[asyncio.Future[None]]) -> None:
        if len(self._urgent) + len(self._others) >= self._most_waiting:
            raise Full
        place = asyncio.get_running_loop().create_future()
        queue.append(place)
        try:
            await place
        except asyncio.CancelledError:
            if place.done() and not place.cancelled():
                self._leave()  # it was let in at the very moment that it gave up
            raise

    def _leave(self) -> None:
        for queue in (self._urgent, self._others):
            while queue:
                place = queue.popleft()
                if not place.done():
                    place.set_result(None)
                    return
        self._inside -= 1


class Lane(Gate):
    """The requests to one address; ``silent`` is whether the last of them was not answered, or there was none yet."""

    silent = True


class Lanes:
    """Who may ask now: one gate for each address, and one for all living and one for all silent devices.

    Silent devices have turns of their own, so that any number of dead ones, each holding a turn for as long as it is waited
    for, takes none from the living.
    """

    MOST_WAITING = 64
    """Requests that wait for one device; more are refused at once."""
    AT_A_TIME = 32
    """Requests under way to all living devices, and as many to silent ones. A processor that decodes is busy long before."""

    def __init__(self) -> None:
        self._lanes: dict[str, Lane] = {}
        self._living = Gate(self.AT_A_TIME, 1 << 30)
        self._silent = Gate(self.AT_A_TIME, 1 << 30)

    def lane(self, address: str) -> Lane:
        """The lane of an address."""
        if address not in self._lanes:
            self._lanes[address] = Lane(1, self.MOST_WAITING)
        return self._lanes[address]

    @asynccontextmanager
    async def turn(self, lane: Lane, urgent: bool) -> AsyncIterator[None]:
        """Wait for a turn in a lane and among all. Raises Full."""
        async with lane.turn(urgent), (self._silent if lane.silent else self._living).turn(urgent):
            yield
