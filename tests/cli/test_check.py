"""``gateway check``."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from gateway.cli import main
from gateway.cli.check import check

REGISTRY = "Point Name,Volttron Point Name,Type\np,p,float\n"


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """A folder with a device that links to a registry beside it."""
    write(tmp_path / "device.json", {"driver_type": "fake", "registry_config": "config://registry_configs/fake.csv"})
    write(tmp_path / "fake.csv", REGISTRY)
    return tmp_path


def write(path: Path, content: object) -> Path:
    """A file with a text, or a value as JSON."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


def run(*files: Path, credentials_dir: Path | None = None) -> tuple[int, list[str]]:
    """The exit code, and the lines without the folder of the files."""
    lines: list[str] = []
    code = check(list(files), lines.append, credentials_dir)
    return code, [line.replace(f"{files[0].parent}/", "") for line in lines]


def test_a_good_device_is_ok(site: Path):
    """A config whose registry is beside it passes, with a line that says what it is."""
    assert run(site / "device.json") == (0, ["device.json: ok, a fake device with 1 point, polled every 60 s"])


def test_faults_have_the_words_of_the_status(site: Path):
    """Each fault is a line with place, words and suggestion, and the exit code is 1."""
    write(site / "fake.csv", "Point Name,Volttron Point Name,Typ\n,,\np,p,floaty\n")
    code, lines = run(site / "device.json")

    assert code == 1
    assert lines == [
        'device.json: registry column "Typ": is not known (suggestion: Type)',
        'device.json: registry row 3, column "Type": "floaty" is not one of int, integer, float, bool, boolean, string'
        " (suggestion: float)",
        "device.json: 2 faults",
    ]


def test_settings_say_where_devices_may_be(tmp_path: Path):
    """A device outside of private networks is a fault, unless the gateway's settings allow its network."""
    device = write(tmp_path / "device.json", {"driver_type": "modbus", "driver_config": {"device_address": "192.0.2.7"}})
    settings = write(tmp_path / "settings.yaml", "broker: {url: mqtt://b}\nallow: {networks: [192.0.2.0/24]}\n")
    refused = CliRunner().invoke(main, ["check", str(device)])
    assert (refused.exit_code, "allow.networks" in refused.stdout) == (1, True)
    assert CliRunner().invoke(main, ["check", str(device), "--settings", str(settings)]).exit_code == 0
    write(settings, "brokre: x")
    unusable = CliRunner().invoke(main, ["check", str(device), "--settings", str(settings)])
    assert (unusable.exit_code, "brokre" in unusable.stderr) == (2, True)


def test_warnings_are_told_and_allowed(site: Path):
    """A warning does not make a config fail."""
    write(site / "device.json", {"driver_type": "fake", "campus": "c"})
    code, lines = run(site / "device.json")

    assert code == 0
    assert lines[0] == "device.json: warning: campus: is known to VOLTTRON and has no use here"


@pytest.mark.parametrize("place", ["registry_configs/fake.csv", "sub/registry_configs/fake.csv"])
def test_a_link_is_found_up_to_the_folder_of_devices(tmp_path: Path, place: str):
    """In VOLTTRON's layout the registries stand beside the folder devices; further up nothing is looked at."""
    config = {"driver_type": "fake", "registry_config": "config://registry_configs/fake.csv"}
    write(tmp_path / place, REGISTRY)
    device = write(tmp_path / "sub" / "devices" / "C" / "B" / "D", config)

    assert run(device)[0] == (0 if place.startswith("sub") else 1)


def test_given_files_come_first(site: Path):
    """A registry on the command line is used before one beside the config, by the longest end of its path."""
    config = site / "device.json"
    near = write(site / "x" / "fake.csv", "Volttron Point Name,not,its\n1,2,3\n")
    good = write(site / "y" / "registry_configs" / "fake.csv", REGISTRY)
    write(site / "fake.csv", "not,a,registry\n1,2,3\n")

    assert run(config, near, good)[0] == 0
    assert run(config, near)[0] == 1


def test_two_files_that_fit_alike_are_not_guessed_between(site: Path):
    """When two given files may be the linked document, both are named."""
    one, two = (write(site / folder / "fake.csv", REGISTRY) for folder in "xy")
    code, lines = run(site / "device.json", one, two)

    assert code == 1
    assert lines[0] == "device.json: config://registry_configs/fake.csv may be x/fake.csv or y/fake.csv: give one of them"


def test_of_two_that_fit_alike_the_one_beside_the_config_is_it(tmp_path: Path):
    """Many folders with a config and a registry of the same names can be checked in one call."""
    devices = [
        write(tmp_path / f / "device.json", {"driver_type": "fake", "registry_config": "config://r.csv"}) for f in "xy"
    ]
    write(tmp_path / "x" / "r.csv", "not,a,registry\n1,2,3\n")
    write(tmp_path / "y" / "r.csv", REGISTRY)
    code, lines = run(*devices, tmp_path / "x" / "r.csv", tmp_path / "y" / "r.csv")

    assert code == 1
    assert f"{devices[1]}: ok, a fake device with 1 point, polled every 60 s" in lines


