"""The unit under a real systemd: started, watched, killed when it hangs, and stopped, with all that it takes away."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.deploy.images import NO_DOCUMENTS, done
from tests.integration.waiting import eventually
from tests.lacking import lacking, may_mount
from tests.markdown import ROOT
from tools import wheel

UNITS = ROOT / "deploy" / "systemd"
SCRIPT = Path(__file__).with_name("boot.sh")
PACKAGES = "systemd,systemd-sysv,dbus,python3,ca-certificates,mosquitto,mosquitto-clients"
PROGRAMS = ("mmdebstrap", "unshare", "pivot_root", "ip")

GATEWAY = """\
#!/bin/sh
PYTHONPATH=/opt/gateway/site exec /usr/bin/python3 -P -m gateway "$@"
"""
SETTINGS = 'gateway_id: box\nbroker: {url: "mqtt://127.0.0.1", username: box, password: {secret: mqtt-password}}\n'
ROW = '{"Point Name": "t", "Volttron Point Name": "t", "Type": "float", "Starting Value": "20", "Writable": true}'
DEVICE = f'{{"driver_type": "fake", "interval": 1, "registry_config": [{ROW}]}}'
PROBE_UNIT = """\
[Unit]
After=multi-user.target mosquitto.service
[Service]
Type=oneshot
ExecStart=/bin/sh /probe.sh
StandardOutput=append:/probe.log
[Install]
WantedBy=multi-user.target
"""
PROBE = f"""\
systemctl start mosquitto gateway && echo started
mosquitto_pub -V 5 -h 127.0.0.1 -r -t config/devices/C/B/D -m '{DEVICE}'
mosquitto_sub -V 5 -h 127.0.0.1 -t devices/C/B/D/all -C 1 -W 20
/opt/gateway/bin/gateway health && echo healthy
pid=$(systemctl show -p MainPID --value gateway)
grep -E '^(CapEff|CapBnd|NoNewPrivs|Seccomp):' /proc/$pid/status
[ "$(stat -c %u /proc/$pid)" = 0 ] || echo nobody
kill -STOP "$pid"
for second in $(seq 40); do
    [ "$(systemctl show -p NRestarts,ActiveState --value gateway | tr -d '\\n')" = 1active ] && echo restarted && break
    sleep 1
done
systemctl stop gateway
systemctl show -p Result gateway
echo finished
"""


def able() -> bool:
    """Whether a machine may be booted here; the packages of Debian 12 are for Python 3.11."""
    return os.geteuid() == 0 and may_mount() and sys.version_info[:2] == (3, 11)


@pytest.fixture
def machine(tmp_path: Path) -> Path:
    """A Debian with a broker and the gateway's service, which tries the service when it is booted."""
    if not able():
        lacking("root that may mount, and Python 3.11", rightly=True)
    if not all(map(shutil.which, PROGRAMS)):
        lacking("the packages mmdebstrap and iproute2")
    root = tmp_path / "root"
    done("mmdebstrap", "--quiet", "--variant=minbase", *NO_DOCUMENTS, f"--include={PACKAGES}", "bookworm", root)
    site = root / "opt/gateway/site"
    pip = (sys.executable, "-m", "pip", "install", "-q", "--target", site)
    done(*pip, "--require-hashes", "-r", ROOT / "requirements-run.txt")
    done(*pip, "--no-deps", wheel.build(ROOT, tmp_path / "dist"))
    for name, text, mode in (
        ("opt/gateway/bin/gateway", GATEWAY, 0o755),
        ("etc/gateway/settings.yaml", SETTINGS, 0o644),
        ("etc/gateway/credentials/mqtt-password", "x\n", 0o600),
        ("etc/mosquitto/conf.d/open.conf", "listener 1883 127.0.0.1\nallow_anonymous true\n", 0o644),
        ("etc/systemd/system/gateway.service", (UNITS / "gateway.service").read_text(), 0o644),
        ("etc/systemd/system/gateway.service.d/soon.conf", "[Service]\nWatchdogSec=4s\n", 0o644),
        ("etc/systemd/system/probe.service", PROBE_UNIT, 0o644),
        ("probe.sh", PROBE, 0o755),
    ):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
        (root / name).chmod(mode)
    done("chroot", root, "systemctl", "-q", "enable", "probe")
    return root


@pytest.mark.timeout(600)
def test_the_service_runs_under_systemd(machine: Path) -> None:
    """With everything taken away it polls and is healthy; a process that hangs is replaced; a stop is clean."""
    namespaces = ("--net", "--mount", "--pid", "--cgroup", "--fork", "--kill-child")
    box = subprocess.Popen(["unshare", *namespaces, "sh", "-e", SCRIPT, machine], stdout=subprocess.DEVNULL)
    log = machine / "probe.log"

    def told() -> list[str]:
        assert box.poll() is None, "the machine is gone"
        return log.read_text().splitlines() if log.exists() else []

    try:
        eventually(lambda: "finished" in told(), "the machine is through", 120)
    finally:
        box.kill()
        box.wait(10)
        print(log.read_text() if log.exists() else "no log")
    lines = told_words(log)
    assert {"started", "healthy", "nobody", "restarted", "Result=success", "NoNewPrivs:1", "Seccomp:2"} <= lines
    assert {"CapEff:0000000000000000", "CapBnd:0000000000000000"} <= lines
    assert any(line.startswith('{"timestamp":') for line in lines)


def told_words(log: Path) -> set[str]:
    """The lines of the log without white space."""
    return {"".join(line.split()) for line in log.read_text().splitlines()}
