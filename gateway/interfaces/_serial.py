"""Bytes to and from a serial port of this machine. Nothing here knows a protocol.

The port is opened by pyserial and read and written here: pyserial waits by select(), which fails on files above 1,023.
"""

from __future__ import annotations

import errno
import fcntl
import os
import select
import termios
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from gateway.errors import ConfigFault, Unreachable
from gateway.interfaces._streams import words

if TYPE_CHECKING:
    import serial

_MOST = 4096
_WRITE_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class LineSettings:
    """How characters are sent; ``rs485`` holds the arguments of pyserial's ``RS485Settings``."""

    baudrate: int = 9600
    bytesize: int = 8
    parity: str = "none"
    stopbits: float = 1
    xonxoff: bool = False
    rs485: Mapping[str, Any] | None = field(default=None)


class SerialStream:
    """A serial port, opened so that nobody else has it: by a lock for those who ask, and by the kernel for the rest."""

    fresh = False

    def __init__(self, path: str, settings: LineSettings) -> None:
        self.name = path
        self._settings = settings
        self._port: serial.Serial | None = None
        self._poll = select.poll()

    @property
    def connected(self) -> bool:
        """Whether the port is open."""
        return self._port is not None

    def open(self) -> None:
        """Open the port. Raises Unreachable."""
        if self._port is not None:
            return
        need_pyserial()
        try:
            port = self._opened()
        except (OSError, ValueError, termios.error) as error:  # serial.SerialException is an OSError
            raise Unreachable(f"the serial port {self.name} can not be opened: {_why(error)}") from error
        self._port = port
        self._poll = select.poll()
        self._poll.register(port.fileno(), select.POLLIN)

    def close(self) -> None:
        """Close the port, and throw away what was not sent."""
        port, self._port = self._port, None
        if port is None:
            return
        try:
            termios.tcflush(port.fileno(), termios.TCIOFLUSH)
            fcntl.ioctl(port.fileno(), termios.TIOCNXCL)
        except (OSError, termios.error):
            pass  # the device is gone, and what was to be sent with it
        port.close()

    def fileno(self) -> int:
        """The port's file, -1 if it is closed."""
        return -1 if self._port is None else int(self._port.fileno())

    def pending(self) -> bool:
        """Whether there is something to read."""
        return bool(self._poll.poll(0))

    def send(self, data: bytes) -> None:
        """Write all of it; returns when the driver has it."""
        file, left = self._file, memoryview(data)
        while left:
            try:
                left = left[os.write(file, left) :]
            except BlockingIOError:
                self._await_room(file)

    def receive(self, seconds: float) -> bytes:
        """What comes within that time."""
        if not self._poll.poll(seconds * 1000):
            return b""
        data = os.read(self._file, _MOST)
        if not data:
            raise ConnectionResetError("the serial port is gone")
        return data

    @property
    def _file(self) -> int:
        if self._port is None:
            raise ConnectionResetError("it is closed")
        return int(self._port.fileno())

    def _opened(self) -> serial.Serial:
        import serial

        settings = self._settings
        port = serial.Serial(
            self.name,
            settings.baudrate,
            bytesize=settings.bytesize,
            parity=settings.parity[0].upper(),
            stopbits=settings.stopbits,
            xonxoff=settings.xonxoff,
            timeout=0,
            exclusive=True,
        )
        try:
            fcntl.ioctl(port.fileno(), termios.TIOCEXCL)
            if settings.rs485 is not None:
                from serial.rs485 import RS485Settings

                port.rs485_mode = RS485Settings(**settings.rs485)
        except BaseException:
            port.close()
            raise
        return port

    def _await_room(self, file: int) -> None:
        room = select.poll()
        room.register(file, select.POLLOUT)
        if not room.poll(_WRITE_SECONDS * 1000):
            raise TimeoutError("the serial port takes nothing")


def need_pyserial() -> None:
    """ConfigFault if the package for serial ports is not installed."""
    try:
        import serial  # noqa: F401
    except ImportError:
        raise ConfigFault("serial lines need the package pyserial: install gateway[serial]", "device_address") from None


def _why(error: Exception) -> str:
    number = error.args[0] if error.args else None
    if number in (errno.EAGAIN, errno.EBUSY):
        return "another program has it"
    return os.strerror(number) if isinstance(number, int) and number > 0 else words(error)
