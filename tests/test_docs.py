"""The documents say what the code does: examples compile, keys and codes are all there, links lead somewhere."""

from __future__ import annotations

import json
import re
import runpy
from collections.abc import Mapping
from pathlib import Path
from textwrap import indent
from types import SimpleNamespace
from typing import Any

import pytest
from pydantic import BaseModel

from gateway import interfaces
from gateway.actuator.lease_methods import LeaseMethods
from gateway.actuator.methods import WriteMethods
from gateway.actuator.model import Priority, Reason
from gateway.actuator.requests import Info
from gateway.board import Board, ConfigReport, meta_payload, point_meta
from gateway.interfaces.base import Environment, RegistryRow
from gateway.methods import Methods
from gateway.model import DeviceState, DeviceStatus, Register
from gateway.settings import Settings, load
from gateway.store.compile import Verdict, compile_device
from gateway.store.device_config import DeviceConfig, OnChange
from gateway.store.faults import keys, line
from gateway.topics import Topics
from tests.fakes import FakeClock
from tests.markdown import ROOT, Block, anchors, as_shown, blocks, code, commands, documents, first_cells, links
from tests.test_errors import CODES

REFERENCE = ROOT / "docs" / "reference"
PAYLOADS = REFERENCE / "payloads.md"
GUIDE = ROOT / "docs" / "how-to" / "write-a-driver.md"
WRONG = "wrong/"
"""The folder of the examples that are to be refused."""


def shown(language: str) -> list[tuple[Path, Block]]:
    """Every block of a language, with its document."""
    return [(document, block) for document in documents() for block in blocks(document) if block.language == language]


def ids(value: object) -> str | None:
    """How a document is called in the report."""
    return str(value.relative_to(ROOT)) if isinstance(value, Path) else None


def judge(config: Mapping[str, Any], linked: Mapping[str, bytes]) -> Verdict:
    """The verdict on a device config."""
    return compile_device("C/B/D", json.dumps(config).encode(), linked, Environment(FakeClock()), None)


# ---- examples


@pytest.mark.parametrize(("document", "block"), shown("json"), ids=ids)
def test_json_examples_are_good(document: Path, block: Block) -> None:
    """Each JSON example can be parsed, and one that is a device config is accepted with the registry shown beside it."""
    value = json.loads(block.text)
    if isinstance(value, dict) and "driver_type" in value:
        registry = value["registry_config"]
        files = {b.file: b.text.encode() for b in blocks(document) if b.file}
        linked = files if isinstance(registry, list) else files | {registry[9:]: files[registry.rpartition("/")[2]]}
        assert [line(fault) for fault in judge(value, linked).errors] == []


def registry_of(document: Path, file: str) -> dict[str, Any]:
    """The device config in a document that links to a registry of that name, or one of the Modbus driver."""
    configs = [json.loads(block.text) for block in blocks(document) if block.language == "json"]
    linking = [c for c in configs if isinstance(c, dict) and file and c.get("registry_config") == f"config://{file}"]
    return linking[0] if linking else {"driver_type": "modbus", "driver_config": {"device_address": "127.0.0.1"}}


@pytest.mark.parametrize(("document", "block"), shown("csv"), ids=ids)
def test_csv_examples_are_good_or_said_to_be_wrong(document: Path, block: Block) -> None:
    """Each registry shown is accepted by the driver that it is for, but for those that are said to be wrong."""
    if block.file == "map.csv":
        return  # the rows of a registry take from it
    config = registry_of(document, block.file) | {"registry_config": "config://registry"}
    maps = [b.text.encode() for b in blocks(document) if b.file == "map.csv"]
    if maps and block.file:
        config["driver_config"]["register_map"] = "config://map"
    verdict = judge(config, {"registry": block.text.encode(), "map": b"".join(maps)})
    assert (verdict.spec is None) == block.file.startswith(WRONG)


@pytest.mark.parametrize(("document", "block"), shown("yaml"), ids=ids)
def test_settings_examples_load(document: Path, block: Block, tmp_path: Path) -> None:
    """Each settings file that is shown can be loaded."""
    (tmp_path / "credentials").mkdir()
    (tmp_path / "credentials" / "mqtt-password").write_text("x")
    (tmp_path / "settings.yaml").write_text(block.text)
    assert load(tmp_path / "settings.yaml", environ={}).broker.url.host


