"""The child process: ``python -m gateway.interfaces._bacnet.stack FD``; it ends when the socket FD closes."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import socket
import sys
from typing import Any

from gateway.interfaces._bacnet import wire
from gateway.interfaces._bacnet.stack import logs
from gateway.interfaces._bacnet.stack.ports import refusal

log = logging.getLogger("gateway.bacnet")

CHUNK = 1 << 16
END_WITHIN = 1.0
"""Seconds to end subscriptions before the process goes."""


async def main(pipe: socket.socket) -> int:
    """Serve the gateway at the other end of the pipe until it closes."""
    reader, writer = await asyncio.open_connection(sock=pipe)

    def send(message: wire.Message) -> None:
        writer.write(wire.frame(message))

    unframer = wire.Unframer()
    first: list[wire.Message] = []
    while not first:
        data = await reader.read(CHUNK)
        if not data:
            return 0
        first = list(unframer.feed(data))
    options = first[0]
    logs.configure(send, options["debug"])
    if why := refusal(options["address"], options["port"]):
        send({"tell": "down", "message": why})
        await writer.drain()
        return 0
    await _serve(options, first[1:], unframer, reader, send)
    return 0


async def _serve(
    options: dict[str, Any], early: list[wire.Message], unframer: wire.Unframer, reader: asyncio.StreamReader, send: Any
) -> None:
    # Imported late: a port that is taken is told at once, and these take a second.
    from gateway.interfaces._bacnet.stack.service import Service
    from gateway.interfaces._bacnet.stack.start import started

    service = Service(await started(options), send)
    service.start()
    send({"tell": "ready"})
    for message in early:
        service.take(message)
    while data := await reader.read(CHUNK):
        for message in unframer.feed(data):
            service.take(message)
    await service.stop(END_WITHIN)


if __name__ == "__main__":
    os.chdir("/")  # a library takes settings from a file in the directory where it is started
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # of the terminal: the gateway decides when this ends
    sys.exit(asyncio.run(main(socket.socket(fileno=int(sys.argv[1])))))
