from __future__ import annotations

import pytest

from gateway.cli.demo.documents import AIR_HANDLER, DEVICES, documents, hints
from gateway.store.compile import compile_device
from gateway.topics import Topics

TOPICS = Topics("demo")
DOCUMENTS = documents(TOPICS, "127.0.0.1", 5020, 5021)
REGISTRIES = [f"registries/{device.rpartition('/')[2]}.csv" for device in DEVICES]


@pytest.mark.parametrize("device", DEVICES)
def test_the_gateway_takes_the_demo_devices(device, env):
    """Each configuration compiles with its registry, without a fault or a warning, and has a point to write."""
    linked = {path: DOCUMENTS[TOPICS.document(path)] for path in REGISTRIES}
    verdict = compile_device(device, DOCUMENTS[TOPICS.device_config(device)], linked, env, None)
    assert (verdict.errors, verdict.warnings) == ((), ())
    assert verdict.spec is not None
    assert {register.writable for register in verdict.spec.registers} == {True, False}


def test_three_commands_work_as_they_are_printed():
    """Each command has the port and the protocol version, and names a point of the demo."""
    lines = hints(TOPICS, 1884, clients_missing=False).splitlines()[1:]
    assert len(lines) == 3
    assert all("-V 5 -p 1884" in line for line in lines)
    registry = DOCUMENTS[TOPICS.document("registries/ahu1.csv")].decode()
    for line in lines[1:]:
        point = line.split(f"{AIR_HANDLER}/")[1].split()[0]
        assert f"\n{point}," in registry
        assert "-e replies/alice/$$" in line
        topic = line.split("-t ")[1].split()[0]
        assert TOPICS.request(topic) == ("alice", line.split("/")[2], (*AIR_HANDLER.split("/"), point))


def test_missing_clients_are_told_with_their_package():
    """Where the commands are missing, the package that has them is named."""
    assert "apt install mosquitto-clients" in hints(TOPICS, 1, clients_missing=True)
    assert "apt" not in hints(TOPICS, 1, clients_missing=False)
