"""The BACnet devices: rusty-bacnet's servers, one at each port of 127.0.0.1 given, which cost little themselves."""

from __future__ import annotations

import asyncio
import sys

DEVICES, POINTS = 20, 50


async def main(ports: list[int]) -> None:
    """Serve until standard input ends."""
    from rusty_bacnet import BACnetServer

    servers = []  # one that nobody holds ends
    for number, port in enumerate(ports):
        server = BACnetServer(device_instance=5000 + number, device_name=f"D{number}", interface="127.0.0.1", port=port)
        for point in range(1, POINTS + 1):
            server.add_analog_value(instance=point, name=f"AV {point}")
        await server.start()
        servers.append(server)
    print(flush=True)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)


if __name__ == "__main__":
    asyncio.run(main([int(port) for port in sys.argv[1:]]))
