"""The options that all commands of a client have."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

BROKER = "mqtt://127.0.0.1:1883"


@dataclass(frozen=True, slots=True)
class Options:
    """Which broker, who asks, and how the answer is shown."""

    broker: Annotated[str, typer.Option(metavar="URL", envvar="GATEWAY_BROKER", help="The broker.")] = BROKER
    requester: Annotated[
        str | None, typer.Option("--as", metavar="NAME", help="Who asks (default: --username, else your login name).")
    ] = None
    username: Annotated[str | None, typer.Option(metavar="NAME", help="Who you are to the broker.")] = None
    password_file: Annotated[Path | None, typer.Option(metavar="FILE", help="A file with the password.")] = None
    ca: Annotated[Path | None, typer.Option(metavar="FILE", help="Who signed an mqtts:// broker's certificate.")] = None
    cert: Annotated[Path | None, typer.Option(metavar="FILE", help="Your certificate, if the broker wants one.")] = None
    key: Annotated[Path | None, typer.Option(metavar="FILE", help="Its private key, where --cert does not hold it.")] = None
    timeout: Annotated[float, typer.Option(metavar="SECONDS", min=1, max=60, help="The deadline of the request.")] = 10
    prefix: Annotated[str, typer.Option(metavar="TOPIC", help="The gateway's setting topic_prefix.")] = ""
    as_json: Annotated[bool, typer.Option("--json", help="Print what came over MQTT.")] = False


def with_options(command: Callable[..., int]) -> Callable[..., None]:
    """Give a command an option for each of Options, which it takes as one; what it returns is the exit code."""
    shared = inspect.signature(Options, eval_str=True).parameters
    own = list(inspect.signature(command, eval_str=True).parameters.values())[1:]

    def run(**given: Any) -> None:
        options = Options(**{name: given.pop(name) for name in shared})
        raise typer.Exit(command(options, **given))

    parameters = [p.replace(kind=inspect.Parameter.KEYWORD_ONLY) for p in (*own, *shared.values())]
    run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]  # that is how a function gets another one
    run.__annotations__ = {p.name: p.annotation for p in parameters}
    run.__name__, run.__doc__ = command.__name__, command.__doc__
    return run
