"""``gateway pull``."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from gateway.cli.client.options import Options
from gateway.cli.client.session import OK, REFUSED, UNUSABLE, WrongUsage, connection, topics_of, unusable
from gateway.cli.configs import files
from gateway.cli.configs.kept import CURE, Kept, kept
from gateway.cli.mqttclient import NoConnection
from gateway.topics import Topics


def pull(options: Options, directory: Path, force: bool) -> int:
    """Save all configurations below a directory; the exit code."""
    try:
        topics = topics_of(options)
        with connection(options) as client, connection(options) as witness:
            found = kept(client, witness, topics)
        return _save(found, topics, directory, force, options.as_json)
    except (WrongUsage, NoConnection) as error:
        return unusable(error)
    except OSError as error:
        return _complain(f"{error.filename or directory}: {error.strerror}")


def _save(found: Kept, topics: Topics, directory: Path, force: bool, as_json: bool) -> int:
    if not found.whole:
        some = len(found.documents)
        return _complain(f"nothing is written: the broker cut the replay after {some} configurations; {CURE}")
    root = files.place(directory)
    taken = files.differing(root, found.documents)
    if taken and not force:
        return _complain(f"{taken[0]} is there already, with other content: name another directory, or give --force")
    written = list(files.write(root, found.documents))
    for file in files.leftover(directory, found.documents):
        print(f"{file}: is not on the broker; a push would publish it", file=sys.stderr)
    lost = sorted(found.documents.keys() - files.names(found.documents).keys())
    for path in lost:
        print(f"not saved: {topics.document(path)}: a level is empty, and no file can be called so", file=sys.stderr)
    _tell(written, root, as_json)
    return REFUSED if lost else OK


def _tell(written: list[Path], root: Path, as_json: bool) -> None:
    if as_json:
        print(json.dumps({"saved": [str(file) for file in written]}))
    else:
        print(f"{len(written)} configurations saved below {root}")


def _complain(words: str) -> int:
    print(words, file=sys.stderr)
    return UNUSABLE
