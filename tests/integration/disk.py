"""Disks that fail on request, for the state of a gateway."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

from tests.lacking import lacking, may_mount

SOURCE = Path(__file__).with_name("faultydisk.c")


class FailingCalls:
    """A directory where calls end with an error (EIO, ENOSPC, EROFS) in processes that are started with ``environ``."""

    def __init__(self, directory: Path, error: str) -> None:
        if not shutil.which("gcc"):
            lacking("the package gcc")
        self.state = directory / "state"
        self._error = error
        self._control = directory / "fault"
        library = directory / "faultydisk.so"
        subprocess.run(["gcc", "-shared", "-fPIC", "-O1", "-o", library, SOURCE, "-ldl"], check=True)
        self.environ = {
            "LD_PRELOAD": str(library),
            "FAULTY_DISK": str(self.state),
            "FAULTY_DISK_CONTROL": str(self._control),
        }

    def fail(self) -> None:
        """From now on."""
        self._control.write_text(self._error)

    def mend(self) -> None:
        """All is well again."""
        self._control.unlink(missing_ok=True)

    def close(self) -> None:
        """Nothing is left of it."""


class _Mounted:
    """A file system of its own."""

    def __init__(self, directory: Path, options: str) -> None:
        if not may_mount():
            lacking("the right to mount", rightly=True)
        self.state = directory / "state"
        self.state.mkdir(parents=True, exist_ok=True)
        mounted = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", options, "none", self.state], capture_output=True, text=True, check=False
        )
        if mounted.returncode:
            lacking(f"a tmpfs: {mounted.stderr.strip()}")
        self.environ: dict[str, str] = {}

    def close(self) -> None:
        """Nothing is left of it."""
        self.mend()
        subprocess.run(["umount", "-l", self.state], check=True)

    def mend(self) -> None:
        """All is well again."""
        raise NotImplementedError


class FullDisk(_Mounted):
    """A small disk that something else fills up."""

    def __init__(self, directory: Path) -> None:
        super().__init__(directory, "size=512k")

    def fail(self) -> None:
        """Not a byte is free."""
        with (self.state / "filler").open("ab", buffering=0) as file:
            try:
                while file.write(bytes(4096)):
                    pass
            except OSError:
                pass  # full

    def mend(self) -> None:
        """All is well again."""
        (self.state / "filler").unlink(missing_ok=True)


class ReadOnlyDisk(_Mounted):
    """A disk that is made read-only while nobody writes: with files open the kernel does so only to one that is broken."""

    def __init__(self, directory: Path) -> None:
        super().__init__(directory, "size=8m")

    def fail(self) -> None:
        """From now on."""
        self._remount("ro")

    def mend(self) -> None:
        """All is well again."""
        self._remount("rw")

    def _remount(self, how: str) -> None:
        subprocess.run(["mount", "-o", f"remount,{how}", self.state], check=True)
