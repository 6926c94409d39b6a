"""Modbus TCP on a socket: one connection, one request at a time, one checked reply.

The exchange is done here rather than by a library: every byte of a reply is checked, a request costs a third of the time,
and waiting is by poll(), which knows no limit of 1024 file descriptors.
"""

from __future__ import annotations

import select
import socket
from collections.abc import Callable

from gateway.errors import Transient, Unreachable
from gateway.interfaces._modbus.frames import SocketFraming
from gateway.interfaces._modbus.pdu import Query
from gateway.interfaces.base import Environment

_MAX_ADU = 260
_KEEPALIVE = {socket.TCP_KEEPIDLE: 30, socket.TCP_KEEPINTVL: 10, socket.TCP_KEEPCNT: 3}


class TcpClient:
    """A connection to one unit behind a host and port; every wait is at most ``timeout`` seconds."""

    def __init__(self, host: str, port: int, unit: int, timeout: float, env: Environment) -> None:
        self._host = host
        self._port = port
        self._unit = unit
        self._timeout = timeout
        self._env = env
        self._framing = SocketFraming()
        self._socket: socket.socket | None = None
        self._poll = select.poll()

    @property
    def connected(self) -> bool:
        """Whether there is a connection, as far as is known without asking."""
        return self._socket is not None

    def open(self) -> None:
        """Connect to the first address that answers; does nothing if connected. Raises Unreachable."""
        if self._socket is None:
            self._socket = self._connect()
            self._poll = select.poll()
            self._poll.register(self._socket, select.POLLIN)

    def close(self) -> None:
        """Disconnect."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def exchange(self, query: Query, may_send: Callable[[], None] | None = None) -> bytes:
        """Send a request and return the data of its reply; ``may_send`` is called immediately before the bytes go.

        Raises Refusal (an exception code), Transient (no usable reply), Unreachable (no connection),
        or what ``may_send`` raises. After Transient and Unreachable the connection is closed: a late reply dies with it.
        """
        connection = self._ready()
        frame = self._framing.request(self._unit, query.pdu)
        if may_send is not None:
            may_send()
        try:
            connection.sendall(frame)
            return query.data(self._reply(connection, query))
        except Transient:
            self.close()
            raise
        except OSError as error:
            self.close()
            raise Unreachable(f"the connection to {self._host}:{self._port} broke: {_words(error)}") from error

    def _ready(self) -> socket.socket:
        # Something to read before a request: the peer has closed the idle connection, or sent what nobody asked for.
        if self._socket is not None and self._poll.poll(0):
            self.close()
        self.open()
        assert self._socket is not None
        return self._socket

    def _reply(self, connection: socket.socket, query: Query) -> bytes:
        now = self._env.clock.now
        deadline = now() + self._timeout
        data = b""
        wait = self._timeout
        while self._poll.poll(wait * 1000):
            chunk = connection.recv(_MAX_ADU + 1)
            if not chunk:
                raise ConnectionResetError("the device closed it without a whole reply")
            data += chunk
            reply = self._framing.reply(data, self._unit, query)
            if reply is not None:
                return reply
            wait = max(0.0, deadline - now())
        raise Transient(f"no {'whole ' if data else ''}answer within {self._timeout:g} s")

    def _connect(self) -> socket.socket:
        reason = ""
        for address in self._addresses():
            try:
                connection = socket.create_connection((address, self._port), self._timeout)
            except OSError as error:
                reason = _words(error)
            else:
                return _tuned(connection)
        raise Unreachable(f"can not connect to {self._host}:{self._port}: {reason}")

    def _addresses(self) -> list[str]:
        try:
            found = socket.getaddrinfo(self._host, self._port, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError) as error:
            raise Unreachable(f'the host name "{self._host}" can not be resolved: {_words(error)}') from error
        addresses = [str(entry[4][0]) for entry in found]
        allowed = [address for address in addresses if self._env.allow.address(address)]
        if not allowed:
            raise Unreachable(f"{self._host} is {', '.join(addresses)}, which the setting allow.networks does not permit")
        return allowed


def _tuned(connection: socket.socket) -> socket.socket:
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for option, value in _KEEPALIVE.items():
        connection.setsockopt(socket.IPPROTO_TCP, option, value)
    connection.setblocking(False)
    return connection


def _words(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error)
