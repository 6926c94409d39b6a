from __future__ import annotations

import subprocess
import sys
from types import SimpleNamespace

import pytest
from typer.testing import CliRunner

from gateway import __version__
from gateway.cli import main


def gateway(*arguments):
    """Exit code, standard output and standard error of a command."""
    result = CliRunner().invoke(main, arguments)
    return SimpleNamespace(code=result.exit_code, out=result.stdout, err=result.stderr)


def test_the_version_is_told():
    """--version prints the name and the version."""
    assert vars(gateway("--version")) == {"code": 0, "out": f"gateway {__version__}\n", "err": ""}


def test_the_package_is_a_command():
    """``python -m gateway`` is the same command."""
    done = subprocess.run([sys.executable, "-m", "gateway", "--version"], capture_output=True, text=True, check=True)
    assert done.stdout == f"gateway {__version__}\n"


def test_help_lists_the_commands():
    """The help names run, check and demo."""
    assert all(command in gateway("--help").out for command in ("run", "check", "demo"))


def test_the_command_line_brings_no_library_of_a_command():
    """Looking at the help or version costs no import of MQTT, Modbus, YAML or model libraries."""
    script = "import sys, gateway.cli; print([m for m in ('paho', 'pymodbus', 'ruamel', 'pydantic') if m in sys.modules])"
    assert subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout == "[]\n"


def test_each_fault_of_the_settings_is_a_line_on_stderr(tmp_path):
    """``run`` with bad settings prints one fault a line and ends with 2."""
    path = tmp_path / "s.yaml"
    path.write_text("brokr: 1\nscope: []\n")
    result = gateway("run", "--settings", str(path), "--broker", "mqtt://x")
    assert (result.code, result.out) == (2, "")
    assert [line.partition(":")[0] for line in result.err.splitlines()] == [f"{path} line 1", f"{path} line 2"]


def test_run_needs_a_broker():
    """``run`` without any url says how to give one."""
    result = gateway("run")
    assert result.code == 2
    assert "--broker URL" in result.err


def test_run_hands_its_settings_to_the_gateway(monkeypatch, tmp_path):
    """The exit code is the gateway's own, and its settings are those of the options."""
    got = []
    monkeypatch.setitem(sys.modules, "gateway.app", SimpleNamespace(run=lambda settings: got.append(settings) or 7))
    monkeypatch.setattr("gateway.log.configure", lambda stream: None)
    assert gateway("run", "--broker", "mqtt://h", "--state-dir", str(tmp_path)).code == 7
    assert (str(got[0].broker.url), got[0].state_dir) == ("mqtt://h:1883", tmp_path)


@pytest.fixture
def checked(monkeypatch):
    """What ``check`` is called with: the files and the credentials directory; it finds one fault."""
    got = []

    def check(files, echo, credentials_dir, allow):
        got.append((list(map(str, files)), credentials_dir))
        echo("row 3 is bad")
        return 1

    monkeypatch.delenv("CREDENTIALS_DIRECTORY", raising=False)
    monkeypatch.setitem(sys.modules, "gateway.cli.check", SimpleNamespace(check=check))
    return got


def test_check_hands_its_files_over(checked):
    """The exit code of ``check`` is the checker's, and its words go to standard output."""
    result = gateway("check", "a.json", "b.csv")
    assert (result.code, result.out, checked) == (1, "row 3 is bad\n", [(["a.json", "b.csv"], None)])


def test_check_looks_for_secrets_where_the_gateway_does(checked, monkeypatch, tmp_path):
    """The credentials directory is $CREDENTIALS_DIRECTORY, unless an option names another one."""
    other = tmp_path / "other"
    other.mkdir()
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    gateway("check", "a.json")
    gateway("check", "--credentials-dir", str(other), "a.json")
    assert [directory for _, directory in checked] == [tmp_path, other]


def test_check_refuses_a_credentials_directory_that_is_not_there(checked, tmp_path):
    """A misspelt directory is a usage error, not a missing secret in each device."""
    result = gateway("check", "--credentials-dir", str(tmp_path / "none"), "a.json")
    assert (result.code, checked) == (2, [])
    assert "does not exist" in result.err


@pytest.mark.parametrize("arguments", [("check",), ("demo", "--seconds", "-1"), ("runn",), ("run", "--brokr", "x")])
def test_a_wrong_command_line_ends_with_2(arguments):
    """A missing or bad argument, command or option is a usage error."""
    assert gateway(*arguments).code == 2


SERVICE = """
import sys
from pathlib import Path
import gateway.cli.run as command
with command._hidden("rich"):
    import gateway.app
def run(settings):
    print([name for name in ("rich", "pygments") if name in sys.modules])
    return 0
gateway.app.run = run
command.run(None, "mqtt://localhost", Path("state"))
import rich
"""


def test_a_running_gateway_carries_no_library_for_terminals():
    """What a service has no use for takes none of its memory; whoever wants it later has it."""
    done = subprocess.run([sys.executable, "-c", SERVICE], capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == ("[]\n", "")
