"""From the options of a command to a connection, and from the answers to lines and an exit code."""

from __future__ import annotations

import getpass
import json
import sys
from collections.abc import Callable, Iterable
from typing import Any

from gateway.cli.client.asking import Answers, Asker, NoAnswer, Request
from gateway.cli.client.options import Options
from gateway.cli.mqttclient import Login, MqttClient, NoConnection
from gateway.clock import SystemClock
from gateway.settings_types import broker_url, secret_file
from gateway.topics import Topics, is_topic, path_fault

OK, REFUSED, UNUSABLE = 0, 1, 2

Show = Callable[[list[dict[str, Any]]], Iterable[str]]
"""Answers without an error to lines of text."""


class WrongUsage(Exception):
    """What stands on the command line can not be used; the message says why."""


def answered(options: Options, request: Request, show: Show) -> int:
    """Ask, show what is answered, and return the exit code: 1 if a gateway refuses, 2 if it could not be asked."""
    try:
        topics, asker = topics_of(options), requester_of(options)
        with connection(options) as client:
            answers = Asker(client, topics, asker, options.timeout, SystemClock()).ask(request)
    except (WrongUsage, NoConnection, NoAnswer) as error:
        return unusable(error)
    except KeyboardInterrupt:
        return 130
    return _report(answers, show, options.as_json)


def unusable(error: Exception) -> int:
    """Say why nobody could be asked."""
    print(error, file=sys.stderr)
    return UNUSABLE


def device_levels(device: str) -> list[str]:
    """A device path as the levels of a topic. Raises WrongUsage."""
    fault = path_fault(device)
    if fault:
        raise WrongUsage(f'"{device}": {fault}')
    return device.split("/")


def connection(options: Options) -> MqttClient:
    """The broker that the options name, not connected yet. Raises WrongUsage."""
    try:
        url = broker_url(options.broker)
    except ValueError as error:
        raise WrongUsage(f"--broker: {error}") from None
    if (options.ca or options.cert) and not url.tls:
        raise WrongUsage(f"{'--ca' if options.ca else '--cert'}: the broker's url begins with mqtts:// then")
    if options.key and not options.cert:
        raise WrongUsage("--key: say --cert too")
    return MqttClient(url, options.timeout, _login(options))


def topics_of(options: Options) -> Topics:
    """The topics below the prefix. Raises WrongUsage."""
    if options.prefix and not (is_topic(options.prefix) and all(options.prefix.split("/"))):
        raise WrongUsage("--prefix: write plain levels with / between them, as in site/floor-1")
    return Topics("", options.prefix)


def requester_of(options: Options) -> str:
    """Who asks. Raises WrongUsage."""
    try:
        name = options.requester or options.username or getpass.getuser()
    except (KeyError, OSError):
        raise WrongUsage("--as NAME: say who asks, this process has no login name") from None
    if not is_topic(name) or "/" in name:
        raise WrongUsage(f'--as: "{name}" is not one plain topic level: no + # /, not beginning with $')
    return name


def _login(options: Options) -> Login:
    return Login(options.username, _password(options), options.ca, options.cert, options.key)


def _password(options: Options) -> str | None:
    if options.password_file is None:
        return None
    if options.username is None:
        raise WrongUsage("--password-file: say --username too")
    try:
        return secret_file(options.password_file).get_secret_value()
    except ValueError as error:
        raise WrongUsage(f"--password-file: {error}") from None


def _report(answers: Answers, show: Show, as_json: bool) -> int:
    good = [body for body in answers.bodies if "error" not in body]
    errors = [body["error"] for body in answers.bodies if "error" in body]
    lines = map(_json, answers.bodies) if as_json else show(good) if good else ()
    for line in lines:
        print(line)
    for error in errors:
        print(f"{error['code']}: {error['message']}", file=sys.stderr)
    for topic in answers.missing:
        print(f"no answer from a gateway that is online by {topic}", file=sys.stderr)
    return REFUSED if errors else UNUSABLE if answers.missing else OK


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)
