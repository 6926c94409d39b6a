"""Starts what the demo consists of, and ends it."""

from __future__ import annotations

import os
import shutil
import socket
import sys
import tempfile
from contextlib import ExitStack
from importlib.util import find_spec
from pathlib import Path
from types import TracebackType
from typing import Self

from gateway import child, localbroker
from gateway.child import Child
from gateway.cli.demo.documents import documents
from gateway.cli.mqttclient import MqttClient
from gateway.localbroker import HOST, LocalBroker
from gateway.settings_types import broker_url
from gateway.topics import Topics

GATEWAY_ID = "demo"


class DemoFailed(Exception):
    """Something the demo needs does not run; the message says what and why."""


class Stage:
    """A broker, a simulator, a gateway and a client of ours, with their files in a temporary directory.

    A context manager: what it started, it ends in reverse order.
    """

    def __init__(self) -> None:
        self.topics = Topics(GATEWAY_ID)
        self._stack = ExitStack()
        self._children: list[Child] = []

    def __enter__(self) -> Self:
        """Start everything. Raises DemoFailed, NoBroker, NoConnection."""
        with ExitStack() as stack:
            directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="gateway-demo-")))
            self.broker = self._started_broker(directory, stack)
            ports = self._start_simulator(directory, stack)
            self.client = stack.enter_context(MqttClient(broker_url(self.broker.url)))
            for topic, payload in documents(self.topics, HOST, *ports).items():
                self.client.publish(topic, payload, retain=True)
            self.gateway = self._start("the gateway", _gateway_command(directory, self.broker), directory, stack)
            self._stack = stack.pop_all()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """End everything."""
        self._stack.close()

    def check(self) -> None:
        """Raise DemoFailed if something has ended by itself."""
        for process in self._children:
            ended = process.ended()
            if ended:
                raise DemoFailed(ended)

    def _started_broker(self, directory: Path, stack: ExitStack) -> LocalBroker:
        broker = localbroker.start(directory)
        stack.callback(broker.stop)
        self._children.append(broker.process)
        return broker

    def _start_simulator(self, directory: Path, stack: ExitStack) -> list[int]:
        if find_spec("pymodbus") is None:
            raise DemoFailed("there is nothing to simulate Modbus devices with: pip install 'gateway[demo]'")
        with ExitStack() as ours:
            # The simulator inherits sockets that listen already: nobody can take its ports, nothing has to wait for it.
            sockets = [ours.enter_context(socket.create_server((HOST, 0))) for _ in range(2)]
            descriptors = [listening.fileno() for listening in sockets]
            command = [sys.executable, "-m", "gateway.cli.demo.simulator", *map(str, descriptors)]
            self._start("the simulator", command, directory, stack, descriptors)
            return [listening.getsockname()[1] for listening in sockets]

    def _start(
        self, name: str, command: list[str], directory: Path, stack: ExitStack, descriptors: list[int] | None = None
    ) -> Child:
        log = directory / f"{name.removeprefix('the ')}.log"
        started = child.start(name, command, log, descriptors=descriptors or ())
        stack.callback(started.stop)
        self._children.append(started)
        return started


def _gateway_command(directory: Path, broker: LocalBroker) -> list[str]:
    settings = directory / "settings.yaml"
    settings.write_text(f"gateway_id: {GATEWAY_ID}\nbroker: {{url: {broker.url}}}\nstate_dir: state\n")
    (directory / "state").mkdir()
    return [sys.executable, "-m", "gateway", "run", "--settings", str(settings)]


def clients_missing() -> bool:
    """Whether this machine lacks the commands that the demo proposes."""
    return shutil.which("mosquitto_rr", path=os.environ.get("PATH")) is None
