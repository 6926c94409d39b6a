from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from gateway import child


def alive(pid: int) -> bool:
    """Whether the process runs; one that is dead and not yet collected does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_a_running_child_has_not_ended_and_stops_when_asked(tmp_path):
    """``ended`` is None while it runs; ``stop`` ends it, and may be called again."""
    started = child.start("sleeper", ["sleep", "60"], tmp_path / "log")
    assert started.ended() is None
    started.stop()
    started.stop()
    assert started.process.returncode == -signal.SIGTERM


def test_a_child_that_does_not_listen_is_killed(tmp_path):
    """A child that ignores SIGTERM is killed when patience ends."""
    script = "import signal,sys,time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up', flush=True); time.sleep(60)"
    started = child.start("deaf", [sys.executable, "-c", script], tmp_path / "log")
    while "up" not in started.tail():
        time.sleep(0.01)
    started.stop(patience=0.05)
    assert started.process.returncode == -signal.SIGKILL


def test_a_child_that_ended_tells_its_code_and_last_lines(tmp_path):
    """The sentence has the name, the exit code and the end of the output, not its beginning."""
    script = "import sys; print('first'); [print('line', n) for n in range(50)]; sys.stdout.flush(); sys.exit('no licence')"
    started = child.start("the gateway", [sys.executable, "-c", script], tmp_path / "log")
    started.process.wait()
    told = started.ended()
    assert told is not None
    assert told.startswith("the gateway ended with exit code 1; ")
    assert "no licence" in told
    assert "line 49" in told
    assert "first" not in told


def test_a_command_that_does_not_exist_is_an_error(tmp_path):
    """Starting what is not there raises OSError."""
    with pytest.raises(OSError, match="nothing-here"):
        child.start("x", ["/nothing-here"], tmp_path / "log")


def test_children_die_with_a_parent_that_is_killed(tmp_path):
    """A kill -9 of the parent ends the child at once."""
    script = (
        "import time\nfrom pathlib import Path\nfrom gateway import child\n"
        f"print(child.start('c', ['sleep', '60'], Path({str(tmp_path / 'log')!r})).process.pid, flush=True)\ntime.sleep(60)"
    )
    parent = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    with parent, parent.stdout as output:
        pid = int(output.readline())
        assert alive(pid)
        parent.kill()
    deadline = time.monotonic() + 5
    while alive(pid):
        assert time.monotonic() < deadline, "the child outlived its parent"
        time.sleep(0.01)
