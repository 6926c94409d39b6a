"""Texts that nobody may see."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from gateway import masking
from gateway.masking import conceal, forget, masked


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


def test_a_secret_may_come_while_words_are_masked(monkeypatch: pytest.MonkeyPatch):
    """Masking goes on although another thread conceals one more text in the middle of it."""

    class Interrupted:
        def sub(self, mask: str, words: str) -> str:
            conceal("another secret")
            return words

    conceal("s3cret")
    monkeypatch.setattr(masking, "_secrets", {"": Interrupted()} | masking._secrets)
    assert masked("s3cret") == "***"
    assert masked("another secret") == "***"
