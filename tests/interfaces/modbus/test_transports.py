from __future__ import annotations

import asyncio
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import pytest
from pymodbus import FramerType
from pymodbus.server import ModbusSerialServer, ModbusTcpServer, ModbusTlsServer, ModbusUdpServer

from gateway.allow import Allow
from gateway.clock import SystemClock
from gateway.errors import ConfigFault, Transient, Unreachable
from gateway.interfaces._modbus.config import ModbusConfig
from gateway.interfaces.base import Environment, Interface
from gateway.interfaces.modbus import Interface as Modbus
from gateway.model import Register
from gateway.testing import InterfaceContract, poll, read_one
from tests.fakes import Gate
from tests.integration.certificates import Authority
from tests.interfaces.modbus.bus import socat_pair
from tests.interfaces.modbus.servers import PymodbusServer, device
from tests.interfaces.test_modbus import ModbusPeer, interface_of, register


class AnyServer(PymodbusServer):
    """pymodbus on another transport."""

    def __init__(self, make: Callable[[AnyServer], Any]) -> None:
        super().__init__(device(1, coils=[0] * 20, discrete=[0, 1], holding=[0] * 30, inputs=[5] * 20))
        self._make = make

    async def _serve(self) -> None:
        self._server = self._make(self)
        await self._server.serve_forever(background=True)
        sockets = getattr(self._server.transport, "sockets", None)
        name = sockets[0].getsockname() if sockets else self._server.transport.get_extra_info("sockname")
        self.port = name[1] if name else 0

    async def _shutdown(self) -> None:
        for connection in self._server.active_connections.values():
            connection.transport.abort()  # TLS would wait for a farewell
        await super()._shutdown()
        for _ in range(5):
            await asyncio.sleep(0)  # a socket is closed some steps later


class AnyPeer(ModbusPeer):
    """A pymodbus server on some transport, and the keys that reach it."""

    def __init__(self, make: Callable[[AnyServer], Any], **keys: Any) -> None:
        super().__init__()
        super().stop()
        self.server = AnyServer(make)
        self.start()
        self.config |= {"port": self.server.port} | keys
        self.config = {key: value for key, value in self.config.items() if value is not None}

    def make(self) -> Interface:
        """An interface to this peer, not yet open."""
        env = Environment(SystemClock(), Allow(serial_ports=("/**",)))
        return self.driver(self.driver.Config.model_validate(self.config), env)


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """Who signs the certificates."""
    return Authority(tmp_path_factory.mktemp("tls") / "ca").begin()


