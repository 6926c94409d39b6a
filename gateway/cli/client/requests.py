"""What each command asks for."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from gateway.cli.client import show
from gateway.cli.client.asking import Request
from gateway.cli.client.options import Options
from gateway.cli.client.session import Show, WrongUsage, answered, device_levels, unusable
from gateway.payloads import BadPayload, dump, parse
from gateway.topics import topic_point


def get(options: Options, device: str, point: str) -> int:
    """``get_point``."""
    return _asked(options, lambda: _on_point("get_point", device, point, {}), show.value)


def write(options: Options, device: str, point: str, value: str, priority: int | None, task: str | None) -> int:
    """``set_point``: with options of the write the payload is an object, else the value as it stands."""
    arguments = given(priority=priority, task_id=task)
    plain = not arguments and topic_point(point) and value.strip() and not value.lstrip().startswith("{")

    def request() -> Request:
        if plain:
            return Request("set_point", [*device_levels(device), *point.split("/")], value.encode())
        return _on_point("set_point", device, point, {"value": _json_or_text(value)} | arguments)

    return _asked(options, request, show.value)


def on_devices(options: Options, method: str, devices: list[str], arguments: dict[str, Any], shown: Show) -> int:
    """A method that takes one device in the topic, or several in the payload."""

    def request() -> Request:
        levels = [device_levels(device) for device in devices]
        if len(levels) == 1:
            return Request(method, levels[0], _object(arguments))
        return Request(method, (), _object({"devices": devices} | arguments))

    return _asked(options, request, shown)


def on_gateways(options: Options, method: str, gateway: str | None, arguments: dict[str, Any], shown: Show) -> int:
    """A method of the gateway that is named, or of all that are online."""
    target = [] if gateway is None else [gateway]
    return answered(options, Request(method, target, _object(arguments), every=gateway is None), shown)


def given(**arguments: Any) -> dict[str, Any]:
    """The arguments that were said."""
    return {name: value for name, value in arguments.items() if value is not None}


def _asked(options: Options, request: Callable[[], Request], shown: Show) -> int:
    try:
        return answered(options, request(), shown)
    except WrongUsage as error:
        return unusable(error)


def _on_point(method: str, device: str, point: str, arguments: dict[str, Any]) -> Request:
    """The point stands in the topic if its name can, else in the payload."""
    levels = device_levels(device)
    if topic_point(point):
        return Request(method, [*levels, *point.split("/")], _object(arguments))
    return Request(method, levels, _object({"point": point} | arguments))


def _object(arguments: dict[str, Any]) -> bytes:
    return dump(arguments) if arguments else b""


def _json_or_text(value: str) -> Any:
    try:
        parsed = parse(value)
    except BadPayload:
        return value
    return value if isinstance(parsed, dict | list) else parsed
