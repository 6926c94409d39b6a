"""One unit of a Modbus line: a seat at the link that carries it."""

from __future__ import annotations

from gateway.errors import Transient
from gateway.interfaces._links import Pace, Seat, Share
from gateway.interfaces._modbus.config import ModbusConfig
from gateway.interfaces._modbus.frames import AsciiFraming, Framing, RtuFraming, SocketFraming
from gateway.interfaces._modbus.line import ModbusLine
from gateway.interfaces._modbus.pdu import Query, Refusal
from gateway.interfaces._serial import LineSettings, SerialStream
from gateway.interfaces._streams import Stream, TcpStream, TlsFiles, TlsStream, UdpStream
from gateway.interfaces.base import Environment, MaySend

NO_ANSWER = (10, 11)
"""Exceptions by which a gateway says that the unit behind it does not answer."""

_FRAMINGS: dict[str, type[Framing]] = {"socket": SocketFraming, "rtu": RtuFraming, "ascii": AsciiFraming}


class Client(Share[ModbusLine]):
    """The unit of a ``driver_config``; a seat at its link from ``open`` to ``close``."""

    def __init__(self, config: ModbusConfig, env: Environment) -> None:
        super().__init__(env.links, self._joined)
        self._config = config
        self._env = env

    @property
    def connected(self) -> bool:
        """Whether there is a connection, as far as is known without asking."""
        return self.line is not None and self.line.stream.connected

    def exchange(self, query: Query, may_send: MaySend | None = None, urgent: bool = False) -> bytes:
        """Send a request when it is its turn, and return the data of its reply.

        Raises what ``ModbusLine.exchange`` and ``Seat.take`` raise.
        """
        seat = self.seat()
        seat.take(urgent)
        answered: bool | None = None
        rest = 0.0
        try:
            data = seat.link.line.exchange(self._config.slave_id, query, self._config.timeout, may_send)
            answered = True
            return data
        except Refusal as refusal:
            answered = refusal.code not in NO_ANSWER
            raise
        except Transient:
            answered, rest = False, seat.line.rest(self._config.timeout)
            raise
        finally:
            seat.give(answered, rest)

    def _joined(self) -> Seat[ModbusLine]:
        config = self._config
        pace = Pace(config.frame_gap, config.connect_delay, config.requests_per_second)
        endpoint = ("modbus", *config.endpoint)
        return self._env.links.seat(endpoint, config.slave_id, self._made, config.line(), pace, self._env.clock)

    def _made(self) -> ModbusLine:
        return line_of(self._config, self._env)


def line_of(config: ModbusConfig, env: Environment) -> ModbusLine:
    """A line of its own to what a config names, for somebody who shares it with nobody; it is not open yet."""
    character = config.character if config.serial else 0.0
    return ModbusLine(_stream(config, env), _FRAMINGS[config.framing](), env.clock, character, config.echo)


def tls_files(config: ModbusConfig) -> TlsFiles:
    """The TLS keys of a config."""
    return TlsFiles(config.ca, config.cert, config.key, config.server_name or config.device_address)


def _stream(config: ModbusConfig, env: Environment) -> Stream:
    if config.serial:
        rs485 = config.rs485.model_dump() if config.rs485 else None
        line = LineSettings(config.baudrate, config.bytesize, config.parity, config.stopbits, config.xonxoff, rs485)
        return SerialStream(config.device_address, line)
    place = (config.device_address, config.port, config.timeout, env)
    if config.transport == "tls":
        return TlsStream(*place, tls_files(config))
    return UdpStream(*place) if config.transport == "udp" else TcpStream(*place)
