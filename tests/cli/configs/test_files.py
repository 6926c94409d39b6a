"""Configurations as files, and files as configurations."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.cli.configs import files
from gateway.payloads import MAX_BYTES

LEVEL = st.text("abD %.\n\u00e4", min_size=1, max_size=4) | st.sampled_from([".", "..", "%", "%25", "~", "config"])
PATHS = st.lists(LEVEL, min_size=1, max_size=4).map("/".join)


def saved(directory: Path, documents: dict[str, bytes]) -> list[str]:
    """Write documents; the names of the files below the directory."""
    written = list(files.write(files.place(directory), documents))
    return sorted(str(file.relative_to(directory)) for file in written)


@given(st.dictionaries(PATHS, st.binary(min_size=1, max_size=5), min_size=1, max_size=8))
def test_what_was_saved_is_read_again(documents: dict[str, bytes]) -> None:
    """Any names, also those that mean something to a file system, come back with their contents; nothing lies elsewhere."""
    with tempfile.TemporaryDirectory() as temporary:
        directory = Path(temporary, "backup")
        assert len(saved(directory, documents)) == len(documents)
        assert {path: payload for path, (_, payload) in files.read(directory).items()} == documents
        assert [path.name for path in Path(temporary).iterdir()] == ["backup"]


def test_files_stand_at_the_paths_of_topics(tmp_path: Path) -> None:
    """A device that has devices below it is a file in its own folder, and a path with dots leads nowhere else."""
    documents = {"devices/C/B/D": b"1", "devices/C/B/D/E": b"2", "registry_configs/x.csv": b"3", "../../x": b"4"}
    assert saved(tmp_path, documents) == [
        "config/%2E./%2E./x",
        "config/devices/C/B/D/%",
        "config/devices/C/B/D/E",
        "config/registry_configs/x.csv",
    ]


def test_a_path_with_an_empty_level_can_be_no_file() -> None:
    """It is left out, for the caller to tell."""
    assert files.names(["a//b", "a/", "/a", "a/b"]) == {"a/b": "a/b"}


def test_volttrons_directory_is_read(tmp_path: Path) -> None:
    """Below a directory with ``devices`` the files are found, but for hidden ones and the driver agent's own settings."""
    for name in ("config", "devices/campus/building/unit", "registry_configs/unit.csv", ".git/HEAD", "devices/.swp"):
        file = tmp_path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("{}")
    assert sorted(files.read(tmp_path)) == ["devices/campus/building/unit", "registry_configs/unit.csv"]


def test_a_huge_file_is_not_read_to_its_end(tmp_path: Path) -> None:
    """So much is read of it as shows that it is too big."""
    (tmp_path / "config").mkdir()
    (tmp_path / "config" / "x").write_bytes(b"x" * (MAX_BYTES + 1000))
    assert len(files.read(tmp_path)["x"][1]) == MAX_BYTES + 1


def test_a_directory_that_is_not_there_is_told(tmp_path: Path) -> None:
    """Nothing is taken for an empty directory."""
    with pytest.raises(OSError, match="No such file"):
        files.read(tmp_path / "nowhere")


def test_other_contents_are_told(tmp_path: Path) -> None:
    """A file with another content, and a folder in the place of a file, are in the way; the same content is not."""
    root = tmp_path / "config"
    list(files.write(root, {"a": b"1", "b": b"1"}))
    (root / "c").mkdir()
    assert files.differing(root, {"a": b"1", "b": b"2", "c": b"3", "d": b"4"}) == [root / "b", root / "c"]
    assert files.leftover(tmp_path, {"a": b"1"}) == [root / "b"]
