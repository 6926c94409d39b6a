"""``gateway scan sunspec``, on simulated devices."""

from __future__ import annotations

import csv
import importlib.resources
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from gateway.cli import main
from gateway.cli.importing.model import Names
from gateway.cli.scanning.chain import BASES, Model
from gateway.cli.scanning.models import Models
from gateway.cli.scanning.points import implemented, map_model
from gateway.interfaces.base import Environment
from gateway.model import PointError, Scalar
from gateway.store.compile import compile_device
from gateway.store.device_config import Spec
from tests.cli.scanning.sunspec_device import absent, chain, device, filled, model
from tests.interfaces.modbus.servers import PymodbusServer

COMMON = {"Mn": "Acme", "Md": "Sun 5", "SN": "0815", "DA": 1}
INVERTER = {
    **{"A": 1234, "A_SF": -2, "W": -150, "W_SF": 1, "Hz": 5001, "Hz_SF": -2, "WH": 123456789, "WH_SF": 0},
    **{"PhVphA": 2305, "V_SF": -1, "TmpCab": 451, "Tmp_SF": -1, "St": 4, "Evt1": 0x81},
}
STRINGS = {
    **{"DCA_SF": -2, "DCV_SF": -1, "DCW_SF": 0, "N": 2},
    "module": [
        {"ID": 1, "IDStr": "East", "DCA": 512, "DCV": 6000, "DCW": 3072, "DCSt": 4},
        {"ID": 2, "IDStr": "West", "DCA": 498, "DCV": 5901, "DCW": 2939, "DCSt": 4},
    ],
}
CURVES = {
    **{"Ena": 1, "AdptCrvReq": 1, "NPt": 2, "NCrv": 2, "V_SF": -2, "DeptRef_SF": -1, "RspTms_SF": 0},
    "Crv": [
        {"ActPt": 2, "DeptRef": 1, "Pt": [{"V": 9200, "Var": 300}, {"V": 9670, "Var": 0}]},
        {"ActPt": 2, "DeptRef": 1, "Pt": [{"V": 9000, "Var": 440}, {"V": 9800, "Var": 5}]},
    ],
}


def run(*arguments: object) -> tuple[int, str, str]:
    """The exit code, standard output and standard error of ``gateway scan sunspec``."""
    outcome = CliRunner().invoke(main, ["scan", "sunspec", *map(str, arguments)], env={"COLUMNS": "140"})
    return outcome.exit_code, outcome.stdout, outcome.stderr


def scanned(registers: list[int], folder: Path, *options: str, base: int = 40000) -> tuple[int, str]:
    """The exit code and what is said of a scan that writes below a folder."""
    with PymodbusServer(device(base, registers)) as server:
        code, _, err = run("--host", "127.0.0.1", "--port", server.port, "-o", folder, *options)
    return code, err


def documents(folder: Path) -> tuple[dict[str, Any], dict[str, dict[str, str]]]:
    """The device config that was written, and its rows by name."""
    config = json.loads((folder / "config" / "devices" / "campus" / "building" / "127.0.0.1_1").read_text())
    text = (folder / "config" / "registry_configs" / "campus" / "building" / "127.0.0.1_1.csv").read_text()
    return config, {row["Volttron Point Name"]: row for row in csv.DictReader(text.splitlines())}


def compiled(folder: Path, env: Environment) -> Spec:
    """The device of what was written, without a fault or a warning."""
    paths = [path for path in (folder / "config").rglob("*") if path.is_file()]
    files = {path.relative_to(folder / "config").as_posix(): path.read_bytes() for path in paths}
    verdict = compile_device("C/B/D", files["devices/campus/building/127.0.0.1_1"], files, env, None)
    assert (verdict.errors, verdict.warnings) == ((), ())
    assert verdict.spec is not None
    return verdict.spec


def polled(spec: Spec, env: Environment) -> dict[str, Scalar | PointError]:
    """One poll of a device."""
    interface = spec.interface(spec.config, env)
    interface.open()
    values: dict[str, Scalar | PointError] = {}
    for batch in interface.batches(spec.registers):
        values |= interface.read(batch)
    interface.close()
    return values


