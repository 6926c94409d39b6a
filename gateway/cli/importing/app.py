"""The commands of ``gateway import``. What a command needs is imported when it is called, so that ``--help`` is quick."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from gateway.cli.importing.model import Result

imports = typer.Typer(no_args_is_help=True, rich_markup_mode=None)

Source = Annotated[Path, typer.Argument(metavar="FILE", help="The file to read; it is not changed.")]
Folder = Annotated[Path, typer.Option("-o", "--output", metavar="DIR", help="Where to write; made if it is not there.")]
Under = Annotated[
    str, typer.Option(metavar="PATH", help="What stands before a device's name in its path: campus and building.")
]
Force = Annotated[bool, typer.Option("--force", help="Overwrite files that are there with other content.")]

UNDER = "campus/building"


@imports.callback()
def _about() -> None:
    """Make device configs and registries of maps in other formats.

    Each file that is written stands at the path of its topic: publish it there, retained. Nothing is published by this
    command, and no device is asked.
    """


@imports.command()
def thingsboard(file: Source, output: Folder, under: Under = UNDER, force: Force = False) -> None:
    """Import a modbus.json of ThingsBoard's gateway.

    Each slave becomes a device with its registry. Whatever can not be carried over is a line on standard error, with its
    place in the file and what to do. The exit code is 0 if all was carried over, 1 if something was not, 2 if nothing was
    written.
    """
    from gateway.cli.importing.command import import_file
    from gateway.cli.importing.thingsboard import convert

    raise typer.Exit(import_file(convert, file, output, under, force, print, _complain))


@imports.command()
def telegraf(file: Source, output: Folder, under: Under = UNDER, force: Force = False) -> None:
    """Import the [[inputs.modbus]] of a Telegraf configuration (TOML).

    Each becomes a device with its registry, and one that asks several slaves a device for each. All three forms are read:
    configuration_type register, request and metric. Whatever can not be carried over is a line on standard error, with its
    place in the file and what to do. The exit code is 0 if all was carried over, 1 if something was not, 2 if nothing was
    written.
    """
    from gateway.cli.importing.command import import_file
    from gateway.cli.importing.telegraf import convert

    raise typer.Exit(import_file(convert, file, output, under, force, print, _complain))


@imports.command()
def ede(
    file: Source,
    output: Folder,
    states: Annotated[
        Path | None, typer.Option(metavar="FILE", help="The file of state texts (default: the one beside it).")
    ] = None,
    units: Annotated[
        Path | None, typer.Option(metavar="FILE", help="The file of units (default: the one beside it).")
    ] = None,
    under: Under = UNDER,
    force: Force = False,
) -> None:
    """Import an EDE file, in which BACnet devices are handed over.

    Each device becomes a config with its registry, a point for each object that has a value. The files of state texts and
    units are found by their names, <name>_StateTexts.csv and <name>_Units.csv, or named here. Semicolons, commas and tabs,
    any encoding of spreadsheets and loosely spelt titles are understood. Whatever can not be carried over is a line on
    standard error, with its row and what to do. The exit code is 0 if all was carried over, 1 if something was not, 2 if
    nothing was written.
    """
    from gateway.cli.importing.command import import_file
    from gateway.cli.importing.ede import beside, convert, read

    def converted(text: str) -> Result:
        sides = {"states": states or beside(file, "states"), "units": units or beside(file, "units")}
        return convert(text, **{kind: read(side) for kind, side in sides.items() if side})

    raise typer.Exit(import_file(converted, file, output, under, force, print, _complain, read))


def _complain(text: str) -> None:
    print(text, file=sys.stderr)