def tls_server(authority: Authority, name: str = "plc", host: str = "IP:127.0.0.1") -> ssl.SSLContext:
    """The TLS side of a device that wants to know who asks."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*authority.issue(name, host))
    context.load_verify_locations(authority.ca)
    context.verify_mode = ssl.CERT_REQUIRED
    return context


def tls_keys(authority: Authority) -> dict[str, Any]:
    """The keys of a gateway that the device knows."""
    cert, key = authority.issue("gateway")
    return {"transport": "tls", "ca": authority.ca.read_text(), "cert": cert.read_text(), "key": key.read_text()}


def on_tcp(framer: FramerType) -> Callable[[AnyServer], Any]:
    """A TCP server with some framing."""
    return lambda server: ModbusTcpServer(list(server.devices), framer=framer, address=("127.0.0.1", server.port))


class TestRtuOverTcp(InterfaceContract):
    """RTU frames through a converter keep the contract."""

    @pytest.fixture
    def peer(self) -> Iterator[AnyPeer]:
        """The far side."""
        peer = AnyPeer(on_tcp(FramerType.RTU), framing="rtu")
        yield peer
        peer.stop()


class TestAsciiOverTcp(InterfaceContract):
    """ASCII frames through a converter keep the contract."""

    @pytest.fixture
    def peer(self) -> Iterator[AnyPeer]:
        """The far side."""
        peer = AnyPeer(on_tcp(FramerType.ASCII), framing="ascii")
        yield peer
        peer.stop()


class TestTls(InterfaceContract):
    """TLS with certificates on both sides keeps the contract."""

    @pytest.fixture
    def peer(self, authority: Authority) -> Iterator[AnyPeer]:
        """The far side."""
        context = tls_server(authority)

        def make(server: AnyServer) -> Any:
            at = ("127.0.0.1", server.port)
            return ModbusTlsServer(list(server.devices), framer=FramerType.SOCKET, address=at, sslctx=context)

        peer = AnyPeer(make, **tls_keys(authority))
        yield peer
        peer.stop()


class TestUdp(InterfaceContract):
    """Datagrams keep the contract, but that nobody can tell whether anyone is there before one is sent."""

    @pytest.fixture
    def peer(self) -> Iterator[AnyPeer]:
        """The far side."""
        at = "127.0.0.1"
        peer = AnyPeer(
            lambda server: ModbusUdpServer(list(server.devices), address=(at, server.port)), transport="udp", timeout=0.5
        )
        yield peer
        peer.stop()

    def test_an_unreachable_peer_is_told_and_found_again(self, peer: AnyPeer, registers: list[Register]) -> None:
        """Without its peer a poll raises, as often as one tries, and works once it is back."""
        interface = peer.make()
        peer.stop()
        for _ in range(2):
            interface.open()
            with pytest.raises((Unreachable, Transient)):
                poll(interface, registers)
            interface.close()
        peer.start()
        interface.open()
        assert len(poll(interface, registers)) == len(registers)
        interface.close()


@pytest.mark.parametrize("framing", ["rtu", "ascii"])
def test_a_serial_server_of_another_maker(tmp_path: Path, framing: str) -> None:
    """Pymodbus on a serial port takes and gives what we read and write, in both framings."""
    with ExitStack() as stack:
        near, far, _ = stack.enter_context(socat_pair(tmp_path))
        server = AnyServer(
            lambda server: ModbusSerialServer(list(server.devices), framer=FramerType(framing), port=str(far))
        )
        stack.enter_context(server)
        keys = {"device_address": str(near), "framing": framing, "slave_id": 1}
        env = Environment(SystemClock())
        interface = stack.enter_context(closing(Modbus(ModbusConfig.model_validate(keys), env)))
        interface.open()
        assert interface.write(register(">f", 1), 21.5, {}, Gate()) == 21.5
        assert interface.write(register("BOOL", 9), True, {}, Gate()) is True
        assert read_one(interface, register(">q", 0, writable=False)) == 0x0005000500050005


# --- TLS ---


def test_a_certificate_must_be_that_of_the_device(authority: Authority, tmp_path: Path) -> None:
    """Another name in the certificate, or another authority, is refused in words; server_name says which name is right."""
    context = tls_server(authority, "other", "DNS:plc-1.site.example")
    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=_greet, args=(listener, context, 3), daemon=True).start()
        port, keys = listener.getsockname()[1], tls_keys(authority)
        right = interface_of(port, **keys, server_name="plc-1.site.example")
        right.open()
        right.close()
        with pytest.raises(Unreachable, match="certificate is not accepted: IP address mismatch"):
            interface_of(port, **keys).open()
        stranger = Authority(tmp_path / "ca").begin()
        with pytest.raises(Unreachable, match="certificate is not accepted: self-signed"):
            interface_of(port, **keys | {"ca": stranger.ca.read_text()}).open()


def test_old_tls_is_refused(authority: Authority) -> None:
    """A device that offers TLS 1.1 at most is not connected to."""
    context = tls_server(authority)
    context.set_ciphers("ALL:@SECLEVEL=0")
    with pytest.warns(DeprecationWarning, match="TLSv1_1"):
        context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_1
    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=_greet, args=(listener, context, 1), daemon=True).start()
        with pytest.raises(Unreachable, match=r"TLS failed: .*protocol version"):
            interface_of(listener.getsockname()[1], **tls_keys(authority)).open()


def _greet(listener: socket.socket, context: ssl.SSLContext, times: int) -> None:
    for _ in range(times):
        connection = listener.accept()[0]
        try:
            context.wrap_socket(connection, server_side=True).close()
        except OSError:
            connection.close()


@pytest.mark.parametrize(("key", "text"), [("ca", "nonsense"), ("cert", "nonsense"), ("ca", "nönsense")])
def test_pem_that_is_none_is_a_fault(authority: Authority, key: str, text: str) -> None:
    """Text that holds no certificate is found without a network, and named by its key."""
    keys = tls_keys(authority) | {key: text}
    with pytest.raises(ConfigFault, match="PEM text can not be used") as raised:
        interface_of(802, **keys).check()
    assert raised.value.where == key
    keys = tls_keys(authority)
    interface_of(802, **keys).check()
    interface_of(802, **keys | {"ca": f"# the café's authority\n{keys['ca']}"}).check()


# --- several devices on one endpoint ---


def test_devices_of_one_endpoint_share_its_connection() -> None:
    """Three units behind one server are asked over one connection, which the last one closes."""
    env = Environment(SystemClock())
    units = (1, 2, 3)
    with PymodbusServer(*(device(unit, holding=[unit]) for unit in units)) as server:
        made = [Modbus(ModbusConfig(device_address="127.0.0.1", port=server.port, slave_id=unit), env) for unit in units]
        for interface in made:
            interface.open()
        for _ in range(2):
            assert [read_one(interface, register(">H", 0)) for interface in made] == [1, 2, 3]
        assert len(server._server.active_connections) == 1
        made[0].close()
        assert read_one(made[1], register(">H", 0)) == 2
        made[1].close()
        made[2].close()


def test_a_black_hole_is_noticed_and_connected_anew() -> None:
    """A peer that takes a connection and never answers costs a timeout; then there is a new connection, and it works."""
    with socket.create_server(("127.0.0.1", 0)) as hole:
        port = hole.getsockname()[1]
        interface = interface_of(port, timeout=0.1)
        interface.open()
        for _ in range(2):
            with pytest.raises(Transient, match="no answer"):
                read_one(interface, register(">H", 0))
        hole.close()
    with pytest.raises(Unreachable):
        read_one(interface, register(">H", 0))
    interface.close()
