"""What a misspelt name was probably meant to be."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

MAX_NAME = 80
"""Longer words are not compared: it would cost more than it could help."""
NEAR = 0.8


def nearest(word: str, known: Iterable[str], near: float = NEAR) -> str:
    """The known name that the word nearly is, in any case; empty if there is none."""
    if len(word) > MAX_NAME:
        return ""
    by_lower = {name.lower(): name for name in known}
    found = difflib.get_close_matches(word.strip().lower(), by_lower, n=1, cutoff=near)
    return by_lower[found[0]] if found else ""
