"""A gateway in a process of its own, as an operator runs it."""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

from gateway import child


class GatewayProcess:
    """``gateway run`` with a settings file of its own; may be stopped or killed, and started again on the same state."""

    def __init__(self, directory: Path, settings: dict[str, Any]) -> None:
        self.id: str = settings["gateway_id"]
        self.directory = directory
        self.expects_traceback = False
        self.logs: list[Path] = []
        self.settings = directory / "settings.yaml"
        self.settings.write_text(json.dumps(settings))  # JSON is YAML
        self._url = settings["broker"]["url"]
        self._child: child.Child | None = None

    @property
    def pid(self) -> int:
        """The process id."""
        assert self._child is not None
        return self._child.process.pid

    def start(self, *within: str) -> GatewayProcess:
        """Start it, by the command ``within`` if there is one; returns at once."""
        log = self.directory / f"log-{len(self.logs)}.txt"
        self.logs.append(log)
        arguments = ["--broker", self._url, "--state-dir", self.directory / "state", "--settings", self.settings]
        self._child = child.start("gateway", [*within, sys.executable, "-m", "gateway", "run", *arguments], log)
        return self

    def stop(self, timeout: float = 15) -> int:
        """SIGTERM, and the exit code; does nothing if it has ended. A gateway that does not end in time is killed."""
        assert self._child is not None
        self.resume()
        self._child.stop(timeout)
        return self._child.process.returncode

    def kill(self) -> None:
        """SIGKILL: it is gone without a word."""
        self.signal(signal.SIGKILL)
        assert self._child is not None
        self._child.process.wait(10)

    def freeze(self) -> None:
        """SIGSTOP, and wait until each thread stands still: on a busy machine that takes a while."""
        self.signal(signal.SIGSTOP)
        threads = Path(f"/proc/{self.pid}/task")
        while any((thread / "stat").read_text().rpartition(")")[2].split()[0] != "T" for thread in threads.iterdir()):
            time.sleep(0.001)

    def resume(self) -> None:
        """SIGCONT."""
        self.signal(signal.SIGCONT)

    def signal(self, number: int) -> None:
        """Send a signal, unless it has ended."""
        assert self._child is not None
        if self._child.process.poll() is None:
            os.kill(self.pid, number)

    @property
    def running(self) -> bool:
        """Whether the process lives."""
        return self._child is not None and self._child.process.poll() is None

    def log_text(self) -> str:
        """Everything that it has written, over all starts."""
        return "".join(log.read_text(errors="replace") for log in self.logs)

    def log_lines(self) -> list[dict[str, Any]]:
        """The log, line by line; fails on a line that is no JSON."""
        return [json.loads(line) for line in self.log_text().splitlines()]
