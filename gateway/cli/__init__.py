"""The ``gateway`` command. What a command needs is imported when it is called, so that ``--help`` is quick."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from gateway import __version__
from gateway.cli.client.app import clients, leases, overrides
from gateway.cli.configs.app import configs
from gateway.cli.importing.app import imports
from gateway.cli.scanning.app import scans

main = typer.Typer(add_completion=False, no_args_is_help=True, pretty_exceptions_enable=False, rich_markup_mode=None)
main.add_typer(clients)
main.add_typer(configs)
main.add_typer(leases, name="lease")
main.add_typer(overrides, name="override")
main.add_typer(imports, name="import")
main.add_typer(scans, name="scan")


def _version(wanted: bool) -> None:
    if wanted:
        print(f"gateway {__version__}")
        raise typer.Exit


@main.callback()
def _options(
    version: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")] = False,
) -> None:
    """Field devices on MQTT, with the broker as the only bus."""


@main.command()
def run(
    settings: Annotated[Path | None, typer.Option(metavar="FILE", help="The settings file (YAML).")] = None,
    broker: Annotated[str | None, typer.Option(metavar="URL", help="The broker, as in mqtt://host:1883.")] = None,
    state_dir: Annotated[Path | None, typer.Option(metavar="DIR", help="Where it keeps its state.")] = None,
) -> None:
    """Run a gateway until SIGTERM or Ctrl-C.

    Its broker must be named, in the settings file or by --broker; an option wins over the file. The exit code is 2 if the
    settings can not be used.
    """
    from gateway.cli.run import run as run_gateway

    raise typer.Exit(run_gateway(settings, broker, state_dir))


@main.command()
def health(
    settings: Annotated[Path | None, typer.Option(metavar="FILE", help="The settings file (YAML).")] = None,
    state_dir: Annotated[Path | None, typer.Option(metavar="DIR", help="Where it keeps its state.")] = None,
    strict: Annotated[bool, typer.Option("--strict", help="Everything has to be as it should be.")] = False,
) -> None:
    """Say how the gateway on this machine is.

    No broker is needed. The exit code is 0 if it runs, 1 if it does not, hangs or stops, 2 if the settings can not be used.
    With --strict it is 1 also without a connection to the broker, and while there are problems.
    """
    from gateway.cli.health import health as say_health

    raise typer.Exit(say_health(settings, state_dir, strict))


@main.command()
def check(
    files: Annotated[list[Path], typer.Argument(metavar="FILE", help="Device configurations and registries.")],
    credentials_dir: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            envvar="CREDENTIALS_DIRECTORY",
            exists=True,
            file_okay=False,
            help="Where the secrets are that the configurations name.",
        ),
    ] = None,
    settings: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Settings whose allow-lists say where devices may be.")
    ] = None,
) -> None:
    """Say what is wrong in device configurations.

    No network is needed. A registry is looked for among the files and beside its device. Devices may be in private networks
    and at serial ports, or where --settings allows them. The exit code is 0 if all is well, 1 if something is wrong, 2 if a
    file can not be read.
    """
    from gateway.cli.check import check as check_files
    from gateway.cli.scanning.options import BadOption, allowed

    try:
        allow = allowed(settings)
    except BadOption as error:
        print(error, file=sys.stderr)
        raise typer.Exit(2) from None
    raise typer.Exit(check_files(files, print, credentials_dir, allow))


@main.command()
def demo(
    seconds: Annotated[float | None, typer.Option(metavar="N", min=0, help="End after so many seconds.")] = None,
) -> None:
    """Show a gateway at work, with simulated devices.

    A broker, two Modbus devices and the gateway run until Ctrl-C, and nothing is left of them. On a terminal the newest
    values are a table, elsewhere each reading is a line.
    """
    from gateway.cli.demo.run import run as run_demo

    raise typer.Exit(run_demo(seconds))
