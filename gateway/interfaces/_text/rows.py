"""What a row of an instrument's registry may say. Each column is described in docs/drivers/serial.md."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, BeforeValidator, Field

from gateway.errors import ConfigFault
from gateway.interfaces._ports import lower
from gateway.interfaces._text.register import MOST_LINES
from gateway.interfaces._text.values import TYPES
from gateway.interfaces.base import Flag, RegistryRow

WORDS_HINT = "ON=1;OFF=0"


def _type(word: str) -> str:
    if word not in TYPES:
        raise ValueError(f"the types are {', '.join(TYPES)}")
    return word


class SerialRow(RegistryRow):
    """One row of the registry."""

    request: str = Field("", alias="Request")
    lines: int = Field(1, alias="Lines", ge=1, le=MOST_LINES)
    pattern: str = Field("", alias="Pattern")
    group: str = Field("", alias="Group")
    type: Annotated[str, AfterValidator(_type), BeforeValidator(lower)] = Field("float", alias="Type")
    words: str = Field("", alias="Words")
    write: str = Field("", alias="Write")
    answer: str = Field("", alias="Answer")
    read_back: Flag = Field(True, alias="Read Back")
    tolerance: float | None = Field(None, alias="Tolerance", ge=0)


def words_of(text: str, raw_type: str) -> tuple[tuple[str, bool | int], ...]:
    """The pairs of a Words cell, ``ON=1;OFF=0``. Raises ConfigFault."""
    if not text:
        return ()
    if raw_type not in ("integer", "boolean"):
        raise ConfigFault(f"only integer and boolean points have Words, not {raw_type} ones", "Words")
    pairs = [part.rpartition("=") for part in text.split(";")]
    try:
        found = [(word.strip(), int(raw)) for word, _, raw in pairs]
    except ValueError:
        raise ConfigFault("write word=number pairs", "Words", WORDS_HINT) from None
    if len({word for word, _ in found}) < len(found) or any(not word for word, _ in found):
        raise ConfigFault("every word may stand once, and none is empty", "Words", WORDS_HINT)
    if raw_type == "boolean" and not {raw for _, raw in found} <= {0, 1}:
        raise ConfigFault("a boolean point takes 0 and 1 only", "Words", WORDS_HINT)
    return tuple((word, bool(raw) if raw_type == "boolean" else raw) for word, raw in found)
