"""The tours of the documents, run as a reader would, on a real broker."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from gateway import child, localbroker
from gateway.methods import Methods
from gateway.rpc import WRITING
from tests.integration.brokers import OwnBroker
from tests.integration.waiting import eventually
from tests.lacking import lacking
from tests.markdown import ROOT, as_shown, blocks, commands

PATIENCE = 15.0
DEMO_PORT = re.compile(r" -p (\d+) ")


@pytest.fixture
def demo(tmp_path: Path) -> Iterator[str]:
    """The port of the broker of a running ``gateway demo``."""
    _needs_clients()
    running = child.start("demo", [sys.executable, "-m", "gateway", "demo"], tmp_path / "demo.log")
    eventually(lambda: "/all {" in running.log.read_text(), "the demo prints a reading")
    yield DEMO_PORT.search(running.log.read_text())[1]
    running.stop()


def _needs_clients() -> None:
    if shutil.which("mosquitto_rr") is None:
        lacking("mosquitto_rr of the package mosquitto-clients")


class Reader:
    """Does what a document says, in one directory: writes its files, types its commands, compares what comes out."""

    def __init__(self, directory: Path, **variables: str) -> None:
        self.directory = directory
        programs = directory / "bin"
        programs.mkdir()
        shim = programs / "gateway"
        shim.write_text(f'#!/bin/sh\nexec {sys.executable} -m gateway "$@"\n')
        shim.chmod(0o755)
        path = f"{programs}:{os.environ['PATH']}"
        self._environ = os.environ | {"PATH": path, "PYTHONPATH": str(ROOT)} | variables

    def write(self, document: Path, edit: Callable[[str], str]) -> None:
        """Write the files that a document shows; ``edit`` puts in what the reader is told to."""
        for block in blocks(document):
            if block.file:
                file = self.directory / block.file
                file.parent.mkdir(exist_ok=True)
                file.write_text(edit(block.text))

    def follow(self, document: Path) -> int:
        """Type the commands of a document; how many there were."""
        steps = [step for block in blocks(document) if block.language == "console" for step in commands(block)]
        for command, shown in steps:
            self._run(command, shown)
        return len(steps)

    def _run(self, command: str, shown: str) -> None:
        """Type a command; one that only looks is repeated until it shows what it should, as a reader would look again."""
        deadline = time.monotonic() + PATIENCE
        while True:
            output = self.output(command)
            if as_shown(output, shown):
                return
            if not command.startswith("mosquitto_sub") or time.monotonic() > deadline:
                raise AssertionError(f"$ {command}\n{output}\nis not\n{shown}")
            time.sleep(0.2)  # a retained topic that is about to change

    def output(self, command: str) -> str:
        """What a command prints."""
        done = subprocess.run(
            ["bash", "-c", command], cwd=self.directory, env=self._environ, capture_output=True, text=True, timeout=30
        )
        return done.stdout


def test_the_five_minutes_of_the_readme(tmp_path: Path, demo: str) -> None:
    """Each command of the README's tour shows what the README says."""
    assert Reader(tmp_path, PORT=demo).follow(ROOT / "README.md") > 8


def test_the_way_of_3_1_1_clients(tmp_path: Path, demo: str) -> None:
    """What the page on MQTT 3.1.1 clients shows on the demo's devices is so."""
    if localbroker.mosquitto() is None:
        lacking("the package mosquitto: the demo's other broker has MQTT 3.1.1 on another port")
    assert Reader(tmp_path, PORT=demo).follow(ROOT / "docs/how-to/mqtt-3-clients.md") > 1


def test_writing_safely(tmp_path: Path, demo: str) -> None:
    """Each command of the page on writing under a lease shows what the page says."""
    reader = Reader(tmp_path, PORT=demo)
    assert reader.follow(ROOT / "docs/how-to/write-safely.md") > 6
    look = "mosquitto_sub -V 5 -p $PORT -C 1 -t devices/demo/office/ahu1/status"
    eventually(lambda: '"reverts_pending":0' in reader.output(look), "all is given back")


def test_every_method_from_a_shell(tmp_path: Path, demo: str) -> None:
    """Each command of the page on asking from a shell shows what the page says, and no method is left out."""
    document = ROOT / "docs/how-to/ask-from-a-shell.md"
    assert Reader(tmp_path, PORT=demo).follow(document) > 35
    text = document.read_text()
    reading = set(Methods(None, None, None, None).table())  # type: ignore[arg-type]  # nothing is called
    others = {"list_leases", "list_events", "get_override_devices", "get_override_patterns"}
    assert {name for name in WRITING | reading | others if f"rpc/alice/{name}" not in text} == set()


def test_the_tutorial(tmp_path: Path, demo: str, own_broker: Callable[..., OwnBroker]) -> None:
    """Each command of the tutorial shows what it says, on a broker and a gateway started as it says."""
    port = str(own_broker({"allow_anonymous": "true"}).port)
    reader = Reader(tmp_path, PORT=port, DEMO=demo)
    meter = re.search(
        r'"port":(\d+)', reader.output("mosquitto_sub -V 5 -p $DEMO -C 1 -t config/devices/demo/office/meter1")
    )
    assert meter

    def filled_in(text: str) -> str:
        return text.replace("1884", port).replace("1502", meter[1])

    reader.write(ROOT / "docs/tutorial.md", filled_in)
    (tmp_path / "state").mkdir()
    run = [sys.executable, "-m", "gateway", "run", "--settings", str(tmp_path / "settings.yaml")]
    running = child.start("gateway", run, tmp_path / "gateway.log")
    try:
        assert reader.follow(ROOT / "docs/tutorial.md") > 15
    finally:
        running.stop()


def test_the_import_of_a_map(tmp_path: Path) -> None:
    """Each command of the page on imports shows what it says, on the file that the page shows."""
    document = ROOT / "docs/how-to/import-maps.md"
    reader = Reader(tmp_path)
    reader.write(document, str)
    assert reader.follow(document) > 2