def test_points_are_polled_with_their_scale_factors(tmp_path: Path, env: Environment):
    """What the scan of an inverter writes can be polled as it is: scaled, with enums and texts, and with no error at all."""
    registers = chain(model(1, COMMON), model(103, INVERTER), model(160, STRINGS))
    with PymodbusServer(device(40000, registers)) as server:
        code, _, err = run("--host", "127.0.0.1", "--port", server.port, "-o", tmp_path)
        assert code == 0, err
        values = polled(compiled(tmp_path, env), env)

    expected: Mapping[str, Scalar] = {
        "common.Mn": "Acme",
        "inverter_three_phase.A": 12.34,
        "inverter_three_phase.W": -1500,
        "inverter_three_phase.Hz": 50.01,
        "inverter_three_phase.WH": 123456789,
        "inverter_three_phase.PhVphA": 230.5,
        "inverter_three_phase.TmpCab": 45.1,
        "inverter_three_phase.St": "MPPT",
        "inverter_three_phase.Evt1": 0x81,
        "mppt.module_1.DCA": 5.12,
        "mppt.module_2.DCV": 590.1,
        "mppt.module_2.IDStr": "West",
    }
    assert {name: values.get(name) for name in expected} == expected


def test_a_value_that_goes_away_is_an_error_of_its_point(tmp_path: Path, env: Environment):
    """A point that is there at the scan and reads "not implemented" later is in error, never a number."""
    registers = chain(model(1, COMMON), model(103, INVERTER))
    with PymodbusServer(device(40000, registers)) as server:
        assert run("--host", "127.0.0.1", "--port", server.port, "-o", tmp_path)[0] == 0
        spec = compiled(tmp_path, env)
        rows = documents(tmp_path)[1]
        for name in ("W", "Hz_SF"):
            server.set(1, 3, int(rows[f"inverter_three_phase.{name}"]["Address"]), [0x8000])
        values = polled(spec, env)

    for name in ("W", "Hz_SF", "Hz"):
        assert isinstance(values[f"inverter_three_phase.{name}"], PointError)
    assert values["inverter_three_phase.A"] == 12.34


def test_absent_points_are_left_out_and_named(tmp_path: Path):
    """A point that the device does not implement would be in error for ever: it is told, and only --all gives it a row."""
    registers = chain(model(1, COMMON), model(103, INVERTER))
    code, err = scanned(registers, tmp_path / "some")
    rows = documents(tmp_path / "some")[1]

    assert code == 0
    assert "inverter_three_phase.AphA" in rows  # mandatory
    assert "inverter_three_phase.TmpSnk" not in rows
    assert "note: inverter_three_phase: not implemented by the device, left out: " in err
    assert "inverter_three_phase.TmpSnk" in err
    assert scanned(registers, tmp_path / "all", "--all")[0] == 1
    assert "inverter_three_phase.TmpSnk" in documents(tmp_path / "all")[1]


def test_rows_say_what_the_model_says(tmp_path: Path):
    """Units, access, enums, bits, scale factors and sentinels come from the model."""
    scanned(chain(model(1, COMMON), model(103, INVERTER)), tmp_path)
    config, rows = documents(tmp_path)

    assert config["driver_config"]["slave_id"] == 1
    power, state, events = (rows[f"inverter_three_phase.{name}"] for name in ("W", "St", "Evt1"))
    assert (power["Units"], power["Type"], power["Writable"], power["No Value"]) == ("W", "int16", "FALSE", "sunspec")
    assert (power["Scale Register"], power["Scale Register Kind"]) == ("inverter_three_phase.W_SF", "power")
    assert state["Enum"].startswith("1=OFF;2=SLEEPING;3=STARTING;4=MPPT;")
    assert "bit 0 GROUND_FAULT; bit 1 DC_OVER_VOLT" in events["Notes"]
    assert rows["common.DA"]["Writable"] == "TRUE"
    assert rows["inverter_three_phase.WH"]["No Value"] == "0"
    assert (rows["common.Mn"]["Type"], rows["common.Mn"]["Count"], rows["common.Mn"]["Address"]) == ("string", "16", "40004")
    assert "common.Pad" not in rows
    assert "common.ID" not in rows


def test_groups_in_groups_are_laid_out_by_their_counts(tmp_path: Path, env: Environment):
    """A model whose groups repeat as often as its points say has each point at its register."""
    registers = chain(model(1, COMMON), model(705, CURVES))
    with PymodbusServer(device(40000, registers)) as server:
        assert run("--host", "127.0.0.1", "--port", server.port, "-o", tmp_path)[0] == 0
        values = polled(compiled(tmp_path, env), env)

    names = [f"DERVoltVar.Crv_{curve}.Pt_{point}.V" for curve in (1, 2) for point in (1, 2)]
    assert [values[name] for name in names] == [92, 96.7, 90, 98]


@pytest.mark.parametrize("base", BASES)
def test_the_marker_is_looked_for_at_each_base(base: int, tmp_path: Path):
    """A chain may begin at 40000, 50000 or 0."""
    code, err = scanned(chain(model(1, COMMON)), tmp_path, base=base)

    assert code == 0, err
    assert documents(tmp_path)[1]["common.Mn"]["Address"] == str(base + 4)


