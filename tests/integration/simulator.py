"""A Modbus device in a process of its own, so that a test can kill or freeze it: 100 registers that hold their address.

``python -m tests.integration.simulator [PORT]`` prints the port that it listens on.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from types import TracebackType

from tests.interfaces.modbus.servers import PymodbusServer, device


class Simulator:
    """A context manager; ``kill`` ends it without a word, and ``start`` brings it back on the same port."""

    def __init__(self) -> None:
        self.port = 0

    def start(self) -> None:
        """Start, and return when it listens."""
        command = [sys.executable, "-m", "tests.integration.simulator", str(self.port)]
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert self._process.stdout is not None
        self.port = int(self._process.stdout.readline())

    def kill(self) -> None:
        """SIGKILL."""
        self._process.kill()
        self._process.communicate()

    def freeze(self) -> None:
        """SIGSTOP: connections stand, and nothing is answered."""
        os.kill(self._process.pid, signal.SIGSTOP)

    def resume(self) -> None:
        """SIGCONT."""
        os.kill(self._process.pid, signal.SIGCONT)

    def __enter__(self) -> Simulator:
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.kill()


def main(port: int) -> None:
    """Serve until killed."""
    words = list(range(100))
    server = PymodbusServer(device(1, holding=words, inputs=words, coils=[0] * 100, discrete=[0] * 100))
    server.port = port
    server.start()
    print(server.port, flush=True)
    threading.Event().wait()


if __name__ == "__main__":
    main(int(sys.argv[1]))
