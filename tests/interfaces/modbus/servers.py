"""Modbus TCP servers for tests: pymodbus in a thread, one that answers any bytes, and libmodbus in a process."""

from __future__ import annotations

import asyncio
import logging
import os
import shutil
import socket
import struct
import subprocess
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import pytest
from pymodbus.server import ModbusTcpServer
from pymodbus.simulator import DataType, SimData, SimDevice

from tests.acceptor import hang_up

logging.getLogger("pymodbus.logging").setLevel(logging.CRITICAL)

LIBMODBUS_SERVER = r"""
#include <stdio.h>
#include <modbus.h>
int main(void) {
    uint8_t query[MODBUS_TCP_MAX_ADU_LENGTH];
    modbus_t *ctx = modbus_new_tcp_pi("127.0.0.1", "0");
    modbus_mapping_t *map = modbus_mapping_new(2000, 2000, 1000, 1000);
    for (int i = 0; i < 1000; i++) { map->tab_input_registers[i] = 1000 + i; map->tab_input_bits[i] = i % 3 == 0; }
    int listener = modbus_tcp_pi_listen(ctx, 1);
    struct sockaddr_in address; socklen_t size = sizeof address;
    getsockname(listener, (struct sockaddr *) &address, &size);
    printf("%d\n", ntohs(address.sin_port)); fflush(stdout);
    for (;;) {
        if (modbus_tcp_pi_accept(ctx, &listener) < 0) return 1;
        for (;;) {
            int length = modbus_receive(ctx, query);
            if (length < 0) break;
            if (length > 0) modbus_reply(ctx, query, length, map);
        }
        modbus_close(ctx);
    }
}
"""


def device(unit: int, **tables: Sequence[int]) -> SimDevice:
    """A unit with values from address 0 of ``coils``, ``discrete``, ``holding`` and ``inputs``; those not given hold a 0."""
    bits = [
        [SimData(0, values=[bool(v) for v in tables.get(t, [0])], datatype=DataType.BITS)] for t in ("coils", "discrete")
    ]
    words = [[SimData(0, values=list(tables.get(t, [0])), datatype=DataType.REGISTERS)] for t in ("holding", "inputs")]
    return SimDevice(unit, (*bits, *words))


class PymodbusServer:
    """pymodbus serving these units on a free port of 127.0.0.1; a context manager, and may be stopped and started again."""

    def __init__(self, *devices: SimDevice) -> None:
        self.devices = devices
        self.port = 0

    def start(self) -> None:
        """Serve, on the same port as before."""
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="pymodbus server")
        self._thread.start()
        self._await(self._serve())

    def stop(self) -> None:
        """Close the port and every connection."""
        self._await(self._shutdown())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def get(self, unit: int, table: int, address: int, count: int = 1) -> list[int]:
        """The values of a table, named by the function that reads it."""
        return list(self._await(self._server.async_getValues(unit, table, address, count)))

    def set(self, unit: int, table: int, address: int, values: Sequence[int]) -> None:
        """Change the values of a table, named by the function that reads it."""
        self._await(self._server.async_setValues(unit, {1: 15, 3: 16}.get(table, table), address, list(values)))

    async def _serve(self) -> None:
        self._server = ModbusTcpServer(list(self.devices), address=("127.0.0.1", self.port))
        await self._server.serve_forever(background=True)
        self.port = self._server.transport.sockets[0].getsockname()[1]

    async def _shutdown(self) -> None:
        for _ in range(5):
            await asyncio.sleep(0)  # a connection that was just accepted has some steps to go before it can be closed
        await self._server.shutdown()

    def _await(self, work):
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(10)

    def __enter__(self) -> PymodbusServer:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


Answer = Callable[[bytes], Iterable[bytes]]
"""What to send for a request, piece by piece; b"" hangs up, RESET does it with a reset, nothing at all is silence."""
RESET = b"reset"


class ScriptedServer:
    """A server that answers whatever the test says; it serves one connection after another, and keeps what it was sent."""

    def __init__(self, answer: Answer) -> None:
        self.answer = answer
        self.requests: list[bytes] = []
        self.connections: list[socket.socket] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self._thread = threading.Thread(target=self._run, name="scripted server", daemon=True)

    def _run(self) -> None:
        while True:
            try:
                connection = self._listener.accept()[0]
            except OSError:
                return
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self.connections.append(connection)
            try:
                self._serve(connection)
            except OSError:
                pass  # the client has gone, which is for the test to judge
            connection.close()

    def _serve(self, connection: socket.socket) -> None:
        while request := connection.recv(300):
            self.requests.append(request)
            for piece in self.answer(request):
                if piece == RESET:
                    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                if piece in (b"", RESET):
                    return
                connection.sendall(piece)

    def __enter__(self) -> ScriptedServer:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        hang_up(self._listener)
        deadline = time.monotonic() + 10
        while self._thread.is_alive() and time.monotonic() < deadline:
            for connection in self.connections.copy():  # again and again: one may have just been accepted
                hang_up(connection)
            self._thread.join(0.05)
        assert not self._thread.is_alive()


def reply(
    request: bytes, pdu: bytes, *, transaction: int | None = None, unit: int | None = None, protocol: int = 0
) -> bytes:
    """A frame that answers the request with this PDU, right but for what is given."""
    number = int.from_bytes(request[:2], "big") if transaction is None else transaction
    return struct.pack(">HHHB", number, protocol, len(pdu) + 1, request[6] if unit is None else unit) + pdu


def need(*programs: str) -> None:
    """Skip the test where a program is missing; on the build server that is a failure."""
    missing = [program for program in programs if shutil.which(program) is None]
    if missing and os.environ.get("CI") == "true":
        pytest.fail(f"missing: {missing}")
    if missing:
        pytest.skip(f"missing: {missing}")


def libmodbus_server(folder: Path) -> subprocess.Popen[str]:
    """A server built on libmodbus, with its port on the first line of its output; the caller ends it."""
    source, program = folder / "server.c", folder / "server"
    source.write_text(LIBMODBUS_SERVER)
    built = subprocess.run(
        ["gcc", "-include", "arpa/inet.h", "-I/usr/include/modbus", "-o", program, source, "-lmodbus"],
        capture_output=True,
        text=True,
    )
    if built.returncode != 0 and os.environ.get("CI") != "true":
        pytest.skip("libmodbus is not there to build a server with")
    assert built.returncode == 0, built.stderr
    return subprocess.Popen([program], stdout=subprocess.PIPE, text=True)
