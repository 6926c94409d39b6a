"""Bytes to and from a device: TCP, TLS and UDP sockets. Nothing here knows a protocol.

Waiting is by poll() or by the socket's own timeout, which know no limit of 1024 file descriptors.
"""

from __future__ import annotations

import os
import select
import socket
import ssl
from dataclasses import dataclass
from typing import Protocol

from gateway.errors import Unreachable
from gateway.interfaces.base import Environment

_MOST = 4096
_KEEPALIVE = {socket.TCP_KEEPIDLE: 30, socket.TCP_KEEPINTVL: 10, socket.TCP_KEEPCNT: 3}


class Stream(Protocol):
    """A way for bytes. Everything but ``open`` may raise OSError once it is broken.

    ``fresh`` says that a new connection brings nothing that was sent for an old one.
    """

    name: str
    fresh: bool

    @property
    def connected(self) -> bool:
        """Whether it is open, as far as is known without asking."""
        ...

    def open(self) -> None:
        """Open it; does nothing if it is open. Raises Unreachable."""
        ...

    def close(self) -> None:
        """Close it, at any time."""
        ...

    def fileno(self) -> int:
        """The file to wait for, -1 if it is closed."""
        ...

    def pending(self) -> bool:
        """Whether there is something to read, or an end."""
        ...

    def send(self, data: bytes) -> None:
        """Send all of it."""
        ...

    def receive(self, seconds: float) -> bytes:
        """What comes within that time; b"" if nothing does. An end raises ConnectionResetError."""
        ...


class TcpStream:
    """A TCP connection to the first address of a host that answers."""

    fresh = True
    kind = socket.SOCK_STREAM

    def __init__(self, host: str, port: int, timeout: float, env: Environment) -> None:
        self.name = f"{host}:{port}"
        self._host = host
        self._port = port
        self._timeout = timeout
        self._env = env
        self._socket: socket.socket | None = None
        self._poll = select.poll()

    @property
    def connected(self) -> bool:
        """Whether there is a connection, as far as is known without asking."""
        return self._socket is not None

    def open(self) -> None:
        """Connect. Raises Unreachable."""
        if self._socket is None:
            self._socket = self._connect()
            self._poll = select.poll()
            self._poll.register(self._socket, select.POLLIN)

    def close(self) -> None:
        """Disconnect."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def fileno(self) -> int:
        """The socket's file, -1 if there is no connection."""
        return -1 if self._socket is None else self._socket.fileno()

    def pending(self) -> bool:
        """Whether the peer has closed the idle connection, or sent what nobody asked for."""
        return bool(self._poll.poll(0))

    def send(self, data: bytes) -> None:
        """Send all of it."""
        self._open_socket.sendall(data)

    def receive(self, seconds: float) -> bytes:
        """What comes within that time."""
        if not self._poll.poll(seconds * 1000):
            return b""
        return _or_end(self._open_socket.recv(_MOST))

    @property
    def _open_socket(self) -> socket.socket:
        if self._socket is None:
            raise ConnectionResetError("it is closed")
        return self._socket

    def _connect(self) -> socket.socket:
        reason = ""
        for address in self._addresses():
            try:
                return self._tuned(self._connected_to(address))
            except OSError as error:  # ssl.SSLError, too
                reason = words(error)
        raise Unreachable(f"can not connect to {self.name}: {reason}")

    def _connected_to(self, address: str) -> socket.socket:
        return socket.create_connection((address, self._port), self._timeout)

    def _tuned(self, connection: socket.socket) -> socket.socket:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for option, value in _KEEPALIVE.items():
            connection.setsockopt(socket.IPPROTO_TCP, option, value)
        connection.setblocking(False)
        return connection

    def _addresses(self) -> list[str]:
        try:
            found = socket.getaddrinfo(self._host, self._port, type=self.kind)
        except (OSError, UnicodeError) as error:
            raise Unreachable(f'the host name "{self._host}" can not be resolved: {words(error)}') from error
        addresses = [str(entry[4][0]) for entry in found]
        allowed = [address for address in addresses if self._env.allow.address(address)]
        if not allowed:
            raise Unreachable(f"{self._host} is {', '.join(addresses)}, which the setting allow.networks does not permit")
        return allowed


class UdpStream(TcpStream):
    """Datagrams to and from one address; whether anybody is there shows only when one is asked."""

    kind = socket.SOCK_DGRAM

    def _connected_to(self, address: str) -> socket.socket:
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        connection = socket.socket(family, self.kind)
        try:
            connection.connect((address, self._port))
        except BaseException:
            connection.close()
            raise
        return connection

    def _tuned(self, connection: socket.socket) -> socket.socket:
        connection.setblocking(False)
        return connection


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """Whom to trust (by default those whom the system trusts), who we are, and who the device is; all but the name PEM."""

    ca: str | None
    cert: str | None
    key: str | None
    server_name: str

    def context(self) -> ssl.SSLContext:
        """TLS 1.2 or newer, with the peer's certificate and name checked. Raises OSError, ValueError for bad PEM."""
        # Letters of other alphabets may stand in the comments of PEM; ssl takes a text of ASCII alone.
        context = ssl.create_default_context(cadata=self.ca and self.ca.encode("ascii", "replace").decode())
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        if self.cert is not None:
            _load(context, self.cert + "\n" + (self.key or ""))
        return context


class TlsStream(TcpStream):
    """TLS on a TCP connection."""

    def __init__(self, host: str, port: int, timeout: float, env: Environment, files: TlsFiles) -> None:
        super().__init__(host, port, timeout, env)
        self._files = files

    def pending(self) -> bool:
        """Whether there is data or an end; what belongs to TLS itself is neither."""
        self._open_socket.settimeout(0)
        try:
            self._open_socket.recv(1)
        except ssl.SSLWantReadError:
            return False
        except OSError:
            pass  # it broke: there is an end
        return True

    def send(self, data: bytes) -> None:
        """Send all of it."""
        self._open_socket.settimeout(self._timeout)
        super().send(data)

    def receive(self, seconds: float) -> bytes:
        """What comes within that time."""
        self._open_socket.settimeout(max(seconds, 0.001))
        try:
            return _or_end(self._open_socket.recv(_MOST))
        except TimeoutError:
            return b""

    def _tuned(self, connection: socket.socket) -> socket.socket:
        super()._tuned(connection).settimeout(self._timeout)
        try:
            return self._files.context().wrap_socket(connection, server_hostname=self._files.server_name)
        except BaseException:
            connection.close()
            raise


def words(error: Exception) -> str:
    """An error of the operating system or of TLS in words, without numbers."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate is not accepted: {error.verify_message}"
    if isinstance(error, ssl.SSLError):
        return f"TLS failed: {(error.reason or 'unknown').replace('_', ' ').lower()}"
    return getattr(error, "strerror", None) or str(error)


def _load(context: ssl.SSLContext, pem: str) -> None:
    """Use a certificate and key that stand in a text; ssl takes files only, so they lie in memory for a moment."""
    file = os.memfd_create("certificate")
    try:
        os.write(file, pem.encode())
        context.load_cert_chain(f"/proc/self/fd/{file}", password=lambda: "")
    finally:
        os.close(file)


def _or_end(data: bytes) -> bytes:
    if not data:
        raise ConnectionResetError("the device closed it without a whole reply")
    return data
