"""Build the wheel into a directory: the same sources give the same bytes, wherever and whenever.

    python tools/wheel.py [DIRECTORY]

What would differ is levelled: times (SOURCE_DATE_EPOCH, as reproducible-builds.org specifies it), modes of files, and what
an earlier build has left behind.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[1]
SOURCES = ("gateway", "pyproject.toml", "README.md", "LICENSE")
EPOCH = "315532800"
"""1980-01-01, the earliest time that a zip file knows."""


def build(root: Path, directory: Path) -> Path:
    """Build the sources in ``root``; the wheel's path."""
    with tempfile.TemporaryDirectory() as temporary:
        source, made = Path(temporary, "source"), Path(temporary, "made")
        _copy(root, source)
        command = [
            sys.executable,
            "-m",
            "pip",
            "wheel",
            "-q",
            "--no-deps",
            "--no-build-isolation",
            "--wheel-dir",
            made,
            source,
        ]
        environ = {"SOURCE_DATE_EPOCH": EPOCH, "PIP_DISABLE_PIP_VERSION_CHECK": "1"} | os.environ
        subprocess.run(command, check=True, env=environ)
        (wheel,) = made.glob("*.whl")
        directory.mkdir(parents=True, exist_ok=True)
        return Path(shutil.copy(wheel, directory))


def _copy(root: Path, target: Path) -> None:
    target.mkdir()
    for name in SOURCES:
        if (root / name).is_dir():
            shutil.copytree(root / name, target / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(root / name, target)
    for path in target.rglob("*"):
        path.chmod(0o755 if path.is_dir() else 0o644)


if __name__ == "__main__":
    print(build(ROOT, Path(sys.argv[1] if sys.argv[1:] else ROOT / "dist")))
