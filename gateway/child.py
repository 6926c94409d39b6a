"""Child processes that never outlive us: the kernel kills them when we die, however we die."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

PR_SET_PDEATHSIG = 1
"""Signal for us when the thread that made us ends; prctl(2), linux/prctl.h."""

TAIL_LINES = 15
TAIL_BYTES = 8192


@dataclass(frozen=True)
class Child:
    """A running child process and the file with its output."""

    name: str
    process: subprocess.Popen[bytes]
    log: Path

    def ended(self) -> str | None:
        """None while it runs, else a sentence with its exit code and the last lines of its output."""
        code = self.process.poll()
        if code is None:
            return None
        return f"{self.name} ended with exit code {code}; {self.tail()}"

    def tail(self) -> str:
        """The last lines of its output, under a heading."""
        with self.log.open("rb") as file:
            file.seek(max(0, self.log.stat().st_size - TAIL_BYTES))
            lines = file.read().decode(errors="replace").splitlines()[-TAIL_LINES:]
        if not lines:
            return "it said nothing"
        return "the last lines of its output:\n" + "\n".join(f"  {line}" for line in lines)

    def stop(self, patience: float = 10) -> None:
        """Ask it to end, and kill it after so many seconds; does nothing if it has ended."""
        if self.process.poll() is None:
            self.process.terminate()
        try:
            self.process.wait(patience)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


def start(
    name: str,
    command: Sequence[str | Path],
    log: Path,
    *,
    environ: Mapping[str, str] | None = None,
    descriptors: Sequence[int] = (),
) -> Child:
    """Start a command with its output in a file; ``descriptors`` are files that it inherits under the same numbers.

    Call it from a thread that lives as long as the child shall. A signal from the terminal (Ctrl-C) does not reach it.
    Raises OSError if the command can not be run.
    """
    with log.open("wb") as output:
        process = subprocess.Popen(  # noqa: S603 - a command of our own, and no shell
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=environ,
            pass_fds=descriptors,
            start_new_session=True,
            preexec_fn=_dies_with(os.getpid()),
        )
    return Child(name, process, log)


def _dies_with(parent: int) -> Callable[[], None]:
    prctl = ctypes.CDLL(None).prctl  # looked up here, as a child between fork and exec may not load anything

    def before_exec() -> None:
        prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:
            os._exit(1)

    return before_exec
