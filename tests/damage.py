"""What damage does to files."""

from __future__ import annotations

import random


def mixed(before: bytes, after: bytes, chance: random.Random) -> bytes:
    """Some pages of the one and the others of the other."""
    pages = [(before[at : at + 4096], after[at : at + 4096]) for at in range(0, max(len(before), len(after)), 4096)]
    return b"".join(chance.choice(pair).ljust(4096, b"\0") for pair in pages)
