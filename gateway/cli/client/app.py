"""The commands that ask running gateways. What one needs is imported when it is called, so that ``--help`` is quick."""

from __future__ import annotations

from typing import Annotated

import typer

from gateway.cli.client.options import Options, with_options

clients = typer.Typer(no_args_is_help=True, rich_markup_mode=None)
leases = typer.Typer(no_args_is_help=True, rich_markup_mode=None)
overrides = typer.Typer(no_args_is_help=True, rich_markup_mode=None)

Device = Annotated[str, typer.Argument(metavar="C/B/D", help="The device's path.")]
Devices = Annotated[list[str], typer.Argument(metavar="C/B/D...", help="The devices' paths.")]
Point = Annotated[str, typer.Argument(metavar="POINT", help="The point's name.")]
Task = Annotated[str | None, typer.Option(metavar="ID", help="The lease's task, to be sure that it is this one.")]
Duration = Annotated[float, typer.Option(metavar="SECONDS", help="How long, from now.")]
Keep = Annotated[bool, typer.Option("--keep", help="What was written stays.")]
Gateway = Annotated[str | None, typer.Option(metavar="ID", help="This gateway alone (default: all that are online).")]
Pattern = Annotated[str, typer.Argument(metavar="PATTERN", help="A glob pattern on device paths, as in 'C/B/*'.")]
TAKES_NEGATIVE_NUMBERS = {"ignore_unknown_options": True}


@clients.command("get")
@with_options
def _get(options: Options, device: Device, point: Point) -> int:
    """Read a point from its device, now, and print its value."""
    from gateway.cli.client.requests import get

    return get(options, device, point)


@clients.command("set", context_settings=TAKES_NEGATIVE_NUMBERS)
@with_options
def _set(
    options: Options,
    device: Device,
    point: Point,
    value: Annotated[str, typer.Argument(metavar="VALUE", help="What to write; null: the Default Value.")],
    priority: Annotated[int | None, typer.Option(metavar="N", help="1 to 16, where the protocol has priorities.")] = None,
    task: Task = None,
) -> int:
    """Write a point, and print the value that the device took."""
    from gateway.cli.client.requests import write

    return write(options, device, point, value, priority, task)


@clients.command("watch")
@with_options
def _watch(
    options: Options,
    entry: Annotated[str, typer.Argument(metavar="FILTER", help="An MQTT filter on device paths, as in 'C/B/#'.")] = "#",
    seconds: Annotated[float | None, typer.Option(metavar="N", min=0, help="End after so many seconds.")] = None,
) -> int:
    """Show readings as they come: a table on a terminal, elsewhere each reading is a line."""
    from gateway.cli.client.watch import watch

    return watch(options, entry, seconds)


@leases.callback()
def _about_leases() -> None:
    """Reserve devices. What is written under a lease is given back when the lease ends."""


@leases.command("acquire")
@with_options
def _acquire(
    options: Options,
    devices: Devices,
    duration: Duration = 600,
    priority: Annotated[str, typer.Option(metavar="WORD", help="HIGH, LOW or LOW_PREEMPT.")] = "LOW",
) -> int:
    """Reserve devices of one gateway from now: all of them or none."""
    from gateway.cli.client import requests, show

    arguments = {"duration": duration, "priority": priority}
    return requests.on_devices(options, "acquire_lease", devices, arguments, show.lease)


@leases.command("renew")
@with_options
def _renew(options: Options, device: Device, duration: Duration = 600, task: Task = None) -> int:
    """Set a new end for the lease on a device, and for the others of its task."""
    from gateway.cli.client import requests, show

    arguments = {"duration": duration} | requests.given(task_id=task)
    return requests.on_devices(options, "renew_lease", [device], arguments, show.lease)


@leases.command("release")
@with_options
def _release(options: Options, device: Device, task: Task = None, keep: Keep = False) -> int:
    """End the lease on a device, and the others of its task."""
    from gateway.cli.client import requests, show

    arguments = requests.given(task_id=task, keep=keep or None)
    return requests.on_devices(options, "release_lease", [device], arguments, show.nothing)


@leases.command("list")
@with_options
def _list_leases(
    options: Options,
    device: Annotated[str | None, typer.Argument(metavar="[C/B/D]", help="This device's alone.")] = None,
    gateway: Gateway = None,
) -> int:
    """List leases in force and to come."""
    from gateway.cli.client import requests, show

    if device is not None:
        return requests.on_devices(options, "list_leases", [device], {}, show.leases)
    return requests.on_gateways(options, "list_leases", gateway, {}, show.leases)


@overrides.callback()
def _about_overrides() -> None:
    """Keep everybody from writing to devices."""


@overrides.command("on")
@with_options
def _on(
    options: Options,
    pattern: Pattern,
    duration: Annotated[float, typer.Option(metavar="SECONDS", min=0, help="How long; 0: until it is taken back.")] = 0,
    keep: Annotated[
        bool, typer.Option("--keep", help="What was written under leases stays until the override ends.")
    ] = False,
    gateway: Gateway = None,
) -> int:
    """Let nobody write to the devices under a pattern."""
    from gateway.cli.client import requests, show

    arguments = {"pattern": pattern, "duration": duration, "failsafe_revert": not keep}
    return requests.on_gateways(options, "set_override_on", gateway, arguments, show.override)


@overrides.command("off")
@with_options
def _off(options: Options, pattern: Pattern, gateway: Gateway = None) -> int:
    """Take back exactly this pattern."""
    from gateway.cli.client import requests, show

    return requests.on_gateways(options, "set_override_off", gateway, {"pattern": pattern}, show.nothing)


@overrides.command("list")
@with_options
def _list_overrides(options: Options, gateway: Gateway = None) -> int:
    """List patterns and their ends."""
    from gateway.cli.client import requests, show

    return requests.on_gateways(options, "get_override_patterns", gateway, {}, show.overrides)


@overrides.command("clear")
@with_options
def _clear(options: Options, gateway: Gateway = None) -> int:
    """Take back all patterns."""
    from gateway.cli.client import requests, show

    return requests.on_gateways(options, "clear_overrides", gateway, {}, show.nothing)
