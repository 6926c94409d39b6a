from __future__ import annotations

import resource
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from itertools import chain, repeat
from pathlib import Path

import pytest

from gateway.allow import Allow
from gateway.errors import DeadlinePassed, Transient, Unreachable
from gateway.interfaces._modbus.client import Client
from gateway.interfaces._modbus.config import ModbusConfig
from gateway.interfaces._modbus.pdu import EXCEPTIONS, Refusal, Table, read_query
from gateway.interfaces._streams import TcpStream
from gateway.interfaces.base import Environment
from tests.fakes import FakeClock, Gate
from tests.interfaces.modbus.servers import RESET, Answer, ScriptedServer, reply

QUERY = read_query(Table.HOLDING, 10, 2)
GOOD = b"\x03\x04\x00\x01\x00\x02"
OTHER = b"\x03\x04\xde\xad\xbe\xef"
UNIT = 7


class LeapingClock(FakeClock):
    """A clock on which a minute passes between any two looks."""

    def now(self) -> float:
        """The time, a minute after the last look."""
        self.advance(60)
        return super().now()


def client_of(port: int, *, host: str = "127.0.0.1", timeout: float = 10, env: Environment | None = None) -> Client:
    """A client, not yet open."""
    config = ModbusConfig(device_address=host, port=port, slave_id=UNIT, timeout=timeout)
    return Client(config, env or Environment(FakeClock()))


def stream_of(client: Client) -> TcpStream:
    """The stream under a client that has a seat."""
    assert client._seat is not None
    stream = client._seat.line.stream
    assert isinstance(stream, TcpStream)
    return stream


def socket_of(client: Client) -> socket.socket:
    """The socket of a client that is connected."""
    found = stream_of(client)._socket
    assert found is not None
    return found


@contextmanager
def scripted(answer: Answer, **options) -> Iterator[tuple[Client, ScriptedServer]]:
    """A client and the server that answers it."""
    with ScriptedServer(answer) as server, closing(client_of(server.port, **options)) as client:
        yield client, server


def once(first: Callable[[bytes], bytes]) -> Answer:
    """An answer that goes wrong for the first request (b"" is silence), and is right from then on."""
    answers = chain([first], repeat(lambda request: reply(request, GOOD)))
    return lambda request: filter(None, [next(answers)(request)])


def test_a_reply_is_its_data() -> None:
    """A good reply gives what the registers hold, request after request on one connection."""
    with scripted(lambda request: [reply(request, GOOD)]) as (client, server):
        assert [client.exchange(QUERY) for _ in range(3)] == [GOOD[2:]] * 3
        assert len(server.connections) == 1
        assert [request[2:] for request in server.requests] == [bytes.fromhex("0000 0006 07 03 000a 0002")] * 3
        assert [int.from_bytes(request[:2], "big") for request in server.requests] == [1, 2, 3]


def test_the_transaction_id_is_never_0() -> None:
    """After 65535 comes 1, so that a device that always answers 0 is found out."""
    with scripted(lambda request: [reply(request, GOOD)]) as (client, server):
        client.open()
        client._seat.line.framing.transaction = 0xFFFE
        client.exchange(QUERY)
        client.exchange(QUERY)
        assert [request[:2].hex() for request in server.requests] == ["ffff", "0001"]


def test_one_byte_at_a_time() -> None:
    """A reply may come in as many pieces as it has bytes."""
    with scripted(lambda request: [bytes([byte]) for byte in reply(request, GOOD)]) as (client, _):
        assert client.exchange(QUERY) == GOOD[2:]


