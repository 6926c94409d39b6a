"""The devices of the soak, in a process of its own: Modbus TCP units that number their readings and remember every write.

A reading of all registers carries its number, the unit's, and words made of both, so that a value of another time,
register or unit shows. What the registers held goes to the log with it.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import time
from dataclasses import dataclass
from itertools import count
from multiprocessing.connection import Connection
from struct import pack, unpack
from typing import Any

from gateway import localbroker

TIMEOUT = 2.0
"""Seconds that the gateway waits for an answer; what is sent later than half of them is no reading that it owes."""
TICK = 0.05
"""Seconds between two looks at whether this process runs at all."""
WORDS = 13
SETTABLE = {"s": (10, 1010), "t": (11, 1111), "u": (12, 1212)}
"""Points that are written: address, and what they hold at rest. ``u`` is written without a lease and stays."""


def carried(unit: int, address: int, number: int) -> int:
    """What a register that nobody writes holds in a unit's reading of that number."""
    return (unit * 257 + address * 31 + number) & 0xFFFF


@dataclass(frozen=True)
class Poll:
    """A reading that a unit gave out: its number, when (monotonic), and what s, t and u held."""

    unit: int
    number: int
    at: float
    held: tuple[int, int, int]


@dataclass(frozen=True)
class Written:
    """A register write that a unit has taken."""

    unit: int
    address: int
    value: int
    at: float


@dataclass(frozen=True)
class Span:
    """From when to when one connection asked a unit, with no other in between."""

    unit: int
    link: int
    first: float
    last: float


@dataclass(frozen=True)
class Log:
    """All that happened at the devices; ``words`` is what each unit's registers hold now.

    ``stood_still`` is for how many seconds at most the devices did nothing, as their process did not run.
    """

    polls: list[Poll]
    writes: list[Written]
    spans: list[Span]
    words: dict[int, list[int]]
    stood_still: float = 0.0


class Units:
    """What the units hold, and their log."""

    def __init__(self, numbers: list[int]) -> None:
        self.words = {unit: [0] * 10 + [rest for _, rest in SETTABLE.values()] for unit in numbers}
        self.polls: list[Poll] = []
        self.writes: list[Written] = []
        self.spans: list[Span] = []
        self._newest: dict[int, list[float]] = {}
        self._numbers = dict.fromkeys(numbers, 0)
        self._looked = [time.monotonic()] * 2
        self._stood_still = 0.0

    def look(self, now: float) -> None:
        """To be called every TICK: this process runs."""
        self._looked = [self._looked[1], now]
        self._stood_still = max(self._stood_still, self._looked[1] - self._looked[0] - TICK)

    @property
    def asked(self) -> float:
        """Since when what is found on a connection now may have waited there."""
        return self._looked[0]

    def news(self) -> tuple[Log, list[Span]]:
        """What has happened since this was last asked, and the spans that are not over: all at once would take seconds."""
        words = {unit: words.copy() for unit, words in self.words.items()}
        news = Log(self.polls, self.writes, self.spans, words, self._stood_still)
        self.polls, self.writes, self.spans = [], [], []
        return news, [Span(unit, int(link), first, last) for unit, (link, first, last) in self._newest.items()]

    def answer(self, unit: int, link: int, body: bytes) -> tuple[bytes, Poll | None]:
        """The reply to a request (MODBUS Application Protocol V1.1b3, section 6), and the reading that it is."""
        now = time.monotonic()
        newest = self._newest.setdefault(unit, [link, now, now])
        if newest[0] != link:
            self.spans.append(Span(unit, int(newest[0]), newest[1], newest[2]))
            self._newest[unit] = newest = [link, now, now]
        newest[2] = now
        code, address, second = unpack(">BHH", body[:5])
        if code not in (3, 4):
            self._write(unit, address, (second,) if code == 6 else unpack(f">{second}H", body[6:]), now)
            return body[:5], None
        whole = address == 0 and second == WORDS
        self._numbers[unit] += whole
        words = self._image(unit)[address : address + second]
        held = self.words[unit][10:]
        poll = Poll(unit, self._numbers[unit], now, (held[0], held[1], held[2])) if whole else None
        return pack(">BB", code, 2 * len(words)) + pack(f">{len(words)}H", *words), poll

    def _image(self, unit: int) -> list[int]:
        number = self._numbers[unit]
        head = [number >> 16, number & 0xFFFF, unit]
        return head + [carried(unit, address, number) for address in range(3, 10)] + self.words[unit][10:]

    def _write(self, unit: int, address: int, values: tuple[int, ...], now: float) -> None:
        for place, value in enumerate(values, address):
            self.words[unit][place] = value
            self.writes.append(Written(unit, place, value, now))


