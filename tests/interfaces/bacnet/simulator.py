"""BACnet devices to test against: bacpypes3 in a process of its own, as many devices as wanted on 127.0.0.x.

The stack takes a packet from 127.x with its own port number for its own, so devices and gateway use different ports
(``PORT`` and ``free_udp_port``). Run as a script it is the devices, described by JSON in its first argument.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from gateway import child

START_SECONDS = 20.0


@dataclass(frozen=True)
class SimDevice:
    """A device with so many of each kind: AV (analog-value, commandable), AI, BV, MSV and CSV, numbered from 1.

    AV n holds n + 0.5 as its relinquish default; ``max_apdu`` and ``segmentation`` are what it says of itself.
    """

    address: str = "127.0.0.11"
    port: int = 47808
    device_id: int = 1001
    analog_values: int = 5
    analog_inputs: int = 2
    binary_values: int = 2
    multistate_values: int = 2
    texts: int = 1
    max_apdu: int = 1476
    segmentation: str = "segmented-both"
    multiple: bool = True
    """Whether it knows ReadPropertyMultiple."""
    bbmd: bool = False
    """Whether it takes foreign devices and sends broadcasts on for them."""
    doubtful: bool = False
    """Whether AI 1 is in fault, for an open loop."""
    unkind: bool = False
    """Whether writes of AV 1 to 4 end in an error, a reject, an abort, and no answer at all."""


def free_udp_port(host: str = "127.0.0.1") -> int:
    """A UDP port that nobody has at this moment, neither at that address nor as a broadcast."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("", 0))
        return int(probe.getsockname()[1])


