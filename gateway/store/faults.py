"""What is wrong in a document, collected and in plain words."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, TypeVar, get_args

from pydantic import AliasChoices, BaseModel, ValidationError

from gateway.errors import ConfigFault
from gateway.masking import BEGINNING, forms
from gateway.model import Fault
from gateway.store.documents import Table
from gateway.values import cut, shown

MAX_FAULTS = 100
MAX_NAME = 60
MAX_PROBLEMS = 1000
NEAR = 0.8
"""How like a known name an unknown one must be to be taken for a misspelling of it (difflib's ratio, 0 to 1)."""

Problem = tuple[tuple[int | str, ...], str, str]
"""Where in a model (keys from the outside in), what, and a suggestion."""

Model = TypeVar("Model", bound=BaseModel)

_WANTED = {
    "int_parsing": "a whole number",
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "int_parsing_size": "a whole number of that size",
    "float_parsing": "a number",
    "float_type": "a number",
    "finite_number": "a finite number",
    "bool_parsing": "true or false",
    "bool_type": "true or false",
    "string_type": "text",
    "dict_type": "an object",
    "model_type": "an object",
    "list_type": "a list",
    "tuple_type": "a list",
    "set_type": "a list",
    "frozen_set_type": "a list",
    "none_required": "null",
}
_BROKEN = {
    "missing": "is missing",
    "extra_forbidden": "is not known",
    "greater_than_equal": "{found} is below {ge}",
    "greater_than": "{found} is not above {gt}",
    "less_than_equal": "{found} is above {le}",
    "less_than": "{found} is not below {lt}",
    "literal_error": "{found} is not {expected}",
    "enum": "{found} is not {expected}",
    "string_too_short": "{found} is too short: {min_length} or more characters are wanted",
    "string_too_long": "{found} is too long: {max_length} characters at most",
    "value_error": "{found}: {error}",
}
_BRANCH = re.compile(r"str|int|float|bool|(constrained|function)-.*|.*\[.*")


class Faults:
    """The faults and warnings of one device: at most 100 of each are kept, faults are counted on.

    ``more`` says that judging stopped before the end, so that ``count`` is a lower bound. A text that holds one of the
    ``secrets`` is never kept.
    """

    def __init__(self) -> None:
        self.errors: list[Fault] = []
        self.warnings: list[Fault] = []
        self.count = 0
        self.more = False
        self.secrets: list[str] = []

    @property
    def full(self) -> bool:
        """Whether no more faults are listed: their words need not be found."""
        return len(self.errors) >= MAX_FAULTS

    def error(self, where: str, message: str, suggestion: str = "") -> None:
        """Something that keeps the document from being used."""
        self.count += 1
        if not self.full:
            self.errors.append(self._fault(where, message, suggestion))

    def warn(self, where: str, message: str, suggestion: str = "") -> None:
        """Something that the user should know."""
        if len(self.warnings) < MAX_FAULTS:
            self.warnings.append(self._fault(where, message, suggestion))

    def _fault(self, where: str, message: str, suggestion: str) -> Fault:
        # The beginning of a secret is looked for, as messages cut long values short.
        hidden = [form[:BEGINNING] for secret in self.secrets for form in forms(secret[:BEGINNING])]
        if any(form in message or form in suggestion for form in hidden):
            return Fault(where, "can not be used; why is not said, for it would show a secret")
        return Fault(cut(where), cut(message), cut(suggestion))


def line(fault: Fault) -> str:
    """A fault as one line of text."""
    hint = f" (suggestion: {fault.suggestion})" if fault.suggestion else ""
    return f"{fault.where}: {fault.message}{hint}"


def name(text: object) -> str:
    """A key or column title, short enough for a message."""
    word = str(text) or '""'
    return word if len(word) <= MAX_NAME else word[: MAX_NAME - 3] + "..."


def nearest(word: str, known: Iterable[str]) -> str:
    """The known name that the word is most likely a misspelling of, or nothing."""
    by_lower = {other.lower(): other for other in known}
    near = difflib.get_close_matches(word.lower(), by_lower, n=1, cutoff=NEAR) if len(word) <= MAX_NAME else []
    return by_lower[near[0]] if near else ""


def keys(model: type[BaseModel]) -> dict[str, str]:
    """The keys that a model takes, each with the name of its field."""
    found = {}
    for field_name, field in model.model_fields.items():
        alias = field.validation_alias or field.alias or field_name
        for key in alias.choices if isinstance(alias, AliasChoices) else [alias]:
            found[str(key)] = field_name
    return found


def only_known(
    given: Mapping[str, Any], known: Mapping[str, str], unused: Mapping[str, str], prefix: str, faults: Faults
) -> dict[str, Any]:
    """What is given under known keys; each other key is a warning (``unused``, with what to use instead) or a fault.

    ``known`` maps keys to what they mean, which may stand only once. A misspelt key counts as what it is meant to be, so
    that its absence is not a second fault.
    """
    result = {key: value for key, value in given.items() if key in known}
    for key, value in given.items():
        if key in unused and key not in known:
            faults.warn(prefix + key, "is known to VOLTTRON and has no use here", unused[key])
        elif key not in known:
            right = "" if faults.full else nearest(key, known)
            faults.error(prefix + name(key), "is not known", right)
            if right:
                result.setdefault(right, value)
    return _each_once(result, known, prefix, faults)


def checked(
    model: type[Model], given: Mapping[str, Any], prefix: str, faults: Faults, broken: Iterable[str] = ()
) -> Model | None:
    """The model of what is given; None and faults if it does not fit.

    The keys of ``broken`` have a fault already: they are left out, and nothing is said about them.
    """
    left_out = {*broken, *_truths_for_numbers(model, given, prefix, faults)}
    try:
        made = model.model_validate({key: value for key, value in given.items() if key not in left_out})
    except ValidationError as error:
        for loc, message, suggestion in problems(error):
            if not left_out.intersection(loc[:1]):
                near = _near_inside(model, loc) if message == _BROKEN["extra_forbidden"] else suggestion
                faults.error((prefix + ".".join(map(name, loc))).rstrip("."), message, near)
        return None
    return None if left_out else made


def _near_inside(model: type[BaseModel], loc: tuple[object, ...]) -> str:
    """What an unknown key in an object under a key of the model is likely to mean, or nothing."""
    annotation = model.model_fields[keys(model)[str(loc[0])]].annotation
    inner = [kind for kind in (annotation, *get_args(annotation)) if isinstance(kind, type) and issubclass(kind, BaseModel)]
    return nearest(str(loc[-1]), keys(inner[0])) if inner and len(loc) > 1 else ""


def _truths_for_numbers(model: type[BaseModel], given: Mapping[str, Any], prefix: str, faults: Faults) -> list[str]:
    """The keys with true or false where a number is wanted: pydantic would take them for 1 and 0."""
    truths = [key for key, value in given.items() if isinstance(value, bool)]
    known = keys(model) if truths else {}
    mistaken = [key for key in truths if _is_number(model.model_fields[known[key]].annotation)]
    for key in mistaken:
        faults.error(prefix + key, f"{shown(given[key])} is not a number")
    return mistaken


def _is_number(annotation: Any) -> bool:
    types = get_args(annotation) or (annotation,)
    return bool not in types and (int in types or float in types)


def problems(error: ValidationError) -> Iterator[Problem]:
    """What a model says against its input, in our words; the refusals of all branches of a union are one problem."""
    if error.error_count() > MAX_PROBLEMS:  # a hostile list: to word each of its values would take a second
        yield (), f"{error.error_count()} values in it do not fit", ""
        return
    groups: dict[tuple[object, ...], list[Any]] = {}
    for detail in error.errors(include_url=False):
        kind, loc = detail["type"], detail["loc"]
        groups.setdefault((loc[:1], id(detail["input"])) if kind in _WANTED else (kind, loc), []).append(detail)
    for details in groups.values():
        loc = details[0]["loc"] if len(details) == 1 else details[0]["loc"][:1]
        inner = tuple(key for key in loc[1:] if not _BRANCH.fullmatch(str(key)))
        yield loc[:1] + inner, *_words(details)


def _each_once(given: dict[str, Any], known: Mapping[str, str], prefix: str, faults: Faults) -> dict[str, Any]:
    first: dict[str, str] = {}
    for key in given:
        if (other := first.setdefault(known[key], key)) != key:
            faults.error(prefix + key, f'means the same as "{other}"', "keep one of them")
    return {key: given[key] for key in first.values()}


def config_fault(fault: ConfigFault, prefix: str, faults: Faults) -> None:
    """Keep what a driver said against its ``driver_config``."""
    faults.error(f"{prefix}.{fault.where}" if fault.where else prefix, fault.message, fault.suggestion)


def _words(details: list[Any]) -> tuple[str, str]:
    kind, given, context = details[0]["type"], details[0]["input"], details[0].get("ctx", {})
    found = _found(given)
    if kind in _WANTED:
        wanted = dict.fromkeys(_WANTED[detail["type"]] for detail in details)
        return f"{found} is not {' or '.join(wanted)}", _decimal_point(given) if "a number" in wanted else ""
    if kind in ("literal_error", "enum"):
        context = {"expected": context["expected"].replace("'", '"')}
    if kind in _BROKEN:
        whole = {key: int(limit) for key, limit in context.items() if isinstance(limit, float) and limit.is_integer()}
        return _BROKEN[kind].format(found=found, **(context | whole)), ""
    return f"{found} is refused: {details[0]['msg'].removeprefix('Input ')}", ""


def _found(value: object) -> str:
    if isinstance(value, Table):
        return "a table"
    return "an object" if isinstance(value, dict) else "a list" if isinstance(value, list) else shown(value)


def _decimal_point(value: object) -> str:
    """What 21,5 should be."""
    text = value if isinstance(value, str) else ""
    return text.replace(",", ".") if re.fullmatch(r"[+-]?\d+,\d+", text) and len(text) < MAX_NAME else ""
