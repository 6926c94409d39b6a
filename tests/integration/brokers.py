"""Brokers of a test's own, that may be killed and started again."""

from __future__ import annotations

import getpass
import os
import signal
import socket
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import pytest

from gateway import child, localbroker
from gateway.settings_types import BrokerUrl
from tests.integration.waiting import eventually
from tests.lacking import lacking

SAMPLE = Path(__file__).parents[2] / "deploy" / "mosquitto" / "mosquitto.conf"
STOCK = {"allow_anonymous": "true"}
"""Debian's configuration with no more than what lets anybody in at all."""


class OwnBroker:
    """A mosquitto with a configuration of the test's own; what it keeps on disk is kept over ``kill`` and ``start``."""

    def __init__(self, directory: Path, conf: Mapping[str, str], lines: Sequence[str]) -> None:
        self.port = localbroker.free_port()
        self._directory = directory
        self._conf = {"listener": f"{self.port} {localbroker.HOST}", "user": getpass.getuser()} | dict(conf)
        self._lines = lines
        self._child: child.Child | None = None
        self._starts = 0

    @property
    def url(self) -> BrokerUrl:
        """Where clients connect."""
        return BrokerUrl(localbroker.HOST, self.port, False)

    def start(self) -> OwnBroker:
        """Start it; returns when it takes connections."""
        program = localbroker.mosquitto()
        assert program is not None
        path = self._directory / "mosquitto.conf"
        path.write_text("\n".join([*(f"{key} {value}" for key, value in self._conf.items()), *self._lines, ""]))
        self._child = child.start("mosquitto", [program, "-c", path], self._directory / f"mosquitto-{self._starts}.log")
        self._starts += 1
        eventually(self._listens, "the broker listens")
        return self

    def save(self) -> None:
        """Let it write what it keeps to disk now."""
        file = self._directory / "mosquitto.db"
        before = file.stat().st_mtime_ns if file.exists() else 0
        self.signal(signal.SIGUSR1)  # mosquitto(8), SIGNALS
        eventually(lambda: file.exists() and file.stat().st_mtime_ns != before, "the broker saves")

    def kill(self) -> None:
        """SIGKILL."""
        assert self._child is not None
        self.signal(signal.SIGKILL)
        self._child.process.wait(10)

    def stop(self) -> None:
        """End it."""
        if self._child is not None:
            self.signal(signal.SIGCONT)
            self._child.stop()

    def signal(self, number: int) -> None:
        """Send it a signal."""
        assert self._child is not None
        if self._child.process.poll() is None:
            os.kill(self._child.process.pid, number)

    def log_text(self) -> str:
        """What it has written, over all starts."""
        return "".join((self._directory / f"mosquitto-{n}.log").read_text(errors="replace") for n in range(self._starts))

    def connects(self, client_id: str) -> int:
        """How often a client of that id has been let in."""
        return self.log_text().count(f" as {client_id} (")

    def _listens(self) -> bool:
        assert self._child is not None
        assert self._child.ended() is None, self._child.ended()
        try:
            socket.create_connection((localbroker.HOST, self.port), timeout=1).close()
        except OSError:
            return False
        return True


def sample_conf(directory: Path) -> dict[str, str]:
    """What deploy/mosquitto/mosquitto.conf sets, but for the places."""
    lines = [line.split(None, 1) for line in SAMPLE.read_text().splitlines() if line and not line.startswith("#")]
    conf = {key: value for key, value in lines if key != "listener"}
    return conf | {"persistence_location": f"{directory}/"}


@pytest.fixture
def own_broker(tmp_path: Path) -> Iterator[Callable[..., OwnBroker]]:
    """Starts brokers: ``own_broker(conf, lines)``, without ``conf`` as the sample that the project ships, then the lines."""
    if localbroker.mosquitto() is None:
        lacking("the package mosquitto")
    made: list[OwnBroker] = []

    def make(conf: Mapping[str, str] | None = None, lines: Sequence[str] = (), **more: str) -> OwnBroker:
        directory = tmp_path / f"broker-{len(made)}"
        directory.mkdir()
        made.append(OwnBroker(directory, (sample_conf(directory) if conf is None else dict(conf)) | more, lines))
        return made[-1].start()

    yield make
    for broker in made:
        broker.stop()
        print(f"---- the end of the broker's log\n{broker.log_text()[-3000:]}")
