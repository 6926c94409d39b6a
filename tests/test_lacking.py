from __future__ import annotations

import pytest

from tests.lacking import lacking


@pytest.mark.parametrize(("ci", "rightly", "skips"), [(False, False, True), (True, True, True), (True, False, False)])
def test_what_ci_installs_may_not_be_missing_there(
    ci: bool, rightly: bool, skips: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """There it is a failure; elsewhere, and for what no installation brings, the test is skipped."""
    monkeypatch.delenv("CI", raising=False)
    if ci:
        monkeypatch.setenv("CI", "true")
    with pytest.raises(pytest.skip.Exception if skips else pytest.fail.Exception, match="a kettle"):
        lacking("a kettle", rightly)
