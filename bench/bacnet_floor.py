"""Bare bacpypes3 at the same work: present value and status flags of every object of every device, each second.

``bacnet_floor.py LOCAL_PORT PORT...`` prints for each line on standard input how many points it has read since the last.
"""

from __future__ import annotations

import asyncio
import json
import sys

from bacnet_plant import POINTS


async def main(local: int, ports: list[int]) -> None:
    """Read until standard input ends."""
    from bacpypes3.app import Application
    from bacpypes3.local.device import DeviceObject
    from bacpypes3.local.networkport import NetworkPortObject
    from bacpypes3.pdu import Address

    device = DeviceObject(objectIdentifier=("device", 99), objectName="floor", vendorIdentifier=999)
    device.maxApduLengthAccepted = 1476
    port = NetworkPortObject(f"127.0.0.1/8:{local}", objectIdentifier=("network-port", 1), objectName="NetworkPort-1")
    app = Application.from_object_list([device, port])
    counted = {"points": 0}
    wanted = [[f"analog-value,{n}", ["present-value", "status-flags"]] for n in range(1, POINTS + 1)]
    halves = [[part for pair in some for part in pair] for some in (wanted[: POINTS // 2], wanted[POINTS // 2 :])]

    async def poll(address: Address, phase: float) -> None:
        loop = asyncio.get_running_loop()
        due = loop.time() + phase
        while True:
            await asyncio.sleep(due - loop.time())
            for half in halves:
                counted["points"] += len(await app.read_property_multiple(address, list(half))) // 2
            due += 1

    polls = [asyncio.create_task(poll(Address(f"127.0.0.1:{p}"), n / len(ports))) for n, p in enumerate(ports)]
    print(flush=True)
    while await asyncio.get_running_loop().run_in_executor(None, sys.stdin.readline):
        print(json.dumps(counted), flush=True)
        counted["points"] = 0
    for task in polls:
        task.cancel()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), [int(p) for p in sys.argv[2:]]))
