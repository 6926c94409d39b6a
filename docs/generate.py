"""Write the parts of the reference that the code says itself: ``make docs``."""

from __future__ import annotations

import re
from pathlib import Path

from gateway.errors import TABLE

ERRORS = Path(__file__).parent / "reference" / "errors.md"
HEAD = "| code | meaning | what to do next | `data` |\n|---|---|---|---|\n"
_TABLE = re.compile(r"^\| code \|.*?\n\n", re.MULTILINE | re.DOTALL)


def errors(document: str) -> str:
    """The page of the errors, with its table as the code has it now."""
    rows = (
        f"| `{code}` | {row.meaning} | {row.next} | {f'{row.data} ' if row.data else ''}|\n" for code, row in TABLE.items()
    )
    return _TABLE.sub(lambda _: HEAD + "".join(rows) + "\n", document, count=1)


if __name__ == "__main__":
    ERRORS.write_text(errors(ERRORS.read_text()))