def test_a_file_in_other_case_is_suggested(site: Path):
    """A missing document names the file that differs only in case."""
    (site / "fake.csv").rename(site / "Fake.csv")
    code, lines = run(site / "device.json")

    assert code == 1
    assert lines[0].endswith('"registry_configs/fake.csv" (suggestion: config://registry_configs/Fake.csv)')


def test_links_of_linked_documents_are_followed(site: Path):
    """A document that is linked to by a linked one is found too."""
    write(site / "fake.csv", "Point Name,Volttron Point Name,Type,Enum\np,p,int,config://modes.json\n")
    write(site / "modes.json", {"0": "Off", "1": "On"})

    assert run(site / "device.json")[0] == 0


def test_a_registry_alone_is_described(site: Path):
    """A CSV or a list of rows is told by rows and columns."""
    rows = write(site / "rows.json", [{"A": 1}, {"B": 2}])

    assert run(site / "fake.csv", rows) == (
        0,
        [
            "fake.csv: ok, a registry of 1 row with the columns Point Name, Volttron Point Name, Type",
            "rows.json: ok, a registry of 2 rows with the keys A, B",
        ],
    )


def test_a_registry_alone_has_faults_of_form(site: Path):
    """Without a driver the form is judged: surplus cells, rows that are no objects, text that can not be read."""
    ragged = write(site / "ragged.csv", "A,Volttron Point Name\n1,2,3\n")
    rows = write(site / "rows.json", [5])
    broken = write(site / "broken.json", "[1")
    code, lines = run(ragged, rows, broken)

    assert code == 1
    assert [line.partition(":")[0] for line in lines if "1 fault" not in line] == ["ragged.csv", "rows.json", "broken.json"]
    assert lines[1] == "ragged.csv: 1 fault"


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("driver_type: fake", "a device config would begin with {"),
        ("null", "a device config would begin with {"),
        ("Voltron Point Name,Type\np,float\n", 'rename "Voltron Point Name"'),
    ],
)
def test_a_text_that_is_no_registry_is_not_taken_for_one(site: Path, text: str, hint: str):
    """Every driver wants the points' names: without that column a file is no registry, and may be a broken config."""
    fault = f'registry header: the column "Volttron Point Name" is missing (suggestion: {hint})'
    assert run(write(site / "x.json", text)) == (1, [f"x.json: {fault}", "x.json: 1 fault"])


def test_a_file_that_can_not_be_read_is_two(site: Path):
    """A missing file or a folder is told, and the other files are judged all the same."""
    code, lines = run(site / "none.json", site, site / "fake.csv")

    assert code == 2
    assert lines[0] == "none.json: can not be read: No such file or directory"
    assert len(lines) == 3


def test_secrets_are_looked_for_where_they_are_said_to_be(tmp_path: Path):
    """With a credentials directory a config that names a secret can be judged."""
    config = {"driver_type": "modbus", "driver_config": {"device_address": {"secret": "device.host"}}}
    device = write(tmp_path / "device.json", config)
    write(tmp_path / "vault" / "device.host", "10.0.0.1\n")

    assert run(device, credentials_dir=tmp_path / "vault")[0] == 0
    assert run(device)[0] == 1


def test_devices_on_a_link_are_added_up(tmp_path: Path):
    """Two devices behind one address that allows few requests: one line after all, and a warning that does not fail."""
    row = {"Volttron Point Name": "p", "Modbus Register": ">H", "Point Address": "1"}
    config = {"driver_type": "modbus", "interval": 1, "registry_config": [row]}
    gate = {"device_address": "10.0.0.5", "requests_per_second": 1.5}
    files = [write(tmp_path / f"{n}.json", config | {"driver_config": gate | {"slave_id": n}}) for n in (1, 2)]
    code, lines = run(*files)

    assert code == 0
    assert [line.partition(":")[0] for line in lines[:2]] == ["1.json", "2.json"]
    assert lines[2] == (
        "10.0.0.5 port 502: 2 devices, every point once takes 2 requests and 1333 ms; polls take 133% of the time"
    )
    assert lines[3].startswith("10.0.0.5 port 502: warning: there is no such time")


def test_a_serial_line_is_told_with_its_speed(tmp_path: Path):
    """Two units on a line: what one poll of each takes, at the line's baud rate."""
    row = {"Volttron Point Name": "p", "Modbus Register": ">H", "Point Address": "1"}
    config = {"driver_type": "modbus", "interval": 1, "registry_config": [row]}
    line = {"device_address": "/dev/ttyS99", "baudrate": 19200, "parity": "even"}
    files = [write(tmp_path / f"{n}.json", config | {"driver_config": line | {"slave_id": n}}) for n in (1, 2)]

    assert run(*files)[1][2:] == [
        "/dev/ttyS99 at 19200 baud: 2 devices, every point once takes 2 requests and 25 ms; polls take 3% of the time"
    ]


def test_a_register_map_is_no_registry() -> None:
    """A register map needs no point names; what it says is judged with the device that links to it."""
    folder = Path(__file__).parents[2] / "docs" / "samples" / "modbus_tk"
    out: list[str] = []
    assert check(sorted(folder.iterdir()), out.append) == 0
    assert any("map.csv: ok, a register map of 6 rows" in line for line in out)
    assert any("device.json: ok, a modbus device with 4 points" in line for line in out)
