"""Faults in plain words."""

from __future__ import annotations

import re
from typing import Any, Literal

import pytest
from pydantic import AliasChoices, BaseModel, ConfigDict, Field

from gateway.model import Fault
from gateway.store.faults import MAX_FAULTS, Faults, checked, line, nearest, only_known


class Inner(BaseModel):
    """An object inside."""

    model_config = ConfigDict(extra="forbid")

    size: int = 1


class Model(BaseModel):
    """A model with a key of each kind."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

    whole: int = Field(0, ge=0, le=9)
    number: float = Field(0, gt=-1, lt=1)
    flag: bool = False
    text: str = Field("", max_length=3)
    choice: Literal["one", "two"] = "one"
    either: int | str | None = None
    table: str | dict[str, str] | None = None
    inner: Inner = Inner()
    items: list[int] = []
    coded: str = Field("", pattern="^[a-z]*$")
    named: int = Field(0, validation_alias=AliasChoices("named", "called"))


def told(**given: Any) -> list[tuple[str, str, str]]:
    """What is said against a model of these keys."""
    faults = Faults()
    assert (checked(Model, given, "", faults) is None) == bool(faults.count)
    return [(fault.where, fault.message, fault.suggestion) for fault in faults.errors]


@pytest.mark.parametrize(
    ("key", "value", "message", "suggestion"),
    [
        ("whole", "x", '"x" is not a whole number', ""),
        ("whole", 5.5, "5.5 is not a whole number", ""),
        ("whole", 10, "10 is above 9", ""),
        ("whole", -1, "-1 is below 0", ""),
        ("whole", True, "true is not a number", ""),
        ("whole", None, "null is not a whole number", ""),
        ("number", "0,5", '"0,5" is not a number', "0.5"),
        ("number", float("nan"), "nan is not a finite number", ""),
        ("number", 1, "1 is not below 1", ""),
        ("number", False, "false is not a number", ""),
        ("flag", "maybe", '"maybe" is not true or false', ""),
        ("text", 5, "5 is not text", ""),
        ("text", "abcd", '"abcd" is too long: 3 characters at most', ""),
        ("choice", "three", '"three" is not "one" or "two"', ""),
        ("either", [], "a list is not a whole number or text", ""),
        ("table", 5, "5 is not text or an object", ""),
        ("inner", 5, "5 is not an object", ""),
        ("items", {}, "an object is not a list", ""),
        ("coded", "A", "\"A\" is refused: String should match pattern '^[a-z]*$'", ""),
    ],
)
def test_a_misfit_is_told_in_plain_words(key: str, value: object, message: str, suggestion: str):
    """Each kind of misfit says what was found and what is wanted, under its key."""
    assert told(**{key: value}) == [(key, message, suggestion)]


def test_a_fault_inside_says_the_way_to_it():
    """The place of an inner fault is the keys from the outside in."""
    assert told(inner={"size": "x"}) == [("inner.size", '"x" is not a whole number', "")]
    assert told(items=[1, "x"]) == [("items.1", '"x" is not a whole number', "")]


def test_numbers_and_flags_may_be_text():
    """What a CSV or a careless script writes as text is taken for what it says."""
    assert told(whole="5", number="0.5", flag="true") == []


def test_no_word_of_the_validator_shows():
    """Whatever is wrong, no message names a type or page of the validating library."""
    faults = told(whole=[], number={}, flag=[], text=[], choice=[], either=[], table=[], inner=[], items="x", named={})

    assert len(faults) == 10
    assert not [f for f in faults if re.search(r"pydantic|http|_type|_parsing|Input|dict\[", " ".join(f))]


def test_a_hostile_list_is_one_fault():
    """A list with very many misfits is told as one fault, quickly."""
    assert told(items=["x"] * 5000) == [("", "5000 values in it do not fit", "")]


def test_a_broken_key_is_not_told_twice():
    """A key whose fault is known already is left out, its absence included, and there is no model."""
    faults = Faults()

    assert checked(Model, {"whole": "x"}, "", faults, broken=["whole"]) is None
    assert faults.count == 0


def test_no_more_than_a_hundred_are_listed():
    """Faults beyond 100 are counted, not kept."""
    faults = Faults()
    for number in range(250):
        faults.error(str(number), "wrong")
        faults.warn(str(number), "odd")

    assert (len(faults.errors), len(faults.warnings), faults.count, faults.full) == (MAX_FAULTS, MAX_FAULTS, 250, True)


def test_a_secret_is_never_told():
    """A message or suggestion that holds a secret, or the beginning of a long one, is replaced."""
    faults = Faults()
    faults.secrets += ["correct horse battery staple"]
    faults.error("port", '"correct horse battery..." is not a number')
    faults.warn("port", "odd", "correct horse battery staple")
    faults.error("port", "70000 is above 65535")

    shown = [line(fault) for fault in (*faults.errors, *faults.warnings)]
    assert not [text for text in shown if "correct" in text]
    assert "port: 70000 is above 65535" in shown


@pytest.mark.parametrize(
    ("word", "near"), [("intervall", "interval"), ("INTERVAL", "interval"), ("colour", ""), ("interval" * 50_000, "")]
)
def test_a_misspelt_name_finds_the_known_one(word: str, near: str):
    """A near miss is found whatever its case; a far or endless one is not."""
    assert nearest(word, ["interval", "payload"]) == near


def test_unknown_keys_are_sorted_out():
    """Known keys stay, a misspelt one counts as what it means, VOLTTRON's are warnings, the rest are faults."""
    faults = Faults()
    given = {"whole": 1, "flagg": True, "campus": "c", "colour": 2}

    assert only_known(given, {"whole": "whole", "flag": "flag"}, {"campus": "path"}, "c.", faults) == {
        "whole": 1,
        "flag": True,
    }
    assert [(f.where, f.suggestion) for f in faults.errors] == [("c.flagg", "flag"), ("c.colour", "")]
    assert faults.warnings == [Fault("c.campus", "is known to VOLTTRON and has no use here", "path")]


def test_two_names_of_one_key_are_not_guessed_between():
    """A key given under two of its names is a fault."""
    faults = Faults()

    assert only_known({"slave_id": 1, "unit_id": 2}, {"slave_id": "unit", "unit_id": "unit"}, {}, "", faults) == {
        "slave_id": 1
    }
    assert line(faults.errors[0]) == 'unit_id: means the same as "slave_id" (suggestion: keep one of them)'