def test_a_model_in_no_description_is_told(tmp_path: Path):
    """A maker's own model is named, and the rest of the chain is there."""
    code, err = scanned(chain(model(1, COMMON), [64999, 3, 1, 2, 3], model(103, INVERTER)), tmp_path)

    assert code == 1
    assert "not carried over: model 64999 at 40070: is in no description: see its maker's manual" in err
    assert "inverter_three_phase.W" in documents(tmp_path)[1]


def test_two_models_of_a_kind_keep_apart(tmp_path: Path):
    """The points of a second model of a kind have names of their own."""
    scanned(chain(model(1, COMMON), model(103, INVERTER), model(103, INVERTER)), tmp_path)
    rows = documents(tmp_path)[1]

    assert rows["inverter_three_phase_2.W"]["Scale Register"] == "inverter_three_phase_2.W_SF"


@pytest.mark.parametrize(
    ("registers", "words"),
    [
        (chain(model(1, COMMON))[:-2], "the chain breaks off at 40070 without its end"),
        ([*chain(model(1, COMMON))[:-2], 103, 60000], "model 103 at 40070 is said to have 60000 registers"),
        ([*chain(model(1, COMMON))[:-2], 103, 50, 1, 2], "can not be read: illegal data address"),
        ([*chain(model(1, COMMON))[:-2], *model(103, INVERTER), 1, 4000], "can not be read: illegal data address"),
    ],
)
def test_a_broken_chain_is_told(registers: list[int], words: str, tmp_path: Path):
    """Whatever breaks off the chain, what was read until then is there, and the break is told."""
    code, err = scanned(registers, tmp_path)

    assert code == 1
    assert words in err
    assert "common.Mn" in documents(tmp_path)[1]


def test_a_device_without_a_chain_is_two(tmp_path: Path):
    """A device that has no marker, or does not answer, is told apart from one that can not be reached."""
    code, err = scanned([1, 2, 3], tmp_path)

    assert code == 2
    assert err == 'unit 1 has no "SunS" at 40000, 50000, 0: it is no SunSpec device, or has another unit id\n'


def test_without_the_extra_it_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    """Where the descriptions are not installed, the extra to install is named."""

    def files(package: str) -> Any:
        raise ModuleNotFoundError(package)

    monkeypatch.setattr(importlib.resources, "files", files)
    code, err = scanned(chain([64999, 1, 0]), tmp_path)

    assert code == 2
    assert 'install the gateway with its extra "sunspec"' in err


@pytest.mark.parametrize("number", [1, 103, 111, 160, 203, 701, 702, 713, 802])
def test_every_point_of_a_model_has_a_row_or_a_reason(number: int):
    """With --all each point but the two of the chain and the padding is a row, or is told."""
    registers = model(number)
    group = Models().get(number)
    assert group is not None
    mapped = map_model(group, Model(number, 100, len(registers) - 2, tuple(registers)), Names(), True)
    points = [point for point in group["points"] if point["type"] != "pad"][2:]

    assert len(mapped.rows) + len(mapped.lost) == len(points)
    assert mapped.absent == []
    assert all(row["Address"].isdecimal() for row in mapped.rows)


def test_every_model_that_is_described_makes_a_good_registry(env: Environment):
    """Of each of the Alliance's models, a device that implements all of it has a registry without a fault."""
    folder = importlib.resources.files("sunspec2") / "models" / "json"
    numbers = [int(file.name[6:-5]) for file in folder.iterdir() if file.name.startswith("model_")]
    assert len(numbers) > 100
    for number in numbers:
        group = Models().get(number)
        assert group is not None
        registers = model(number, filled(group))
        mapped = map_model(group, Model(number, 40002, len(registers) - 2, tuple(registers)), Names(), False)
        config = {"driver_type": "modbus", "driver_config": {"device_address": "127.0.0.1"}, "registry_config": mapped.rows}
        verdict = compile_device("C/B/D", json.dumps(config).encode(), {}, env, None)
        assert (number, verdict.errors, verdict.warnings) == (number, (), ())
        assert mapped.absent == []
        assert {reason.split()[0] for _, reason in mapped.lost} <= {"the", "its"}


@pytest.mark.parametrize(
    ("kind", "size"),
    [
        ("int16", 1),
        ("uint16", 1),
        ("acc32", 2),
        ("int64", 4),
        ("enum16", 1),
        ("bitfield32", 2),
        ("float32", 2),
        ("string", 4),
    ],
)
def test_not_implemented_is_recognised(kind: str, size: int):
    """The value of each type that says "not implemented" is known, and no other is taken for it."""
    assert not implemented(kind, absent(kind, size))
    assert implemented(kind, [*[0] * (size - 1), 1])