@pytest.mark.parametrize("block", [b for b in blocks(GUIDE) if b.language in ("python", "toml")])
def test_code_that_is_shown_is_that_of_the_example(block: Block) -> None:
    """What the guide to drivers shows stands in the example, which has tests of its own, to the letter."""
    sources = [path.read_text() for kind in ("py", "toml") for path in (ROOT / "examples").rglob(f"*.{kind}")]
    assert any(indent(block.text, margin) in source for source in sources for margin in ("", " " * 4, " " * 8))


def test_the_flow_for_node_red_is_whole() -> None:
    """Each wire leads to a node, ids are given once, and the broker is asked by MQTT 5."""
    flow = json.loads((ROOT / "docs" / "samples" / "node-red" / "flow.json").read_text())
    nodes = {node["id"]: node for node in flow}
    wired = {target for node in flow for output in node.get("wires", []) for target in output}
    assert (len(nodes), wired - set(nodes)) == (len(flow), set())
    assert {nodes[node["broker"]]["protocolVersion"] for node in flow if node["type"].startswith("mqtt ")} == {"5"}
    methods = {prop["v"] for node in flow for prop in node.get("props", []) if prop["p"] == "method"}
    assert methods == {"get_point", "set_point", "acquire_lease", "release_lease"}


def test_there_are_examples_of_each_kind() -> None:
    """The examples are found at all."""
    least = {"json": 8, "csv": 4, "yaml": 4, "console": 8}
    assert {language: len(shown(language)) for language, count in least.items() if len(shown(language)) < count} == {}


@pytest.mark.parametrize(
    ("output", "expected", "same"),
    [
        ('{"a":1}', '{"a":1}', True),
        ('{"a":1}\n', '{"a":...}', True),
        ('{"a":1}', '{"a":2}', False),
        ('{"a":1}', "", False),
        ("", "", True),
        ("a\nb", "a...b", True),
        ("(x)", "(y)", False),
    ],
)
def test_shown_output_is_compared(output: str, expected: str, same: bool) -> None:
    """Three dots stand for anything, all else for itself."""
    assert as_shown(output, expected) is same


def test_commands_are_told_from_output() -> None:
    """A console block is commands after a dollar sign, each with its output."""
    block = Block("console", "$ one -a\nout\nmore\n$ two\n", "")
    assert list(commands(block)) == [("one -a", "out\nmore\n"), ("two", "")]


# ---- keys, columns, codes


def described(document: Path) -> list[str]:
    """What the tables of a document describe, sorted; a name that stands twice is there twice."""
    return sorted(first_cells(document))


def test_every_setting_is_described_once() -> None:
    """The reference of the settings describes each key once, and no other."""
    names = []
    for field_name, field in Settings.model_fields.items():
        names.append(field.alias or field_name)
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            names += field.annotation.model_fields
    assert described(REFERENCE / "settings.md") == sorted(names)


def test_every_key_of_a_device_config_is_described_once() -> None:
    """The reference of the device config describes each key once, and no other."""
    names = [*DeviceConfig.model_fields, "driver_config", "registry_config", *OnChange.model_fields]
    assert described(REFERENCE / "device-config.md") == sorted(names)


def test_every_common_column_is_described_once() -> None:
    """The reference of the registry describes each column that all drivers have once, and no other."""
    assert described(REFERENCE / "registry.md") == sorted(keys(RegistryRow))


@pytest.mark.parametrize("driver", interfaces.own_types())
def test_every_driver_is_named_where_one_looks_for_it(driver: str) -> None:
    """The reference of the device config, that of the registry, and the README lead to the page of each driver."""
    for document in (REFERENCE / "device-config.md", REFERENCE / "registry.md", ROOT / "README.md"):
        assert any(link.endswith(f"drivers/{driver}.md") for link in links(document)), document


@pytest.mark.parametrize("driver", interfaces.own_types())
def test_every_key_and_column_of_a_driver_is_described(driver: str) -> None:
    """The page of a driver names each key of its driver_config, and its pages describe each column of its own."""
    folder, interface = ROOT / "docs" / "drivers", interfaces.load(driver)
    pages = [folder / f"{driver}.md", *folder.glob(f"{driver}-*.md")]
    cells = {word for page in pages for word in first_cells(page)}
    assert set(keys(interface.Config)) <= code(pages[0])
    assert set(keys(interface.Row)) - set(keys(RegistryRow)) <= cells
    assert interface.Config.model_fields.keys() & cells


