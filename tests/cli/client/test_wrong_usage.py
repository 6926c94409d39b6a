from __future__ import annotations

import pytest
from typer.testing import CliRunner

from gateway.cli import main


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["get", "C/B", "p"], "3 to 8 levels"),
        (["set", "C//D", "p", "1"], "is empty"),
        (["lease", "acquire", "C/B/D", "C/B"], "3 to 8 levels"),
        (["lease", "release", "C/B/+"], "holds +, #"),
        (["watch", "C/B"], "end it with /#"),
        (["get", "C/B/D", "p", "--broker", "somewhere"], "--broker: begins with mqtt://"),
        (["get", "C/B/D", "p", "--as", "a/b"], '--as: "a/b"'),
        (["get", "C/B/D", "p", "--prefix", "a/+"], "--prefix"),
        (["override", "list", "--password-file", "secret"], "say --username too"),
        (["override", "list", "--username", "u", "--password-file", "/nowhere"], "/nowhere can not be read"),
        (["override", "list", "--ca", "ca.pem"], "mqtts://"),
        (["override", "list", "--cert", "me.pem"], "mqtts://"),
        (["override", "list", "--key", "me.key"], "say --cert too"),
        (["set", "C/B/D", "p", "1", "--prio", "1"], "unexpected extra argument"),
        (["get", "C/B/D", "p", "--timeout", "61"], "Invalid value for '--timeout'"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_wrong_usage_is_told_without_a_broker(words, said):
    """What can not be asked is exit code 2 and says why, before any connection is made."""
    result = CliRunner().invoke(main, words, env={"GATEWAY_BROKER": "mqtt://192.0.2.1"})
    assert (result.exit_code, result.stdout) == (2, "")
    assert said in " ".join(result.stderr.split())


def test_the_broker_may_stand_in_the_environment():
    """$GATEWAY_BROKER is the broker unless --broker is given."""
    result = CliRunner().invoke(main, ["get", "C/B/D", "p"], env={"GATEWAY_BROKER": "http://x"})
    assert (result.exit_code, result.stderr) == (2, "--broker: begins with mqtt:// or mqtts://\n")
