"""Texts that nobody may see: wherever words of the gateway would show one, three stars stand instead.

What a device is told as a secret may turn up in any sentence about it: an address in why it can not be reached, a name in
a driver's traceback. So the words are masked where they go out (errors, statuses, log), not where they are made. Values of
points are never touched: a reading must not change because it looks like a secret.
"""

from __future__ import annotations

import re

MIN_LENGTH = 4
"""Shorter texts are in too many words by chance; they keep nothing secret anyway."""
BEGINNING = 16
"""A message that cuts a long text short shows at least so much of it."""
MASK = "***"

_secrets: dict[str, re.Pattern[str]] = {}  # is replaced, never changed: any thread may be going through it


def conceal(secret: str) -> None:
    """From now on this text is not shown."""
    global _secrets
    if len(secret) >= MIN_LENGTH and secret not in _secrets:
        cut_short = rf"|{re.escape(secret[:BEGINNING])}\S*" if len(secret) > BEGINNING else ""
        _secrets = _secrets | {secret: re.compile(re.escape(secret) + cut_short)}


def masked(words: str) -> str:
    """The words without secrets."""
    for pattern in _secrets.values():
        words = pattern.sub(MASK, words)
    return words


def forget() -> None:
    """Conceal nothing any more; for tests."""
    global _secrets
    _secrets = {}
