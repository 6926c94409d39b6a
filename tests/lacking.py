"""What a test needs and a machine may lack: elsewhere it is skipped, in CI, which installs all that can be, it fails."""

from __future__ import annotations

import os
from pathlib import Path
from typing import NoReturn

import pytest

CAP_SYS_ADMIN = 21
"""The right to mount and to make namespaces; linux/capability.h."""


def lacking(what: str, rightly: bool = False) -> NoReturn:
    """Skip this test for want of that; ``rightly``: it can not be installed, so a machine of the CI may lack it too."""
    if "CI" in os.environ and not rightly:
        pytest.fail(f"CI lacks what it installs: {what}")
    pytest.skip(f"needs {what}")


def may_mount() -> bool:
    """Whether this process may mount file systems; root in a container often may not."""
    status = Path("/proc/self/status").read_text()
    (mask,) = (line.split()[1] for line in status.splitlines() if line.startswith("CapEff:"))
    return bool(int(mask, 16) >> CAP_SYS_ADMIN & 1)
