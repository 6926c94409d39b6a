"""A directory of configurations: each document is a file at the path that its topic has.

Files lie below ``DIR/config``, as imports write them, or below ``DIR`` itself where it holds ``devices``, as VOLTTRON's
directories do. A level of a topic is the name of a file or folder, but for what no name can be, which is escaped: ``%`` and
control characters as ``%25``, and the dot that a level begins with. A document whose path is also a folder is the file ``%``
in that.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from gateway.payloads import MAX_BYTES

CONFIG = "config"
"""The folder of the documents; as a file, VOLTTRON's settings of its driver agent."""
DEVICES = "devices"
ITSELF = "%"

_ESCAPED = re.compile(r"%([0-7][0-9A-Fa-f])")
_ODD = re.compile(r"^\.|[%\x00-\x1f\x7f]")


def place(directory: Path) -> Path:
    """The folder of the documents."""
    inner = directory / CONFIG
    return inner if inner.is_dir() or not (directory / DEVICES).is_dir() else directory


def names(paths: Iterable[str]) -> dict[str, str]:
    """The paths of documents with the paths of their files; those that can have none are left out."""
    all_paths = set(paths)
    folders = {path[:cut] for path in all_paths for cut in _slashes(path)}
    good = (path for path in sorted(all_paths) if all(path.split("/")))
    return {path: _name(path) + (f"/{ITSELF}" if path in folders else "") for path in good}


def read(directory: Path) -> dict[str, tuple[Path, bytes]]:
    """The documents by path, each with its file. Raises OSError."""
    root = place(directory)
    files = sorted(_files(root, directory))
    return {_path(file.relative_to(root)): (file, _content(file)) for file in files}


def leftover(directory: Path, documents: Mapping[str, bytes]) -> list[Path]:
    """The files that are none of these documents. Raises OSError."""
    return [file for path, (file, _) in read(directory).items() if path not in documents] if directory.is_dir() else []


def differing(root: Path, documents: Mapping[str, bytes]) -> list[Path]:
    """The files that are there with another content than these documents, or in the way of them. Raises OSError."""
    files = {root / name: documents[path] for path, name in names(documents).items()}
    return [file for file, payload in files.items() if file.exists() and (file.is_dir() or file.read_bytes() != payload)]


def write(root: Path, documents: Mapping[str, bytes]) -> Iterator[Path]:
    """Write the documents, and tell each file. Raises OSError."""
    for path, name in names(documents).items():
        file = root / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(documents[path])
        yield file


def _slashes(path: str) -> list[int]:
    return [index for index, letter in enumerate(path) if letter == "/"]


def _name(path: str) -> str:
    return "/".join(_ODD.sub(lambda odd: f"%{ord(odd[0]):02X}", level) for level in path.split("/"))


def _path(file: Path) -> str:
    parts = file.parts[:-1] if file.name == ITSELF and len(file.parts) > 1 else file.parts
    return "/".join(_ESCAPED.sub(lambda code: chr(int(code[1], 16)), part) for part in parts)


def _files(root: Path, directory: Path) -> Iterator[Path]:
    for folder, folders, files in os.walk(root, onerror=_raise):
        folders[:] = [name for name in folders if not name.startswith(".")]
        for name in files:
            file = Path(folder, name)
            if not name.startswith(".") and file != directory / CONFIG:
                yield file


def _raise(error: OSError) -> None:
    raise error


def _content(file: Path) -> bytes:
    with file.open("rb") as opened:
        return opened.read(MAX_BYTES + 1)  # one more than a document may have is a fault
