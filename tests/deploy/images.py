"""Container images for tests: built and run by Docker where its engine answers, else by buildah, which needs none.

buildah is given a Debian of our own making in place of the base image: it shows that the Dockerfile works, not that the base
image does.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from tests.markdown import ROOT

NAME = "gateway-under-test"
BASE = "docker.io/library/python:3.11-slim-bookworm"
USER = 10001
"""The user of the image, and its group."""

LENT = ("/etc/ssl/certs", "/etc/pip.conf", "/etc/xdg/pip")
"""What pip knows of this machine's package index, lent to the build."""

NO_DOCUMENTS = [f"--dpkgopt=path-exclude=/usr/share/{name}/*" for name in ("doc", "man", "locale", "info")]

CONTAINER = """
root=$1 settings=$2 state=$3; shift 3
mount --bind "$root" "$root"
mkdir -p "$root/etc/gateway"
mount -o remount,bind,ro "$root"
mount --bind "$settings" "$root/etc/gateway"
mount --bind "$state" "$root/var/lib/gateway"
mount -t tmpfs -o mode=1777 tmpfs "$root/tmp"
mount -t proc proc "$root/proc"
mount --rbind /dev "$root/dev"
exec chroot --userspec=10001:10001 "$root" "$@"
"""
"""What a container engine does to run an image with a read-only root, with the mounts of a namespace of its own."""


class Engine(Protocol):
    """What builds and runs images."""

    def build(self) -> None:
        """Build the image from the Dockerfile."""

    def config(self) -> dict[str, Any]:
        """The image's ``Config``: User, Entrypoint, Healthcheck, ..."""

    def run(self, settings: Path, state: Path, words: Sequence[str]) -> list[str]:
        """The command that runs the image in the foreground on this machine's network, its root read-only."""

    def inside(self, process: int, words: Sequence[str]) -> list[str]:
        """The command that runs words in the container whose ``run`` is that process."""

    def remove(self) -> None:
        """Remove what was built."""


@dataclass(frozen=True)
class Docker:
    """The Docker engine."""

    def build(self) -> None:
        """Build the image from the Dockerfile."""
        done("docker", "build", "--quiet", "--tag", NAME, ROOT)

    def config(self) -> dict[str, Any]:
        """The image's ``Config``: User, Entrypoint, Healthcheck, ..."""
        return json.loads(done("docker", "image", "inspect", NAME))[0]["Config"]

    def run(self, settings: Path, state: Path, words: Sequence[str]) -> list[str]:
        """The command that runs the image in the foreground on this machine's network, its root read-only."""
        mounts = ["-v", f"{settings}:/etc/gateway:ro", "-v", f"{state}:/var/lib/gateway"]
        return [
            "docker",
            "run",
            "--rm",
            "--name",
            NAME,
            "--network=host",
            "--read-only",
            "--tmpfs=/tmp",
            *mounts,
            NAME,
            *words,
        ]

    def inside(self, process: int, words: Sequence[str]) -> list[str]:
        """The command that runs words in the container whose ``run`` is that process."""
        return ["docker", "exec", NAME, *words]

    def remove(self) -> None:
        """Remove what was built."""
        subprocess.run(["docker", "image", "rm", NAME], capture_output=True, timeout=60)


@dataclass(frozen=True)
class Buildah:
    """buildah without an engine; everything that it keeps is below a directory."""

    directory: Path

    def build(self) -> None:
        """Build the image from the Dockerfile."""
        base = self.directory / "base.tar"
        done(
            "mmdebstrap",
            "--quiet",
            "--variant=minbase",
            *NO_DOCUMENTS,
            "--include=python3-venv,ca-certificates",
            "bookworm",
            base,
        )
        scratch = self._buildah("from", "scratch")
        self._buildah("add", "--quiet", scratch, base, "/")
        self._buildah("commit", "--quiet", "--rm", scratch, BASE)
        lent = [word for path in LENT if Path(path).exists() for word in ("--volume", f"{path}:{path}:ro")]
        how = ("--isolation=chroot", "--pull=never", "--format=docker")
        self._buildah("build", "--quiet", *how, *lent, "--tag", NAME, ROOT)

    def config(self) -> dict[str, Any]:
        """The image's ``Config``: User, Entrypoint, Healthcheck, ..."""
        return json.loads(self._buildah("inspect", "--type=image", NAME))["Docker"]["config"]

    def run(self, settings: Path, state: Path, words: Sequence[str]) -> list[str]:
        """The command that runs the image in the foreground on this machine's network, its root read-only."""
        root = self._buildah("mount", self._buildah("from", "--pull=never", NAME))
        config = self.config()
        command = ["env", "-i", *config["Env"], *config["Entrypoint"], *words]
        return ["unshare", "--mount", "sh", "-ec", CONTAINER, "sh", root, str(settings), str(state), *command]

    def inside(self, process: int, words: Sequence[str]) -> list[str]:
        """The command that runs words in the container whose ``run`` is that process."""
        user = [f"--setuid={USER}", f"--setgid={USER}"]
        env = ["/usr/bin/env", "--chdir=/", "-i", *self.config()["Env"]]
        return ["nsenter", f"--target={process}", "--mount", "--root", *user, *env, *words]

    def remove(self) -> None:
        """Remove what was built."""
        self._buildah("rm", "--all")
        self._buildah("rmi", "--all", "--force")

    def _buildah(self, *words: str | Path) -> str:
        places = ["--storage-driver=vfs", f"--root={self.directory / 'images'}", f"--runroot={self.directory / 'run'}"]
        return done("buildah", *places, *words).strip()


def engine(directory: Path) -> Engine | None:
    """What this machine can build images with, if it can."""
    if shutil.which("docker") and subprocess.run(["docker", "info"], capture_output=True, timeout=20).returncode == 0:
        return Docker()
    if os.geteuid() == 0 and all(map(shutil.which, ("buildah", "mmdebstrap", "unshare", "nsenter"))):
        return Buildah(directory)
    return None


def done(*words: str | Path) -> str:
    """What a command prints; fails with what it says if it fails."""
    result = subprocess.run(list(map(str, words)), capture_output=True, text=True, timeout=300)
    assert result.returncode == 0, f"{' '.join(map(str, words))}\n{result.stdout[-2000:]}{result.stderr[-4000:]}"
    return result.stdout
