"""The contract, kept by the BACnet interface with devices of bacpypes3 in another process."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from gateway.clock import SystemClock
from gateway.interfaces._bacnet.life import Options
from gateway.interfaces._bacnet.networks import BacnetNetworks
from gateway.interfaces.bacnet import Interface
from gateway.interfaces.base import Environment
from gateway.testing import InterfaceContract, Peer
from tests.integration.waiting import PATIENCE
from tests.interfaces.bacnet.simulator import SimDevice, Simulator, free_udp_port
from tests.interfaces.bacnet.test_interface import row

pytest.importorskip("bacpypes3", reason="bacpypes3 is not installed")

ROWS = [
    row("AI", "analogInput"),
    row("AV", "analogValue", Writable="TRUE", Write_Priority=8),
    row("BV", "binaryValue", Writable="TRUE", Write_Priority=8),
    row("Switch", "binaryValue", 2, Enum="0=Off;1=On", Writable="TRUE"),
    row("Mode", "multiStateValue", Enum="1=Off;2=Auto", Writable="TRUE"),
    row("Text", "characterstringValue", Writable="TRUE"),
    row("Name", "analogValue", 2, Property="objectName"),
    row("Units", "analogValue", 2, Property="units"),
    row("State", "multiStateValue", 2, Property="stateText", Array_Index=2),
]


class SimulatedPeer(Peer):
    """A device in another process, which can be killed."""

    def __init__(self, simulator: Simulator, networks: BacnetNetworks) -> None:
        device = simulator.devices[0]
        config = {
            "device_id": device.device_id,
            "device_address": f"{device.address}:{device.port}",
            "apdu_timeout": PATIENCE,
        }
        super().__init__(Interface, config, ROWS, SystemClock())
        self.simulator = simulator
        self.networks = networks
        self.running = True

    def make(self) -> Interface:
        """An interface to it."""
        config: Any = self.driver.Config.model_validate(self.config | {"apdu_retries": 0})
        return Interface(config, Environment(self.clock, networks=self.networks))

    def stop(self) -> None:
        """Kill it."""
        self.simulator.kill()
        self.running = False

    def start(self) -> None:
        """Start it again."""
        self.simulator.start()
        self.running = True


@pytest.fixture(scope="module")
def simulator() -> Iterator[Simulator]:
    """One device."""
    with Simulator(SimDevice(port=free_udp_port())) as simulator:
        yield simulator


@pytest.fixture(scope="module")
def networks() -> Iterator[BacnetNetworks]:
    """A network at 127.0.0.1."""
    networks = BacnetNetworks(Options(address="127.0.0.1/8", port=free_udp_port()), SystemClock())
    yield networks
    assert networks.stop(10.0) == []


class TestBacnetContract(InterfaceContract):
    """The suite that all interfaces pass."""

    @pytest.fixture
    def peer(self, simulator: Simulator, networks: BacnetNetworks) -> Iterator[Peer]:
        """The device, running again after each test."""
        peer = SimulatedPeer(simulator, networks)
        yield peer
        if not peer.running:
            peer.start()
