"""Bytes to values and back, with the limits on what comes in; pure.

JSON from outside is refused when it is too big, too deep, not UTF-8, has a key twice, a number that is not finite or a lone
surrogate: Python's parser would take the last key, accept NaN, or die on depth.
"""

from __future__ import annotations

import json
import re
from itertools import accumulate
from typing import Any

import orjson

MAX_BYTES = 256 * 1024
MAX_DEPTH = 32
TOO_LONG = f"longer than the {MAX_BYTES} bytes that a document may have"
"""What is said of a payload of more; not of how many, as the rest need not have been read."""

# What is not closed matches to the end of its line or of the text: so no text costs more than linear time.
# It never goes back either, which would take memory for each backslash.
_STRING = re.compile(r'"[^"\\\n]*+(?:\\.[^"\\\n]*+)*+(?:"|(?=\n)|\\?\Z)', re.DOTALL)
_STRING_OR_COMMENT = re.compile(_STRING.pattern + r"|//[^\n]*|#[^\n]*|/\*.*?(?:\*/|\Z)", re.DOTALL)
_NOT_BRACKETS = re.compile(r"[^\[\]{}]+")
_DEPTH = {"[": 1, "{": 1, "]": -1, "}": -1}
_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")


class BadPayload(ValueError):
    """A payload is refused; the message says where and why."""


def text(payload: bytes) -> str:
    """The payload as text, without a byte order mark. Raises BadPayload: too big, not UTF-8."""
    if len(payload) > MAX_BYTES:
        raise BadPayload(TOO_LONG)
    try:
        return payload.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise BadPayload(f"not UTF-8: byte 0x{payload[error.start]:02x} at offset {error.start}") from None


def without_comments(source: str) -> str:
    """JSON text with ``//``, ``#`` and ``/* */`` comments blanked out, so that lines and columns stay."""
    return _STRING_OR_COMMENT.sub(_blank_comment, source)


def parse(source: str) -> Any:
    """The value of a JSON text. Raises BadPayload with line and column."""
    brackets = _NOT_BRACKETS.sub("", _STRING.sub("", source))
    if max(accumulate(map(_DEPTH.__getitem__, brackets)), default=0) > MAX_DEPTH:
        raise BadPayload(f"nested deeper than {MAX_DEPTH} levels")
    try:
        value = json.loads(source, object_pairs_hook=_object, parse_constant=_constant, parse_float=_float, parse_int=_int)
    except json.JSONDecodeError as error:
        reason = error.msg.removesuffix(" at")
        raise BadPayload(f"not JSON: {reason} at line {error.lineno} column {error.colno}") from None
    except BadPayload:
        raise
    except ValueError:
        raise BadPayload("a number has too many digits") from None
    except RecursionError:
        raise BadPayload(f"nested deeper than {MAX_DEPTH} levels") from None
    if _SURROGATE.search(source):
        _refuse_surrogates(value)
    return value


def dump(value: Any) -> bytes:
    """JSON of a value; keys in the order given. Raises TypeError on what JSON can not carry."""
    # Copied, as the library's own bytes keep 8 KiB and more of spare room each, which adds up in queues.
    return bytes(memoryview(orjson.dumps(value)))


def _blank_comment(match: re.Match[str]) -> str:
    found = match.group()
    return found if found[0] == '"' else re.sub(r"[^\n]", " ", found)


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) < len(pairs):
        seen: set[str] = set()
        twice = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]
        raise BadPayload(f'the key "{twice}" stands twice in one object')
    return result


def _constant(word: str) -> None:
    raise BadPayload(f"{word} is not a JSON number")


def _int(digits: str) -> float:
    number = int(digits)
    return number if -(2**63) <= number < 2**64 else _float(digits)  # as every reader of JSON without long integers does


def _float(digits: str) -> float:
    number = float(digits)
    if number in (float("inf"), float("-inf")):
        raise BadPayload(f"{digits[:20]} is too big a number")
    return number


def _refuse_surrogates(value: Any) -> None:
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        raise BadPayload("a text holds half of a surrogate pair") from None
