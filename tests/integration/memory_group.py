"""A control group that bounds the memory of a process as a container's does: what it writes to, and files that it reads."""

from __future__ import annotations

import os
from pathlib import Path

ROOT = Path("/sys/fs/cgroup")


class MemoryGroup:
    """A group of its own with so many bytes; a context manager. Raises OSError where none can be made."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        first = (ROOT / "memory").is_dir()  # version 1 has a tree for each resource, version 2 one for all
        self._path = (ROOT / "memory" if first else ROOT) / f"gateway-test-{os.getpid()}"
        self._bound, self._most = ("limit_in_bytes", "max_usage_in_bytes") if first else ("max", "peak")

    def __enter__(self) -> MemoryGroup:
        self._path.mkdir()
        try:
            (self._path / f"memory.{self._bound}").write_text(str(self._limit))
        except OSError:
            self._path.rmdir()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._path.rmdir()

    @property
    def within(self) -> tuple[str, ...]:
        """What a command begins with that is to run in the group, from its first byte on."""
        return "sh", "-c", 'echo $$ > "$0" && exec "$@"', str(self._path / "cgroup.procs")

    @property
    def peak(self) -> int:
        """The most bytes that the group ever had."""
        return int((self._path / f"memory.{self._most}").read_text())