class Simulator:
    """Devices in a process; a context manager."""

    def __init__(self, *devices: SimDevice) -> None:
        self.devices = devices
        self._directory = tempfile.TemporaryDirectory(prefix="bacnet-sim-")
        self._process: child.Child | None = None

    def start(self) -> Simulator:
        """Start them (again), and wait until they are there."""
        described = json.dumps([asdict(device) for device in self.devices])
        command = [sys.executable, __file__, described]
        environ = os.environ | {"PYTHONPATH": str(Path(__file__).parents[3])}
        log = Path(self._directory.name) / "output"
        self._process = child.start("bacnet simulator", command, log, environ=environ)
        deadline = time.monotonic() + START_SECONDS
        while b"READY" not in log.read_bytes():
            if (ended := self._process.ended()) or time.monotonic() > deadline:
                raise RuntimeError(ended or self._process.tail())
            time.sleep(0.02)
        return self

    def kill(self) -> None:
        """End the devices as a power cut does."""
        assert self._process is not None
        self._process.process.kill()
        self._process.process.wait()

    def freeze(self) -> None:
        """Let the devices stop answering; what is sent to them waits."""
        assert self._process is not None
        os.kill(self._process.process.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        """Let them go on."""
        assert self._process is not None
        os.kill(self._process.process.pid, signal.SIGCONT)

    def __enter__(self) -> Simulator:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.kill()
        self._directory.cleanup()


# ---- in the process of the devices


async def _serve(devices: Sequence[dict[str, Any]]) -> None:
    apps = [_device(device) for device in devices]
    for app in apps:
        for link in app.link_layers.values():
            await asyncio.gather(*link.server._transport_tasks)
    print("READY", flush=True)
    await asyncio.Event().wait()


def _device(d: dict[str, Any]) -> Any:
    from bacpypes3.apdu import AbortPDU
    from bacpypes3.app import Application
    from bacpypes3.basetypes import BDTEntry, IPMode
    from bacpypes3.errors import ExecutionError, ParameterOutOfRange
    from bacpypes3.local.analog import AnalogInputObject, AnalogValueObject
    from bacpypes3.local.binary import BinaryValueObject
    from bacpypes3.local.cmd import Commandable
    from bacpypes3.local.device import DeviceObject
    from bacpypes3.local.multistate import MultiStateValueObject
    from bacpypes3.local.networkport import NetworkPortObject
    from bacpypes3.object import CharacterStringValueObject

    class AV(Commandable, AnalogValueObject):
        """An analog value with a priority array."""

    class BV(Commandable, BinaryValueObject):
        """A binary value with a priority array."""

    class MSV(Commandable, MultiStateValueObject):
        """A multi-state value with a priority array."""

    class Device(Application):
        """One that may lack services, or refuse them."""

        async def do_WritePropertyRequest(self, apdu: Any) -> None:
            """Write, or not."""
            if d["unkind"] and int(apdu.objectIdentifier[0]) == 2:
                if apdu.objectIdentifier[1] == 3:  # the library's own answer to an exception is not marked as a server's
                    await self.response(AbortPDU(True, apdu.apduInvokeID, "out-of-resources", context=apdu))
                    return
                await refuse(apdu.objectIdentifier[1])
            await super().do_WritePropertyRequest(apdu)

    async def refuse(instance: int) -> None:
        if instance == 4:
            await asyncio.Event().wait()
        refusals = {1: ExecutionError("property", "write-access-denied"), 2: ParameterOutOfRange()}
        if instance in refusals:
            raise refusals[instance]

    if not d["multiple"]:
        Device.do_ReadPropertyMultipleRequest = None

    address = f"{d['address']}/8:{d['port']}"
    mode: dict[str, Any] = {}
    if d["bbmd"]:
        mode = {
            "bacnetIPMode": IPMode.bbmd,
            "bbmdAcceptFDRegistrations": True,
            "bbmdForeignDeviceTable": [],
            "bbmdBroadcastDistributionTable": [BDTEntry(f"{d['address']}:{d['port']}")],
        }
    ok = [0, 0, 0, 0]
    objects: list[Any] = [
        DeviceObject(
            objectIdentifier=("device", d["device_id"]),
            objectName=f"Device {d['device_id']}",
            vendorIdentifier=999,
            vendorName="Simulator",
            modelName="Sim",
            maxApduLengthAccepted=d["max_apdu"],
            segmentationSupported=d["segmentation"],
        ),
        NetworkPortObject(address, objectIdentifier=("network-port", 1), objectName="NetworkPort-1", **mode),
    ]
    for n in range(1, d["analog_values"] + 1):
        objects.append(
            AV(
                objectIdentifier=("analog-value", n),
                objectName=f"AV-{n}",
                description=f"Analog value {n}",
                presentValue=n + 0.5,
                relinquishDefault=n + 0.5,
                units="degrees-celsius",
                covIncrement=0.1,
                statusFlags=ok,
            )
        )
    for n in range(1, d["analog_inputs"] + 1):
        objects.append(
            AnalogInputObject(
                objectIdentifier=("analog-input", n),
                objectName=f"AI-{n}",
                presentValue=20.0 + n,
                units="kilowatts",
                covIncrement=0.1,
                statusFlags=[0, 1, 0, 0] if d["doubtful"] and n == 1 else ok,
                reliability="open-loop" if d["doubtful"] and n == 1 else "no-fault-detected",
            )
        )
    for n in range(1, d["binary_values"] + 1):
        objects.append(
            BV(
                objectIdentifier=("binary-value", n),
                objectName=f"BV-{n}",
                presentValue="inactive",
                relinquishDefault="inactive",
                statusFlags=ok,
            )
        )
    for n in range(1, d["multistate_values"] + 1):
        objects.append(
            MSV(
                objectIdentifier=("multi-state-value", n),
                objectName=f"MSV-{n}",
                presentValue=1,
                relinquishDefault=1,
                numberOfStates=3,
                stateText=["Off", "Auto", "Hand"],
                statusFlags=ok,
            )
        )
    for n in range(1, d["texts"] + 1):
        objects.append(
            CharacterStringValueObject(
                objectIdentifier=("characterstring-value", n),
                objectName=f"CSV-{n}",
                presentValue=f"text {n}",
                statusFlags=ok,
            )
        )
    return Device.from_object_list(objects)


if __name__ == "__main__":
    asyncio.run(_serve(json.loads(sys.argv[1])))
