"""How lines are told apart: what begins and ends one, and its checksum; pure."""

from __future__ import annotations

from dataclasses import dataclass

from gateway.interfaces._text.checksums import KINDS, checksum
from gateway.interfaces._text.escapes import readable


@dataclass(frozen=True, slots=True)
class Check:
    """The checksum of a line, before its terminator or right after it.

    It is reckoned over what stands between start and checksum, and over the start and the terminator too if so said.
    """

    kind: str
    as_hex: bool = True
    after: bool = False
    separator: bytes = b""
    covers_start: bool = False
    covers_terminator: bool = False

    @property
    def size(self) -> int:
        """How many bytes it takes, without the separator."""
        return KINDS[self.kind][0] * (2 if self.as_hex else 1)

    def of(self, start: bytes, body: bytes, terminator: bytes) -> bytes:
        """What it is for a line."""
        covered = (start if self.covers_start else b"") + body + (terminator if self.covers_terminator else b"")
        return checksum(self.kind, self.as_hex, covered)


class BadLine(Exception):
    """A line that is not taken, and why."""


@dataclass(frozen=True, slots=True)
class Framing:
    """What stands around the body of a line: start, terminator, and a checksum or none; ``longest`` is of bodies."""

    start: bytes
    terminator: bytes
    check: Check | None = None
    longest: int = 256

    def framed(self, body: bytes) -> bytes:
        """The body with all that belongs around it."""
        if self.check is None:
            return self.start + body + self.terminator
        tail = self.check.separator + self.check.of(self.start, body, self.terminator)
        after = self.check.after
        return self.start + body + (self.terminator + tail if after else tail + self.terminator)

    @property
    def trailing(self) -> int:
        """How many bytes belong to a line behind its terminator."""
        return len(self.check.separator) + self.check.size if self.check is not None and self.check.after else 0

    @property
    def slack(self) -> int:
        """How far behind the first terminator the true one may be, as a checksum in bytes may look like one."""
        return self.check.size if self.check is not None and not self.check.after and not self.check.as_hex else 0

    def body(self, text: bytes, tail: bytes) -> bytes:
        """The body of a line: ``text`` came before its terminator, ``tail`` behind it. Raises BadLine."""
        check = self.check
        if check is not None and not check.after:
            cut = max(0, len(text) - check.size - len(check.separator))
            text, tail = text[:cut], text[cut:]
        if self.start:
            at = text.rfind(self.start)
            if at < 0:
                raise BadLine(f"{readable(text)} does not begin with {readable(self.start)}")
            text = text[at + len(self.start) :]
        if check is not None:
            wanted = check.separator + check.of(self.start, text, self.terminator)
            if tail != wanted and not (check.as_hex and tail.upper() == wanted.upper()):
                raise BadLine(f"{readable(text)} came with the checksum {readable(tail)}, not {readable(wanted)}")
        return text


class Splitter:
    """Lines out of bytes as they come. ``trouble`` is what was wrong with the last line that was not taken."""

    def __init__(self, framing: Framing, joined: bool = False) -> None:
        self.trouble = ""
        self._framing = framing
        self._data = bytearray()
        self._echo = b""
        self.joining = joined
        """Whether what comes first may be the rest of a line, and is thrown away with it."""

    def feed(self, data: bytes) -> None:
        """Bytes have come."""
        self._data += data

    def clear(self, joined: bool = False) -> None:
        """Forget what has come; ``joined``: what comes next may be the rest of a line."""
        self._data.clear()
        self._echo, self.joining = b"", joined

    def expect_echo(self, frame: bytes) -> None:
        """Throw away what comes up to the end of these bytes; b"" ends the waiting for them."""
        self._echo = frame

    @property
    def partial(self) -> bool:
        """Whether there is a line without its end."""
        return bool(self._data)

    def next(self) -> bytes | None:
        """The body of the next whole line, or None if there is none yet."""
        if self._echo and not self._strip_echo():
            return None
        while (end := self._data.find(self._framing.terminator)) >= 0:
            stop = end + len(self._framing.terminator) + self._framing.trailing
            if len(self._data) < stop:
                return None
            if self.joining or end > self._limit:
                self._drop(stop, too_long=not self.joining)
            elif (taken := self._taken(end)) is None:
                return None
            elif taken:
                return taken[0]
        if len(self._data) > self._limit + len(self._framing.terminator):
            self._drop(len(self._data) - len(self._framing.terminator), too_long=True)
            self.joining = True
        return None

    @property
    def _limit(self) -> int:
        check = self._framing.check
        around = 0 if check is None or check.after else check.size + len(check.separator)
        return self._framing.longest + len(self._framing.start) + around

    def _taken(self, first: int) -> tuple[bytes, ...] | None:
        """The body of the line that ends at ``first`` or within the slack; () if it was bad, None if more has to come."""
        framing, size = self._framing, len(self._framing.terminator)
        for end in range(first, first + framing.slack + 1):
            stop = end + size + framing.trailing
            if len(self._data) < stop:
                return None
            if self._data[end : end + size] != framing.terminator:
                continue
            try:
                body = framing.body(bytes(self._data[:end]), bytes(self._data[end + size : stop]))
            except BadLine as bad:
                self.trouble = str(bad)
            else:
                del self._data[:stop]
                return (body,)
        self._drop(first + size + framing.trailing)
        return ()

    def _drop(self, stop: int, too_long: bool = False) -> None:
        if too_long:
            self.trouble = f"more than {self._framing.longest} bytes in it"
        del self._data[:stop]
        self.joining = False

    def _strip_echo(self) -> bool:
        at = self._data.find(self._echo)
        if at < 0:
            del self._data[: -len(self._echo) - self._limit]
            return False
        del self._data[: at + len(self._echo)]
        self._echo = b""
        return True
