"""The wall clock of gateways, set by a test."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.lacking import lacking

SHIM = Path(__file__).with_name("wallclock.c")


@pytest.fixture
def set_clock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """Sets the wall clock of gateways that are started from now on, in seconds beside the true time."""
    if shutil.which("gcc") is None:
        lacking("the packages gcc and libc6-dev, to make what shifts a process's clock")
    library, offset = tmp_path / "wallclock.so", tmp_path / "offset"
    subprocess.run(["gcc", "-shared", "-fPIC", "-O2", "-o", library, SHIM], check=True)
    offset.write_text("0")
    monkeypatch.setenv("LD_PRELOAD", str(library))
    monkeypatch.setenv("WALL_OFFSET", str(offset))

    def set_clock(seconds: int) -> None:
        fresh = tmp_path / "offset.new"
        fresh.write_text(str(seconds))
        fresh.replace(offset)

    return set_clock
