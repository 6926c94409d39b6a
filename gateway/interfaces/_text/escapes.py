r"""Texts with escapes, as registries and configs hold them, to bytes; pure.

``\r \n \t \0 \\`` and ``\xNN`` are one byte each, everything else is itself.
"""

from __future__ import annotations

import re

_ESCAPE = re.compile(r"\\(x[0-9A-Fa-f]{2}|.?)", re.DOTALL)
_SHORT = {"r": "\r", "n": "\n", "t": "\t", "0": "\0", "\\": "\\"}


def unescaped(text: str, encoding: str) -> bytes:
    """The bytes that a text means. Raises ValueError for an unknown escape or a character that the encoding lacks."""
    made, at = bytearray(), 0
    for match in _ESCAPE.finditer(text):
        made += _encoded(text[at : match.start()], encoding) + _meant(match[1])
        at = match.end()
    return bytes(made + _encoded(text[at:], encoding))


def readable(data: bytes) -> str:
    """Bytes as text for people, with escapes, cut short."""
    words = data[:60].decode("latin-1").translate(_READABLE)
    return f'"{words}"' + ("..." if len(data) > 60 else "")


def _encoded(text: str, encoding: str) -> bytes:
    try:
        return text.encode(encoding)
    except UnicodeEncodeError as error:
        raise ValueError(f'"{text[error.start]}" is not in the encoding {encoding}') from None


def _meant(escape: str) -> bytes:
    if escape.startswith("x") and len(escape) > 1:
        return bytes.fromhex(escape[1:])
    if escape not in _SHORT:
        raise ValueError(rf"\{escape} is no escape; there are \r \n \t \0 \xNN, and \\ for a backslash")
    return _SHORT[escape].encode()


_READABLE = {code: f"\\x{code:02x}" for code in (*range(32), *range(127, 256))} | {
    ord(char): f"\\{short}" for short, char in _SHORT.items() if char != "\0"
}
