"""What Modbus frames go over: a stream and a framing, one request at a time, one checked reply.

The exchange is done here rather than by a library: every byte of a reply is checked, and a request costs a third of the
time.
"""

from __future__ import annotations

from gateway.clock import Clock
from gateway.errors import Transient, Unreachable
from gateway.interfaces._modbus.frames import Framing
from gateway.interfaces._modbus.pdu import Query
from gateway.interfaces._streams import Stream, words
from gateway.interfaces.base import MaySend

_LEAST_REST = 1.0
_NEVER_QUIET = 1.0
_MOST = 2048
"""Bytes without a reply among them after which none is waited for: who babbles costs no more time and memory than that."""


class ModbusLine:
    """One stream with one framing. ``character`` is the time that a character takes (seconds), 0 where it does not count."""

    def __init__(self, stream: Stream, framing: Framing, clock: Clock, character: float = 0.0, echo: bool = False) -> None:
        self.name = stream.name
        self.stream = stream
        self.framing = framing
        self._clock = clock
        self._character = character
        self._echo = echo
        self._dirty = False

    def ready(self) -> bool:
        """Whether a request can go.

        Something to read before a request is what nobody asked for, or a late reply, or the end of the connection. It dies
        with the connection, or is read away until the line is silent.
        """
        if not self.stream.connected:
            return False
        try:
            stale = self._dirty or self.stream.pending()
            if stale and not self.stream.fresh:
                self._read_away()
                return True
        except OSError:
            stale = True
        if stale:
            self.close()
        return not stale

    def open(self) -> None:
        """Connect. Raises Unreachable."""
        self.stream.open()
        self._dirty = not self.stream.fresh
        if self._dirty:
            self.ready()

    def close(self) -> None:
        """Disconnect."""
        self.stream.close()

    def rest(self, timeout: float) -> float:
        """How long a unit that did not answer is to be left alone (seconds).

        A reply on a serial line does not say which request it answers; what comes within this time is read away.
        """
        return 0.0 if self.stream.fresh else max(timeout, _LEAST_REST)

    def exchange(self, unit: int, query: Query, timeout: float, may_send: MaySend | None = None) -> bytes:
        """Send a request and return the data of its reply; ``may_send`` is called immediately before the bytes go.

        Raises Refusal (an exception code), Transient (no usable reply), Unreachable (no connection), or what ``may_send``
        raises. After Transient a late reply is taken for nothing: it dies with the connection, or is read away.
        """
        frame = self.framing.request(unit, query.pdu)
        if may_send is not None:
            may_send()
        try:
            self.stream.send(frame)
            return query.data(self._reply(frame, unit, query, timeout))
        except Transient:
            self._spoil()
            raise
        except OSError as error:
            self.close()
            raise Unreachable(f"the connection to {self.name} broke: {words(error)}") from error

    def _spoil(self) -> None:
        if self.stream.fresh:
            self.close()
        else:
            self._dirty = True

    def _reply(self, frame: bytes, unit: int, query: Query, timeout: float) -> bytes:
        now, receive = self._clock.now, self.stream.receive
        wait = limit = timeout + self._character * 2 * (len(frame) + query.length + 4)
        deadline = now() + limit
        data, came, echo = b"", 0, frame if self._echo else b""
        while came < _MOST and (chunk := receive(wait)):
            seen, data, came = len(data), data + chunk, came + len(chunk)
            if echo and echo in data:
                seen, data, echo = 0, data.partition(echo)[2], b""
            reply = None if echo else self.framing.reply(data, unit, query, seen)
            if reply is not None:
                return reply
            data = data[-self.framing.longest :]
            wait = max(0.0, deadline - now())
        raise Transient(self._nothing(data, came, unit, timeout))

    def _nothing(self, data: bytes, came: int, unit: int, timeout: float) -> str:
        within = f" within {timeout:g} s" if came < _MOST else ""
        if came and not self.framing.numbered:
            return f"no answer of unit {unit}{within}, but {came} other bytes: {data[:16].hex(' ')}"
        return f"no {'whole ' if came else ''}answer{within}"

    def _read_away(self) -> None:
        """Read until the line is silent for the time between two frames. Raises OSError if it never is."""
        quiet = max(0.00175, 3.5 * self._character) if self._dirty else 0.0
        until = self._clock.now() + _NEVER_QUIET
        while self.stream.receive(quiet):
            if self._clock.now() >= until:
                raise TimeoutError("the line is never silent")
        self._dirty = False
