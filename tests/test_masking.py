"""Texts that nobody may see."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import quote, quote_plus

import pytest

from gateway import masking
from gateway.masking import MASK, conceal, forget, masked, masked_all


@pytest.fixture(autouse=True)
def nothing_concealed() -> Iterator[None]:
    """Each test begins and ends without secrets."""
    forget()
    yield
    forget()


def test_words_without_secrets_are_as_they_are():
    """Nothing changes where nothing is concealed."""
    assert masked("10.0.0.5 does not answer") == "10.0.0.5 does not answer"


def test_a_secret_is_masked_wherever_it_stands():
    """Each place where a secret stands shows three stars."""
    conceal("10.0.0.5")
    conceal("s3cret")
    assert masked("10.0.0.5:502: s3cret at 10.0.0.5") == "***:502: *** at ***"


def test_the_beginning_of_a_long_secret_is_masked():
    """A message that cuts a long secret short does not show the rest of it."""
    conceal("abcdefghijklmnopqrstuvwxyz")
    assert masked('"abcdefghijklmnopqrs..." is no number') == "*** is no number".replace("***", '"***')


def test_short_texts_are_not_masked():
    """A secret like 1 would put stars into every message."""
    conceal("502")
    assert masked("port 502") == "port 502"


HARD = "pä\"s's\\w\tö/4711"
"""A secret that nothing writes as it is."""


@pytest.mark.parametrize(
    "written",
    [
        str,
        repr,
        ascii,
        json.dumps,
        lambda text: json.dumps(text, ensure_ascii=False),
        lambda text: repr(text.encode()),
        quote,
        quote_plus,
        lambda text: f"mqtt://user:{quote(text, safe='')}@host",
        lambda text: str(FileNotFoundError(2, "No such file", text)),
        lambda text: str(KeyError(text)),
        lambda text: str(KeyError(repr(text))),
        lambda text: json.dumps(str(KeyError(text))),
    ],
)
@pytest.mark.parametrize("secret", [HARD, "it's 4711", 'say "4711"', "dom\\4711", "plain-4711"])
def test_a_secret_is_masked_however_it_is_written(secret: str, written: Callable[[str], str]) -> None:
    """What Python, JSON or a url makes of a secret, within words with both kinds of quotes too, shows nothing of it."""
    conceal(secret)
    for around in ("{}", "'{}", '"{}', "\"'{}"):
        shown = masked(written(around.format(secret)))
        assert MASK in shown
        assert "4711" not in shown


def test_what_stands_behind_a_secret_that_is_cut_short_is_masked() -> None:
    """A message that cuts a secret of several words short shows none of them."""
    conceal("one two three four five six")
    assert masked("one two three four f... is no number") == "*** is no number"


def test_a_secret_that_begins_another_one_leaves_nothing_of_it() -> None:
    """The longer one is masked as a whole."""
    conceal("abcd")
    conceal("abcd-efgh")
    assert masked("abcd-efgh abcd") == "*** ***"


def test_everything_in_a_value_is_masked() -> None:
    """Keys, texts and numbers at any depth, and objects that Python shows; what is no secret stays as it is."""
    conceal("4711")
    value = {"a4711": ["x4711", (4711, 1, 2.5, None, True)], "e": OSError("4711"), "path": Path("/4711")}
    assert masked_all(value) == {
        "a***": ["x***", ["***", 1, 2.5, None, True]],
        "e": "OSError('***')",
        "path": "PosixPath('/***')",
    }


def test_a_secret_may_come_while_words_are_masked(monkeypatch: pytest.MonkeyPatch):
    """Masking goes on although another thread conceals one more text in the middle of it."""

    class Interrupted(str):
        def __getitem__(self, key: object) -> str:
            conceal("another secret")
            return "not there"

    conceal("s3cret")
    monkeypatch.setattr(masking, "_forms", (Interrupted("x"), *masking._forms))
    assert masked("s3cret") == "***"
    assert masked("another secret") == "***"
