"""``gateway push``."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path

from gateway.cli.client.options import Options
from gateway.cli.client.session import OK, REFUSED, UNUSABLE, WrongUsage, connection, topics_of, unusable
from gateway.cli.configs import files
from gateway.cli.configs.judging import Judge
from gateway.cli.configs.kept import CURE, Kept, kept
from gateway.cli.configs.plan import as_json, messages, plan, shown
from gateway.cli.mqttclient import MqttClient, NoConnection
from gateway.topics import Topics


def push(options: Options, directory: Path, prune: bool, dry_run: bool, credentials_dir: Path | None) -> int:
    """Publish all configurations in a directory; the exit code."""
    try:
        topics = topics_of(options)
        documents = _documents(directory)
        with connection(options) as client, connection(options) as witness:
            return _push(
                client, kept(client, witness, topics), topics, documents, options.as_json, prune, dry_run, credentials_dir
            )
    except (WrongUsage, NoConnection) as error:
        return unusable(error)
    except OSError as error:
        print(f"{error.filename or directory}: {error.strerror}", file=sys.stderr)
        return UNUSABLE


def _documents(directory: Path) -> dict[str, bytes]:
    if directory.is_dir() and not files.place(directory).is_dir():
        raise WrongUsage(f"{directory}: holds neither {files.CONFIG}, as pull writes it, nor {files.DEVICES}")
    documents = {path: payload for path, (_, payload) in files.read(directory).items()}
    if not documents:
        raise WrongUsage(f"{directory}: there are no configurations in it")
    return documents


def _push(
    client: MqttClient,
    there: Kept,
    topics: Topics,
    documents: Mapping[str, bytes],
    want_json: bool,
    prune: bool,
    dry_run: bool,
    credentials_dir: Path | None,
) -> int:
    if not there.whole and prune:
        return unusable(NoConnection(f"nothing is published or removed: the broker cut the replay of what it keeps; {CURE}"))
    judgement = Judge(topics, documents, {} if prune else there.documents, credentials_dir).judge()
    for words in judgement.faults:
        print(words, file=sys.stderr)
    if judgement.faults:
        print("nothing is published", file=sys.stderr)
        return REFUSED
    if judgement.warnings:
        print(f"{judgement.warnings} warnings: gateway check shows them", file=sys.stderr)
    if not there.whole:
        print(f"what is shown as new may be there already: the broker cut the replay; {CURE}", file=sys.stderr)
    wanted = plan(there.documents, documents, prune)
    for line in [json.dumps(as_json(wanted, topics))] if want_json else shown(wanted, topics):
        print(line)
    if not dry_run:
        client.publish_all(messages(wanted, topics))
    return OK
