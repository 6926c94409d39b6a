"""A broker of one's own on the loopback interface, for the demo and the tests: mosquitto, else iotcore from pip.

mosquitto speaks MQTT 5 and 3.1.1 on one port. iotcore 0.4 speaks them on two, keeps nothing over a restart and has no ACL;
it must be told its limits, or it cuts payloads at 20 KB and a retained replay at 200 messages.
"""

from __future__ import annotations

import getpass
import os
import shutil
import socket
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from gateway import child

START_SECONDS = 10.0
KINDS = ("mosquitto", "iotcore")
HOST = "127.0.0.1"

MOSQUITTO = {
    "allow_anonymous": "true",
    "persistence": "true",
    "autosave_interval": "5",
    "max_queued_messages": "1000000",
    "max_packet_size": "2000000",
    "set_tcp_nodelay": "true",
}
"""What the sample deploy/mosquitto/mosquitto.conf sets too; it says why."""

_IOTCORE = """\
id = 0
[router]
id = 0
max_connections = 1000
max_outgoing_packet_count = 50000
max_segment_size = 10485760
max_segment_count = 2
"""
_IOTCORE_LISTENER = """\
[{version}.1]
name = "{version}"
listen = "{host}:{port}"
next_connection_delay_ms = 1
[{version}.1.connections]
connection_timeout_ms = 60000
max_payload_size = 2000000
max_inflight_count = 100
dynamic_filters = true
"""
_IOTCORE_SCRIPT = """\
import logging, sys, iotcore
logging.getLogger("rumqttd").setLevel(logging.CRITICAL)  # it logs an error for every packet
iotcore.IotCoreBroker(config_path=sys.argv[1]).run_forever()
"""


class NoBroker(Exception):
    """No broker could be started; the message says why, and how to get one."""


@dataclass(frozen=True)
class LocalBroker:
    """A running broker: ``port`` for MQTT 5, ``port_v4`` for MQTT 3.1.1 (the same for mosquitto)."""

    kind: str
    port: int
    port_v4: int
    process: child.Child

    @property
    def url(self) -> str:
        """Where MQTT 5 clients connect."""
        return f"mqtt://{HOST}:{self.port}"

    def stop(self) -> None:
        """End the broker."""
        self.process.stop()


def start(directory: Path, kinds: Sequence[str] = KINDS) -> LocalBroker:
    """Start the first of these kinds that this machine has, on free ports, with its files in a directory.

    Returns when it takes connections. Raises NoBroker.
    """
    for kind in kinds:
        command = _COMMANDS[kind]()
        if command:
            return _started(kind, command, directory)
    raise NoBroker("there is no MQTT broker here: apt install mosquitto, or pip install 'gateway[demo]'")


def mosquitto() -> str | None:
    """The mosquitto program; Debian keeps it where an ordinary user's PATH does not look."""
    return shutil.which("mosquitto", path=os.pathsep.join([os.environ.get("PATH", ""), "/usr/local/sbin", "/usr/sbin"]))


def free_port() -> int:
    """A TCP port on the loopback interface that nobody has at this moment."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


def _mosquitto_command() -> list[str]:
    program = mosquitto()
    return [program, "-c"] if program else []


def _iotcore_command() -> list[str]:
    return [sys.executable, "-P", "-c", _IOTCORE_SCRIPT] if find_spec("iotcore") else []


_COMMANDS = {"mosquitto": _mosquitto_command, "iotcore": _iotcore_command}


def _started(kind: str, command: list[str], directory: Path) -> LocalBroker:
    port = free_port()
    port_v4 = port if kind == "mosquitto" else free_port()
    conf = directory / ("mosquitto.conf" if kind == "mosquitto" else "iotcore.toml")
    conf.write_text(_mosquitto_conf(port, directory) if kind == "mosquitto" else _iotcore_conf(port, port_v4))
    try:
        process = child.start(kind, [*command, conf], directory / f"{kind}.log")
    except OSError as error:
        raise NoBroker(f"{command[0]} can not be started: {error.strerror}") from None
    broker = LocalBroker(kind, port, port_v4, process)
    try:
        _wait_until_it_listens(broker)
    except BaseException:
        broker.stop()
        raise
    return broker


def _mosquitto_conf(port: int, directory: Path) -> str:
    # "user": started by root, mosquitto would become another user, who may not write here.
    lines = {"listener": f"{port} {HOST}", "user": getpass.getuser(), "persistence_location": f"{directory}/"} | MOSQUITTO
    return "".join(f"{key} {value}\n" for key, value in lines.items())


def _iotcore_conf(port: int, port_v4: int) -> str:
    listeners = {"v5": port, "v4": port_v4}
    return _IOTCORE + "".join(_IOTCORE_LISTENER.format(version=v, host=HOST, port=p) for v, p in listeners.items())


def _wait_until_it_listens(broker: LocalBroker) -> None:
    deadline = time.monotonic() + START_SECONDS
    waiting = {broker.port, broker.port_v4}
    while waiting:
        waiting = {port for port in waiting if not _listens(port)}
        ended = broker.process.ended()
        if ended:
            raise NoBroker(ended)
        if time.monotonic() > deadline:
            raise NoBroker(f"{broker.kind} does not listen after {START_SECONDS:g} s; {broker.process.tail()}")
        time.sleep(0.02 if waiting else 0)  # nothing tells when a port is open


def _listens(port: int) -> bool:
    try:
        socket.create_connection((HOST, port), timeout=1).close()
    except OSError:
        return False
    return True
