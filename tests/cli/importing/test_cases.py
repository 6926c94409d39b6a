"""Every folder of cases: a file of another program, the documents that become of it, and what is said of the rest.

A folder is named by the format, and holds ``input``, ``remarks.txt`` and the documents below ``expected/`` at their topics.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from gateway.cli.importing import ede, telegraf, thingsboard
from gateway.cli.importing.command import told
from gateway.cli.importing.documents import documents
from gateway.cli.importing.model import Result
from gateway.interfaces.base import Environment
from gateway.store.compile import compile_device
from gateway.store.faults import line

CASES = sorted((Path(__file__).parent / "cases").iterdir())
CONVERTERS: dict[str, Callable[[Path], Result]] = {
    "thingsboard": lambda source: thingsboard.convert(source.read_text()),
    "telegraf": lambda source: telegraf.convert(source.read_text()),
    "ede": lambda source: ede_converted(source),
}

every_case = pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)


def ede_converted(source: Path) -> Result:
    """What becomes of an EDE file, with the side files beside it."""
    sides = {kind: side for kind in ("states", "units") if (side := ede.beside(source, kind))}
    return ede.convert(ede.read(source), **{kind: ede.read(side) for kind, side in sides.items()})


def converted(case: Path) -> tuple[dict[str, str], list[str]]:
    """The documents by topic, and the remarks as lines."""
    (source,) = case.glob("input.*")
    result = CONVERTERS[case.name.partition("_")[0]](source)
    files = documents(result, "campus/building")
    return files, [told(remark) for remark in result.remarks]


def expected(case: Path) -> dict[str, str]:
    """The documents that are due, by topic."""
    folder = case / "expected"
    return {path.relative_to(folder).as_posix(): path.read_text() for path in folder.rglob("*") if path.is_file()}


@every_case
def test_documents_are_those_expected(case: Path):
    """Each source becomes exactly these documents, to the letter."""
    assert converted(case)[0] == expected(case)


@every_case
def test_what_is_not_carried_over_is_told(case: Path):
    """Each source has exactly these remarks: nothing is left out in silence, and nothing is told that is not so."""
    assert converted(case)[1] == (case / "remarks.txt").read_text().splitlines()


@every_case
def test_documents_are_good(case: Path, env: Environment):
    """A gateway accepts each device with its registry, and has a point for each row."""
    files = expected(case)
    linked = {topic.removeprefix("config/"): text.encode() for topic, text in files.items()}
    devices = {topic.removeprefix("config/devices/"): text for topic, text in files.items() if "/devices/" in topic}
    assert devices
    for path, text in devices.items():
        verdict = compile_device(path, text.encode(), linked, env, None)
        assert ([line(fault) for fault in verdict.errors], [line(fault) for fault in verdict.warnings]) == ([], [])
        assert verdict.spec is not None
        assert len(verdict.spec.registers) == len(files[f"config/registry_configs/{path}.csv"].splitlines()) - 1
