"""A device that others wrote: rusty-bacnet's server, in a process of its own. Run as a script it is the device."""

from __future__ import annotations

import asyncio
import os
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from gateway import child

DEVICE_ID = 3001


@contextmanager
def rusty_device(port: int) -> Iterator[None]:
    """Device 3001 at 127.0.0.1 with analog-value 1, analog-output 1 and multi-state-value 1."""
    with tempfile.TemporaryDirectory() as directory:
        log = Path(directory) / "output"
        process = child.start("rusty-bacnet", [sys.executable, __file__, str(port)], log, environ=os.environ)
        try:
            deadline = time.monotonic() + 20
            while b"READY" not in log.read_bytes():
                if (ended := process.ended()) or time.monotonic() > deadline:
                    raise RuntimeError(ended or process.tail())
                time.sleep(0.02)
            yield
        finally:
            process.stop()


async def _serve(port: int) -> None:
    from rusty_bacnet import BACnetServer

    server = BACnetServer(device_instance=DEVICE_ID, device_name="Rusty", interface="127.0.0.1", port=port)
    server.add_analog_value(instance=1, name="AV 1")
    server.add_analog_output(instance=1, name="AO 1")
    server.add_multistate_value(instance=1, name="MSV 1", number_of_states=3)
    await server.start()
    print("READY", flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(_serve(int(sys.argv[1])))
