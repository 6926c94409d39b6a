"""Child processes that end with us, whatever becomes of us."""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Any

STOP_SECONDS = 15


class Failed(Exception):
    """The benchmark can not go on; the message says why."""


class Child:
    """A process with its log; as a context manager it runs within the block."""

    def __init__(self, name: str, command: Sequence[str | Path], log: Path) -> None:
        self.name = name
        self.command = ["setpriv", "--pdeathsig", "KILL", "--", *map(str, command)]
        self.log = log
        self._process: subprocess.Popen[bytes]

    def __enter__(self) -> Child:
        with self.log.open("wb") as log:
            self._process = subprocess.Popen(self.command, stdin=subprocess.PIPE, stdout=self._stdout(log), stderr=log)
        return self

    def __exit__(self, *_: object) -> None:
        with self._process:
            self._process.terminate()
            try:
                self._process.communicate(timeout=STOP_SECONDS)  # reads on: it may have much to say before it ends
            except subprocess.TimeoutExpired:
                self._process.kill()
                raise Failed(f"{self.name} did not stop within {STOP_SECONDS} s of SIGTERM") from None

    @property
    def pid(self) -> int:
        """The process id."""
        return self._process.pid

    def check(self) -> None:
        """Raise Failed, with the end of its log, if the process has ended."""
        code = self._process.poll()
        if code is not None:
            raise Failed(f"{self.name} ended with exit code {code}; its log ends:\n{self.tail()}")

    def tail(self) -> str:
        """The last lines of its log."""
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-20:])

    def sleep(self, seconds: float) -> None:
        """Wait; Failed if the process has ended meanwhile."""
        time.sleep(seconds)
        self.check()

    def _stdout(self, log: IO[bytes]) -> IO[bytes] | int:
        return log


class Counter(Child):
    """A process that says a first line when it is ready and a line of JSON for each line it gets."""

    def __enter__(self) -> Counter:
        super().__enter__()
        try:
            self.first = self._line()
        except Failed:
            self.__exit__()
            raise
        return self

    def ask(self) -> Any:
        """What it has counted since it was last asked."""
        assert self._process.stdin is not None
        try:
            os.write(self._process.stdin.fileno(), b"\n")
        except BrokenPipeError:
            pass  # it has ended: _line says how
        return json.loads(self._line())

    def _line(self) -> bytes:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            self._process.wait(STOP_SECONDS)
            self.check()
        return line

    def _stdout(self, log: IO[bytes]) -> int:
        return subprocess.PIPE
