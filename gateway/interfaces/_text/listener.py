"""Listening to an instrument that talks unasked: a thread reads all it says, so that nothing gets old unread."""

from __future__ import annotations

import os
import select
import threading
from collections import deque
from collections.abc import Callable, Sequence

import structlog

from gateway.clock import Clock
from gateway.interfaces._streams import Stream, words
from gateway.interfaces._text.framing import Framing, Splitter
from gateway.interfaces._text.register import MOST_LINES, Lines
from gateway.vitals import Pulse, Vitals

log = structlog.get_logger()

QUIET = 0.05
"""Seconds without a byte after which a line counts as silent: more than USB adapters hold bytes back (16 ms)."""
_PAUSE = 0.02
"""Seconds between two reads: no serial line brings a backlog in that time, and a flood takes little of our time."""
_SIGN = 1.0
"""Seconds after which it shows that it lives, if nothing is said."""
_MOST_WAITING = 100
_BACKLOG = 4095
"""Bytes in one read that show that some have waited long, and that others may be lost between them (the kernel's buffer)."""
_BROKEN_OFF = 1.0
"""Seconds after which a line that has begun is not gone on with."""

Heard = tuple[float, list[str | None]]
"""When lines came (boot clock), and what matched in them."""


class Listener:
    """Reads a stream from ``start`` to ``stop``; the newest match of each pattern counts.

    Everything but ``start`` and ``stop`` may be called from any thread. ``alive`` is false once the stream is broken.
    """

    def __init__(self, stream: Stream, framing: Framing, clock: Clock, vitals: Vitals) -> None:
        self.alive = True
        self.reason = ""
        self.since = clock.now()
        self._stream = stream
        self._clock = clock
        self._vitals = vitals
        self._pulse: Pulse
        self._splitter = Splitter(framing, joined=True)
        self._changed = threading.Condition()
        self._lines: deque[bytes] = deque(maxlen=_MOST_WAITING)
        self._recent: deque[bytes] = deque(maxlen=MOST_LINES)
        self._watched: dict[Lines, Heard | None] = {}
        self._last = self.since
        self._wake = os.pipe()
        self._thread = threading.Thread(target=self._run, name=f"listen to {stream.name}", daemon=True)

    def start(self) -> None:
        """Begin to read."""
        self._pulse = self._vitals.begin(self._thread.name)
        self._thread.start()

    def stop(self) -> None:
        """End the thread; the stream is still open then."""
        self._break("it is closed")
        os.write(self._wake[1], b"x")
        self._thread.join()
        for file in self._wake:
            os.close(file)

    @property
    def trouble(self) -> str:
        """What was wrong with the last line that was not taken."""
        return self._splitter.trouble

    def heard(
        self, wanted: Sequence[Lines], until: float = 0.0, enough: Callable[[], bool] = lambda: False
    ) -> list[Heard | None]:
        """The newest match of each; waits for those that have none, until then, ``enough``, or the stream's end."""
        with self._changed:
            for lines in wanted:
                self._watched.setdefault(lines, None)
            while (
                any(self._watched[lines] is None for lines in wanted)
                and self.alive
                and not enough()
                and (left := until - self._clock.now()) > 0
            ):
                self._changed.wait(left)
            return [self._watched[lines] for lines in wanted]

    def nudge(self) -> None:
        """Wake those that wait."""
        with self._changed:
            self._changed.notify_all()

    def begin(self, echo: bytes) -> None:
        """A request is sent: lines from now on are for ``next``, those behind the echo if there is one."""
        with self._changed:
            self._join()
            self._lines.clear()
            self._splitter.trouble = ""
            self._splitter.expect_echo(echo)

    def next(self, until: float) -> bytes | None:
        """The next line since ``begin``; None if there is none before that time. Raises OSError if the stream is broken."""
        with self._changed:
            while not self._lines:
                if not self.alive:
                    raise ConnectionResetError(self.reason)
                left = until - self._clock.now()
                if left <= 0:
                    self._splitter.expect_echo(b"")
                    return None
                self._changed.wait(left)
            return self._lines.popleft()

    def _join(self) -> None:
        """Wait, if the beginning of a line has not been seen yet, until one ends or there is silence."""
        now = self._clock.now()
        until = now + _BROKEN_OFF
        while self._splitter.joining and self.alive and now < min(until, self._last + QUIET):
            self._changed.wait(min(until, self._last + QUIET) - now)
            now = self._clock.now()
        if self._splitter.joining and now >= self._last + QUIET:
            self._splitter.clear()

    def _run(self) -> None:
        """Until the end of the stream, or a failure of ours: then the device's thread connects anew."""
        try:
            self._listen()
        except OSError as error:
            self._break(words(error))
        except Exception:
            log.exception("listening failed; the device is connected anew", line=self._stream.name)
            self._break("a failure in the gateway; its log says more")
        finally:
            self._vitals.end(self._pulse)

    def _listen(self) -> None:
        waiting, resting = select.poll(), select.poll()
        waiting.register(self._stream.fileno(), select.POLLIN)
        for poll in (waiting, resting):
            poll.register(self._wake[0], select.POLLIN)
        while self._wake[0] not in (ready := [file for file, _ in waiting.poll(_SIGN * 1000)]):
            self._pulse.due = self._clock.now()
            if not ready:
                continue
            data = self._stream.receive(0)
            with self._changed:
                self._take(data)
            if resting.poll(_PAUSE * 1000):
                return

    def _break(self, reason: str) -> None:
        with self._changed:
            self.alive, self.reason = False, self.reason or reason
            self._changed.notify_all()

    def _take(self, data: bytes) -> None:
        now = self._clock.now()
        if not data:
            return
        if len(data) >= _BACKLOG:
            self._splitter.clear(joined=True)
            return
        if self._splitter.partial and now - self._last > _BROKEN_OFF:
            self._splitter.clear(joined=True)
        self._last = now
        self._splitter.feed(data)
        while (line := self._splitter.next()) is not None:
            self._lines.append(line)
            self._recent.append(line)
            for lines in self._watched:
                if (groups := lines.match(list(self._recent))) is not None:
                    self._watched[lines] = (now, groups)
        self._changed.notify_all()