def test_the_table_of_errors_is_that_of_the_code() -> None:
    """The reference of the errors is as ``make docs`` writes it, with a row for each code."""
    page = REFERENCE / "errors.md"
    assert runpy.run_path(str(ROOT / "docs" / "generate.py"))["errors"](page.read_text()) == page.read_text()
    assert described(page) == sorted(CODES)


def test_every_failure_priority_and_reason_of_leases_is_described_once() -> None:
    """The reference of the leases describes VOLTTRON's failure strings, the priorities and why leases end, and no other."""
    assert described(REFERENCE / "leases.md") == sorted([*Info, *Priority, *Reason])


def test_every_method_is_described() -> None:
    """The reference of the requests describes each method."""
    nothing: Any = None
    desk: Any = SimpleNamespace(audit=None)
    methods = {
        *Methods(nothing, nothing, nothing, nothing).table(),
        *WriteMethods(nothing, nothing, desk, False).table(),
        *LeaseMethods(nothing, desk, nothing).table(),
    }
    assert methods <= set(first_cells(REFERENCE / "requests.md"))


def test_every_state_and_problem_is_described() -> None:
    """The reference of the payloads describes each state of a device and each problem of a gateway."""
    sources = "".join(path.read_text() for path in (ROOT / "gateway").rglob("*.py"))
    problems = set(re.findall(r'problem\(\s*"(\w+)"', sources))
    assert len(problems) > 5
    assert problems | set(DeviceState) <= set(first_cells(PAYLOADS))


def test_every_key_of_a_status_is_described() -> None:
    """The reference of the payloads describes each key of the statuses of device and gateway and of meta."""
    clock = FakeClock()
    board = Board(Topics("edge"), clock, lambda _: None, "i", ("#",))
    device = board._device_payload(ConfigReport("accepted", "broker", "00"), DeviceStatus(DeviceState.ONLINE, 0.0), 0)
    register = Register(name="a", type="float", raw_type="float")
    meta = json.loads(meta_payload("edge", "fake", 1.0, (register,)))
    told = {*device, *device["config"], *board._gateway_payload("online"), *meta}
    assert told <= set(first_cells(PAYLOADS))
    assert point_meta(register).keys() <= code(PAYLOADS)


# ---- threats


def test_every_test_that_threats_name_exists() -> None:
    """What is said to stop a threat is shown by a test of that name; a row without one says that nothing stops it."""
    page = ROOT / "docs" / "threats.md"
    named = {word for word in code(page) if word.startswith("test_")}
    sources = "".join(path.read_text() for path in (ROOT / "tests").rglob("test_*.py"))
    assert len(named) > 50
    assert named - set(re.findall(r"def (test_\w+)", sources)) == set()
    rows = [line for line in page.read_text().splitlines() if line.startswith("| ") and not line.startswith("| could")]
    assert [row for row in rows if "`test_" not in row and "not stopped" not in row] == []


# ---- reliability


def test_every_test_of_reliability_exists() -> None:
    """Each promise has its number, in order, names tests that are where it says, a command, and a figure or nothing."""
    page = ROOT / "docs" / "reliability.md"
    rows = [re.split(r" *\| *", line)[1:-1] for line in page.read_text().splitlines() if re.match(r"\| [A-Z]\d", line)]
    counts = {"B": 10, "C": 6, "D": 9, "W": 12, "R": 4, "F": 5, "S": 8, "L": 4}
    assert [row[0] for row in rows] == [f"{kind}{number + 1}" for kind, most in counts.items() for number in range(most)]
    for number, promise, tests, command, _ in rows:
        assert promise, number
        assert command.startswith(("test", "long", "`make ")), number
        for path, name in re.findall(r"`(\S+)::(\w+)`", tests):
            assert f"def {name}(" in (ROOT / path).read_text(), f"{number}: {path}::{name}"
        assert "::" in tests, number


# ---- links


@pytest.mark.parametrize("document", documents(), ids=ids)
def test_links_lead_somewhere(document: Path) -> None:
    """Each relative link leads to a file, and to a heading in it where it says so."""
    for link in links(document):
        target, _, anchor = link.partition("#")
        file = document.parent / target if target else document
        assert target.startswith("https://") or file.exists(), link
        assert not anchor or anchor in anchors(file), link