WRONG = {
    "transaction 0": (lambda r: reply(r, OTHER, transaction=0), "answered transaction 0, not 1"),
    "another transaction": (lambda r: reply(r, OTHER, transaction=99), "answered transaction 99, not 1"),
    "another unit": (lambda r: reply(r, OTHER, unit=8), "unit 8 answered, not 7"),
    "unit 0": (lambda r: reply(r, OTHER, unit=0), "unit 0 answered, not 7"),
    "another protocol": (lambda r: reply(r, OTHER, protocol=1), "not a Modbus TCP frame"),
    "another function": (lambda r: reply(r, b"\x04" + OTHER[1:]), "function 3 with function 4"),
    "another function's exception": (lambda r: reply(r, b"\x84\x02"), "function 3 with function 132"),
    "too few registers": (lambda r: reply(r, b"\x03\x02\xde\xad"), "4 bytes where 6 were due"),
    "too many registers": (lambda r: reply(r, b"\x03\x06" + bytes(6)), "8 bytes where 6 were due"),
    "a false byte count": (lambda r: reply(r, b"\x03\x06" + OTHER[2:]), "03 06 where 03 04 was due"),
    "a long exception": (lambda r: reply(r, b"\x83\x02\x00"), "3 bytes where 6 were due"),
    "length 0": (lambda r: r[:4] + b"\0\0" + r[6:7] + OTHER, "not a Modbus TCP frame"),
    "length 65535": (lambda r: r[:4] + b"\xff\xff" + r[6:7] + OTHER, "not a Modbus TCP frame"),
    "oversize": (lambda r: reply(r, OTHER) + b"\xff", "1 bytes too many"),
    "two replies": (lambda r: reply(r, OTHER) * 2, "13 bytes too many"),
    "garbage": (lambda r: b"HTTP/1.0 400 Bad Request\r\n\r\n", "not a Modbus TCP frame"),
    "garbage first": (lambda r: b"\xff" + reply(r, OTHER), "Modbus TCP frame|transaction"),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_wrong_reply_is_never_taken(case: str) -> None:
    """Whatever is wrong with a reply, it is told in words, and the next request is good, on a new connection."""
    wrong, words = WRONG[case]
    with scripted(once(wrong)) as (client, server):
        with pytest.raises(Transient, match=words):
            client.exchange(QUERY)
        assert not client.connected
        assert client.exchange(QUERY) == GOOD[2:]
        assert len(server.connections) == 2


@pytest.mark.parametrize("code", range(1, 256))
def test_every_exception_code(code: int) -> None:
    """An exception code is raised as it is, and the connection stays, for the device has answered."""
    with scripted(once(lambda request: reply(request, bytes([0x83, code])))) as (client, server):
        with pytest.raises(Refusal, match=EXCEPTIONS.get(code, str(code))):
            client.exchange(QUERY)
        assert client.exchange(QUERY) == GOOD[2:]
        assert len(server.connections) == 1


@pytest.mark.parametrize("size", [0, 1, 6, 7, 12])
def test_a_truncated_reply_is_a_timeout(size: int) -> None:
    """When nothing, or not all of a reply comes in time, that is Transient, and the next request is good."""
    with scripted(once(lambda request: reply(request, GOOD)[:size]), timeout=0.05) as (client, _):
        with pytest.raises(Transient, match=rf"no {'whole ' if size else ''}answer within 0.05 s"):
            client.exchange(QUERY)
        assert client.exchange(QUERY) == GOOD[2:]


def test_a_dripping_reply_ends_at_the_deadline() -> None:
    """Bytes that keep coming do not prolong the timeout: it is for the whole reply."""
    over = threading.Event()

    def drip(request: bytes) -> Iterator[bytes]:
        yield reply(request, GOOD)[:9]
        over.wait(2)
        yield reply(request, GOOD)[9:]

    with scripted(drip, env=Environment(LeapingClock())) as (client, _):
        with pytest.raises(Transient, match="no whole answer"):
            client.exchange(QUERY)
        over.set()


def test_a_late_reply_is_never_the_next_one() -> None:
    """A reply that comes after its timeout, alone, before or after the right one, is not taken."""
    for second in (lambda old, new: old + new, lambda old, new: old, lambda old, new: new + old):
        sent: list[bytes] = []

        def answer(request: bytes, second=second, sent=sent) -> list[bytes]:
            sent.append(request)
            late = reply(sent[0], OTHER)
            return [[], [second(late, reply(request, GOOD))], [reply(request, GOOD)]][len(sent) - 1]

        with scripted(answer, timeout=0.05) as (client, _):
            for _ in range(2):
                with pytest.raises(Transient):
                    client.exchange(QUERY)
            assert client.exchange(QUERY) == GOOD[2:]


def test_a_late_reply_dies_with_its_connection() -> None:
    """After a timeout the connection is closed: what the device still sends on it reaches nobody."""
    held: list[bytes] = []

    def answer(request: bytes) -> list[bytes]:
        held.append(request)
        return [] if len(held) == 1 else [reply(request, GOOD)]

    with scripted(answer, timeout=0.05) as (client, server):
        with pytest.raises(Transient, match="no answer"):
            client.exchange(QUERY)
        assert not client.connected
        assert client.exchange(QUERY) == GOOD[2:]
        assert len(server.connections) == 2


def test_bytes_that_nobody_asked_for_are_not_a_reply() -> None:
    """What a device sends between requests costs it the connection, and the next request is good on a new one."""

    def answer(request: bytes) -> list[bytes]:
        return [reply(request, GOOD)]

    with scripted(answer) as (client, server):
        client.exchange(QUERY)
        server.connections[0].sendall(reply(b"\0\x02\0\0\0\0\x07", OTHER))
        assert client.exchange(QUERY) == GOOD[2:]
        assert len(server.connections) == 2


def test_a_closed_idle_connection_is_opened_again_before_the_request() -> None:
    """A device that drops idle connections never looks offline, not even for a write."""
    with scripted(lambda request: [reply(request, GOOD), b""]) as (client, server):
        for turn in range(1, 4):
            assert client.exchange(QUERY) == GOOD[2:]
            stream_of(client)._poll.poll()  # until the close has arrived
            assert len(server.connections) == turn


@pytest.mark.parametrize("end", [b"", RESET])
@pytest.mark.parametrize("size", [0, 5, 12])
def test_a_connection_that_breaks_amid_a_reply_is_unreachable(size: int, end: bytes) -> None:
    """A hang-up or a reset before the whole reply is told as such, and the next request opens a new connection."""
    count = iter(range(9))

    def answer(request: bytes) -> list[bytes]:
        if next(count):
            return [reply(request, GOOD)]
        return [piece for piece in (reply(request, GOOD)[:size],) if piece] + [end]

    with scripted(answer) as (client, _):
        with pytest.raises(Unreachable, match="broke"):
            client.exchange(QUERY)
        assert not client.connected
        assert client.exchange(QUERY) == GOOD[2:]


def test_may_send_stands_between_the_connection_and_the_bytes() -> None:
    """may_send is called with the connection open; when it raises nothing is sent and the connection stays."""
    with scripted(lambda request: [reply(request, GOOD)]) as (client, server):
        with pytest.raises(DeadlinePassed):
            client.exchange(QUERY, Gate(DeadlinePassed("too late")))
        assert client.connected
        assert server.requests == []
        gate = Gate()
        client.exchange(QUERY, gate)
        assert (gate.calls, len(server.requests), len(server.connections)) == (1, 1, 1)


def test_may_send_is_not_called_without_a_connection() -> None:
    """When there is no connection to be had, nobody is asked whether the bytes may go."""
    gate = Gate()
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    with pytest.raises(Unreachable, match=rf"can not connect to 127.0.0.1:{port}: Connection refused"):
        client_of(port).exchange(QUERY, gate)
    assert gate.calls == 0


def test_more_than_1024_files_are_open() -> None:
    """A connection whose file descriptor is above 1024 works like any other."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, max(soft, 1200)), hard))
    files = [Path("/dev/null").open() for _ in range(1030)]  # noqa: SIM115  many at once
    try:
        with scripted(lambda request: [reply(request, GOOD)]) as (client, _):
            assert client.exchange(QUERY) == GOOD[2:]
            assert socket_of(client).fileno() > 1024
    finally:
        for file in files:
            file.close()
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_the_socket_is_tuned() -> None:
    """Small frames leave at once, and a peer that has vanished is noticed between polls."""
    with scripted(lambda request: [reply(request, GOOD)]) as (client, _):
        client.open()
        assert socket_of(client).getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        assert socket_of(client).getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)


def test_a_name_is_resolved_when_it_is_opened() -> None:
    """A host name works, and each of its addresses must be allowed."""
    with scripted(lambda request: [reply(request, GOOD)], host="localhost") as (client, _):
        assert client.exchange(QUERY) == GOOD[2:]
    strict = Environment(FakeClock(), Allow(networks=("10.0.0.0/8",)))
    with pytest.raises(Unreachable, match=r"localhost is .*127\.0\.0\.1.* allow\.networks"):
        client_of(1, host="localhost", env=strict).open()


def test_a_name_that_is_none_is_unreachable(monkeypatch: pytest.MonkeyPatch) -> None:
    """A name that can not be resolved, or can not be a name at all, is told as such."""
    with pytest.raises(Unreachable, match=r'"aaa.*" can not be resolved: .*label'):
        client_of(1, host="a" * 64).open()

    def unknown(*args: object, **kwargs: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    with pytest.raises(Unreachable, match='"plc-1" can not be resolved: Name or service not known'):
        client_of(1, host="plc-1").open()


def test_close_at_any_time() -> None:
    """A client may be closed before it was open, and twice."""
    with scripted(lambda request: [reply(request, GOOD)]) as (client, server):
        client.close()
        client.open()
        client.open()
        client.close()
        client.close()
        assert client.exchange(QUERY) == GOOD[2:]
        assert len(server.requests) == 1
