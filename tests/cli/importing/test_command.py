"""What the imports write and say."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from gateway.cli import main
from gateway.cli.importing.documents import ALWAYS, csv_text, documents, level
from gateway.cli.importing.model import Device, ImportFault, Names, Result

GOOD = """
[[inputs.modbus]]
  name = "Meter"
  controller = "tcp://10.0.0.9:502"
  coils = [{ name = "run", address = [0]}]
"""


def run(*arguments: object) -> tuple[int, str, str]:
    """The exit code, standard output and standard error of ``gateway import``."""
    outcome = CliRunner().invoke(main, ["import", *map(str, arguments)])
    return outcome.exit_code, outcome.stdout, outcome.stderr


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A file that can be imported."""
    path = tmp_path / "telegraf.conf"
    path.write_text(GOOD)
    return path


def test_files_are_written_at_their_topics(source: Path, tmp_path: Path):
    """A device and its registry stand where they are to be published, and are listed."""
    code, out, err = run("telegraf", source, "-o", tmp_path / "out", "--under", "north/hall 1")

    device = tmp_path / "out" / "config" / "devices" / "north" / "hall 1" / "Meter"
    registry = tmp_path / "out" / "config" / "registry_configs" / "north" / "hall 1" / "Meter.csv"
    assert (code, err) == (0, "")
    assert out.splitlines() == [str(device), str(registry), "1 device, 1 point, 0 things not carried over"]
    assert json.loads(device.read_text())["registry_config"] == "config://registry_configs/north/hall 1/Meter.csv"
    assert registry.read_text().splitlines()[1] == "run,,FALSE,coil,bool,0"


def test_what_is_lost_is_told_and_is_one(source: Path, tmp_path: Path):
    """A point that can not be carried over is a line on standard error, and the exit code says so; the rest is written."""
    source.write_text(GOOD + '  holding_registers = [{ name = "odd", data_type = "UINT24", address = [0]}]\n')
    code, out, err = run("telegraf", source, "-o", tmp_path / "out")

    assert code == 1
    assert err.startswith("not carried over: inputs.modbus[0] (Meter).holding_registers[0] (odd): ")
    assert out.splitlines()[-1] == "1 device, 1 point, 1 thing not carried over"


def test_other_content_is_not_overwritten(source: Path, tmp_path: Path):
    """The same import again changes nothing; what somebody has changed is kept, but for --force."""
    assert run("telegraf", source, "-o", tmp_path / "out")[0] == 0
    assert run("telegraf", source, "-o", tmp_path / "out")[0] == 0
    registry = next((tmp_path / "out").rglob("*.csv"))
    registry.write_text("mine")
    code, _, err = run("telegraf", source, "-o", tmp_path / "out")

    assert code == 2
    assert str(registry) in err
    assert registry.read_text() == "mine"
    assert run("telegraf", source, "-o", tmp_path / "out", "--force")[0] == 0
    assert registry.read_text() != "mine"


@pytest.mark.parametrize(
    ("kind", "content", "words"),
    [
        ("telegraf", b"[[inputs.cpu]]\n", "there is no [[inputs.modbus]] in it"),
        ("telegraf", b"[[inputs", "is not TOML"),
        ("telegraf", b"\xff\xfe", "is not UTF-8 text"),
        ("thingsboard", b"{", "is not JSON"),
        ("thingsboard", b"[]", "is not a modbus.json"),
        ("thingsboard", b'{"mqtt": {}}', "is not a modbus.json"),
    ],
)
def test_a_file_of_another_kind_is_two(kind: str, content: bytes, words: str, tmp_path: Path):
    """What can not be read at all is told, and nothing is written."""
    (tmp_path / "file").write_bytes(content)
    code, out, err = run(kind, tmp_path / "file", "-o", tmp_path / "out")

    assert (code, out) == (2, "")
    assert words in err
    assert not (tmp_path / "out").exists()


def test_a_missing_file_is_two(tmp_path: Path):
    """The system's reason is told."""
    code, _, err = run("telegraf", tmp_path / "none", "-o", tmp_path / "out")

    assert (code, err) == (2, f"{tmp_path / 'none'}: No such file or directory\n")


@pytest.mark.parametrize("under", ["", "one", "a//b", "a/+", "$a/b", "a/b/c/d/e/f/g/h"])
def test_a_path_that_is_none_is_refused(under: str, source: Path, tmp_path: Path):
    """What stands before the device has to make a device path."""
    code, _, err = run("telegraf", source, "-o", tmp_path / "out", "--under", under)

    assert code == 2
    assert "--under" in err


@pytest.mark.parametrize(
    ("name", "due"),
    [("Meter 1", "Meter 1"), ("a/b", "a_b"), ("$x", "_x"), ("+#", "__"), (" a\tb ", "a_b"), ("", "device"), ("/", "_")],
)
def test_a_name_becomes_a_level(name: str, due: str):
    """What can not stand in a topic becomes an underscore."""
    assert level(name) == due


def test_a_changed_name_is_told():
    """Devices keep apart, and each that is called otherwise is told."""
    result = Result([Device("a/b", {}), Device("a_b", {}), Device("c", {})])

    assert [topic for topic in documents(result, "x/y") if "devices" in topic] == [
        "config/devices/x/y/a_b",
        "config/devices/x/y/a_b_2",
        "config/devices/x/y/c",
    ]
    assert [remark.where for remark in result.remarks] == ["a/b", "a_b"]


def test_no_device_is_a_fault():
    """An import without any device is not a success."""
    with pytest.raises(ImportFault):
        documents(Result(), "a/b")


def test_a_registry_that_is_too_long_is_told():
    """A gateway would refuse a document of that size, so it is told at once."""
    rows = [{"Volttron Point Name": f"p{n}", "Notes": "x" * 100} for n in range(3000)]
    result = Result([Device("big", {}, rows=rows)])
    documents(result, "a/b")

    assert [(remark.where, remark.lost) for remark in result.remarks] == [("big", True)]


def test_names_are_given_once():
    """A second one of a name has a number, which never meets another name."""
    names = Names()

    assert [names.unique(name) for name in ("a", "a_2", "a", "a")] == ["a", "a_2", "a_3", "a_4"]


def test_a_registry_has_the_columns_that_are_filled():
    """Columns that no row fills are left out, but for those that every registry has."""
    rows = [{"Volttron Point Name": "p,q", "Scale": ""}, {"Volttron Point Name": "r", "Bit": "3"}]

    assert (
        csv_text(rows, ALWAYS["modbus"])
        == 'Volttron Point Name,Units,Writable,Table,Type,Address,Bit\n"p,q",,,,,,\nr,,,,,,3\n'
    )
