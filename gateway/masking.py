"""Texts that nobody may see: wherever words of the gateway would show one, three stars stand instead.

What a device is told as a secret may turn up in any sentence about it: an address in why it can not be reached, a name in
a driver's traceback. So the words are masked where they go out (errors, statuses, log), not where they are made. Values of
points are never touched: a reading must not change because it looks like a secret.

Masking comes before JSON is made of the words: in JSON a quote, a tab or a letter of another alphabet is no more what it
was. What others have written in such a way already, as Python does in the words of many an error, is known as well.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from itertools import takewhile
from types import NoneType
from typing import Any
from urllib.parse import quote, quote_plus

MIN_LENGTH = 4
"""Shorter texts are in too many words by chance; they keep nothing secret anyway."""
BEGINNING = 16
"""A message that cuts a long text short shows at least so much of it."""
MASK = "***"

_WORD = re.compile(r"\S*")
_forms: tuple[str, ...] = ()  # is replaced, never changed: any thread may be going through it


def conceal(secret: str) -> None:
    """From now on this text is not shown, however it is written."""
    global _forms
    if len(secret) >= MIN_LENGTH and secret not in _forms:
        # The longest first: a secret may be the beginning of another one, whose end would stay.
        # Written twice: a KeyError shows its words, which may hold a shown text.
        twice = {again for form in forms(secret) for again in forms(form)}
        _forms = tuple(sorted({*_forms, *twice}, key=len, reverse=True))


def forms(secret: str) -> set[str]:
    """A text as it is, and as it stands within texts that Python, JSON or a url writes."""
    both_quotes = secret + "\"'"  # else it depends on the rest of the text which of them are escaped
    python = [repr(both_quotes)[1:-4], ascii(both_quotes)[1:-4], repr(both_quotes.encode())[2:-4]]
    written = [json.dumps(secret)[1:-1], json.dumps(secret, ensure_ascii=False)[1:-1]]
    urls = [quote(secret), quote(secret, safe=""), quote_plus(secret)]
    return {secret, *python, *(form.replace("\\'", "'") for form in python), *written, *urls}


def masked(words: str) -> str:
    """The words without secrets."""
    for form in _forms:
        if form[:BEGINNING] in words:
            words = _without(words, form)
    return words


def masked_all(value: Any) -> Any:
    """The same for all words in what becomes JSON; a number may be a secret too, and any other object is its repr."""
    if isinstance(value, str):
        return masked(value)
    if isinstance(value, Mapping):
        return {masked_all(key): masked_all(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [masked_all(inner) for inner in value]
    shown = repr(value)
    return value if isinstance(value, (int, float, NoneType)) and masked(shown) == shown else masked(shown)


def forget() -> None:
    """Conceal nothing any more; for tests."""
    global _forms
    _forms = ()


def _without(words: str, form: str) -> str:
    kept, begin = [], 0
    while (at := words.find(form[:BEGINNING], begin)) >= 0:
        kept.append(words[begin:at])
        begin = _end(words, at, form)
    return MASK.join([*kept, words[begin:]])


def _end(words: str, at: int, form: str) -> int:
    """Where a secret ends that begins there, whole or cut short; then the dots behind it are taken for a part of it."""
    same = at + sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(words[at:], form, strict=False)))
    word = _WORD.match(words, same)
    return same if same - at == len(form) or word is None else word.end()
