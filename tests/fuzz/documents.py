"""Configurations of hostile bytes: refused in words, or accepted and fit to run."""

from __future__ import annotations

from collections.abc import Mapping

from gateway.interfaces.base import Environment
from gateway.model import Fault
from gateway.store.compile import Verdict, compile_device
from tests.fakes import FakeClock
from tests.fuzz.hostile import reasoned

SEPARATOR = b"\n---\n"
"""Between the documents of one input."""
LINKED = ("a", "b/c", "d", "registry.csv")
"""What the documents after the first are linked to as."""
DRIVERS = tuple(
    b'{"driver_type": "%s", "registry_config": "config://a", "driver_config": {%s}}' % driver
    for driver in (
        (b"fake", b""),
        (b"modbus", b'"device_address": "127.0.0.1", "slave_id": 1'),
        (b"modbus_tk", b'"device_address": "127.0.0.1", "slave_id": 1, "register_map": "config://registry.csv"'),
        (b"bacnet", b'"device_address": "10.0.0.5", "device_id": 500'),
        (b"serial", b'"device_address": "127.0.0.1", "port": 4001'),
    )
)


def device(data: bytes) -> None:
    """A device config, and the documents that it may link to, all of them separated by SEPARATOR."""
    document, *linked = data.split(SEPARATOR)
    judge(document, dict(zip(LINKED, linked, strict=False)))


def registry(data: bytes) -> None:
    """The driver by the first byte, then a registry of it."""
    document = DRIVERS[(data[0] if data else 0) % len(DRIVERS)]
    judge(document, {"a": data[1:], "registry.csv": data[1:]})


def judge(document: bytes, linked: Mapping[str, bytes]) -> None:
    """The promise: a verdict that says where and why, or a device that can be run."""
    env = Environment(FakeClock())
    verdict = compile_device("C/B/D", document, linked, env, None, ["A", "other"])
    for fault in (*verdict.errors, *verdict.warnings):
        check_fault(fault)
    assert len(verdict.errors) <= min(100, verdict.error_count)
    assert (verdict.spec is None) == (verdict.error_count > 0)
    check_spec(verdict, env)


def check_fault(fault: Fault) -> None:
    """A fault has its place and its reason, in text that can be published."""
    assert fault.where
    assert reasoned(fault.message), fault
    (fault.where + fault.message + fault.suggestion).encode()


def check_spec(verdict: Verdict, env: Environment) -> None:
    """What is accepted is planned without a word."""
    spec = verdict.spec
    if spec is None:
        return
    interface = spec.interface(spec.config, env)
    assert all(batch.registers for batch in interface.batches(spec.registers))
