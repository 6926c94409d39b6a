from __future__ import annotations

import json
import os
import pty
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from gateway.cli.demo.run import run
from tests.test_child import alive

ROOT = Path(__file__).parents[3]
SCRIPT = """\
import sys
from gateway.cli.demo import run, stage
command = stage._gateway_command
stub = [sys.executable, "-m", "tests.cli.stub_gateway"]
stage._gateway_command = lambda directory, broker: [*stub, command(directory, broker)[-1], *sys.argv[2:]]
sys.exit(run.run(float(sys.argv[1]) if float(sys.argv[1]) else None))
"""


def demo(*arguments, **options):
    """The demo, with a stub for the gateway; 0 seconds means for ever."""
    where = {"cwd": ROOT, "env": os.environ | {"TMPDIR": str(options.pop("tmp"))}}
    return subprocess.Popen([sys.executable, "-c", SCRIPT, *arguments], **where, **options)


def children(pid):
    """Process ids of a process's children."""
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


@pytest.fixture
def running(tmp_path):
    """A demo that has shown its first reading, with its output as a stream."""
    process = demo("0", tmp=tmp_path, stdout=subprocess.PIPE, text=True)
    with process, process.stdout as output:
        for line in output:
            if re.match(r"\S+/all \{", line):
                break
        yield process
        if process.poll() is None:
            process.kill()


def test_without_a_terminal_each_reading_is_a_line(tmp_path):
    """The commands come first, then topic and payload of each reading; it ends by itself, clean, with 0."""
    done = demo("2", tmp=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    out, err = done.communicate(timeout=30)
    assert (done.returncode, err) == (0, "")
    lines = out.splitlines()
    assert [line.split()[0] for line in lines[2:5]] == ["mosquitto_sub", "mosquitto_rr", "mosquitto_rr"]
    readings = [line for line in lines if line.startswith("devices/")]
    assert len(readings) > 3
    topic, payload = readings[0].split(" ", 1)
    assert topic == "devices/demo/office/ahu1/all"
    assert -20 < json.loads(payload)["values"]["SupplyTemperature"] < 60
    assert list(tmp_path.iterdir()) == []


def test_on_a_terminal_it_draws_a_table(tmp_path):
    """A terminal shows device, point, value and units in a table."""
    ours, theirs = pty.openpty()
    process = demo("2", tmp=tmp_path, stdout=theirs, stderr=theirs)
    os.close(theirs)
    shown = b""
    while True:
        try:
            shown += os.read(ours, 65536)
        except OSError:  # how Linux tells that the other side of a pty is closed
            break
    os.close(ours)
    assert process.wait(10) == 0
    text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", shown.decode())
    assert re.search(r"SupplyTemperature +[0-9.]+ +degC", text)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_everything_with_0(running, number, tmp_path):
    """Ctrl-C, SIGTERM and a closed terminal end all children and leave no files."""
    started = children(running.pid)
    assert len(started) == 3
    running.send_signal(number)
    assert running.wait(15) == 0
    assert not any(alive(pid) for pid in started)
    assert list(tmp_path.iterdir()) == []


def test_a_killed_demo_leaves_no_process(running):
    """Even kill -9 takes the broker, the simulator and the gateway along."""
    started = children(running.pid)
    running.kill()
    deadline = time.monotonic() + 5
    while any(alive(pid) for pid in started):
        assert time.monotonic() < deadline, "a child outlived the demo"
        time.sleep(0.01)


@pytest.mark.parametrize("which", [0, 1, 2])
def test_a_child_that_dies_ends_the_demo_with_its_words(tmp_path, which):
    """When the broker, the simulator or the gateway is gone, the demo says which, and ends with 1."""
    process = demo("0", tmp=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    with process:
        while not (process.stdout.readline().startswith("devices/")):
            pass
        os.kill(children(process.pid)[which], signal.SIGKILL)
        _, err = process.communicate(timeout=30)
    assert process.returncode == 1
    assert re.match(r"The demo has failed: (mosquitto|iotcore|the simulator|the gateway) ended with exit code -9", err)


def test_a_gateway_that_does_not_start_is_told_with_its_log(tmp_path):
    """The message has the last lines of the gateway's output, and the exit code is 1."""
    process = demo("0", "--fail", tmp=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    _, err = process.communicate(timeout=30)
    assert process.returncode == 1
    assert "the gateway ended with exit code 1" in err
    assert "stub: no licence to run" in err


def test_without_pymodbus_it_says_how_to_get_it(monkeypatch, capsys):
    """Where the extra of the demo is not installed, the demo ends with 1 and names it."""
    monkeypatch.setattr("gateway.cli.demo.stage.find_spec", lambda name: None)
    assert run(0) == 1
    assert "pip install 'gateway[demo]'" in capsys.readouterr().err


def test_a_reader_that_goes_away_is_no_failure(tmp_path):
    """The demo piped into ``head`` ends with 0 and without a traceback."""
    process = demo("0", tmp=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    with process:
        process.stdout.readline()
        process.stdout.close()
        assert process.wait(30) == 0
        assert process.stderr.read() == ""


def test_with_the_gateway_itself_every_device_reads_without_an_error():
    """``gateway demo`` shows readings of all three devices, each point with a value, and ends with 0."""
    command = [sys.executable, "-m", "gateway", "demo", "--seconds", "8"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
    readings = [line.split(" ", 1) for line in done.stdout.splitlines() if line.startswith("devices/")]
    assert {topic.split("/")[3] for topic, _ in readings} == {"ahu1", "meter1", "fake1"}
    assert all(json.loads(payload)["errors"] == {} for _, payload in readings)
