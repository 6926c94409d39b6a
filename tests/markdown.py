"""The project's documents as tests see them: fenced blocks, tables, links, and examples that are run."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from textwrap import dedent

ROOT = Path(__file__).parent.parent

_BLOCK = re.compile(r"^( *)```(\w*)\n(.*?)^\1```$", re.MULTILINE | re.DOTALL)
_FILE = re.compile(r"`([\w./]+)`:\n\n$")
_FIRST_CELL = re.compile(r"^ *\| ((?:`[^`]+`(?:, )?)+) \|", re.MULTILINE)
_CODE = re.compile(r"`([^`]+)`")
_LINK = re.compile(r"\]\(([^)\s]+)\)")


def documents() -> list[Path]:
    """Every document that a reader may open."""
    return sorted(
        [
            *ROOT.glob("*.md"),
            *ROOT.glob("docs/**/*.md"),
            *ROOT.glob("bench/*.md"),
            *ROOT.glob("deploy/**/*.md"),
            *ROOT.glob("examples/**/*.md"),
        ]
    )


@dataclass(frozen=True)
class Block:
    """A fenced block: its language, its text, and the name of the file that it is said to be, if any."""

    language: str
    text: str
    file: str


def blocks(document: Path) -> list[Block]:
    """The fenced blocks of a document; one below a line that ends in a file name and a colon is that file."""
    source = document.read_text()
    found = []
    for match in _BLOCK.finditer(source):
        named = _FILE.search(source, 0, match.start())
        found.append(Block(match[2], dedent(match[3]), named[1] if named else ""))
    return found


def commands(block: Block) -> Iterator[tuple[str, str]]:
    """Each command of a console block (after ``$ ``) with the output that it is said to have."""
    for part in re.split(r"^\$ ", block.text, flags=re.MULTILINE)[1:]:
        command, _, output = part.partition("\n")
        yield command, output


def as_shown(output: str, shown: str) -> bool:
    """Whether an output is the one that a document shows, where ``...`` stands for anything."""
    return re.fullmatch(".*?".join(map(re.escape, shown.strip().split("..."))), output.strip(), re.DOTALL) is not None


def first_cells(document: Path) -> list[str]:
    """What the rows of a document's tables are about: the code in first cells that hold nothing else, in order."""
    source = _BLOCK.sub("", document.read_text())
    return [word for cell in _FIRST_CELL.findall(source) for word in _CODE.findall(cell)]


def code(document: Path) -> set[str]:
    """What stands as code in the text of a document."""
    return set(_CODE.findall(_BLOCK.sub("", document.read_text())))


def links(document: Path) -> list[str]:
    """The targets of a document's links."""
    return _LINK.findall(_BLOCK.sub("", document.read_text()))


def anchors(document: Path) -> set[str]:
    """The names by which the headings of a document can be linked to."""
    headings = re.findall(r"^#+ (.+)$", _BLOCK.sub("", document.read_text()), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}