class Endpoint:
    """A port with some units behind it. ``mute``: requests are taken and not answered; ``delay``: answers come late."""

    def __init__(self, units: Units, numbers: count[int]) -> None:
        self.port = 0
        self.mute = False
        self.delay = 0.0
        self.links: set[Link] = set()
        self.units = units
        self.numbers = numbers
        self._server: asyncio.Server | None = None

    async def open(self) -> None:
        """Listen, on the same port as before."""
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(lambda: Link(self), localbroker.HOST, self.port, reuse_address=True)
        self.port = self._server.sockets[0].getsockname()[1]

    def shut(self) -> None:
        """Be gone: no connection stands and none is taken."""
        if self._server is not None:
            self._server.close()
        for link in list(self.links):
            link.cut()

    async def set(self, how: str, delay: float) -> None:
        """``ok``, ``dead``, ``mute`` or ``slow``."""
        if how == "dead":
            self.shut()
        elif self._server is None or not self._server.is_serving():
            await self.open()
        self.mute, self.delay = how == "mute", delay


class Link(asyncio.Protocol):
    """One connection."""

    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint
        self._number = next(endpoint.numbers)
        self._rest = b""

    def connection_made(self, transport: Any) -> None:
        """It stands."""
        self._transport = transport
        self._endpoint.links.add(self)

    def connection_lost(self, _error: Exception | None) -> None:
        """It is gone."""
        self._endpoint.links.discard(self)

    def cut(self) -> None:
        """End it."""
        self._transport.abort()

    def data_received(self, data: bytes) -> None:
        """Answer each whole request."""
        self._rest += data
        while len(self._rest) >= 8 and len(self._rest) >= (end := 6 + unpack(">H", self._rest[4:6])[0]):
            frame, self._rest = self._rest[:end], self._rest[end:]
            self._take(frame)

    def _take(self, frame: bytes) -> None:
        end = self._endpoint
        asked = end.units.asked
        reply, poll = end.units.answer(frame[6], self._number, frame[7:])
        if end.mute:
            return
        whole = frame[:4] + pack(">HB", len(reply) + 1, frame[6]) + reply
        if end.delay:
            asyncio.get_running_loop().call_later(end.delay, self._send, whole, poll, asked)
        else:
            self._send(whole, poll, asked)

    def _send(self, reply: bytes, poll: Poll | None, asked: float) -> None:
        if self._transport.is_closing():
            return
        self._transport.write(reply)
        if poll is not None and time.monotonic() - asked < TIMEOUT / 2:
            self._endpoint.units.polls.append(poll)


async def _look(units: Units) -> None:
    while True:
        units.look(time.monotonic())
        await asyncio.sleep(TICK)


async def _serve(pipe: Connection, endpoints: list[list[int]]) -> None:
    units, numbers = Units([unit for each in endpoints for unit in each]), count()
    doors = [Endpoint(units, numbers) for _ in endpoints]
    for door in doors:
        await door.open()
    looking = asyncio.create_task(_look(units))
    pipe.send([door.port for door in doors])
    while True:
        try:
            command = await asyncio.to_thread(pipe.recv)
        except EOFError:
            looking.cancel()
            return
        if command is None:
            pipe.send(units.news())
        else:
            number, how, delay = command
            await doors[number].set(how, delay)
            pipe.send(None)


def main(pipe: Connection, endpoints: list[list[int]]) -> None:
    """Serve until the pipe closes."""
    asyncio.run(_serve(pipe, endpoints))


class Plant:
    """The process, as the soak sees it; a context manager. ``endpoints`` are the units behind each port."""

    def __init__(self, endpoints: list[list[int]]) -> None:
        self.endpoints = endpoints

    def __enter__(self) -> Plant:
        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(target=main, args=(theirs, self.endpoints), daemon=True)
        self._process.start()
        theirs.close()
        self._ports: list[int] = self._pipe.recv()
        self._log = Log([], [], [], {})
        return self

    def __exit__(self, *_: object) -> None:
        self._pipe.close()
        self._process.join(5)
        self._process.kill()
        self._process.join(5)
        self._process.close()

    def endpoint(self, unit: int) -> int:
        """Which endpoint a unit is behind."""
        return next(number for number, units in enumerate(self.endpoints) if unit in units)

    def port(self, unit: int) -> int:
        """Where a unit is asked."""
        return self._ports[self.endpoint(unit)]

    def set(self, endpoint: int, how: str, delay: float = 0.0) -> None:
        """``ok``, ``dead`` (refuses connections), ``mute`` (answers nothing) or ``slow`` (answers after the delay)."""
        self._pipe.send((endpoint, how, delay))
        self._pipe.recv()

    def log(self) -> Log:
        """What has happened so far; to be asked often, so that each answer is short."""
        self._pipe.send(None)
        news, open_spans = self._pipe.recv()
        for old, new in ((self._log.polls, news.polls), (self._log.writes, news.writes), (self._log.spans, news.spans)):
            old += new
        known = self._log
        return Log(known.polls, known.writes, known.spans + open_spans, news.words, news.stood_still)
