"""What every scan tells: the result on standard output, what goes on and what is wrong on standard error."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping

from rich.console import Console
from rich.table import Table as Grid

STOPPED = 130
"""The exit code after Ctrl-C."""


def show(whole: Mapping[str, object], found: Grid | None, as_json: bool) -> None:
    """The result on standard output: one JSON object, or a table of what was found; None if nobody answered."""
    if as_json:
        print(json.dumps(whole))
    elif found is not None:
        Console().print(found)
    else:
        print("nobody answers")
    sys.stdout.flush()


def passing(text: str) -> None:
    """A word on what is going on, for somebody who watches a terminal: the next one takes its place."""
    if sys.stderr.isatty():
        print(f"\r{text:<40}", end="", file=sys.stderr, flush=True)


def complain(text: str) -> None:
    """A line on standard error."""
    print(text, file=sys.stderr)
