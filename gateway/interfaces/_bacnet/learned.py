"""What was found out about a BACnet device, as facts and as sentences; pure."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence

from gateway.interfaces._bacnet import names

Object = tuple[int, int]
"""Object type and instance."""

_OF_OBJECT = re.compile(r"([a-z0-9-]+) (\d+): (.+)", re.DOTALL)
_SHORT = re.compile(r"answers of at most (\d+) octets")
_SINGLE = "one property at a time"
_PLAIN = "no priority array"


class Learned:
    """Facts about one device.

    ``octets`` is how long an answer may be, None if nothing is known, ``single`` that it can be asked for one property at a
    time only, ``plain`` are objects without a priority array, ``units`` and ``texts`` what objects say of themselves, and
    ``untold`` why changes of them are not told. After a change, ``changed`` is to be called.
    """

    def __init__(self, facts: Sequence[str] = ()) -> None:
        self.octets: int | None = None
        self.single = False
        self.plain: set[Object] = set()
        self.units: dict[Object, str] = {}
        self.texts: dict[Object, tuple[str, ...]] = {}
        self.untold: dict[Object, str] = {}
        for fact in facts:
            self._recall(fact)
        self._facts: tuple[str, ...] | None = tuple(facts)

    def changed(self) -> None:
        """Something new is known."""
        self._facts = None

    def facts(self) -> tuple[str, ...]:
        """All of it as sentences; the same object until something has changed."""
        if self._facts is None:
            self._facts = self._sentences()
        return self._facts

    def _sentences(self) -> tuple[str, ...]:
        own = {_SINGLE: self.single, f"answers of at most {self.octets} octets": self.octets is not None}
        return (
            *(fact for fact, known in own.items() if known),
            *_told(dict.fromkeys(self.plain, _PLAIN)),
            *_told({place: f"units {unit}" for place, unit in self.units.items()}),
            *_told({place: f"states {json.dumps(texts, ensure_ascii=False)}" for place, texts in self.texts.items()}),
            *_told({place: f"changes are not told: {reason}" for place, reason in self.untold.items()}),
        )

    def _recall(self, fact: str) -> None:
        """Know what was known before; a sentence that is none of these is passed over."""
        if short := _SHORT.fullmatch(fact):
            self.octets = int(short[1])
        elif fact == _SINGLE:
            self.single = True
        elif match := _OF_OBJECT.fullmatch(fact):
            try:
                place = names.object_type(match[1]), int(match[2])
            except ValueError:
                return
            self._recall_object(place, match[3])

    def _recall_object(self, place: Object, told: str) -> None:
        kind, _, rest = told.partition(" ")
        if told == _PLAIN:
            self.plain.add(place)
        elif kind == "units":
            self.units[place] = rest
        elif kind == "states" and (texts := _texts(rest)):
            self.texts[place] = texts


def _told(facts: dict[Object, str]) -> list[str]:
    return [f"{names.type_name(place[0])} {place[1]}: {fact}" for place, fact in sorted(facts.items())]


def _texts(text: str) -> tuple[str, ...]:
    try:
        texts = json.loads(text)
    except ValueError:
        return ()
    return tuple(texts) if isinstance(texts, Sequence) and all(isinstance(item, str) for item in texts) else ()
