r"""What is sent: text with escapes, ``{address}`` and ``{value}`` or ``{value:06.1f}``; ``{{`` is a brace. Pure.

The format is a part of Python's: sign, ``0``, width, decimals, and one of ``d x X f e E g G s``.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from gateway.interfaces._text.escapes import unescaped

_PIECE = re.compile(r"\{\{|\}\}|\{(\w*)(?::([^{}]*))?\}|[{}]")
_FORMAT = re.compile(r"[+ -]?0?\d{0,2}(\.\d{1,2})?[dxXeEfgGs]?")


@dataclass(frozen=True, slots=True)
class Template:
    """Bytes, and between them the formats of values: ``text[0] value text[1] value ...``."""

    texts: tuple[bytes, ...]
    formats: tuple[str, ...] = ()

    def filled(self, *values: bytes) -> bytes:
        """The bytes with these in the places of the values."""
        made = self.texts[0]
        for value, text in zip(values, self.texts[1:], strict=True):
            made += value + text
        return made


def template(source: str, encoding: str, address: str, takes_value: bool) -> Template:
    """The template of a cell. Raises ValueError in words."""
    texts, formats, at = [b""], [], 0
    for match in _PIECE.finditer(source):
        texts[-1] += unescaped(source[at : match.start()], encoding)
        at = match.end()
        if match[0] in ("{{", "}}"):
            texts[-1] += match[0][:1].encode()
        elif match[1] == "address" and match[2] is None:
            texts[-1] += _address(address).encode(encoding)
        elif match[1] == "value" and takes_value:
            formats.append(_format(match[2] or ""))
            texts.append(b"")
        else:
            raise ValueError(
                f"{match[0]} is no place for {'a value or ' * takes_value}the address; a brace itself is doubled"
            )
    texts[-1] += unescaped(source[at:], encoding)
    return Template(tuple(texts), tuple(formats))


def _address(address: str) -> str:
    if not address:
        raise ValueError("{address} stands for the key address of driver_config, which is not given")
    return address


def _format(spec: str) -> str:
    if not _FORMAT.fullmatch(spec):
        raise ValueError(f"{spec} is no format; write one such as 06.1f or 04d")
    return spec
