"""The commands. What one needs is imported when it is called, so that ``--help`` is quick."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from gateway.cli.client.options import Options, with_options

configs = typer.Typer(no_args_is_help=True, rich_markup_mode=None)


@configs.command("pull")
@with_options
def _pull(
    options: Options,
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="Where to write; made if it is not there.")],
    force: Annotated[bool, typer.Option("--force", help="Overwrite files that are there with other content.")] = False,
) -> int:
    """Save all configurations of the broker as files, each at the path of its topic.

    Nothing is written unless it is sure that all of them came. The exit code is 0 if all is saved, 1 if something can not be
    a file, 2 if nothing was written.
    """
    from gateway.cli.configs.pull import pull

    return pull(options, directory, force)


@configs.command("push")
@with_options
def _push(
    options: Options,
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="What pull has written, or VOLTTRON's configurations.")],
    prune: Annotated[bool, typer.Option("--prune", help="Remove what is on the broker and not in DIR.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would change, and change nothing.")] = False,
    credentials_dir: Annotated[
        Path | None,
        typer.Option(metavar="DIR", exists=True, file_okay=False, help="Judge with these secrets, too."),
    ] = None,
) -> int:
    """Publish all configurations in a directory, after showing what changes.

    They are judged as a whole first, as by gateway check; if anything is wrong, nothing is published. The exit code is 0 if
    all is well, 1 if something is wrong with the files, 2 if the broker can not be used.
    """
    from gateway.cli.configs.push import push

    return push(options, directory, prune, dry_run, credentials_dir)
