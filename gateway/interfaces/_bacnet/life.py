"""One life of the child process that holds a BACnet stack, from its start to its end; all on the thread of its network."""

from __future__ import annotations

import contextlib
import logging
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from gateway import child
from gateway.interfaces._bacnet import wire
from gateway.interfaces._bacnet.values import Local

log = logging.getLogger("gateway.bacnet")

TICK = 1.0
"""Seconds without a word from the child after which it is asked whether it lives."""
HUNG_TICKS = 10
"""So often without an answer it hangs."""
START_TICKS = 40
"""So often it may be silent while it starts: its libraries take a second to load, and more on a busy machine."""
IDLE_TICKS = 3
"""So long it stays when nobody uses it: a device config that changes leaves and joins at once."""
END_WITHIN = 3.0
HEALTHY = 60.0
"""Seconds of life after which the next failure is a new one."""
CHUNK = 1 << 16
NOWHERE = "/dev/null"
"""The home directory that the child is told, in which nothing can be made: its library keeps files in a user's."""


@dataclass(frozen=True)
class Options:
    """What a stack is told: its address with the mask, and who we are on the network."""

    address: str | None = None
    port: int = 47808
    bbmd: str | None = None
    bbmd_ttl: int = 300
    device_id: int = 4194302
    device_name: str = "gateway"
    vendor_id: int = 999
    vendor_name: str = ""
    model_name: str = "MQTT gateway"
    version: str = ""
    max_apdu: int = 1476

    @property
    def name(self) -> str:
        """The address and port in words."""
        return f"{(self.address or '').partition('/')[0]}:{self.port}"

    def at(self, local: Local) -> Options:
        """The same with what a device config wants otherwise."""
        wanted = {key: value for key, value in asdict(local).items() if value is not None}
        return replace(self, **wanted)


class Life:
    """The child process from start to end."""

    def __init__(self, options: Options) -> None:
        self._options = options
        self._ours, self._theirs = socket.socketpair()
        self._ours.settimeout(TICK)
        self._out = self._ours.dup()
        self._out.settimeout(TICK)
        self._output = os.memfd_create("bacnet-output")
        self._sending = threading.Lock()
        self._child: child.Child | None = None
        self._ready = False
        self._refusal = ""
        self._silent = 0
        self._idle = 0
        self._finishing = False
        self._began = time.monotonic()

    @property
    def healthy(self) -> bool:
        """Whether it has lived long enough for the next failure to be a new one."""
        return self._ready and time.monotonic() - self._began > HEALTHY

    def send(self, message: wire.Message) -> bool:
        """Hand a message to the child; False if it did not go, and never will: then the child is ended."""
        with self._sending:
            try:
                self._out.sendall(wire.frame(message))
            except OSError:
                self._break()
                return False
            return True

    def finish(self) -> None:
        """Let the child end by itself; one that still starts is not waited for."""
        self._finishing = True
        if not self._ready:
            self._break()
        with self._sending, contextlib.suppress(OSError):
            self._out.shutdown(socket.SHUT_WR)

    def run(self, take: Callable[[wire.Message], None], in_use: Callable[[], bool]) -> str:
        """Start it, and hand over what it says until it ends: why, in words; empty if it was not needed any more."""
        try:
            self._start()
            self.send(asdict(self._options) | {"debug": log.isEnabledFor(logging.DEBUG)})
        except OSError as error:
            return f"the BACnet process can not be started: {error.strerror}"
        try:
            told = self._listen(take, in_use) or self._refusal
            return told if told or self._finishing else self._last_words(in_use())
        finally:
            self._end()

    def clean(self) -> None:
        """Close what is left."""
        self._ours.close()
        self._out.close()
        self._theirs.close()
        os.close(self._output)

    def _start(self) -> None:
        """Start it; what it prints is kept in memory, and told if it ends."""
        fd = self._theirs.fileno()
        output = Path(f"/proc/self/fd/{self._output}")
        command = [sys.executable, "-P", "-m", "gateway.interfaces._bacnet.stack", str(fd)]
        places = [str(Path(__file__).parents[3]), os.environ.get("PYTHONPATH", "")]
        environ = os.environ | {"HOME": NOWHERE, "PYTHONPATH": os.pathsep.join(filter(None, places))}
        self._child = child.start("bacnet", command, output, environ=environ, descriptors=[fd])
        self._theirs.close()

    def _listen(self, take: Callable[[wire.Message], None], in_use: Callable[[], bool]) -> str:
        unframer = wire.Unframer()
        while True:
            try:
                data = self._ours.recv(CHUNK)
            except TimeoutError:
                if self._hangs():
                    return "the BACnet process hung and was ended"
                self._look_idle(in_use)
                continue
            except OSError:
                data = b""  # it was killed with something unread
            if not data:
                return ""
            self._silent = 0
            for message in unframer.feed(data):
                self._hear(message, take)

    def _hear(self, message: wire.Message, take: Callable[[wire.Message], None]) -> None:
        match message.get("tell"):
            case "log":
                logging.getLogger(message["logger"]).log(message["level"], message["message"])
            case "down":
                self._refusal = message["message"]
            case "ready":
                self._ready = True
                log.info("the BACnet network at %s is up", self._options.name)
                take(message)
            case _:
                take(message)

    def _hangs(self) -> bool:
        """Asked whenever nothing came for a tick. Ticks are counted, not time: a machine that slept was not listening."""
        self._silent += 1
        if self._ready:
            self.send({"do": "ping", "id": 0})
        return self._silent > (HUNG_TICKS if self._ready else START_TICKS)

    def _look_idle(self, in_use: Callable[[], bool]) -> None:
        self._idle = 0 if in_use() else self._idle + 1
        if self._idle == IDLE_TICKS:
            self.finish()

    def _last_words(self, wanted: bool) -> str:
        if not wanted:
            return ""
        assert self._child is not None
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._child.process.wait(END_WITHIN)
        log.error("the BACnet network at %s is down: %s", self._options.name, self._child.ended() or "it hangs")
        return f"the BACnet process ended unexpectedly (exit code {self._child.process.returncode})"

    def _break(self) -> None:
        with contextlib.suppress(OSError):
            self._ours.shutdown(socket.SHUT_RDWR)

    def _end(self) -> None:
        """Wait for the process, or kill it: none is left, and none remains as a zombie."""
        assert self._child is not None
        self._break()
        if self._ready and not self._silent > HUNG_TICKS:
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._child.process.wait(END_WITHIN)
        self._child.process.kill()
        self._child.process.wait()
