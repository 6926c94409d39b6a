"""What the service manager is told: the protocol of sd_notify(3), a datagram with ``KEY=value`` lines."""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping

import structlog

log = structlog.get_logger()


class Notifier:
    """``address`` is that of NOTIFY_SOCKET: a path, or a name that begins with ``@``; empty: nobody is told.

    ``watchdog`` is after how many seconds without a sign of life we are ended, None if nobody watches.
    """

    def __init__(self, address: str = "", watchdog: float | None = None) -> None:
        self._address = "\0" + address[1:] if address.startswith("@") else address
        self._failed = False
        self.watchdog = watchdog

    @classmethod
    def from_environment(cls, environ: Mapping[str, str]) -> Notifier:
        """As the service manager says; WATCHDOG_PID is checked as sd_watchdog_enabled(3) does."""
        usec = environ.get("WATCHDOG_USEC", "")
        meant = environ.get("WATCHDOG_PID") in (None, "", str(os.getpid()))
        watchdog = int(usec) / 1e6 if usec.isdigit() and int(usec) and meant else None
        return cls(environ.get("NOTIFY_SOCKET", ""), watchdog)

    def tell(self, **values: str) -> None:
        """Send these, as in ``tell(READY="1", STATUS="all is well")``; never raises and never waits."""
        if not self._address:
            return
        text = "\n".join(f"{key}={value.replace(chr(10), ' ')}" for key, value in values.items())
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK) as sock:
                sock.connect(self._address)
                sock.send(text.encode())
        except OSError as error:
            if not self._failed:
                log.warning("the service manager can not be told", reason=error.strerror)
            self._failed = True
        else:
            self._failed = False
